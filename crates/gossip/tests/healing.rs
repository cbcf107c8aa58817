//! After a partition both sides know what either wrote, and see each other alive, within ten gossip intervals: whole
//! members in the simulator, at all moments of their intervals.

use std::collections::BTreeSet;

use gossip::RingName;
use gossip::liveness::{Detector, Liveness};
use gossip::proto::Command;
use gossip::sim::{World, address};

#[test]
fn simulated_partitions_heal_within_ten_intervals() {
    for seed in 0..16 {
        let mut world = World::new(seed);
        for ix in 0..6 {
            world
                .add(|settings| {
                    settings.ring = Some(RingName::new("ring").unwrap());
                    settings.detector = Detector::default();
                })
                .unwrap();
            world.run_for(50).unwrap();
            if ix > 0 {
                world.command(ix, Command::Meet { address: address(ix - 1), expected: None }).unwrap();
            }
        }
        world.settle(30_000).unwrap();
        world.partition(&BTreeSet::from([0, 1]), false);
        for (by, of) in [(0, 1), (5, 4)] {
            let id = world.id(of).clone();
            world.command(by, Command::Update { id, weight: 40 }).unwrap();
        }
        world.run_for(20_000 + 337 * seed).unwrap();
        assert!(!world.is_agreed(), "seed {seed}: each side has what it wrote itself");
        world.heal();
        let took_ms = world.settle(WITHIN_MS).unwrap();
        world.run_for(WITHIN_MS - took_ms).unwrap();
        for (ix, machine) in world.running() {
            let away: Vec<_> = machine.members().filter(|member| member.liveness == Liveness::Down).collect();
            assert!(away.is_empty(), "seed {seed}: {ix} holds for down {away:?}");
        }
        world.check().unwrap();
    }
}

/// Ten times what nodes wait between comparisons, one second by default.
const WITHIN_MS: u64 = 10_000;
