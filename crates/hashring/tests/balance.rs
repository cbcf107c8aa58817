//! Balance against theory: what the hash does to real rings is what random points would do.

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

/// The same for points drawn uniformly, by a generator that has nothing to do with the crate's hash.
fn mean_of_max_in_theory(nodes: usize, sets: u64) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    let mut sum = 0.0;
    for _ in 0..sets {
        let mut points: Vec<(u64, usize)> = (0..nodes * 160).map(|ix| (random(), ix % nodes)).collect();
        points.sort_unstable();
        let mut shares = vec![0.0; nodes];
        let mut before = points[points.len() - 1].0;
        for &(point, node) in &points {
            shares[node] += point.wrapping_sub(before) as f64 / 2_f64.powi(64);
            before = point;
        }
        sum += shares.iter().copied().fold(0.0, f64::max) * nodes as f64;
    }
    sum / sets as f64
}

fn assert_near_theory(nodes: u64, sets: u64) {
    let (measured, theory) = (mean_of_max(nodes, sets), mean_of_max_in_theory(nodes as usize, sets));
    assert!((measured / theory - 1.0).abs() < 0.02, "{nodes} nodes: {measured:.4} where {theory:.4} is due");
}

#[test]
fn ten_nodes_are_as_even_as_random_points() {
    assert_near_theory(10, 100);
}

#[test]
fn a_hundred_nodes_are_as_even_as_random_points() {
    assert_near_theory(100, 100);
}

#[test]
fn a_thousand_nodes_are_as_even_as_random_points() {
    assert_near_theory(1_000, 100);
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
