//! Wall clocks that jump, forwards and back: what is minted from them only ever grows, and nothing else asks them.

use gossip::RingName;
use gossip::proto::{Command, Machine};
use gossip::sim::{Disk, Ix, Violation, World, address};
use netkernel::Incarnation;

type Result = std::result::Result<(), Violation>;

const HOUR_MS: i64 = 3_600_000;

/// A world of three nodes in one ring that agree, the second with a clock that is so far ahead.
fn formed(seed: u64, ahead_ms: i64) -> std::result::Result<World, Violation> {
    let mut world = World::new(seed);
    for ix in 0..3 {
        world.add(|settings| settings.ring = Some(RingName::new("ring").expect("a short name")))?;
        world.set_skew(ix, if ix == JUMPER { ahead_ms } else { 0 });
        world.run_for(50)?;
    }
    // A run under the clock as it is set now.
    again(&mut world, Disk::Kept)?;
    for ix in [JUMPER, 2] {
        world.command(ix, Command::Meet { address: address(0), expected: None })?;
    }
    world.settle(30_000)?;
    Ok(world)
}

fn machine(world: &World, ix: Ix) -> &Machine {
    world.running().find(|(running, _)| *running == ix).expect("the node runs").1
}

fn incarnation(world: &World) -> Incarnation {
    machine(world, JUMPER).incarnation()
}

fn again(world: &mut World, disk: Disk) -> Result {
    world.crash(JUMPER, disk);
    world.run_for(3_000)?;
    world.restart(JUMPER, |_| {})
}

const JUMPER: Ix = 1;

#[test]
fn a_node_whose_clock_went_back_across_a_restart_is_a_later_instance_of_itself() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed, HOUR_MS)?;
        for ahead_ms in [0, -HOUR_MS, HOUR_MS, -24 * HOUR_MS] {
            let before = incarnation(&world);
            world.set_skew(JUMPER, ahead_ms);
            again(&mut world, Disk::Kept)?;
            assert!(incarnation(&world) > before, "seed {seed}: {:?} after {before:?}", incarnation(&world));
            world.settle(60_000)?;
            world.check()?;
        }
    }
    Ok(())
}

/// Its disk is lost, too: the others tell it what it was, and it goes on above that.
#[test]
fn a_node_that_lost_its_disk_and_whose_clock_went_back_is_told_what_it_was() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed, HOUR_MS)?;
        let before = incarnation(&world);
        world.set_skew(JUMPER, -HOUR_MS);
        again(&mut world, Disk::Lost)?;
        assert!(incarnation(&world) < before, "the clock did not go back");
        world.command(JUMPER, Command::Meet { address: address(0), expected: None })?;
        world.settle(60_000)?;
        assert!(incarnation(&world) > before, "seed {seed}: {:?} after {before:?}", incarnation(&world));
        world.check()?;
    }
    Ok(())
}

/// While a node runs its clock may jump as it will: what is written later stays the later write, and nobody is taken
/// for dead.
#[test]
fn writes_of_a_node_whose_clock_jumps_while_it_runs_keep_their_order() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed, 0)?;
        for (weight, ahead_ms) in (1..).zip([0, HOUR_MS, -HOUR_MS, 24 * HOUR_MS, 0]) {
            world.set_skew(JUMPER, ahead_ms);
            let (id, weight) = (world.id(2).clone(), 10 * weight);
            world.command(JUMPER, Command::Update { id, weight })?;
            world.run_for(1_000)?;
            world.settle(30_000)?;
            for (ix, machine) in world.running() {
                let known = machine.members().find(|member| member.id == *world.id(2));
                assert_eq!(known.map(|member| member.weight), Some(weight), "seed {seed}, node {ix}");
                assert_eq!(machine.conflicts().count(), 0);
            }
        }
        let down = (0..3)
            .flat_map(|ix| world.events(ix))
            .filter(|event| matches!(event, gossip::Event::Down { .. } | gossip::Event::Suspect { .. }));
        assert_eq!(down.count(), 0, "seed {seed}");
        world.check()?;
    }
    Ok(())
}
