//! After a partition both sides know what either wrote, and see each other alive, within ten gossip intervals.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{SECOND, TestNode, id, start};
use gossip::RingName;
use gossip::View;
use gossip::liveness::{Detector, Liveness};
use gossip::proto::Command;
use gossip::sim::{World, address};
use netkernel::{Address, MemoryNetwork};
use tokio::time::{Instant, timeout_at};

/// Ten times what nodes wait between comparisons, one second by default.
const WITHIN: Duration = Duration::from_secs(10);

async fn six(network: &MemoryNetwork) -> Vec<TestNode> {
    let mut nodes: Vec<TestNode> = Vec::new();
    for name in NAMES {
        let node = start(network, name, "ring").await;
        if let Some(last) = nodes.last() {
            node.gossip.meet(&last.address()).await.unwrap();
        }
        nodes.push(node);
    }
    for node in &nodes {
        node.knows(NAMES.len()).await;
    }
    nodes
}

/// The links between the two sides: the first two nodes, and the others.
fn between() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES[..2].iter().flat_map(|one| NAMES[2..].iter().map(move |other| (*one, *other)))
}

async fn is_whole_again_in_time(nodes: &[TestNode]) {
    let end = Instant::now() + WITHIN;
    let holds = |view: &View| {
        let (left, right) = (view.member(&id("left")), view.member(&id("right")));
        let others = view.members().iter().filter(|member| NAMES.contains(&member.id.as_str()));
        left.is_some() && right.is_some() && others.fold(true, |all, member| all && member.is_up())
    };
    for node in nodes {
        let mut views = node.gossip.watch();
        let healed = timeout_at(end, views.until(holds)).await;
        assert!(healed.is_ok(), "{} is still at {:#?}", node.id(), node.gossip.view());
    }
}

/// Separates the sides for so long, in which each inserts a member, and heals.
async fn part_and_heal(cut: fn(&MemoryNetwork, &str, &str), apart: Duration) {
    let network = MemoryNetwork::new();
    let nodes = six(&network).await;
    between().for_each(|(one, other)| cut(&network, one, other));
    for (at, name) in [(0, "left"), (5, "right")] {
        let nowhere = Address::new("nowhere", 9).unwrap();
        nodes[at].gossip.insert(id(name), nowhere, None, false).await.unwrap();
    }
    tokio::time::sleep(apart).await;
    if apart >= 60 * SECOND {
        let view = nodes[0].gossip.view();
        assert!(NAMES[2..].iter().all(|name| view.member(&id(name)).unwrap().liveness == Liveness::Down));
        assert!(view.member(&id("right")).is_none());
    }
    between().for_each(|(one, other)| network.heal(one, other));
    is_whole_again_in_time(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn cables_pulled_for_any_time_heal_within_ten_intervals() {
    for seconds in [3, 14, 19, 22, 60] {
        part_and_heal(MemoryNetwork::mute, seconds * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_cut_for_any_time_heal_within_ten_intervals() {
    for seconds in [1, 5, 60] {
        part_and_heal(MemoryNetwork::cut, seconds * SECOND).await;
    }
}

/// The same of whole members on lines that stall and break, at all moments of their intervals.
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
        let within_ms = u64::try_from(WITHIN.as_millis()).unwrap();
        let took_ms = world.settle(within_ms).unwrap();
        world.run_for(within_ms - took_ms).unwrap();
        for (ix, machine) in world.running() {
            let away: Vec<_> = machine.members().filter(|member| member.liveness == Liveness::Down).collect();
            assert!(away.is_empty(), "seed {seed}: {ix} holds for down {away:?}");
        }
        world.check().unwrap();
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
