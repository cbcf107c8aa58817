//! Diffs, plans and transitions, against looking up every boundary.

use std::collections::{BTreeMap, BTreeSet};

use hashring::{Fraction, HashRing, NodeSpec, Op, Owners, Placement, RingError, Token, Transition};
use proptest::prelude::*;

use crate::cases::config;
use crate::model::{Naive, Node, grown, node, ring_pairs, rings, spec, weight};

/// Every boundary of either ring, and the token on either side of it.
fn boundaries(one: &HashRing<Node>, other: &HashRing<Node>) -> BTreeSet<Token> {
    Naive::new(one).tokens().into_iter().chain(Naive::new(other).tokens()).collect()
}

fn ops() -> impl Strategy<Value = Vec<Op<Node>>> {
    let op = prop_oneof![
        3 => (node(), weight(), 0_u8..3).prop_map(|(node, weight, zone)| Op::Insert(spec((node, weight, Some(zone))))),
        1 => node().prop_map(Op::Remove),
    ];
    prop::collection::vec(op, 0..5)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_diff_agrees_with_lookups_at_every_boundary_and_beside_it((one, other) in ring_pairs()) {
        let moves = one.diff(&other).expect("the same seed");
        for token in boundaries(&one, &other) {
            let told: Vec<_> = moves.iter().filter(|step| step.range.contains(token)).collect();
            let (from, to) = (one.owner_at(token), other.owner_at(token));
            if from == to {
                prop_assert!(told.is_empty());
            } else {
                prop_assert_eq!(told.len(), 1);
                prop_assert_eq!((told[0].from, told[0].to), (from, to));
            }
        }
    }

    #[test]
    fn a_diff_has_the_fewest_ranges_in_ascending_order((one, other) in ring_pairs()) {
        let moves = one.diff(&other).expect("the same seed");
        for (step, next) in moves.iter().zip(moves.iter().cycle().skip(1)).take(moves.len().saturating_sub(1).max(usize::from(moves.len() > 1))) {
            prop_assert!(step.range.through() != next.range.after() || (step.from, step.to) != (next.from, next.to));
        }
        prop_assert!(moves.is_sorted_by_key(|step| step.range.through()));
    }

    #[test]
    fn rings_that_share_nothing_differ_everywhere(ring in rings()) {
        let empty = HashRing::new();
        let whole = if ring.point_count() == 0 { Fraction::ZERO } else { Fraction::WHOLE };
        for moves in [ring.diff(&empty), empty.diff(&ring)] {
            let tokens: u128 = moves.expect("the same seed").iter().map(|step| step.range.share().tokens()).sum();
            prop_assert_eq!(tokens, whole.tokens());
        }
        prop_assert!(ring.diff(&ring).expect("the same seed").is_empty());
    }

    #[test]
    fn a_diff_of_replicas_agrees_with_lookups((one, other) in ring_pairs(), count in 1_usize..4, spread in any::<bool>()) {
        let placement = if spread { Placement::spread(count) } else { Placement::anywhere(count) };
        let moves = one.diff_replicas(&other, &placement).expect("the same seed");
        let set = |ring: &HashRing<Node>, token| ring.replica_set_at(token, &placement).expect("no zones are required").copied().collect::<Vec<Node>>();
        for token in boundaries(&one, &other) {
            let told: Vec<_> = moves.iter().filter(|step| step.range.contains(token)).collect();
            let (before, after) = (set(&one, token), set(&other, token));
            let (was, is): (BTreeSet<Node>, BTreeSet<Node>) = (before.iter().copied().collect(), after.iter().copied().collect());
            if was == is {
                prop_assert!(told.is_empty());
                continue;
            }
            prop_assert_eq!(told.len(), 1);
            prop_assert!(told[0].before.iter().copied().eq(&before) && told[0].after.iter().copied().eq(&after));
            prop_assert!(told[0].gaining().eq(after.iter().filter(|node| !was.contains(node))));
            prop_assert!(told[0].losing().eq(before.iter().filter(|node| !is.contains(node))));
            let sources: Vec<Node> = told[0].sources().copied().collect();
            prop_assert_eq!(sources.iter().copied().collect::<BTreeSet<_>>(), was.clone());
            prop_assert!(sources.is_sorted_by_key(|node| !is.contains(node)));
        }
    }

    #[test]
    fn a_plan_is_the_changes_applied(ring in rings(), ops in ops()) {
        let plan = ring.plan(&ops).expect("within the limits");
        let mut changed = ring.clone();
        for op in &ops {
            match op {
                Op::Insert(spec) => drop(changed.insert(spec.clone()).expect("within the limits")),
                Op::Remove(node) => drop(changed.remove(node)),
                Op::SetWeight(node, weight) => drop(changed.set_weight(node, *weight).expect("within the limits")),
            }
        }
        prop_assert_eq!(plan.before(), &ring);
        prop_assert_eq!(plan.after(), &changed);
        prop_assert_eq!(plan.moves().collect::<Vec<_>>(), ring.diff(&changed).expect("the same seed"));
        let tokens: u128 = plan.moves().map(|step| step.range.share().tokens()).sum();
        prop_assert_eq!(plan.moved().tokens(), tokens);
        prop_assert_eq!(plan.balance(), (ring.balance(), changed.balance()));
    }

    #[test]
    fn what_nodes_gain_and_lose_is_what_their_shares_change_by((one, other) in ring_pairs()) {
        let mut ops: Vec<Op<Node>> = one.nodes().filter(|node| !other.contains(node)).map(|&node| Op::Remove(node)).collect();
        ops.extend(other.weights().map(|(&node, weight)| Op::Insert(NodeSpec::new(node).weight(weight))));
        let plan = one.plan(&ops).expect("within the limits");
        let mut shares: BTreeMap<Node, i128> = BTreeMap::new();
        for (node, share) in one.ownerships() {
            shares.insert(*node, share.tokens() as i128);
        }
        for step in plan.moves_by_node() {
            *shares.entry(*step.node).or_default() += step.gained.tokens() as i128 - step.lost.tokens() as i128;
            prop_assert!(step.gained > Fraction::ZERO || step.lost > Fraction::ZERO);
        }
        for (node, share) in other.ownerships() {
            prop_assert_eq!(shares.remove(node).unwrap_or(0), share.tokens() as i128);
        }
        prop_assert!(shares.values().all(|&share| share == 0));
        prop_assert!(plan.moves_by_node().is_sorted_by_key(|step| step.node));
    }

    #[test]
    fn keys_that_share_a_zone_are_counted(ring in rings(), count in 1_usize..4) {
        let plan = ring.plan(&[]).expect("within the limits");
        let placement = Placement::anywhere(count);
        let naive = Naive::new(&ring);
        let mut tokens = 0;
        for node in ring.nodes() {
            for range in ring.ranges_of(node) {
                let own = ring.points().map(|point| point.token).filter(|&point| range.contains(point));
                let mut own: Vec<Token> = own.collect();
                own.sort_by_key(|point| point.get().wrapping_sub(range.after().get()).wrapping_sub(1));
                own.dedup();
                let mut after = range.after();
                for point in own {
                    let zones: Vec<_> = naive.distinct(point).into_iter().take(count).map(|node| naive.zone(node)).collect();
                    if zones.iter().collect::<BTreeSet<_>>().len() < zones.len() {
                        tokens += hashring::TokenRange::new(after, point).share().tokens();
                    }
                    after = point;
                }
            }
        }
        let (before, after) = plan.sharing_zones(&placement).expect("no zones are required");
        prop_assert_eq!(before.tokens(), tokens);
        prop_assert_eq!(after, before);
    }

    #[test]
    fn a_transition_names_both_owners((one, other) in ring_pairs()) {
        let transition = Transition::new(one.clone(), other.clone()).expect("the same seed");
        for token in boundaries(&one, &other) {
            let expected = match (one.owner_at(token), other.owner_at(token)) {
                (None, None) => Owners::Nobody,
                (Some(from), Some(to)) if from == to => Owners::Settled(to),
                (from, to) => Owners::Moving { from, to },
            };
            prop_assert_eq!(transition.owners_at(token), expected);
        }
        prop_assert_eq!(transition.owners(b"key"), transition.owners_at(one.token(b"key")));
        prop_assert_eq!(transition.finish(), other);
    }
}

#[test]
fn large_rings_are_compared_by_their_changed_points_as_by_all() {
    let nodes = if cfg!(miri) { 12 } else { 300 };
    let ring = HashRing::from_nodes(0..nodes).expect("within the limits");
    let mut other = ring.clone();
    other.insert(NodeSpec::new(1_000)).expect("within the limits");
    other.remove(&7);
    other.set_weight(&9, 3).expect("a known node");
    let moves = ring.diff(&other).expect("the same seed");

    // The same through rings that share nothing, where all points are compared.
    let strangers = HashRing::from_nodes(5_000..5_000 + nodes).expect("within the limits");
    let mut owners: BTreeMap<Token, (u64, u64)> = BTreeMap::new();
    for step in ring.diff(&strangers).expect("the same seed") {
        owners.insert(step.range.through(), (*step.from.expect("owned"), *step.to.expect("owned")));
    }
    assert!(owners.len() > strangers.point_count());
    for (token, (from, to)) in owners {
        assert_eq!((ring.owner_at(token), strangers.owner_at(token)), (Some(&from), Some(&to)));
    }
    for step in &moves {
        let involved = [step.from.copied(), step.to.copied()];
        assert!(involved.iter().any(|node| [Some(1_000), Some(7), Some(9)].contains(node)), "{step:?}");
    }
    let moved: u128 = moves.iter().map(|step| step.range.share().tokens()).sum();
    let due = |ring: &HashRing<u64>, node: u64| ring.ownership(&node).map_or(0, Fraction::tokens);
    let expected = due(&other, 1_000) + due(&ring, 7) + due(&ring, 9) - due(&other, 9);
    // A range that moves from 7 or 9 to 1,000 counts for both.
    let both: u128 = moves
        .iter()
        .filter(|step| step.to == Some(&1_000) && [Some(&7), Some(&9)].contains(&step.from))
        .map(|step| step.range.share().tokens())
        .sum();
    assert_eq!(moved + both, expected);
}

#[test]
fn a_ring_with_all_points_at_one_position_is_compared_as_any_other() {
    let ring = grown(&[(Node(0xc1), 60, None)]);
    let mut other = ring.clone();
    // Few enough for changed points alone to be looked up: one at that position, which has the whole ring before, one not.
    other.insert(NodeSpec::new(Node(0xc0)).weight(1)).expect("within the limits");
    other.insert(NodeSpec::new(Node(1)).weight(1)).expect("within the limits");
    let moves = ring.diff(&other).expect("the same seed");
    let gained: Vec<_> = moves.iter().map(|step| (step.to.copied(), step.range.share())).collect();
    let expected = [Node(0xc0), Node(1)].map(|node| (Some(node), other.ownership(&node).expect("a member")));
    assert!(gained.len() == 2 && expected.iter().all(|one| gained.contains(one)), "{gained:?}");
}

#[test]
fn rings_of_different_seeds_are_not_compared() {
    let one = HashRing::from_nodes(["a"]).expect("within the limits");
    let other = HashRing::builder().seed(1).nodes([NodeSpec::new("a")]).build().expect("within the limits");
    assert_eq!(one.diff(&other), Err(RingError::LayoutMismatch));
    assert_eq!(one.diff_replicas(&other, &Placement::spread(2)), Err(RingError::LayoutMismatch));
    assert_eq!(Transition::new(one, other).map(|_| ()), Err(RingError::LayoutMismatch));
}

#[test]
fn sets_of_all_nodes_are_the_same_in_any_order() {
    let nodes: u64 = if cfg!(miri) { 15 } else { 300 };
    let ring = HashRing::builder()
        .nodes((0..nodes).map(|id| NodeSpec::new(id).weight(1)))
        .build()
        .expect("within the limits");
    let mut other = ring.clone();
    other.set_weight(&7, 2).expect("a known node");
    let all = Placement::anywhere(usize::MAX);
    assert_eq!(ring.diff_replicas(&other, &all), Ok(Vec::new()));
    other.set_weight(&7, 0).expect("a known node");
    other.insert(NodeSpec::new(1_000).weight(1)).expect("within the limits");
    let moves = ring.diff_replicas(&other, &all).expect("the same seed");
    assert!(moves.iter().all(|step| step.losing().eq([&7]) && step.gaining().eq([&1_000])));
    assert_eq!(moves.iter().map(|step| step.range.share().tokens()).sum::<u128>(), Fraction::WHOLE.tokens());
}

#[test]
fn changes_are_made_together_or_not_at_all() {
    let mut ring = HashRing::from_nodes(["a", "b"]).expect("within the limits");
    let before = ring.clone();
    let ops = [Op::Remove("a"), Op::SetWeight("stranger", 7)];
    assert_eq!(ring.apply(&ops), Err(RingError::UnknownNode));
    assert_eq!(ring, before);
    assert_eq!(ring.plan(&ops).map(|_| ()), Err(RingError::UnknownNode));
}
