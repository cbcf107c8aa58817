//! The laws of layout, owners, replicas, walks and shares.

use hashring::{Change, Fraction, HashRing, NodeSpec, Token, TokenRange};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases::config;
use crate::model::{
    Naive, Node, Spec, distinct, grown, keys, newcomer, node, ring_pairs, rings, spec, specs, weight,
};

fn points(ring: &HashRing<Node>) -> Vec<(Token, Node)> {
    ring.points().map(|point| (point.token, *point.node)).collect()
}

fn nodes<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Vec<Node> {
    nodes.into_iter().copied().collect()
}

/// The nodes that own what follows a point of this node's, in the order of a lap that ends where it begins.
fn beside(node: Node, lap: &[Node]) -> Vec<Node> {
    let mut found = Vec::new();
    for pair in lap.windows(2) {
        if pair[0] == node && pair[1] != node && !found.contains(&pair[1]) {
            found.push(pair[1]);
        }
    }
    found
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn layout_is_independent_of_the_order_of_insertion(specs in specs(), seed in any::<u64>()) {
        let specs = distinct(specs);
        let mut shuffled = specs.clone();
        shuffled.sort_by_key(|spec| u64::from(spec.0.0).wrapping_mul(seed | 1));
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
    fn inserting_twice_is_inserting_once(specs in specs()) {
        let twice: Vec<Spec> = specs.iter().flat_map(|&spec| [spec, spec]).collect();
        prop_assert_eq!(grown(&twice), grown(&specs));
    }

    #[test]
    fn adding_and_removing_a_node_changes_nothing(ring in rings(), weight in weight()) {
        let mut changed = ring.clone();
        let newcomer = newcomer(&ring);
        changed.insert(NodeSpec::new(newcomer).weight(weight)).expect("within the limits");
        prop_assert_eq!(changed.remove(&newcomer), Some(newcomer));
        prop_assert_eq!(points(&changed), points(&ring));
        prop_assert_eq!(changed, ring);
    }

    #[test]
    fn a_clone_never_sees_later_changes((ring, _) in ring_pairs(), weight in weight()) {
        let before = points(&ring);
        let mut clone = ring.clone();
        clone.insert(NodeSpec::new(newcomer(&ring)).weight(weight)).expect("within the limits");
        prop_assert_eq!(points(&ring), before);
    }

    #[test]
    fn keys_move_only_to_an_added_node(ring in rings(), weight in weight()) {
        let newcomer = newcomer(&ring);
        let mut after = ring.clone();
        after.insert(NodeSpec::new(newcomer).weight(weight)).expect("within the limits");
        for key in keys() {
            let owner = after.owner(&key);
            prop_assert!(owner == ring.owner(&key) || owner == Some(&newcomer));
        }
    }

    #[test]
    fn keys_move_only_from_a_removed_node(ring in rings(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!ring.is_empty());
        let leaver = *pick.get(&nodes(ring.nodes()));
        let mut after = ring.clone();
        after.remove(&leaver);
        prop_assert!(!after.contains(&leaver));
        for key in keys() {
            let before = ring.owner(&key);
            prop_assert!(after.owner(&key) == before || before == Some(&leaver));
        }
    }

    #[test]
    fn a_weight_moves_only_the_nodes_own_keys(ring in rings(), weight in weight()) {
        let Some(node) = ring.nodes().next() else { return Ok(()) };
        let mut after = ring.clone();
        after.set_weight(node, weight).expect("a known node");
        for key in keys() {
            let (before, owner) = (ring.owner(&key), after.owner(&key));
            prop_assert!(owner == before || owner == Some(node) || before == Some(node));
        }
        let count = points(&after).iter().filter(|(_, owner)| owner == node).count();
        prop_assert_eq!(count, weight as usize);
        prop_assert_eq!(after.weight_of(node), Some(weight));
    }

    #[test]
    fn owners_are_those_of_the_first_point_at_or_after_the_token(ring in rings(), tokens in vec(any::<u64>(), 50)) {
        let naive = Naive::new(&ring);
        for token in tokens.into_iter().map(Token::new).chain(naive.tokens()) {
            prop_assert_eq!(ring.owner_at(token).copied(), naive.owner(token));
            let [one, _] = ring.owners_batch([token, Token::MIN]);
            prop_assert_eq!(one, ring.owner_at(token));
        }
    }

    #[test]
    fn replicas_are_the_distinct_nodes_of_a_lap(ring in rings(), count in 0_usize..40) {
        let naive = Naive::new(&ring);
        for key in keys().take(20) {
            let token = ring.token(&key);
            let expected: Vec<Node> = naive.distinct(token).into_iter().take(count).collect();
            prop_assert_eq!(ring.replicas(&key, count).len(), expected.len());
            prop_assert_eq!(nodes(ring.replicas(&key, count)), expected);
            let expected: Vec<Node> = naive.distinct_back(token).into_iter().take(count).collect();
            prop_assert_eq!(nodes(ring.replicas_back(&key, count)), expected);
        }
    }

    #[test]
    fn replicas_are_stable_in_their_prefix_and_begin_with_the_owner(ring in rings(), count in 1_usize..20) {
        for key in keys().take(20) {
            let (fewer, more) = (nodes(ring.replicas(&key, count)), nodes(ring.replicas(&key, count + 1)));
            prop_assert_eq!(&more[..fewer.len()], &fewer[..]);
            prop_assert_eq!(fewer.first(), ring.owner(&key));
        }
    }

    #[test]
    fn points_run_once_round_from_any_token(ring in rings(), token in any::<u64>()) {
        let (token, all) = (Token::new(token), points(&ring));
        prop_assert!(all.is_sorted(), "of points at one position the one of the smaller id comes first");
        let from: Vec<_> = ring.points_from(token).map(|point| (point.token, *point.node)).collect();
        let start = all.partition_point(|&(point, _)| point < token);
        prop_assert_eq!(&from[..all.len() - start], &all[start..]);
        prop_assert_eq!(&from[all.len() - start..], &all[..start]);
        let mut back: Vec<_> = ring.points_from(token).rev().map(|point| (point.token, *point.node)).collect();
        back.reverse();
        prop_assert_eq!(back, from);
    }

    #[test]
    fn neighbours_own_the_points_beside_a_nodes_own_and_are_met_from_its_first(ring in rings(), count in 0_usize..9) {
        let all = points(&ring);
        for (&node, weight) in ring.weights() {
            if weight == 0 {
                prop_assert!(ring.successors(&node, count).is_empty() && ring.predecessors(&node, count).is_empty());
                continue;
            }
            // With a weight of 1 it keeps its point of number 0 alone.
            let mut light = ring.clone();
            light.set_weight(&node, 1).expect("a known node");
            let first = points(&light).into_iter().find(|(_, own)| *own == node).expect("it has a point");
            let start = all.iter().position(|point| *point == first).expect("the point is in both rings");
            let clockwise: Vec<Node> = all[start..].iter().chain(&all[..=start]).map(|point| point.1).collect();
            let counterclockwise: Vec<Node> = clockwise.iter().rev().copied().collect();
            for count in [count, usize::MAX] {
                let first_of = |lap: &[Node]| beside(node, lap).into_iter().take(count).collect::<Vec<_>>();
                prop_assert_eq!(nodes(ring.successors(&node, count)), first_of(&clockwise));
                prop_assert_eq!(nodes(ring.predecessors(&node, count)), first_of(&counterclockwise));
            }
        }
    }

    #[test]
    fn ranges_of_all_nodes_cover_every_token_once(ring in rings()) {
        let ranges: Vec<(Node, Vec<TokenRange>)> = ring.nodes().map(|node| (*node, ring.ranges_of(node).collect())).collect();
        for token in Naive::new(&ring).tokens() {
            let owns = |(_, ranges): &&(Node, Vec<TokenRange>)| ranges.iter().any(|range| range.contains(token));
            let owners: Vec<Node> = ranges.iter().filter(owns).map(|(node, _)| *node).collect();
            prop_assert_eq!(owners, nodes(ring.owner_at(token)));
        }
        for (node, ranges) in ranges {
            let tokens: u128 = ranges.iter().map(|range| range.share().tokens()).sum();
            prop_assert_eq!(Some(tokens), ring.ownership(&node).map(Fraction::tokens));
            prop_assert!(ranges.iter().all(|one| ranges.len() == 1 || ranges.iter().all(|other| one.through() != other.after())));
        }
    }

    #[test]
    fn shares_add_up_to_the_whole_ring(ring in rings()) {
        let total: u128 = ring.nodes().map(|node| ring.ownership(node).expect("a member").tokens()).sum();
        let expected = if ring.point_count() == 0 { Fraction::ZERO } else { Fraction::WHOLE };
        prop_assert_eq!(total, expected.tokens());
        let each: Vec<_> = ring.nodes().map(|node| (node, ring.ownership(node).expect("a member"))).collect();
        prop_assert_eq!(ring.ownerships().collect::<Vec<_>>(), each);
    }

    #[test]
    fn balance_is_one_of_loads_over_their_due(ring in rings()) {
        let loads: Vec<f64> = ring.ownerships().zip(ring.weights()).filter(|(_, (_, weight))| *weight > 0).map(
            |((_, share), (_, weight))| share.as_f64() * ring.point_count() as f64 / f64::from(weight),
        ).collect();
        let Some(balance) = ring.balance() else {
            prop_assert!(loads.is_empty());
            return Ok(());
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        prop_assert!(near(balance.max, loads.iter().copied().fold(f64::MIN, f64::max)));
        prop_assert!(near(balance.min, loads.iter().copied().fold(f64::MAX, f64::min)));
        let square = loads.iter().map(|load| (load - 1.0).powi(2)).sum::<f64>() / loads.len() as f64;
        prop_assert!(near(balance.deviation, square.sqrt()));
    }

    #[test]
    fn a_change_says_what_it_did(ring in rings(), (node, weight, zone) in (node(), weight(), 0_u8..3)) {
        let mut after = ring.clone();
        let change = after.insert(spec((node, weight, Some(zone)))).expect("within the limits");
        let expected = match (ring.weight_of(&node), ring.zone_of(&node) == after.zone_of(&node)) {
            (None, _) => Change::Added { weight },
            (Some(from), _) if from != weight => Change::Reweighted { from, to: weight },
            (_, false) => Change::Rezoned,
            (_, true) => Change::Unchanged,
        };
        prop_assert_eq!(change, expected);
        prop_assert_eq!(after.insert(spec((node, weight, Some(zone)))), Ok(Change::Unchanged));
    }

    #[test]
    fn fingerprints_are_equal_when_rings_are((one, other) in ring_pairs()) {
        prop_assert_eq!(one == other, one.fingerprint() == other.fingerprint());
    }
}
