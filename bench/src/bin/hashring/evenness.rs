//! How evenly rings place keys, and how much a change moves.

use bench::{Measure, Report, Target};
use hashring::{Fraction, HashRing, LoadFactor, NodeSpec};

use crate::lookups::OURS;

/// The load of the most loaded node, a mean over a hundred sets of ids, beside what random points would give.
pub fn balance(report: &mut Report) {
    for (nodes, theory) in [(10, 1.1247), (100, 1.2087), (1_000, 1.2764)] {
        let name = format!("balance: max over mean, {nodes} × 160");
        if !report.wants(&name) {
            continue;
        }
        let max = |set: u64| {
            let ids = (0..nodes).map(|id| format!("node-{set}-{id}"));
            let ring = HashRing::from_nodes(ids).expect("within the limits");
            let table = ring.partition_table(16, LoadFactor::percent_over(5)).expect("the ring has points");
            (ring.balance().expect("the ring has points").max, table.balance().max)
        };
        let (rings, tables): (Vec<f64>, Vec<f64>) = (0..100).map(max).unzip();
        let mean = |loads: Vec<f64>| loads.iter().sum::<f64>() / loads.len() as f64;
        let mut measure =
            Measure::new(&name, "mean of 100 sets of ids").target(Target::ratio_to("theory", 1.02));
        measure.constant(OURS, mean(rings));
        measure.constant("theory", theory);
        measure.constant("clusterluck-hashring's table of 65536 at 1.05", mean(tables));
        report.run(measure);
    }
}

/// The share of keys that one change moves, beside the share of the changed node.
pub fn movement(report: &mut Report) {
    let name = "movement: share that moves when one of 1000 nodes is added";
    if !report.wants(name) {
        return;
    }
    let ring = HashRing::from_nodes(0..1_000_u64).expect("within the limits");
    let mut after = ring.clone();
    after.insert(NodeSpec::new(1_000)).expect("within the limits");
    let moves = ring.diff(&after).expect("the same seed");
    let moved = moves.iter().map(|step| step.range.share().tokens()).sum::<u128>() as f64;
    let due = after.ownership(&1_000).map_or(0, Fraction::tokens) as f64;
    let whole = Fraction::WHOLE.tokens() as f64;
    let elsewhere = moves.iter().filter(|step| step.to != Some(&1_000)).count();
    let table = |ring: &HashRing<u64>| {
        ring.partition_table(16, LoadFactor::percent_over(5)).expect("the ring has points")
    };
    let (one, other) = (table(&ring), table(&after));
    let steps = one.moves(&other).expect("the same seed and size").count();
    let mut measure = Measure::new(name, "share").target(Target::ratio_to("the node's share", 1.0));
    measure.constant("the ring", moved / whole);
    measure.constant("the node's share", due / whole);
    measure.constant("a table of 65536 at 1.05", steps as f64 / one.len() as f64);
    report.run(measure);
    report.note(&format!("Ranges that move to another node than the added one: {elsewhere}."));
}
