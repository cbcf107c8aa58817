//! What holds of every ring, tried on rings drawn at random.

use std::collections::BTreeMap;

use hashring::{Fraction, HashRing, NodeSpec, Token};
use proptest::collection::vec;
use proptest::prelude::*;

type Spec = (u8, u32, Option<u8>);

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    vec((any::<u8>(), 0_u32..30, proptest::option::of(0_u8..4)), 0..20)
}

fn spec((id, weight, zone): Spec) -> NodeSpec<u8> {
    let spec = NodeSpec::new(id).weight(weight);
    match zone {
        Some(zone) => spec.zone(format!("zone-{zone}")),
        None => spec,
    }
}

/// Inserted one after another.
fn grown(specs: &[Spec]) -> HashRing<u8> {
    let mut ring = HashRing::new();
    for entry in specs {
        ring.insert(spec(*entry)).expect("within the limits");
    }
    ring
}

/// One spec for each id.
fn distinct(specs: Vec<Spec>) -> Vec<Spec> {
    specs.into_iter().map(|spec| (spec.0, spec)).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn points(ring: &HashRing<u8>) -> Vec<(Token, u8)> {
    ring.points().map(|point| (point.token, *point.node)).collect()
}

fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0..300_u32).map(u32::to_le_bytes)
}

proptest! {
    #[test]
    fn layout_is_independent_of_the_order_of_insertion(specs in specs(), seed in any::<u64>()) {
        let specs = distinct(specs);
        let mut shuffled = specs.clone();
        shuffled.sort_by_key(|spec| u64::from(spec.0).wrapping_mul(seed | 1));
        let (one, other) = (grown(&specs), grown(&shuffled));
        prop_assert_eq!(points(&one), points(&other));
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn a_bulk_build_is_the_insertions_in_turn(specs in specs()) {
        let bulk = HashRing::builder().nodes(specs.iter().copied().map(spec)).build().expect("within the limits");
        let grown = grown(&specs);
        prop_assert_eq!(points(&bulk), points(&grown));
        prop_assert_eq!(bulk.members().collect::<Vec<_>>(), grown.members().collect::<Vec<_>>());
    }

    #[test]
    fn adding_and_removing_a_node_changes_nothing(specs in specs(), weight in 0_u32..60) {
        let ring = grown(&distinct(specs));
        let mut changed = ring.clone();
        let newcomer = (0..=u8::MAX).find(|id| !ring.contains(id)).expect("fewer than 256 nodes");
        changed.insert(NodeSpec::new(newcomer).weight(weight)).expect("within the limits");
        prop_assert_eq!(changed.remove(&newcomer), Some(newcomer));
        prop_assert_eq!(points(&changed), points(&ring));
        prop_assert_eq!(changed, ring);
    }

    #[test]
    fn keys_move_only_to_an_added_node(specs in specs(), weight in 0_u32..60) {
        let ring = grown(&distinct(specs));
        let newcomer = (0..=u8::MAX).find(|id| !ring.contains(id)).expect("fewer than 256 nodes");
        let mut after = ring.clone();
        after.insert(NodeSpec::new(newcomer).weight(weight)).expect("within the limits");
        for key in keys() {
            let owner = after.owner(&key);
            prop_assert!(owner == ring.owner(&key) || owner == Some(&newcomer));
        }
    }

    #[test]
    fn a_weight_moves_only_the_nodes_own_keys(specs in specs(), weight in 0_u32..60) {
        let ring = grown(&distinct(specs));
        let mut after = ring.clone();
        let Some(node) = ring.nodes().next() else { return Ok(()) };
        after.set_weight(node, weight).expect("a known node");
        for key in keys() {
            let (before, owner) = (ring.owner(&key), after.owner(&key));
            prop_assert!(owner == before || owner == Some(node) || before == Some(node));
        }
        let count = points(&after).iter().filter(|(_, owner)| owner == node).count();
        prop_assert_eq!(count, weight as usize);
    }

    #[test]
    fn owners_are_those_of_the_first_point_at_or_after_the_token(specs in specs(), tokens in vec(any::<u64>(), 50)) {
        let ring = grown(&specs);
        let points = points(&ring);
        let beside = points.iter().flat_map(|(token, _)| [token.get().wrapping_sub(1), token.get(), token.get().wrapping_add(1)]);
        for token in tokens.into_iter().chain(beside).chain([0, u64::MAX]).map(Token::new) {
            let expected = points.iter().find(|(point, _)| *point >= token).or(points.first()).map(|(_, node)| node);
            prop_assert_eq!(ring.owner_at(token), expected);
        }
    }

    #[test]
    fn replicas_are_distinct_as_many_as_there_are_and_stable_in_their_prefix(specs in specs(), count in 0_usize..40) {
        let ring = grown(&specs);
        let placed = ring.weights().filter(|(_, weight)| *weight > 0).count();
        for key in keys().take(20) {
            let replicas: Vec<u8> = ring.replicas(&key, count).copied().collect();
            prop_assert_eq!(replicas.len(), count.min(placed));
            prop_assert_eq!(ring.replicas(&key, count).len(), replicas.len());
            prop_assert_eq!(replicas.iter().collect::<std::collections::BTreeSet<_>>().len(), replicas.len());
            let more: Vec<u8> = ring.replicas(&key, count + 1).copied().collect();
            prop_assert_eq!(&more[..replicas.len()], &replicas[..]);
            if count > 0 {
                prop_assert_eq!(replicas.first(), ring.owner(&key));
            }
        }
    }

    #[test]
    fn shares_add_up_to_the_whole_ring(specs in specs()) {
        let ring = grown(&specs);
        let total: u128 = ring.nodes().map(|node| ring.ownership(node).expect("a member").tokens()).sum();
        let expected = if ring.point_count() == 0 { Fraction::ZERO } else { Fraction::WHOLE };
        prop_assert_eq!(total, expected.tokens());
    }
}
