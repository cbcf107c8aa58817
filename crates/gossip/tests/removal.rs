//! What a removal policy does with whole members: crashes, partitions and returns, in the simulator.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gossip::liveness::{Detector, Never, Outage, RemovalPolicy, RemoveAfter};
use gossip::proto::{Affiliation, Command};
use gossip::sim::{Disk, World, address};
use gossip::{Event, RingName};
use netkernel::NodeId;

/// Members of one ring that remove each other after twenty seconds.
fn ring(size: usize, seed: u64) -> World {
    let policy = RemoveAfter { after: Duration::from_secs(20), max_per_hour: 10 };
    ring_under(policy, size, seed)
}

/// Members of one ring under this policy.
fn ring_under(policy: impl RemovalPolicy + 'static, size: usize, seed: u64) -> World {
    let policy: Arc<dyn RemovalPolicy> = Arc::new(policy);
    let mut world = World::new(seed);
    for ix in 0..size {
        world
            .add(|settings| {
                settings.ring = Some(RingName::new("ring").unwrap());
                settings.detector = Detector::default();
                settings.removal = Arc::clone(&policy);
            })
            .unwrap();
        world.run_for(50).unwrap();
        if ix > 0 {
            world.command(ix, Command::Meet { address: address(ix - 1), expected: None }).unwrap();
        }
    }
    world.settle(30_000).unwrap();
    world
}

fn members(world: &World, ix: usize) -> usize {
    let (_, machine) = world.running().find(|(at, _)| *at == ix).unwrap();
    machine.members().count()
}

fn is_evicted(world: &World, ix: usize) -> bool {
    let (_, machine) = world.running().find(|(at, _)| *at == ix).unwrap();
    matches!(machine.affiliation(), Affiliation::Evicted(_) | Affiliation::Left(_))
}

#[test]
fn a_dead_member_is_removed_in_time_and_learns_it_when_it_returns() {
    let mut world = ring(5, 1);
    world.crash(4, Disk::Kept);
    world.run_for(15_000).unwrap();
    assert!((0..4).all(|ix| members(&world, ix) == 5), "too early");
    world.run_for(45_000).unwrap();
    assert!((0..4).all(|ix| members(&world, ix) == 4));
    world.restart(4, |_| {}).unwrap();
    world.run_for(30_000).unwrap();
    assert!(is_evicted(&world, 4));
    assert!((0..4).all(|ix| members(&world, ix) == 4), "it does not come back by itself");
    world.check().unwrap();
}

#[test]
fn only_the_majority_removes_and_the_minority_says_that_it_is_one() {
    let mut world = ring(5, 2);
    world.partition(&BTreeSet::from([0, 1]), false);
    world.run_for(120_000).unwrap();
    assert!((0..2).all(|ix| members(&world, ix) == 5), "two of five remove nobody");
    assert!((2..5).all(|ix| members(&world, ix) == 3));
    let is_minority = |event: &Event| matches!(event, Event::MinorityPartition { reachable: 2, members: 5 });
    assert!((0..2).all(|ix| world.events(ix).iter().any(is_minority)));
    assert!((2..5).all(|ix| !world.events(ix).iter().any(is_minority)));
    world.heal();
    world.run_for(30_000).unwrap();
    assert!((0..2).all(|ix| is_evicted(&world, ix)));
    assert!((2..5).all(|ix| members(&world, ix) == 3));
    world.check().unwrap();
}

/// Members come back one after the other when a partition heals: the first to do so make a majority of those that are there.
#[test]
fn halves_that_find_each_other_again_remove_nobody() {
    for seed in 0..30 {
        let mut world = ring(4, seed);
        world.partition(&BTreeSet::from([0, 1]), false);
        world.run_for(120_000).unwrap();
        world.heal();
        world.run_for(60_000).unwrap();
        assert!((0..4).all(|ix| members(&world, ix) == 4), "seed {seed}");
        world.check().unwrap();
    }
}

#[test]
fn a_member_that_never_came_makes_no_majority() {
    let mut world = ring(4, 7);
    let nodes = vec![gossip::proto::Insertion::new(NodeId::new("mistyped").unwrap(), address(77))];
    world.command(0, Command::Insert { nodes, force: false }).unwrap();
    world.run_for(5_000).unwrap();
    world.partition(&BTreeSet::from([0, 1]), false);
    world.run_for(120_000).unwrap();
    let is_minority = |event: &Event| matches!(event, Event::MinorityPartition { reachable: 2, members: 4 });
    for ix in 0..4 {
        assert_eq!(members(&world, ix), 5);
        assert!(world.events(ix).iter().any(is_minority), "{ix}");
    }
}

/// The smaller side holds the greater for down, and says so when it is back.
#[test]
fn a_partition_that_heals_makes_nobody_doubt_its_own_side() {
    for seed in 0..30 {
        let mut world = ring_under(Never, 5, seed);
        world.partition(&BTreeSet::from([3, 4]), false);
        world.run_for(30_000 + 97 * seed).unwrap();
        let known: Vec<_> = (0..3).map(|ix| world.events(ix).len()).collect();
        world.heal();
        world.run_for(30_000).unwrap();
        for (ix, known) in known.into_iter().enumerate() {
            let own_side = |id: &NodeId| (0..3).any(|other| world.id(other) == id);
            let doubts = |event: &&Event| match event {
                Event::Down { id } => own_side(id),
                Event::MinorityPartition { .. } => true,
                _ => false,
            };
            let doubted: Vec<_> = world.events(ix)[known..].iter().filter(doubts).collect();
            assert!(doubted.is_empty(), "seed {seed}, node {ix}: {doubted:?}");
        }
    }
}

#[test]
fn a_member_that_was_stopped_is_not_removed_and_one_that_died_is() {
    let mut world = ring(5, 9);
    world.command(3, Command::Stop).unwrap();
    world.run_for(2_000).unwrap();
    world.crash(3, Disk::Kept);
    world.crash(4, Disk::Kept);
    world.run_for(120_000).unwrap();
    let (stopped, died) = (world.id(3).clone(), world.id(4).clone());
    for (ix, machine) in world.running() {
        let ids: Vec<_> = machine.members().map(|member| member.id).collect();
        assert!(ids.contains(&stopped) && !ids.contains(&died), "{ix}: {ids:?}");
    }
}

/// Nobody is left who heard its goodbye: its record says that it was about to stop.
#[test]
fn a_member_that_was_stopped_is_not_removed_by_those_who_started_since() {
    let mut world = ring(5, 10);
    world.command(3, Command::Announce { draining: Some(true), tags: None }).unwrap();
    world.run_for(5_000).unwrap();
    world.command(3, Command::Stop).unwrap();
    world.run_for(2_000).unwrap();
    (0..5).for_each(|ix| world.crash(ix, Disk::Kept));
    for ix in [0, 1, 2, 4] {
        world.restart(ix, |_| {}).unwrap();
    }
    world.run_for(120_000).unwrap();
    assert!([0, 1, 2, 4].iter().all(|ix| members(&world, *ix) == 5));
}

/// A member under maintenance keeps the outage open for as long as it takes.
#[test]
fn a_member_that_was_removed_and_inserted_again_counts_while_another_is_away() {
    let mut world = ring(5, 11);
    world.command(4, Command::Stop).unwrap();
    world.run_for(2_000).unwrap();
    world.crash(4, Disk::Kept);
    world.crash(3, Disk::Kept);
    world.run_for(60_000).unwrap();
    assert!((0..3).all(|ix| members(&world, ix) == 4));
    world.restart(3, |_| {}).unwrap();
    world.run_for(10_000).unwrap();
    assert!(is_evicted(&world, 3));
    let nodes = vec![gossip::proto::Insertion::new(world.id(3).clone(), address(3))];
    world.command(0, Command::Insert { nodes, force: false }).unwrap();
    world.run_for(10_000).unwrap();
    world.crash(2, Disk::Kept);
    world.run_for(60_000).unwrap();
    for ix in [0, 1, 3] {
        assert_eq!(members(&world, ix), 4, "{ix}");
        let told = world.events(ix).iter().any(|event| matches!(event, Event::MinorityPartition { .. }));
        assert!(!told, "{ix}");
    }
}

/// Removes nobody but one.
#[derive(Debug)]
struct Only(NodeId);

impl RemovalPolicy for Only {
    fn remove(&self, outage: &Outage) -> Vec<NodeId> {
        outage.down.iter().filter(|absent| absent.id == self.0).map(|absent| absent.id.clone()).collect()
    }
}

#[test]
fn a_policy_of_ones_own_decides_and_no_other() {
    let only = ring(6, 3).id(5).clone();
    let mut world = ring_under(Only(only.clone()), 6, 3);
    world.crash(4, Disk::Kept);
    world.crash(5, Disk::Kept);
    world.run_for(60_000).unwrap();
    for (ix, machine) in world.running() {
        let ids: Vec<_> = machine.members().map(|member| member.id).collect();
        assert!(ids.len() == 5 && !ids.contains(&only), "{ix}: {ids:?}");
    }
}

#[test]
fn by_default_nobody_is_ever_removed() {
    let mut world = ring_under(Never, 4, 4);
    world.crash(3, Disk::Kept);
    world.run_for(3_600_000).unwrap();
    assert!((0..3).all(|ix| members(&world, ix) == 4));
    world.restart(3, |_| {}).unwrap();
    world.settle(10_000).unwrap();
    world.check().unwrap();
}
