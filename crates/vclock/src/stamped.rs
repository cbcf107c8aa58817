//! The clock that also keeps when each actor was seen, and can be trimmed by age.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZeroU64;

use crate::causality::{self, News};
use crate::trim::{Trimmed, TrimmedEntry};
use crate::{CounterOverflow, Dot, TrimPolicy, VClock};

/// When an actor's events were first and last counted, in microseconds of whatever clock the caller uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    first_us: u64,
    last_us: u64,
}

impl Seen {
    /// Seen once, at `now_us`.
    pub const fn at(now_us: u64) -> Self {
        Self { first_us: now_us, last_us: now_us }
    }

    /// Seen from `first_us` to `last_us`; `None` when those are in the wrong order.
    pub fn between(first_us: u64, last_us: u64) -> Option<Self> {
        (first_us <= last_us).then_some(Self { first_us, last_us })
    }

    /// When the first event was counted.
    pub const fn first_us(self) -> u64 {
        self.first_us
    }

    /// When the last event was counted.
    pub const fn last_us(self) -> u64 {
        self.last_us
    }

    fn join(self, other: Self) -> Self {
        Self { first_us: self.first_us.min(other.first_us), last_us: self.last_us.max(other.last_us) }
    }
}

/// A [`VClock`] that remembers when each actor was first and last seen, so that it can be trimmed by age.
///
/// Times never decide order, and never equality: two of these are equal when they have seen the same events.
/// (So equal ones may encode differently.) Merging keeps the earlier first and the later last time, which
/// makes it associative, commutative and idempotent, times included.
///
/// ```
/// use vclock::{StampedVClock, TrimPolicy};
///
/// let day_us = 24 * 60 * 60 * 1_000_000;
/// let mut clock = StampedVClock::new();
/// for session in 0..12_u64 {
///     clock.increment_at(session, session)?;
/// }
/// let trimmed = clock.trim(2 * day_us, &TrimPolicy::default());
/// assert_eq!(trimmed.iter().map(|entry| entry.actor).collect::<Vec<_>>(), [0, 1]);
/// assert_eq!(clock.len(), 10);
/// # Ok::<(), vclock::CounterOverflow>(())
/// ```
#[derive(Clone)]
pub struct StampedVClock<A> {
    clock: VClock<A>,
    /// As many as the clock has actors, in their order.
    seen: Vec<Seen>,
}

impl<A> StampedVClock<A> {
    /// A clock that has seen nothing.
    pub const fn new() -> Self {
        Self { clock: VClock::new(), seen: Vec::new() }
    }

    /// The counts alone: what compares histories.
    pub fn clock(&self) -> &VClock<A> {
        &self.clock
    }

    /// The counts alone, without a copy.
    pub fn into_clock(self) -> VClock<A> {
        self.clock
    }

    /// How many actors it has seen.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Every actor seen, in order, with its count (never 0) and when it was seen.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&A, u64, Seen)> {
        self.clock.iter().zip(&self.seen).map(|((actor, count), seen)| (actor, count, *seen))
    }
}

impl<A: Ord> StampedVClock<A> {
    /// How many events of `actor` it has seen; 0 for an actor it never met.
    pub fn get<Q>(&self, actor: &Q) -> u64
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.clock.get(actor)
    }

    /// When `actor` was seen; `None` for an actor it never met.
    pub fn seen<Q>(&self, actor: &Q) -> Option<Seen>
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.clock.place(actor).ok().map(|at| self.seen[at])
    }
}

impl<A: Ord + Clone> StampedVClock<A> {
    /// Counts one more event of `actor`, seen at `now_us`, and returns that event. A time before the last one
    /// (a clock set back) is no reason to forget the last one.
    ///
    /// # Errors
    /// When the count is at `u64::MAX`. The clock is unchanged.
    pub fn increment_at(&mut self, actor: A, now_us: u64) -> Result<Dot<A>, CounterOverflow> {
        let dot = self.clock.next_dot(actor)?;
        self.witness_at(dot.clone(), now_us);
        Ok(dot)
    }

    /// Counts `dot` and all earlier events of its actor as seen, at `now_us`. Returns whether any of them was
    /// new; if none was, its times stay as they are.
    pub fn witness_at(&mut self, dot: Dot<A>, now_us: u64) -> bool {
        if self.clock.contains(&dot) {
            return false;
        }
        match self.clock.place(&dot.actor) {
            Ok(at) => self.seen[at].last_us = self.seen[at].last_us.max(now_us),
            Err(at) => self.seen.insert(at, Seen::at(now_us)),
        }
        self.clock.witness(dot)
    }

    /// Sees everything `other` has seen. Returns whether any of it, times included, was new. Allocates as
    /// [`VClock::merge`] does: when actors are added, or when the entries are shared with a clone and change.
    pub fn merge(&mut self, other: &Self) -> bool {
        let times_changed = match causality::news(self.clock.entries(), other.clock.entries()) {
            News::Actors => {
                self.seen = self.seen_by_either(other);
                true
            }
            News::None | News::Counts => self.join_seen(other),
        };
        self.clock.merge(&other.clock) || times_changed
    }

    /// Joins the times of `other`, all of whose actors are among these; returns whether that changed any.
    fn join_seen(&mut self, other: &Self) -> bool {
        let mut changed = false;
        let mut mine = self.clock.entries().iter().zip(&mut self.seen);
        for ((actor, _), theirs) in other.clock.entries().iter().zip(&other.seen) {
            if let Some((_, seen)) = mine.find(|((candidate, _), _)| candidate == actor) {
                let joined = seen.join(*theirs);
                changed |= joined != *seen;
                *seen = joined;
            }
        }
        changed
    }

    /// The times of all actors of both, in order.
    fn seen_by_either(&self, other: &Self) -> Vec<Seen> {
        let (mut mine, mut theirs) = (self.seen.iter().copied(), other.seen.iter().copied());
        causality::join(self.clock.entries(), other.clock.entries())
            .filter_map(|(_, here, there)| {
                let mine = if here > 0 { mine.next() } else { None };
                let theirs = if there > 0 { theirs.next() } else { None };
                match (mine, theirs) {
                    (Some(mine), Some(theirs)) => Some(mine.join(theirs)),
                    (mine, theirs) => mine.or(theirs),
                }
            })
            .collect()
    }

    /// Forgets all events of `actor`, and returns how many those were. See [`VClock::retire`].
    pub fn retire<Q>(&mut self, actor: &Q) -> u64
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        if let Ok(at) = self.clock.place(actor) {
            self.seen.remove(at);
        }
        self.clock.retire(actor)
    }

    /// Forgets the actors seen longest ago, as far as `policy` asks and allows at `now_us`, and says which.
    ///
    /// Actors are taken by the time they were last seen, and by their own order where that is equal; before
    /// each the policy is asked anew. So the outcome depends on the clock's contents alone, and trimming again
    /// at the same time drops nothing.
    ///
    /// An actor last seen after `now_us` counts as seen just now, so it is young until that time has passed. One
    /// dated far ahead, by a clock set wrong or a stranger, is never trimmed, and merging spreads its date:
    /// where that can happen, look at what [`iter`](Self::iter) says before merging.
    ///
    /// What is forgotten is forgotten on this side only, and costs what the [crate's page](crate#what-trimming-costs)
    /// shows. Prefer one stable actor a node, and [`retire`](Self::retire).
    pub fn trim(&mut self, now_us: u64, policy: &TrimPolicy) -> Trimmed<A> {
        let drops =
            |dropped: usize, last_us: u64| policy.drops(self.len() - dropped, now_us.saturating_sub(last_us));
        let oldest = self.seen.iter().map(|seen| seen.last_us).min();
        if !oldest.is_some_and(|last_us| drops(0, last_us)) {
            return Trimmed::new(Vec::new());
        }
        let mut oldest_first: Vec<usize> = (0..self.len()).collect();
        oldest_first.sort_by_key(|&at| self.seen[at].last_us);
        let drops = oldest_first
            .iter()
            .enumerate()
            .take_while(|&(dropped, &at)| drops(dropped, self.seen[at].last_us))
            .count();
        let entries = self.clock.entries();
        let dropped = oldest_first[..drops]
            .iter()
            .map(|&at| TrimmedEntry {
                actor: entries[at].0.clone(),
                count: entries[at].1,
                seen: self.seen[at],
            })
            .collect();
        let mut kept = oldest_first.split_off(drops);
        kept.sort_unstable();
        self.clock = VClock::from_sorted(kept.iter().map(|&at| entries[at].clone()).collect());
        self.seen = kept.iter().map(|&at| self.seen[at]).collect();
        Trimmed::new(dropped)
    }
}

impl<A> Default for StampedVClock<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Causal: the same events, whenever they were seen.
impl<A: PartialEq> PartialEq for StampedVClock<A> {
    fn eq(&self, other: &Self) -> bool {
        self.clock == other.clock
    }
}

impl<A: Eq> Eq for StampedVClock<A> {}

impl<A: Hash> Hash for StampedVClock<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.clock.hash(state);
    }
}

/// The causal order of [`VClock`].
impl<A: Ord> PartialOrd for StampedVClock<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.clock.partial_cmp(&other.clock)
    }
}

impl<A: fmt::Debug> fmt::Debug for StampedVClock<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(actor, count, seen)| (actor, (count, seen)))).finish()
    }
}

/// Actors, their counts and times, in any order. One given twice is merged; a count of 0 adds nothing.
impl<A: Ord> FromIterator<(A, u64, Seen)> for StampedVClock<A> {
    fn from_iter<I: IntoIterator<Item = (A, u64, Seen)>>(entries: I) -> Self {
        let mut entries: Vec<(A, NonZeroU64, Seen)> = entries
            .into_iter()
            .filter_map(|(actor, count, seen)| Some((actor, NonZeroU64::new(count)?, seen)))
            .collect();
        entries.sort_by(|(left, ..), (right, ..)| left.cmp(right));
        entries.dedup_by(|(actor, count, seen), kept| {
            let again = *actor == kept.0;
            if again {
                kept.1 = kept.1.max(*count);
                kept.2 = kept.2.join(*seen);
            }
            again
        });
        Self::from_sorted(entries)
    }
}

impl<A> StampedVClock<A> {
    /// A clock of entries that are sorted by actor, each actor once.
    pub(crate) fn from_sorted(entries: Vec<(A, NonZeroU64, Seen)>) -> Self {
        let seen = entries.iter().map(|(_, _, seen)| *seen).collect();
        let counts = entries.into_iter().map(|(actor, count, _)| (actor, count)).collect();
        Self { clock: VClock::from_sorted(counts), seen }
    }
}
