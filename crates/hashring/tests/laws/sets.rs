//! Unions, intersections and merges.

use hashring::{CombineError, HashRing, NodeSpec, RingError, RingNode};
use proptest::prelude::*;

use crate::cases::config;
use crate::model::{Node, all_nodes, ring_pairs, rings};

/// A node with an address: identity is the id alone.
#[derive(Clone, Debug, PartialEq)]
struct Server {
    id: u8,
    port: u16,
}

impl RingNode for Server {
    type Id<'a> = [u8; 1];

    fn ring_id(&self) -> [u8; 1] {
        [self.id]
    }
}

fn union(one: &HashRing<Node>, other: &HashRing<Node>) -> HashRing<Node> {
    one.union(other).expect("within the limits")
}

fn intersection(one: &HashRing<Node>, other: &HashRing<Node>) -> HashRing<Node> {
    one.intersection(other).expect("within the limits")
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn union_and_intersection_are_associative_commutative_and_idempotent(a in rings(), b in rings(), c in rings()) {
        for combine in [union, intersection] {
            prop_assert_eq!(combine(&a, &b), combine(&b, &a));
            prop_assert_eq!(combine(&combine(&a, &b), &c), combine(&a, &combine(&b, &c)));
            prop_assert_eq!(combine(&a, &a), a.clone());
        }
    }

    #[test]
    fn union_and_intersection_absorb_each_other(a in rings(), b in rings()) {
        prop_assert_eq!(union(&a, &intersection(&a, &b)), a.clone());
        prop_assert_eq!(intersection(&a, &union(&a, &b)), a);
    }

    #[test]
    fn a_union_has_the_members_of_either_and_an_intersection_those_of_both(a in rings(), b in rings()) {
        let (either, both) = (union(&a, &b), intersection(&a, &b));
        for node in all_nodes() {
            prop_assert_eq!(either.weight_of(&node), a.weight_of(&node).max(b.weight_of(&node)));
            prop_assert_eq!(both.weight_of(&node), a.weight_of(&node).zip(b.weight_of(&node)).map(|(a, b)| a.min(b)));
        }
    }

    #[test]
    fn a_merge_is_commutative((base, here) in ring_pairs(), there in rings()) {
        prop_assert_eq!(here.merge(&base, &there), there.merge(&base, &here));
    }

    #[test]
    fn a_merge_takes_what_one_side_changed((base, changed) in ring_pairs()) {
        prop_assert_eq!(base.merge(&base, &changed), Ok(changed.clone()));
        prop_assert_eq!(changed.merge(&base, &changed), Ok(changed));
    }

    #[test]
    fn a_merge_keeps_what_either_removed_or_added((base, here) in ring_pairs(), there in rings()) {
        let merged = here.merge(&base, &there).expect("within the limits");
        for node in all_nodes() {
            let expected = if base.contains(&node) {
                here.contains(&node) && there.contains(&node)
            } else {
                here.contains(&node) || there.contains(&node)
            };
            prop_assert_eq!(merged.contains(&node), expected);
        }
    }
}

fn servers(ports: &[(u8, u16)]) -> HashRing<Server> {
    HashRing::from_nodes(ports.iter().map(|&(id, port)| Server { id, port })).expect("within the limits")
}

#[test]
fn conflicting_payload_is_an_error_or_decided_by_the_caller() {
    let (one, other) = (servers(&[(1, 7_001), (2, 7_002)]), servers(&[(1, 7_001), (2, 9_000)]));
    let conflict =
        CombineError::Conflict { ours: Server { id: 2, port: 7_002 }, theirs: Server { id: 2, port: 9_000 } };
    assert_eq!(one.union(&other), Err(conflict.clone()));
    assert_eq!(one.intersection(&other), Err(conflict));

    let later = |a: &Server, b: &Server| if a.port > b.port { a.clone() } else { b.clone() };
    for ring in [one.union_with(&other, later), other.intersection_with(&one, later)] {
        assert_eq!(ring.expect("within the limits").get(&[2]), Some(&Server { id: 2, port: 9_000 }));
    }
}

#[test]
fn a_merge_takes_the_payload_that_changed() {
    let base = servers(&[(1, 7_001), (2, 7_002)]);
    let (moved, same) = (servers(&[(1, 9_001), (2, 7_002)]), base.clone());
    assert_eq!(same.merge(&base, &moved).expect("one side changed it").get(&[1]), moved.get(&[1]));
    assert_eq!(moved.merge(&base, &same).expect("one side changed it").get(&[1]), moved.get(&[1]));
    let elsewhere = servers(&[(1, 9_999), (2, 7_002)]);
    assert!(matches!(moved.merge(&base, &elsewhere), Err(CombineError::Conflict { .. })));
}

#[test]
fn rings_of_different_seeds_are_not_combined() {
    let one = HashRing::from_nodes(["a"]).expect("within the limits");
    let other = HashRing::builder().seed(1).nodes([NodeSpec::new("a")]).build().expect("within the limits");
    let mismatch = CombineError::Ring(RingError::LayoutMismatch);
    assert_eq!(one.union(&other), Err(mismatch.clone()));
    assert_eq!(one.merge(&other, &one), Err(mismatch.clone()));
    assert_eq!(one.merge(&one, &other), Err(mismatch));
}
