//! That many siblings and runs are taken in with few comparisons: a file of its own, since it counts them all.

use std::cell::Cell;
use std::cmp::Ordering;

use vclock::{CausalContext, Dot, DotRange, DvvSet};

thread_local! {
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

/// An actor that counts how often it is compared.
#[derive(Clone, Copy, Debug, Eq)]
struct Counted(u32);

fn count() {
    COMPARISONS.set(COMPARISONS.get() + 1);
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        count();
        self.0 == other.0
    }
}

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> Ordering {
        count();
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn comparisons(work: impl FnOnce()) -> usize {
    let before = COMPARISONS.get();
    work();
    COMPARISONS.get() - before
}

const SIDE: u32 = if cfg!(miri) { 300 } else { 80_000 };

/// One write by each of `SIDE` actors, of which the other side knows none, though they stand between its own.
fn one_write_each(offset: u32) -> DvvSet<Counted, u32> {
    let dots = (0..SIDE).map(|at| Dot::new(Counted(2 * at + offset), 1).expect("1 is not 0"));
    let siblings: Vec<_> = dots.map(|dot| (dot, offset)).collect();
    DvvSet::from_parts(siblings.iter().map(|(dot, _)| *dot).collect(), siblings)
        .expect("each dot once, all covered")
}

#[test]
fn syncing_sets_costs_the_sum_of_their_lengths() {
    let (mut left, right) = (one_write_each(0), one_write_each(1));
    let budget = 24 * SIDE as usize;
    let gained = comparisons(|| assert_eq!(left.sync(&right), Ok(true)));
    assert!(gained <= budget, "{gained} comparisons to gain {SIDE} siblings, {budget} allowed");
    assert!(left.siblings().map(|(dot, _)| dot.actor.0).eq(0..2 * SIDE));

    let nothing_new = comparisons(|| assert_eq!(left.sync(&right), Ok(false)));
    assert!(nothing_new <= budget, "{nothing_new} comparisons to find nothing new, {budget} allowed");

    let mut all_read = right.clone();
    all_read.write(&left.context().clone(), 7, Counted(2 * SIDE)).unwrap();
    let lost = comparisons(|| assert_eq!(left.sync(&all_read), Ok(true)));
    assert!(lost <= budget, "{lost} comparisons to lose {SIDE} siblings a side, {budget} allowed");
    assert_eq!(left.values().collect::<Vec<_>>(), [&7]);
}

#[test]
fn merging_contexts_costs_the_sum_of_their_runs() {
    let runs = |offset: u64| {
        let run = |at| DotRange::new(Counted(3), 2 + 6 * at + offset, 3 + 6 * at + offset).expect("a run");
        (0..u64::from(SIDE)).map(run).collect::<CausalContext<Counted>>()
    };
    let (mut left, right) = (runs(0), runs(3));
    // Finding out that something is new searches for it; what follows is one pass.
    let budget = 24 * SIDE as usize;
    let gained = comparisons(|| assert!(left.merge(&right)));
    assert!(gained <= budget, "{gained} comparisons to gain {SIDE} runs, {budget} allowed");
    assert_eq!(left.ahead().len(), 2 * SIDE as usize);
}
