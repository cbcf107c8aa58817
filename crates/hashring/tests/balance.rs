//! Balance against theory: what the hash does to real rings is what random points would do.

// Millions of points, and no memory access that the laws do not make: too much for miri.
#![cfg(not(miri))]

use hashring::{HashRing, NodeSpec};

/// The mean, over sets of ids, of the load of the most loaded node.
fn mean_of_max(nodes: u64, sets: u64) -> f64 {
    let max = |set: u64| {
        let ids = (0..nodes).map(|id| NodeSpec::new(format!("node-{set}-{id}")));
        let ring = HashRing::builder().nodes(ids).build().expect("within the limits");
        ring.balance().expect("the ring has points").max
    };
    (0..sets).map(max).sum::<f64>() / sets as f64
}

/// What theory expects of 160 points a node drawn uniformly: the mean, over 20,000, 4,000 and 600 draws by NumPy's
/// generator, of the largest sum of a node's gaps over the mean sum. The standard deviation of one draw is 0.04.
fn assert_near_theory(nodes: u64, sets: u64, theory: f64) {
    let measured = mean_of_max(nodes, sets);
    assert!((measured / theory - 1.0).abs() < 0.02, "{nodes} nodes: {measured:.4} where {theory:.4} is due");
}

#[test]
fn ten_nodes_are_as_even_as_random_points() {
    assert_near_theory(10, 100, 1.1247);
}

#[test]
fn a_hundred_nodes_are_as_even_as_random_points() {
    assert_near_theory(100, 100, 1.2087);
}

/// Fewer sets than the hundred that `cargo xtask bench hashring` takes: a build without optimisation is slow.
#[test]
fn a_thousand_nodes_are_as_even_as_random_points() {
    assert_near_theory(1_000, 20, 1.2764);
}

#[test]
fn one_change_moves_exactly_the_changed_nodes_share() {
    let ring = HashRing::from_nodes(0..200_u64).expect("within the limits");
    let mut after = ring.clone();
    after.remove(&42);
    let moved: u128 =
        ring.diff(&after).expect("the same seed").iter().map(|step| step.range.share().tokens()).sum();
    assert_eq!(Some(moved), ring.ownership(&42).map(hashring::Fraction::tokens));
    assert!(ring.diff(&after).expect("the same seed").iter().all(|step| step.from == Some(&42)));
}
