//! The faults of the original (`seed-parity.md`, gossip 1 to 10), each situation reproduced in the simulator. The
//! eleventh, a ring with the name of a server, takes whole nodes and is among the tests of `clusterluck`.

use std::collections::BTreeSet;

use gossip::proto::{Command, Insertion, Machine, Outcome};
use gossip::sim::{Disk, Ix, Violation, World, address};
use gossip::{Affiliation, Event, LeaveError, RingName};

type Result = std::result::Result<(), Violation>;

fn ring(name: &str) -> RingName {
    RingName::new(name).expect("a short name")
}

/// A world of `count` nodes in one ring that agree.
fn formed(seed: u64, count: usize) -> std::result::Result<World, Violation> {
    let mut world = World::new(seed);
    for ix in 0..count {
        add(&mut world, "ring")?;
        if ix > 0 {
            meet(&mut world, ix, 0)?;
        }
    }
    world.settle(30_000)?;
    Ok(world)
}

/// A founder alone in its ring.
fn add(world: &mut World, name: &str) -> std::result::Result<Ix, Violation> {
    let ix = world.add(|settings| settings.ring = Some(ring(name)))?;
    world.run_for(50)?;
    Ok(ix)
}

fn meet(world: &mut World, by: Ix, other: Ix) -> Result {
    world.command(by, Command::Meet { address: address(other), expected: None })
}

fn insert(world: &mut World, by: Ix, newcomer: Ix) -> Result {
    let nodes = vec![Insertion::new(world.id(newcomer).clone(), address(newcomer))];
    world.command(by, Command::Insert { nodes, force: false })
}

fn update(world: &mut World, by: Ix, ix: Ix, weight: u32) -> Result {
    let id = world.id(ix).clone();
    world.command(by, Command::Update { id, weight })
}

fn remove(world: &mut World, by: Ix, ix: Ix) -> Result {
    let ids = vec![world.id(ix).clone()];
    world.command(by, Command::Remove { ids, force: false })
}

fn machine(world: &World, ix: Ix) -> &Machine {
    world.running().find(|(running, _)| *running == ix).expect("the node runs").1
}

fn members(world: &World, ix: Ix) -> BTreeSet<String> {
    machine(world, ix).members().map(|member| member.id.to_string()).collect()
}

fn names<const N: usize>(numbers: [Ix; N]) -> BTreeSet<String> {
    numbers.iter().map(|ix| format!("n{ix}")).collect()
}

fn conflicts(world: &World) -> usize {
    let is_conflict = |event: &&Event| matches!(event, Event::Conflict { .. });
    world.running().map(|(ix, _)| world.events(ix).iter().filter(is_conflict).count()).sum()
}

#[test]
fn fault_1_two_inserts_at_the_same_time_are_both_kept() -> Result {
    for seed in 0..60 {
        let mut world = formed(seed, 3)?;
        let (left, right) = (add(&mut world, "ring")?, add(&mut world, "ring")?);
        insert(&mut world, 0, left)?;
        insert(&mut world, 1, right)?;
        world.settle(30_000)?;
        world.check()?;
        for ix in 0..5 {
            assert_eq!(members(&world, ix), names([0, 1, 2, 3, 4]), "seed {seed}");
        }
    }
    Ok(())
}

#[test]
fn fault_2_a_lone_insert_raises_no_conflict() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        let newcomer = add(&mut world, "ring")?;
        insert(&mut world, 0, newcomer)?;
        world.settle(30_000)?;
        assert_eq!(conflicts(&world), 0, "seed {seed}");
    }
    Ok(())
}

#[test]
fn fault_3_a_writer_whose_clock_is_slow_loses_no_update() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        for ix in 0..3 {
            world.set_skew(ix, if ix == 1 { -30_000 } else { 0 });
        }
        update(&mut world, 0, 2, 10)?;
        world.settle(30_000)?;
        // Causally later, though stamped half a minute earlier by its writer's clock.
        update(&mut world, 1, 2, 20)?;
        world.settle(30_000)?;
        for ix in 0..3 {
            let weight =
                machine(&world, ix).members().find(|member| member.id == *world.id(2)).map(|m| m.weight);
            assert_eq!(weight, Some(20), "seed {seed}, node {ix}");
        }
        assert_eq!(conflicts(&world), 0);
    }
    Ok(())
}

#[test]
fn fault_4_five_inserts_on_each_side_of_a_partition_all_survive() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed, 4)?;
        for _ in 0..10 {
            add(&mut world, "ring")?;
        }
        world.partition(&(0..14).filter(|ix| ix % 2 == 0).collect(), false);
        world.run_for(6_000)?;
        for newcomer in 4..14 {
            insert(&mut world, newcomer % 2, newcomer)?;
            world.run_for(100)?;
        }
        world.run_for(2_000)?;
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(members(&world, 0).len(), 14, "seed {seed}");
    }
    Ok(())
}

#[test]
fn fault_5_a_live_node_learns_that_it_was_removed() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 4)?;
        remove(&mut world, 0, 3)?;
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(*machine(&world, 3).affiliation(), Affiliation::Evicted(ring("ring")));
        assert!(world.events(3).iter().any(|event| matches!(event, Event::Evicted { .. })));
        assert_eq!(members(&world, 0), names([0, 1, 2]));
    }
    Ok(())
}

#[test]
fn fault_5_so_does_a_node_that_was_away() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 4)?;
        world.partition(&BTreeSet::from([3]), false);
        world.run_for(6_000)?;
        remove(&mut world, 0, 3)?;
        world.run_for(3_000)?;
        assert_eq!(members(&world, 3), names([0, 1, 2, 3]), "it cannot know yet");
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(*machine(&world, 3).affiliation(), Affiliation::Evicted(ring("ring")));
    }
    Ok(())
}

#[test]
fn mutual_removals_across_a_partition_put_both_out() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 4)?;
        world.partition(&BTreeSet::from([0, 1]), false);
        world.run_for(6_000)?;
        remove(&mut world, 0, 3)?;
        remove(&mut world, 3, 0)?;
        world.run_for(3_000)?;
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(members(&world, 1), names([1, 2]), "seed {seed}");
    }
    Ok(())
}

#[test]
fn an_insert_over_a_removal_stands_against_another_that_knew_nothing_of_it() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 4)?;
        world.partition(&BTreeSet::from([0, 3]), false);
        world.run_for(6_000)?;
        remove(&mut world, 1, 3)?;
        remove(&mut world, 0, 3)?;
        world.run_for(500)?;
        insert(&mut world, 0, 3)?;
        world.run_for(2_000)?;
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        for ix in 0..4 {
            assert_eq!(members(&world, ix), names([0, 1, 2, 3]), "seed {seed}, node {ix}");
        }
    }
    Ok(())
}

#[test]
fn nodes_that_removed_each_other_without_a_witness_are_told() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        world.partition(&BTreeSet::from([2]), false);
        world.run_for(6_000)?;
        remove(&mut world, 0, 2)?;
        world.command(
            2,
            Command::Remove { ids: vec![world.id(0).clone(), world.id(1).clone()], force: false },
        )?;
        world.run_for(3_000)?;
        assert_eq!((members(&world, 0), members(&world, 2)), (names([0, 1]), names([2])));
        world.heal();
        // Neither side wishes for a link to the other any more. Whoever is told first is out.
        world.settle(60_000)?;
        world.check()?;
    }
    Ok(())
}

#[test]
fn fault_6_a_dead_removed_node_does_not_come_back_by_a_stale_one() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 4)?;
        world.run_for(3_000)?;
        // Node 2 sleeps through the removal of node 3, which is dead.
        world.crash(2, Disk::Kept);
        world.crash(3, Disk::Kept);
        remove(&mut world, 0, 3)?;
        world.run_for(3_000)?;
        world.restart(2, |_| {})?;
        meet(&mut world, 2, 0)?;
        world.settle(30_000)?;
        world.check()?;
        for ix in 0..3 {
            assert_eq!(members(&world, ix), names([0, 1, 2]), "seed {seed}, node {ix}");
        }
    }
    Ok(())
}

#[test]
fn fault_7_a_node_that_comes_back_elsewhere_is_found_there() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        world.run_for(3_000)?;
        world.crash(2, Disk::Kept);
        world.run_for(1_000)?;
        world.restart(2, |settings| settings.address = address(77))?;
        // It asks first whether it is still running at the old address.
        world.run_for(3_000)?;
        world.settle(30_000)?;
        world.check()?;
        for ix in 0..3 {
            let moved =
                machine(&world, ix).members().find(|member| member.id == *world.id(2)).map(|m| m.address);
            assert_eq!(moved, Some(address(77)), "seed {seed}, node {ix}");
        }
    }
    Ok(())
}

#[test]
fn fault_8_a_leave_that_nobody_hears_is_taken_back() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        world.partition(&BTreeSet::from([2]), false);
        world.run_for(6_000)?;
        world.command(2, Command::Leave { force: false })?;
        world.run_for(6_000)?;
        let refused = |outcome: &&(Ix, Outcome)| {
            matches!(
                outcome,
                (2, Outcome::Leave(Err(LeaveError::NotAcknowledged { acknowledged: 0, needed: 2 })))
            )
        };
        assert_eq!(world.outcomes().iter().filter(refused).count(), 1, "seed {seed}");
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(members(&world, 0), names([0, 1, 2]));
    }
    Ok(())
}

#[test]
fn fault_8_a_forced_leave_that_nobody_heard_is_told_later() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed, 3)?;
        world.partition(&BTreeSet::from([2]), false);
        world.run_for(6_000)?;
        world.command(2, Command::Leave { force: true })?;
        world.run_for(1_000)?;
        assert_eq!(members(&world, 0), names([0, 1, 2]), "nobody can know yet");
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(members(&world, 0), names([0, 1]), "seed {seed}");
    }
    Ok(())
}

#[test]
fn fault_9_a_leave_at_the_same_time_as_an_insert_elsewhere_counts() -> Result {
    for seed in 0..60 {
        let mut world = formed(seed, 4)?;
        let newcomer = add(&mut world, "ring")?;
        insert(&mut world, 0, newcomer)?;
        world.command(3, Command::Leave { force: false })?;
        world.settle(30_000)?;
        world.check()?;
        for ix in [0, 1, 2, 4] {
            assert_eq!(members(&world, ix), names([0, 1, 2, 4]), "seed {seed}, node {ix}");
        }
    }
    Ok(())
}

#[test]
fn fault_10_rings_of_two_names_never_merge() -> Result {
    for seed in 0..20 {
        let mut world = World::new(seed);
        for name in ["left", "left", "right", "right"] {
            add(&mut world, name)?;
        }
        meet(&mut world, 1, 0)?;
        meet(&mut world, 3, 2)?;
        world.run_for(1_000)?;
        // Each way in which a node could be made common to both.
        meet(&mut world, 0, 2)?;
        insert(&mut world, 0, 3)?;
        world.run_for(10_000)?;
        for (ix, expected) in [(0, [0, 1]), (1, [0, 1]), (2, [2, 3]), (3, [2, 3])] {
            assert_eq!(members(&world, ix), names(expected), "seed {seed}, node {ix}");
        }
        let is_refusal = |event: &Event| matches!(event, Event::InviteRefused { .. });
        assert!(world.events(0).iter().any(is_refusal) || world.events(1).iter().any(is_refusal));
        assert!(world.events(2).iter().any(|event| matches!(event, Event::ForeignRing { .. })));
    }
    Ok(())
}
