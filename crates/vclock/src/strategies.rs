//! Strategies for property tests, and the laws a merge must keep (feature `proptest`).
//!
//! The values are those that histories lead to, so they can be used against types of your own that hold
//! clocks. Counts are mostly small, so that clocks often relate, and sometimes at the top of the range.
//!
//! ```
//! use proptest::prelude::*;
//! use vclock::{VClock, strategies};
//!
//! /// A register of one's own, with a merge of one's own.
//! #[derive(Clone, Debug, PartialEq)]
//! struct Highest(VClock<u8>, u32);
//!
//! let register = || (strategies::vclock(0..5_u8, 0..8), any::<u32>()).prop_map(|(c, v)| Highest(c, v));
//! proptest!(|(a in register(), b in register(), c in register())| {
//!     strategies::check_merge(&a, &b, &c, |left, right| {
//!         left.0.merge(&right.0);
//!         left.1 = left.1.max(right.1);
//!     })?;
//! });
//! ```

use alloc::vec::Vec;
use core::fmt::Debug;

use proptest::collection::{SizeRange, vec};
use proptest::option;
use proptest::prelude::*;

use crate::{CausalContext, Dot, DotRange, DvvSet, Hlc, Seen, StampedVClock, VClock};

/// A clock of actors from `actors`, about `size` of them.
pub fn vclock<A: Ord + Clone + Debug>(
    actors: impl Strategy<Value = A>,
    size: impl Into<SizeRange>,
) -> impl Strategy<Value = VClock<A>> {
    vec((actors, count()), size).prop_map(|counts| counts.into_iter().collect())
}

/// An event of one of `actors`.
pub fn dot<A: Debug>(actors: impl Strategy<Value = A>) -> impl Strategy<Value = Dot<A>> {
    (actors, count()).prop_filter_map("counters start at 1", |(actor, counter)| Dot::new(actor, counter))
}

/// A context of actors from `actors`, from about `size` runs of events, with gaps.
pub fn causal_context<A: Ord + Clone + Debug>(
    actors: impl Strategy<Value = A>,
    size: impl Into<SizeRange>,
) -> impl Strategy<Value = CausalContext<A>> {
    let run = (actors, prop_oneof![8 => 1..20_u64, 1 => Just(u64::MAX - 3)], 0..4_u64)
        .prop_filter_map("runs hold an event", |(actor, first, more)| {
            DotRange::new(actor, first, first + more)
        });
    vec(run, size).prop_map(|runs| runs.into_iter().collect())
}

/// A stamped clock of actors from `actors`, about `size` of them, seen within `times_us`.
pub fn stamped_vclock<A: Ord + Clone + Debug>(
    actors: impl Strategy<Value = A>,
    size: impl Into<SizeRange>,
    times_us: impl Strategy<Value = u64> + Clone,
) -> impl Strategy<Value = StampedVClock<A>> {
    let seen = (times_us.clone(), times_us)
        .prop_filter_map("ordered times", |(a, b)| Seen::between(a.min(b), a.max(b)));
    vec((actors, count(), seen), size).prop_map(|entries| entries.into_iter().collect())
}

/// A timestamp: near each other mostly, at the end of time now and then.
pub fn hlc() -> impl Strategy<Value = Hlc> {
    let wall_us = prop_oneof![8 => 0..10_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let logical = prop_oneof![8 => 0..4_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    (wall_us, logical).prop_map(|(wall_us, logical)| Hlc::new(wall_us, logical))
}

/// The replicas of one key, one for each of `actors` (at least one), after a common history of about `size`
/// steps: writes by clients that had read any replica or none, under dots from counters with gaps, and syncs
/// of two replicas. No two writes have one value.
///
/// # Panics
/// When there is no actor, or one of them twice: a replica needs an actor of its own.
pub fn dvv_replicas<A: Ord + Clone + Debug>(
    actors: Vec<A>,
    size: impl Into<SizeRange>,
) -> impl Strategy<Value = Vec<DvvSet<A, u32>>> {
    let replicas = actors.len();
    assert!(replicas > 0, "there is no replica without an actor");
    for (at, actor) in actors.iter().enumerate() {
        assert!(!actors[..at].contains(actor), "{actor:?} is the actor of two replicas");
    }
    let step =
        prop_oneof![
            (0..replicas, option::weighted(0.8, 0..replicas), 0..3_u64)
                .prop_map(|(at, read, gap)| Step::Write { at, read, gap }),
            (0..replicas, 0..replicas).prop_map(|(from, to)| Step::Sync { from, to }),
        ];
    vec(step, size).prop_map(move |steps| replay(&actors, &steps))
}

/// The laws of a merge: associative, commutative, idempotent. What keeps them can be exchanged in any order,
/// any number of times, and replicas come to agree.
///
/// # Errors
/// The law that does not hold of these three, and how they differ.
pub fn check_merge<T: Clone + PartialEq + Debug>(
    a: &T,
    b: &T,
    c: &T,
    merge: impl Fn(&mut T, &T),
) -> Result<(), TestCaseError> {
    let merged = |left: &T, right: &T| {
        let mut left = left.clone();
        merge(&mut left, right);
        left
    };
    prop_assert_eq!(merged(a, a), a.clone(), "merging is not idempotent");
    prop_assert_eq!(merged(a, b), merged(b, a), "merging is not commutative");
    prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)), "merging is not associative");
    Ok(())
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![16 => 1..5_u64, 1 => u64::MAX - 1..=u64::MAX]
}

#[derive(Clone, Debug)]
enum Step {
    /// A client writes at one replica, having read another or none, under a dot after `gap` unused ones.
    Write {
        at: usize,
        read: Option<usize>,
        gap: u64,
    },
    Sync {
        from: usize,
        to: usize,
    },
}

fn replay<A: Ord + Clone + Debug>(actors: &[A], steps: &[Step]) -> Vec<DvvSet<A, u32>> {
    let mut sets: Vec<DvvSet<A, u32>> = actors.iter().map(|_| DvvSet::new()).collect();
    let mut counters = alloc::vec![0; actors.len()];
    for (value, step) in (0..).zip(steps) {
        match *step {
            Step::Write { at, read, gap } => {
                let context = read.map_or_else(VClock::new, |read| sets[read].context().clone());
                counters[at] += 1 + gap;
                let dot = Dot::new(actors[at].clone(), counters[at]).expect("counters start at 1");
                sets[at].write_at(&context, value, dot).expect("every write has a dot of its own");
            }
            Step::Sync { from, to } => {
                let other = sets[from].clone();
                sets[to].sync(&other).expect("every write has a dot of its own");
            }
        }
    }
    sets
}
