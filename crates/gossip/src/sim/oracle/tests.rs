//! Every check of the oracle, shown to fail: what it is told, or what it remembers, is made wrong, one thing at a time.

use super::*;
use crate::proto::{Action, Command, Now, Settings};
use crate::sim::{World, address};

/// A ring of two.
fn world() -> World {
    let ring = RingName::new("ring").expect("a short name");
    let mut world = World::new(1);
    for _ in 0..2 {
        world.add(|settings| settings.ring = Some(ring.clone())).expect("nothing is wrong yet");
    }
    world.run_for(100).expect("nothing is wrong yet");
    let meet = Command::Meet { address: address(0), expected: None };
    world.command(1, meet).expect("nothing is wrong yet");
    world.settle(10_000).expect("nothing is wrong yet");
    world
}

/// What the oracle says of the first node once it remembers things otherwise.
fn says(mislead: impl FnOnce(&mut Oracle, &Machine)) -> String {
    let mut world = world();
    let machine = world.nodes[0].machine.as_ref().expect("it runs");
    mislead(&mut world.oracle, machine);
    let id = world.nodes[0].id.clone();
    world.oracle.check(0, &id, machine, false).expect_err("the oracle was misled")
}

/// An event that nobody wrote.
fn unheard_of() -> Dot {
    Dot::new(Actor(1), 1).expect("counted from 1")
}

/// The record of the second node, and the event that wrote it.
fn other(machine: &Machine) -> (NodeId, Dot) {
    let id = NodeId::new("n1").expect("a short name");
    let record = machine.records().find(|record| record.id == id).expect("a member");
    (id, record.versions.siblings().map(|(dot, _)| *dot).next().expect("a member has a version"))
}

/// Lets the oracle look at the node as if for the first time.
fn look_again(oracle: &mut Oracle) {
    oracle.seen.clear();
}

#[test]
fn nothing_is_wrong_with_what_is_right() {
    let mut world = world();
    look_again(&mut world.oracle);
    let machine = world.nodes[0].machine.as_ref().expect("it runs");
    assert_eq!(world.oracle.check(0, &world.nodes[0].id.clone(), machine, false), Ok(()));
    assert_eq!(world.check(), Ok(()));
}

#[test]
fn a_forgotten_event_is_seen() {
    let said = says(|oracle, _| {
        let known = oracle.seen.get_mut(&0).expect("looked at before");
        known.context.insert(unheard_of());
        known.seen = Hash::default();
    });
    assert!(said.contains("forgotten"), "{said}");
}

#[test]
fn an_event_of_a_retired_actor_may_be_forgotten() {
    let mut world = world();
    let known = world.oracle.seen.get_mut(&0).expect("looked at before");
    known.context.insert(unheard_of());
    known.seen = Hash::default();
    world.oracle.ended.insert(Actor(1), 1);
    let machine = world.nodes[0].machine.as_ref().expect("it runs");
    assert_eq!(world.oracle.check(0, &world.nodes[0].id.clone(), machine, false), Ok(()));
}

#[test]
fn an_incarnation_that_goes_back_is_seen() {
    let said = says(|oracle, _| {
        oracle.seen.get_mut(&0).expect("looked at before").incarnation = Incarnation(u64::MAX);
    });
    assert!(said.contains("went back"), "{said}");
}

#[test]
fn a_difference_between_nodes_that_have_seen_the_same_is_seen() {
    let said = says(|oracle, machine| {
        oracle.lives.insert(machine.hashes().0, Hash::default());
    });
    assert!(said.contains("has not the same"), "{said}");
}

#[test]
fn an_event_of_another_ring_is_seen() {
    let said = says(|oracle, machine| {
        look_again(oracle);
        let elsewhere = RingName::new("elsewhere").expect("a short name");
        oracle.rings.insert(other(machine).1.actor, elsewhere);
    });
    assert!(said.contains("of another ring"), "{said}");
}

#[test]
fn a_version_that_outlives_its_replacement_is_seen() {
    let said = says(|oracle, machine| {
        look_again(oracle);
        let (id, dot) = other(machine);
        // Some event that this node has seen as well is said to have replaced it.
        let mut later =
            oracle.events.keys().filter(|later| **later != dot && machine.context().contains(later));
        let later = *later.next().expect("each node wrote its own record");
        let event = oracle.events.get_mut(&later).expect("just found");
        event.past = [(dot.actor, dot.counter())].into_iter().collect();
        oracle.of.entry(id).or_default().insert(later);
    });
    assert!(said.contains("kept"), "{said}");
}

#[test]
fn members_that_do_not_follow_from_the_writes_are_seen() {
    let said = says(|oracle, machine| {
        look_again(oracle);
        let (_, dot) = other(machine);
        let event = oracle.events.get_mut(&dot).expect("it was written");
        event.version.standing = Standing::Removed { incarnation: Incarnation(1) };
    });
    assert!(said.contains("something else"), "{said}");
}

#[test]
fn keys_that_are_placed_otherwise_are_seen() {
    let said = says(|oracle, machine| {
        look_again(oracle);
        oracle.places.insert(machine.hashes().1, Places::new());
    });
    assert!(said.contains("places keys otherwise"), "{said}");
}

#[test]
fn a_lost_write_is_seen_in_the_end() {
    let mut world = world();
    let (_, dot) = other(world.nodes[0].machine.as_ref().expect("it runs"));
    let written = &world.oracle.events[&dot];
    let (id, version) = (NodeId::new("lost").expect("a short name"), written.version.clone());
    let (past, beside) = Default::default();
    let event = Event { id, version, past, beside, required: true };
    world.oracle.events.insert(unheard_of(), event);
    world.oracle.rings.insert(Actor(1), RingName::new("ring").expect("a short name"));
    let violation = world.check().expect_err("a write is missing");
    assert!(violation.what.contains("makes"), "{violation}");
}

#[test]
fn a_write_that_came_back_is_seen_in_the_end() {
    let mut world = world();
    let (id, dot) = other(world.nodes[0].machine.as_ref().expect("it runs"));
    let mut version = world.oracle.events[&dot].version.clone();
    version.standing = Standing::Removed { incarnation: Incarnation(u64::MAX) };
    let past = [(dot.actor, dot.counter())].into_iter().collect();
    world
        .oracle
        .events
        .insert(unheard_of(), Event { id, version, past, beside: BTreeSet::new(), required: true });
    world.oracle.rings.insert(Actor(1), RingName::new("ring").expect("a short name"));
    let violation = world.check().expect_err("the node was removed");
    assert!(violation.what.contains("makes"), "{violation}");
}

#[test]
fn one_event_of_two_writes_is_seen() {
    let mut world = world();
    let machine = world.nodes[0].machine.as_ref().expect("it runs");
    let now = Now { mono_ms: 0, wall_ms: 0 };
    let (_, dot) = other(machine);
    world.oracle.events.get_mut(&dot).expect("it was written").id = NodeId::new("n7").expect("a short name");
    let said = world.oracle.storing(&world.nodes[0].id.clone(), &machine.image(now));
    assert!(said.is_err_and(|said| said.contains("two writes")));
}

#[test]
fn one_actor_in_two_rings_is_seen() {
    let settings = Settings::new(NodeId::new("n0").expect("a short name"), address(0));
    let settings = Settings { ring: Some(RingName::new("ring").expect("a short name")), ..settings };
    let now = Now { mono_ms: 0, wall_ms: 0 };
    let mut machine = Machine::new(settings, None, 1, now).expect("nothing is stored");
    let mut oracle = Oracle::default();
    while let Some(action) = machine.poll_action() {
        if let Action::Store { state, .. } = action {
            for record in state.records() {
                let (dot, _) = record.versions.siblings().next().expect("it founded the ring");
                oracle.rings.insert(dot.actor, RingName::new("elsewhere").expect("a short name"));
            }
            let said = oracle.storing(&NodeId::new("n0").expect("a short name"), &state);
            assert!(said.is_err_and(|said| said.contains("two rings")));
        }
    }
}
