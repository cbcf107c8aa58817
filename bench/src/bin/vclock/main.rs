//! The vclock table: every operation on clocks of 3 and of 50 actors, for numbers and for strings.
//!
//! A figure is the mean over [`PAIRS`] pairs of clocks, few enough for the first-level cache and too many for
//! a branch predictor to learn one by heart. Merging is timed as cloning and then merging, since a clock can
//! be merged into once; cloning alone has a table of its own.

mod contender;

use std::hint::black_box;

use bench::{Measure, Report, Target, ns_per_op};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::contender::{Actor, Contender, Counts, SortedSlice};

type Ours<A> = vclock::VClock<A>;
type Vclock<A> = peer_vclock::VClock<A, u64>;
type Crdts<A> = peer_crdts::VClock<A>;

const PAIRS: usize = 8;

/// Actors of a clock; then, for numbers, how many times the reference's time each operation may take. The
/// project's targets are in nanoseconds beside what the reference took then, and these are their quotients.
const SMALL: Sizes =
    Sizes { actors: 3, descends: 1.43, compare: 0.77, merge: 0.55, clone: 0.48, increment: 1.36 };
const LARGE: Sizes =
    Sizes { actors: 50, descends: 1.04, compare: 0.59, merge: 1.01, clone: 1.25, increment: 1.09 };

struct Sizes {
    actors: usize,
    descends: f64,
    compare: f64,
    merge: f64,
    clone: f64,
    increment: f64,
}

fn main() {
    let mut report = Report::from_args("vclock");
    for sizes in [SMALL, LARGE] {
        table(&mut report, "u64", &sizes, true, |random| random);
        table(&mut report, "string", &sizes, false, |random| format!("node-{:08x}", random >> 32));
    }
    report.finish().expect("the report is written");
}

/// Every row against both peers; those of the project's table, which has numbers only, against the reference.
fn table<A: Actor>(report: &mut Report, ids: &str, sizes: &Sizes, bounded: bool, actor: impl Fn(u64) -> A) {
    let clocks = Clocks::random(sizes.actors, actor);
    let measure = |what: &str, bound: Option<f64>| {
        let mut measure = Measure::new(&format!("{what}, {} {ids} actors", sizes.actors), "ns")
            .target(Target::ratio_to(<Vclock<A> as Contender<A>>::NAME, 1.0))
            .target(Target::ratio_to(<Crdts<A> as Contender<A>>::NAME, 1.0));
        if let Some(bound) = bound.filter(|_| bounded) {
            measure = measure.target(Target::ratio_to(<SortedSlice<A> as Contender<A>>::NAME, bound));
        }
        measure
    };
    /// The same body for each contender, whose types differ.
    macro_rules! run {
        ($what:expr, $bound:expr, $sampler:ident) => {{
            let mut measure = measure($what, $bound);
            measure.contender(<Ours<A> as Contender<A>>::NAME, $sampler::<A, Ours<A>>(&clocks));
            measure.contender(<Vclock<A> as Contender<A>>::NAME, $sampler::<A, Vclock<A>>(&clocks));
            measure.contender(<Crdts<A> as Contender<A>>::NAME, $sampler::<A, Crdts<A>>(&clocks));
            measure.contender(<SortedSlice<A> as Contender<A>>::NAME, $sampler::<A, SortedSlice<A>>(&clocks));
            report.run(measure);
        }};
    }
    run!("descends", Some(sizes.descends), descends);
    run!("compare equal", Some(sizes.compare), compare);
    run!("clone and merge, half overlap", Some(sizes.merge), merge_half);
    run!("clone and merge, known actors", None, merge_known);
    run!("clone", Some(sizes.clone), clone);
    run!("increment, one actor", Some(sizes.increment), increment_one);
    run!("increment, actors in turn", None, increment_in_turn);
    run!("clone and increment", None, increment_clone);
    bytes(report, ids, sizes.actors, &clocks);
}

/// The counts all contenders are made from.
struct Clocks<A> {
    base: Vec<Counts<A>>,
    /// The same actors, some counts lower.
    older: Vec<Counts<A>>,
    /// The same actors, some counts higher.
    newer: Vec<Counts<A>>,
    /// As many actors, half of them the same, rounded up.
    half: Vec<Counts<A>>,
    /// An actor of each base clock.
    writers: Vec<A>,
}

impl<A: Actor> Clocks<A> {
    fn random(actors: usize, actor: impl Fn(u64) -> A) -> Self {
        let mut rng = StdRng::seed_from_u64(2_026);
        let mut clocks = Self { base: vec![], older: vec![], newer: vec![], half: vec![], writers: vec![] };
        for _ in 0..PAIRS {
            let count = |rng: &mut StdRng| rng.random_range(128..10_000);
            let mut base = Counts::new();
            while base.len() < actors {
                base.insert(actor(rng.random()), count(&mut rng));
            }
            let mut shuffled: Vec<A> = base.keys().cloned().collect();
            shuffled.shuffle(&mut rng);
            let shared = &shuffled[..actors.div_ceil(2)];
            let mut half: Counts<A> = shared.iter().map(|actor| (actor.clone(), count(&mut rng))).collect();
            while half.len() < actors {
                half.insert(actor(rng.random()), count(&mut rng));
            }
            let moved = |rng: &mut StdRng, by: i64| {
                let step =
                    |count: u64, rng: &mut StdRng| count.saturating_add_signed(by * rng.random_range(0..2));
                base.iter().map(|(actor, count)| (actor.clone(), step(*count, rng))).collect()
            };
            clocks.older.push(moved(&mut rng, -1));
            clocks.newer.push(moved(&mut rng, 1));
            clocks.half.push(half);
            clocks.writers.extend(shuffled.choose(&mut rng).cloned());
            clocks.base.push(base);
        }
        clocks
    }
}

fn all<A: Actor, C: Contender<A>>(counts: &[Counts<A>]) -> Vec<C> {
    counts.iter().map(C::new).collect()
}

fn pairs<C: 'static>(
    left: Vec<C>,
    right: Vec<C>,
    mut each: impl FnMut(&C, &C) + 'static,
) -> impl FnMut() -> f64 {
    ns_per_op(move |n| {
        for (left, right) in left.iter().zip(&right).cycle().take(n as usize) {
            each(black_box(left), black_box(right));
        }
    })
}

fn descends<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let (newer, older) = (all::<A, C>(&clocks.base), all::<A, C>(&clocks.older));
    assert!(newer.iter().zip(&older).all(|(newer, older)| newer.descends(older)));
    pairs(newer, older, |newer, older| {
        black_box(newer.descends(older));
    })
}

/// Clocks made apart, so that no contender can know their equality from sharing memory.
fn compare<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let (left, right) = (all::<A, C>(&clocks.base), all::<A, C>(&clocks.base));
    assert!(left.iter().zip(&right).all(|(left, right)| left.is_equal(right)));
    pairs(left, right, |left, right| {
        black_box(left.is_equal(right));
    })
}

fn merge_half<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    merge(all::<A, C>(&clocks.base), all::<A, C>(&clocks.half))
}

fn merge_known<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    merge(all::<A, C>(&clocks.base), all::<A, C>(&clocks.newer))
}

fn merge<A: Actor, C: Contender<A>>(left: Vec<C>, right: Vec<C>) -> impl FnMut() -> f64 {
    pairs(left, right, |left, right| {
        let mut merged = left.clone();
        merged.merge(right);
        black_box(&merged);
    })
}

fn clone<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let clocks = all::<A, C>(&clocks.base);
    ns_per_op(move |n| {
        for clock in clocks.iter().cycle().take(n as usize) {
            black_box(black_box(clock).clone());
        }
    })
}

/// A node counting its own events.
fn increment_one<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let mut writers: Vec<(C, A)> = writers(clocks);
    ns_per_op(move |n| {
        for at in 0..n as usize {
            let (clock, actor) = &mut writers[at % PAIRS];
            clock.increment(black_box(actor));
        }
    })
}

/// A node that keeps the clock it read, and counts in a copy: what sharing between clones cannot spare.
fn increment_clone<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let writers: Vec<(C, A)> = writers(clocks);
    ns_per_op(move |n| {
        for at in 0..n as usize {
            let (clock, actor) = &writers[at % PAIRS];
            let mut clock = black_box(clock).clone();
            clock.increment(black_box(actor));
            black_box(&clock);
        }
    })
}

fn writers<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> Vec<(C, A)> {
    let first = clocks.base.iter().zip(&clocks.writers);
    first.map(|(counts, actor)| (C::new(counts), actor.clone())).collect()
}

/// Events of all actors, in no order that a branch predictor could learn.
fn increment_in_turn<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> impl FnMut() -> f64 + use<A, C> {
    let mut clock = C::new(&clocks.base[0]);
    let actors: Vec<A> = clocks.base[0].keys().cloned().collect();
    let mut rng = StdRng::seed_from_u64(2_026);
    let turns: Vec<usize> = (0..1 << 14).map(|_| rng.random_range(0..actors.len())).collect();
    ns_per_op(move |n| {
        for turn in turns.iter().cycle().take(n as usize) {
            clock.increment(black_box(&actors[*turn]));
        }
    })
}

/// On the wire: ours in its own bytes, the others through serde and postcard.
fn bytes<A: Actor>(report: &mut Report, ids: &str, actors: usize, clocks: &Clocks<A>) {
    let mut measure = Measure::new(&format!("bytes, {actors} {ids} actors"), "bytes");
    if (ids, actors) == ("u64", 50) {
        measure = measure.target(Target::figure(520.0));
    }
    fn mean<A: Actor, C: Contender<A>>(clocks: &Clocks<A>) -> f64 {
        all::<A, C>(&clocks.base).iter().map(|clock| clock.bytes() as f64).sum::<f64>() / PAIRS as f64
    }
    measure.constant(<Ours<A> as Contender<A>>::NAME, mean::<A, Ours<A>>(clocks));
    measure.constant(<Vclock<A> as Contender<A>>::NAME, mean::<A, Vclock<A>>(clocks));
    measure.constant(<Crdts<A> as Contender<A>>::NAME, mean::<A, Crdts<A>>(clocks));
    measure.constant(<SortedSlice<A> as Contender<A>>::NAME, mean::<A, SortedSlice<A>>(clocks));
    report.run(measure);
}
