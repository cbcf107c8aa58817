//! Changing, copying, building and comparing rings, and what they weigh.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use bench::{Heap, Measure, Report, Target, consume, ns_per_op, ns_per_op_with_setup};
use hashring::{LoadFactor, NodeSpec, Op, Placement};

use crate::keys::{Keys, nodes};
use crate::limit::{self, Bucketed};
use crate::lookups::{LIMIT, OURS, each, hash, ring};
use crate::peers::{self, Named};

/// One node more, and one less, in a ring that nobody shares.
pub fn in_place(report: &mut Report) {
    let names = nodes(1_000);
    let newcomer = "node-newcomer.example".to_owned();
    let named = Named(newcomer.clone());
    let run = limit::run(&newcomer, 160);
    let virtual_nodes = peers::virtual_nodes(1_000, 160);

    for adding in [true, false] {
        let (name, target) =
            if adding { ("add a node", 60.0 / 30.0) } else { ("remove a node", 60.0 / 34.0) };
        let name = format!("{name}, 1000 × 160");
        if !report.wants(&name) {
            continue;
        }
        let mut measure = Measure::new(&name, "ns").target(Target::ratio_to(LIMIT, target));
        measure.contender(
            OURS,
            alternating(
                adding,
                ring(&names, 160),
                |ring| consume(ring.insert(NodeSpec::new(newcomer.clone())).expect("within the limits")),
                |ring| consume(ring.remove(&newcomer)),
            ),
        );
        let limit = Bucketed::new(&names, 160);
        measure.contender(
            LIMIT,
            alternating(adding, limit, |ring| ring.add(&run, 1_000), |ring| ring.remove(&run)),
        );
        measure.contender(
            peers::HASHRING,
            alternating(
                adding,
                peers::hashring(&names, 160),
                |ring| ring.batch_add(virtual_nodes.clone()),
                |ring| virtual_nodes.iter().for_each(|node| consume(ring.remove(node))),
            ),
        );
        measure.contender(
            peers::HASH_RINGS,
            alternating(
                adding,
                peers::hash_rings(&names, 160),
                |ring| ring.insert_node(&newcomer, 160),
                |ring| ring.remove_node(&newcomer),
            ),
        );
        measure.contender(
            peers::CONHASH,
            alternating(
                adding,
                peers::conhash(&names, 160),
                |ring| ring.add(&named, 160),
                |ring| ring.remove(&named),
            ),
        );
        measure.contender(
            peers::COORDINATOR,
            alternating(
                adding,
                peers::coordinator(&names, 160),
                |ring| ring.add(newcomer.clone()),
                |ring| ring.remove(&newcomer),
            ),
        );
        report.run(measure);
    }
}

/// One node more in a ring that a clone shares; and the clone.
pub fn shared(report: &mut Report) {
    let names = nodes(1_000);
    let ours = ring(&names, 160);
    let mut measure =
        Measure::new("add a node to a shared ring, 1000 × 160", "ns").target(Target::figure(400e3));
    measure.contender(
        OURS,
        ns_per_op_with_setup(
            || ours.clone(),
            |mut ring| {
                ring.insert(NodeSpec::new("node-newcomer.example".to_owned())).expect("within the limits");
                ring
            },
        ),
    );
    report.run(measure);

    let (bare, hashring) = (Bucketed::new(&names, 160), peers::hashring(&names, 160));
    let anchor = peers::anchor(&names);
    let mut measure = Measure::new("clone, 1000 × 160", "ns").target(Target::figure(20.0));
    measure.contender(OURS, repeated(|| ours.clone()));
    measure.contender(LIMIT, repeated(|| bare.clone()));
    measure.contender(peers::HASHRING, repeated(|| hashring.clone()));
    measure.contender(peers::ANCHOR, repeated(|| anchor.clone()));
    report.run(measure);
}

/// What a million hashes of keys took where the targets below were set: a target in milliseconds is that many of them.
const HASHES_MS: f64 = 3.1;
const HASHES: &str = "limit: a million hashes";

fn hashes(keys: &Keys) -> impl FnMut() -> f64 + '_ {
    each(keys, hash)
}

pub fn builds(report: &mut Report, keys: &Keys) {
    for (count, weight, target) in [(1_000, 160, 6.0), (10_000, 256, 150.0)] {
        let name = format!("build, {count} × {weight}");
        if !report.wants(&name) {
            continue;
        }
        let names = nodes(count);
        let mut measure = Measure::new(&name, "ms").target(Target::ratio_to(HASHES, target / HASHES_MS));
        measure.contender(OURS, in_ms(ns_per_op_with_setup(|| (), |()| ring(&names, weight))));
        measure.contender(HASHES, hashes(keys));
        measure.contender(
            "limit: one sort",
            in_ms(ns_per_op_with_setup(|| (), |()| limit::BinarySearch::new(&names, weight))),
        );
        if count == 1_000 {
            measure.contender(
                peers::HASHRING,
                in_ms(ns_per_op_with_setup(|| (), |()| peers::hashring(&names, weight))),
            );
            measure.contender(
                peers::HASH_RINGS,
                in_ms(ns_per_op_with_setup(|| (), |()| peers::hash_rings(&names, weight))),
            );
            measure.contender(
                peers::CONSISTENT_HASH,
                in_ms(ns_per_op_with_setup(|| (), |()| peers::consistent_hash(&names, weight))),
            );
        }
        report.run(measure);
    }
    let name = "build a table of 65536, 1000 nodes";
    if report.wants(name) {
        let ours = ring(&nodes(1_000), 160);
        let mut measure = Measure::new(name, "ms");
        let table = || ours.partition_table(16, LoadFactor::percent_over(5)).expect("the ring has points");
        measure.contender(OURS, in_ms(ns_per_op_with_setup(|| (), |()| table())));
        report.run(measure);
    }
}

pub fn comparisons(report: &mut Report, keys: &Keys) {
    let ours = ring(&nodes(1_000), 160);
    let mut other = ours.clone();
    other.insert(NodeSpec::new("node-newcomer.example".to_owned())).expect("within the limits");
    let strangers = ring(&nodes(2_000)[1_000..], 160);

    let mut measure =
        Measure::new("diff of two rings, 1000 × 160", "ms").target(Target::ratio_to(HASHES, 5.0 / HASHES_MS));
    let from = &ours;
    let diff = |to| in_ms(repeated(move || from.diff(to).expect("the same seed").len()));
    measure.contender("that share no node", diff(&strangers));
    measure.contender("that differ in one node", diff(&other));
    measure.contender(HASHES, hashes(keys));
    report.run(measure);

    let ops = [Op::Insert(NodeSpec::new("node-newcomer.example".to_owned()))];
    let mut measure =
        Measure::new("plan of one node, 1000 × 160", "ms").target(Target::ratio_to(HASHES, 0.4 / HASHES_MS));
    let plan = || {
        let plan = ours.plan(&ops).expect("within the limits");
        black_box((plan.moves().len(), plan.moves_by_node().len(), plan.balance()));
        plan
    };
    measure.contender("with what moves and both balances", in_ms(ns_per_op_with_setup(|| (), |()| plan())));
    measure.contender(HASHES, hashes(keys));
    report.run(measure);

    let (ours, other, plan) = (&ours, &other, plan());
    let mut measure = Measure::new("where 3 replicas go and lie, 1000 × 160", "ms");
    for (name, placement) in [("anywhere", Placement::anywhere(3)), ("over zones", Placement::spread(3))] {
        let diff = move || ours.diff_replicas(other, &placement).expect("the same seed").len();
        measure.contender(&format!("diff_replicas, {name}, one node more"), in_ms(repeated(diff)));
    }
    let sharing = || plan.sharing_zones(&Placement::anywhere(3)).expect("no zones are required");
    measure.contender("sharing_zones, before and after", in_ms(repeated(sharing)));
    report.run(measure);
}

/// Heap bytes of a ring, its nodes' names included where it keeps them.
pub fn bytes(report: &mut Report) {
    for (count, weight, target) in [(1_000, 160, 2.6e6), (10_000, 256, 42e6)] {
        let name = format!("bytes, {count} × {weight}");
        if !report.wants(&name) {
            continue;
        }
        let names = nodes(count);
        let mut measure = Measure::new(&name, "bytes").target(Target::figure(target));
        measure.constant(OURS, live(|| ring(&names, weight)));
        measure.constant(LIMIT, live(|| Bucketed::new(&names, weight)));
        if count == 1_000 {
            measure.constant(peers::HASHRING, live(|| peers::hashring(&names, weight)));
            measure.constant(peers::HASH_RINGS, live(|| peers::hash_rings(&names, weight)));
            measure.constant(peers::CONSISTENT_HASH, live(|| peers::consistent_hash(&names, weight)));
            measure.constant(peers::CONHASH, live(|| peers::conhash(&names, weight)));
            measure.constant(peers::COORDINATOR, live(|| peers::coordinator(&names, weight)));
            measure.constant(peers::ANCHOR, live(|| peers::anchor(&names)));
            let (maglev, _) = Heap::of(|| peers::maglev(&names));
            measure.constant(
                &format!("{} (peak {:.0} MB)", peers::MAGLEV, maglev.peak as f64 / 1e6),
                maglev.live as f64,
            );
            let ours = ring(&names, 160);
            let table =
                live(|| ours.partition_table(16, LoadFactor::percent_over(5)).expect("the ring has points"));
            measure.constant("clusterluck-hashring's table of 65536, beside its ring", table);
        }
        report.run(measure);
    }
}

fn live<T>(build: impl FnOnce() -> T) -> f64 {
    let (heap, value) = Heap::of(build);
    drop(value);
    heap.live as f64
}

fn in_ms<'a>(mut sample: impl FnMut() -> f64 + 'a) -> impl FnMut() -> f64 + 'a {
    move || sample() / 1e6
}

fn repeated<'a, T>(mut operation: impl FnMut() -> T + 'a) -> impl FnMut() -> f64 + 'a {
    ns_per_op(move |n| (0..n).for_each(|_| consume(operation())))
}

/// Samples one of two operations that undo each other, on a state that lacks what they add.
fn alternating<'a, S: 'a>(
    adding: bool,
    state: S,
    add: impl Fn(&mut S) + 'a,
    remove: impl Fn(&mut S) + 'a,
) -> impl FnMut() -> f64 + 'a {
    let state = Rc::new(RefCell::new(state));
    if adding {
        add(&mut state.borrow_mut());
    }
    let (same, pair) = (Rc::clone(&state), Rc::new((add, remove)));
    let (add, remove) = (Rc::clone(&pair), pair);
    ns_per_op_with_setup(
        move || if adding { (add.1)(&mut same.borrow_mut()) } else { (add.0)(&mut same.borrow_mut()) },
        move |()| {
            if adding { (remove.0)(&mut state.borrow_mut()) } else { (remove.1)(&mut state.borrow_mut()) }
        },
    )
}
