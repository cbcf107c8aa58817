//! The laws of merging, by proptest: a roster is a join of what was written, whatever the order and however often.

use bytes::Bytes;
use netkernel::{Address, Incarnation, NodeId};
use proptest::prelude::*;

use super::entry::Entry;
use super::hash::Hash;
use super::record::{Actor, Context, Dot, Membership, OwnRecord, Protocols, Record, Standing, Version};
use super::roster::Roster;
use super::rules::Rules;
use super::stamp::StampClock;

/// A write by one of three writers, about one of three nodes, of what that writer knows.
#[derive(Debug, Clone)]
enum Step {
    Insert { writer: usize, node: usize, weight: u32 },
    Remove { writer: usize, node: usize },
    Own { node: usize, incarnation: u64 },
    Merge { from: usize, into: usize },
    Collect { at: usize, node: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let writer = 0..3_usize;
    prop_oneof![
        (writer.clone(), 0..3_usize, 0..4_u32).prop_map(|(writer, node, weight)| Step::Insert {
            writer,
            node,
            weight
        }),
        (writer.clone(), 0..3_usize).prop_map(|(writer, node)| Step::Remove { writer, node }),
        (0..3_usize, 0..4_u64).prop_map(|(node, incarnation)| Step::Own { node, incarnation }),
        (writer.clone(), writer).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..24)
}

/// The same with tombstones that are collected in between, here and there.
fn steps_that_collect() -> impl Strategy<Value = Vec<Step>> {
    let collect = (0..3_usize, 0..3_usize).prop_map(|(at, node)| Step::Collect { at, node });
    prop::collection::vec(prop_oneof![4 => step(), 1 => collect], 0..40)
}

fn id(node: usize) -> NodeId {
    NodeId::new(format!("n{node}")).expect("a short name")
}

/// Three replicas that wrote and merged this way.
fn play(steps: &[Step]) -> [Roster; 3] {
    let mut rosters: [Roster; 3] = Default::default();
    // The same without collecting: what is written follows from these, so that it is the same whoever collects.
    let mut complete: [Roster; 3] = Default::default();
    let mut counters = [0_u64; 3];
    let mut clocks = [StampClock::default(); 3];
    let mut ages = [0_u32; 3];
    let mut write = |all: [&mut Roster; 2], writer: usize, node: usize, standing: Standing| {
        counters[writer] += 1;
        let dot = Dot::new(Actor(writer as u64), counters[writer]).expect("counted from 1");
        let stamp = clocks[writer].tick(1_000);
        let version = Version { standing, stamp, by: id(writer), extension: Bytes::new() };
        for roster in all {
            let record = roster.written(&id(node), dot, version.clone(), |_| true).expect("a fresh event");
            roster.merge(&record).expect("a fresh event");
        }
    };
    for step in steps {
        match *step {
            Step::Insert { writer, node, weight } => {
                let incarnation = Incarnation(complete[writer].incarnation_of(&id(node)).0 + 1);
                let address = Address::new("host", 1).expect("well-formed");
                let membership = Membership { incarnation, weight, address, zone: None };
                let standing = Standing::Member(membership);
                write([&mut rosters[writer], &mut complete[writer]], writer, node, standing);
            }
            Step::Remove { writer, node } => {
                let incarnation = complete[writer].incarnation_of(&id(node));
                let standing = Standing::Removed { incarnation };
                write([&mut rosters[writer], &mut complete[writer]], writer, node, standing);
            }
            Step::Own { node, incarnation } => {
                ages[node] += 1;
                let own = OwnRecord {
                    incarnation: Incarnation(incarnation),
                    version: ages[node],
                    address: Address::new("own", 1).expect("well-formed"),
                    protocols: Protocols { oldest: 1, newest: 1 },
                    draining: false,
                    tags: Default::default(),
                    actor: None,
                    ended: Vec::new(),
                    extension: Bytes::new(),
                };
                for roster in [&mut rosters[node], &mut complete[node]] {
                    let Some(entry) = roster.get(&id(node)) else { continue };
                    let record = Record { own: Some(own.clone()), ..entry.record().clone() };
                    roster.merge(&record).expect("no event is new");
                }
            }
            Step::Merge { from, into } => {
                for all in [&mut rosters, &mut complete] {
                    all[into] = joined(&all[into], &all[from]);
                }
            }
            Step::Collect { at, node } => rosters[at].collect(&id(node)),
        }
    }
    rosters
}

/// What a complete exchange makes of two replicas.
fn joined(into: &Roster, from: &Roster) -> Roster {
    let mut merged = into.clone();
    for floor in from.floors() {
        merged.sink(floor);
    }
    for (_, entry) in from.iter() {
        merged.merge(entry.record()).expect("events are unique");
    }
    merged.join(from.context());
    merged
}

/// All that two replicas can differ in. What a removed node said of itself is passed on no more.
fn state(roster: &Roster) -> (Vec<Record>, Context, Hash, Hash) {
    let record = |entry: &Entry| {
        let own = entry.record().own.clone().filter(|_| entry.membership().is_some());
        Record { own, ..entry.record().clone() }
    };
    let records: Vec<_> = roster.iter().map(|(_, entry)| record(entry)).collect();
    (records, roster.context().clone(), roster.seen_hash(), roster.live_hash())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn merging_is_idempotent(steps in steps()) {
        let [a, ..] = play(&steps);
        prop_assert_eq!(state(&joined(&a, &a)), state(&a));
    }

    #[test]
    fn merging_is_commutative(steps in steps()) {
        let [a, b, _] = play(&steps);
        prop_assert_eq!(state(&joined(&a, &b)), state(&joined(&b, &a)));
    }

    #[test]
    fn merging_is_associative(steps in steps()) {
        let [a, b, c] = play(&steps);
        let left = joined(&joined(&a, &b), &c);
        let right = joined(&a, &joined(&b, &c));
        prop_assert_eq!(state(&left), state(&right));
    }

    #[test]
    fn a_delta_is_all_that_is_missing(steps in steps()) {
        let [a, b, _] = play(&steps);
        let mut caught_up = a.clone();
        for record in b.records_for(&a.digest()) {
            caught_up.merge(record).expect("events are unique");
        }
        caught_up.join(b.context());
        prop_assert_eq!(state(&caught_up), state(&joined(&a, &b)));
        let mut other = b.clone();
        for record in caught_up.records_for(&b.digest()) {
            other.merge(record).expect("events are unique");
        }
        other.join(caught_up.context());
        prop_assert_eq!(other.seen_hash(), caught_up.seen_hash());
        prop_assert!(!other.has_news_for(&caught_up.digest()) && !other.lacks(&caught_up.digest(), None));
        prop_assert!(!caught_up.has_news_for(&other.digest()) && !caught_up.lacks(&other.digest(), None));
    }

    #[test]
    fn rosters_that_have_seen_the_same_have_the_same(steps in steps()) {
        let [a, b, c] = play(&steps);
        for (left, right) in [(&a, &b), (&b, &c), (&a, &c)] {
            prop_assert!(left.seen_hash() != right.seen_hash() || left.live_hash() == right.live_hash());
        }
    }

    #[test]
    fn a_restored_roster_is_the_stored_one(steps in steps()) {
        let [a, ..] = play(&steps);
        let restored = Roster::restored(Rules::default(), a.context(), a.entries().cloned(), [], []);
        prop_assert_eq!(state(&restored), state(&a));
    }

    #[test]
    fn who_collects_when_makes_no_difference_to_who_is_a_member(steps in steps_that_collect()) {
        let kept: Vec<_> = steps.iter().filter(|step| !matches!(step, Step::Collect { .. })).cloned().collect();
        let members = |steps: &[Step]| {
            let [a, b, c] = play(steps);
            let all = joined(&joined(&a, &b), &c);
            let members = all.members().map(|(id, entry)| (id.clone(), entry.membership().cloned()));
            members.collect::<Vec<_>>()
        };
        prop_assert_eq!(members(&steps), members(&kept));
    }

    // Whatever was concurrent with it: a removal puts out every membership of its own or an older incarnation.
    #[test]
    fn a_member_stands_above_every_removal_beside_it(steps in steps()) {
        let [a, b, c] = play(&steps);
        let all = joined(&joined(&a, &b), &c);
        for (_, entry) in all.iter() {
            let removals = entry.versions().values().filter_map(|version| match version.standing {
                Standing::Removed { incarnation } => Some(incarnation),
                Standing::Member(_) => None,
            });
            let floor = removals.max();
            if let Some(membership) = entry.membership() {
                prop_assert!(Some(membership.incarnation) > floor);
                prop_assert!(entry.own().is_none_or(|own| own.incarnation >= membership.incarnation));
            } else {
                prop_assert!(entry.own().is_none());
            }
        }
    }
}

#[test]
fn what_was_seen_and_is_not_there_does_not_come_back() {
    let [mut old, mut collected, _] = play(&[Step::Insert { writer: 0, node: 1, weight: 1 }]);
    let record = old.get(&id(1)).expect("just written").record().clone();
    // The tombstone that replaced it was collected here: its events are in the past, and nothing is there.
    collected.join(old.context());
    assert_eq!(collected.merge(&record), Ok(Vec::new()));
    assert!(collected.get(&id(1)).is_none());
    assert_eq!(old.merge(&record), Ok(Vec::new()), "twice is once");
}

#[test]
fn a_collected_removal_leaves_an_earlier_floor_as_high_as_it_was() {
    use Step::{Collect, Insert, Merge, Remove};
    let twice = |writer| [1, 2].map(|weight| Insert { writer, node: 1, weight }).to_vec();
    let (removed, collected) = (Remove { writer: 0, node: 1 }, Collect { at: 0, node: 1 });
    let lower = [Insert { writer: 1, node: 1, weight: 1 }, Remove { writer: 1, node: 1 }];
    let (takes_lower, takes_member) = (Merge { from: 1, into: 0 }, Merge { from: 2, into: 0 });
    let steps = [
        twice(0),
        vec![removed, collected.clone()],
        lower.to_vec(),
        vec![takes_lower, collected],
        twice(2),
        vec![takes_member],
    ];
    let [all, ..] = play(&steps.concat());
    assert_eq!(all.members().count(), 0);
}

#[test]
fn one_event_with_two_meanings_is_refused() {
    let [mut mine, ..] = play(&[Step::Insert { writer: 0, node: 1, weight: 1 }]);
    let [theirs, ..] = play(&[Step::Insert { writer: 0, node: 1, weight: 2 }]);
    let before = state(&mine);
    let record = theirs.get(&id(1)).expect("just written").record().clone();
    assert!(mine.merge(&record).is_err());
    assert!(state(&mine) == before, "nothing changed");
}
