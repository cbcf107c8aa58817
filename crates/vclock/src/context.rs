//! The set of events seen when some arrived out of order.

use alloc::vec::Vec;
use core::iter;
use core::slice;

use crate::{CounterOverflow, Dot, DotRange, VClock};

/// Exactly which events were seen: a [`VClock`] for each actor's unbroken run from 1, plus what came ahead
/// of its turn.
///
/// A clock alone can only say "the first n". A message that overtakes another would either be forgotten or
/// would make the clock claim the one it overtook. Here it is kept aside, and moves into the clock by itself
/// as soon as the gap closes; so equal sets of events are equal contexts, however they arrived.
///
/// A run kept aside moves those that sort after it: many at once are better collected, or
/// [merged](Self::merge), than [inserted](Self::insert) one by one in descending order.
///
/// ```
/// use vclock::{CausalContext, Dot};
///
/// let event = |counter| Dot::new("a", counter).expect("counters start at 1");
/// let mut seen = CausalContext::new();
/// seen.insert(event(1));
/// seen.insert(event(3));
/// assert!(!seen.contains(&event(2)));
/// assert_eq!(seen.clock().get("a"), 1);
///
/// seen.insert(event(2));
/// assert_eq!(seen.clock().get("a"), 3);
/// assert!(seen.is_compact());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CausalContext<A> {
    clock: VClock<A>,
    /// Sorted by actor and counter; no two touch, and none touches the clock's run of its actor.
    ahead: Vec<DotRange<A>>,
}

impl<A> CausalContext<A> {
    /// A context that has seen nothing.
    pub const fn new() -> Self {
        Self { clock: VClock::new(), ahead: Vec::new() }
    }

    /// Each actor's unbroken run of events from the first.
    pub fn clock(&self) -> &VClock<A> {
        &self.clock
    }

    /// The events seen out of order, as the longest runs they form, by actor and counter.
    pub fn ahead(&self) -> slice::Iter<'_, DotRange<A>> {
        self.ahead.iter()
    }

    /// Whether no event is missing before one that was seen, so that the clock says it all.
    pub fn is_compact(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Parts that are already in the form that makes equal sets equal.
    #[cfg(feature = "serde")]
    pub(crate) fn from_canonical(clock: VClock<A>, ahead: Vec<DotRange<A>>) -> Self {
        Self { clock, ahead }
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty() && self.ahead.is_empty()
    }

    /// Adds a run that neither touches nor comes before another.
    pub(crate) fn push_canonical(&mut self, run: DotRange<A>) {
        self.ahead.push(run);
    }
}

impl<A: Ord> CausalContext<A> {
    /// Whether it has seen the event.
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        self.clock.contains(dot)
            || self.run_from(&dot.actor, dot.counter()).is_some_and(|run| run.contains(dot))
    }

    /// Whether it has seen everything `other` has.
    pub fn covers(&self, other: &Self) -> bool {
        self.clock.descends(&other.clock) && other.ahead.iter().all(|run| self.covers_range(run))
    }

    /// The latest event of `actor` seen before those that follow `previous`, a run ahead of the clock.
    pub(crate) fn unbroken_before(&self, previous: Option<&DotRange<A>>, actor: &A) -> u64 {
        match previous {
            Some(run) if run.actor == *actor => run.last(),
            _ => self.clock.get(actor),
        }
    }

    /// The counter of the latest event seen of `actor`, with or without those before it; 0 if none was.
    pub fn latest(&self, actor: &A) -> u64 {
        self.run_from(actor, u64::MAX).map_or_else(|| self.clock.get(actor), DotRange::last)
    }

    /// Whether it has seen all events of the run. Runs kept here are as long as can be, so `run` lies within
    /// one of them or is not wholly seen.
    fn covers_range(&self, run: &DotRange<A>) -> bool {
        run.last() <= self.clock.get(&run.actor)
            || self.run_from(&run.actor, run.first()).is_some_and(|mine| run.last <= mine.last)
    }

    /// The last run ahead of the clock that starts at this event of `actor` or before it.
    fn run_from(&self, actor: &A, counter: u64) -> Option<&DotRange<A>> {
        let later = self.ahead.partition_point(|run| (&run.actor, run.first()) <= (actor, counter));
        self.ahead[..later].last().filter(|run| run.actor == *actor)
    }
}

impl<A: Ord + Clone> CausalContext<A> {
    /// Adds one event, and returns whether it was new.
    pub fn insert(&mut self, dot: Dot<A>) -> bool {
        self.insert_range(dot.into())
    }

    /// Adds a run of events, and returns whether any of them was new.
    pub fn insert_range(&mut self, mut range: DotRange<A>) -> bool {
        if self.covers_range(&range) {
            return false;
        }
        let actor = &range.actor;
        let start = self.ahead.partition_point(|run| (&run.actor, run.last()) < (actor, range.first() - 1));
        let end = self.ahead.partition_point(|run| (&run.actor, run.first() - 1) <= (actor, range.last()));
        if let [first, ..] = &self.ahead[start..end] {
            range.first = range.first.min(first.first);
            range.last = range.last.max(self.ahead[end - 1].last);
        }
        if range.follows(self.clock.get(&range.actor)) {
            self.ahead.drain(start..end);
            self.clock.witness(Dot { actor: range.actor, counter: range.last });
        } else {
            self.ahead.splice(start..end, [range]);
        }
        true
    }

    /// Adds everything `other` has seen, and returns whether any of it was new.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.covers(other) {
            return false;
        }
        self.clock.merge(&other.clock);
        self.ahead.extend_from_slice(&other.ahead);
        self.compact();
        true
    }

    /// Forgets all events of `actor`, and returns whether there were any. Costs what it costs a
    /// [`VClock`](VClock::retire).
    pub fn retire(&mut self, actor: &A) -> bool {
        let ahead = self.ahead.len();
        self.ahead.retain(|run| run.actor() != actor);
        self.clock.retire(actor) > 0 || self.ahead.len() < ahead
    }

    /// The event after the latest one seen of `actor`: what it may write next. Does not add it.
    ///
    /// # Errors
    /// When that latest event's counter is `u64::MAX`.
    pub fn next_dot(&self, actor: A) -> Result<Dot<A>, CounterOverflow> {
        Dot::after(self.latest(&actor), actor)
    }

    /// The events seen out of order, one by one, by actor and counter. There may be far more of them than
    /// [runs](Self::ahead).
    pub fn dots(&self) -> impl Iterator<Item = Dot<A>> + '_ {
        self.ahead.iter().flat_map(DotRange::dots)
    }

    /// The events seen here and not by `other`, as runs: what `other` would have to be told. Those within
    /// the clock come first, then those ahead of it.
    pub fn missing_from<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = DotRange<A>> + 'a {
        let in_order = self.clock.iter().flat_map(|(actor, count)| other.gaps(actor, 1, count));
        in_order.chain(self.ahead.iter().flat_map(|run| other.gaps(&run.actor, run.first(), run.last())))
    }

    /// The runs of `first..=last` of `actor` that were not seen.
    fn gaps<'a>(&'a self, actor: &'a A, first: u64, last: u64) -> impl Iterator<Item = DotRange<A>> + 'a {
        let mut from = self.clock.get(actor).checked_add(1).map(|unseen| unseen.max(first));
        let earlier = self.ahead.partition_point(|run| (&run.actor, run.last()) < (actor, first));
        let mut ahead = self.ahead[earlier..].iter().take_while(move |run| run.actor == *actor);
        iter::from_fn(move || {
            loop {
                let start = from.filter(|&start| start <= last)?;
                let run = ahead.find(|run| start <= run.last());
                from = run.and_then(|run| run.last().checked_add(1));
                let end = run.map_or(last, |run| last.min(run.first() - 1));
                if let Some(gap) = DotRange::new(actor.clone(), start, end) {
                    return Some(gap);
                }
            }
        })
    }

    /// Restores the form that makes equal sets equal, after runs were added anywhere.
    fn compact(&mut self) {
        let Self { clock, ahead } = self;
        // Stable, for then what are two sorted runs after a merge is put together in one pass.
        ahead.sort();
        ahead.retain(|run| {
            // In this order each run that joins the clock can be joined by the next.
            let joins = run.follows(clock.get(&run.actor));
            if joins {
                clock.witness(Dot { actor: run.actor.clone(), counter: run.last });
            }
            !joins
        });
        ahead.dedup_by(|next, kept| {
            let joins = next.actor == kept.actor && next.follows(kept.last());
            if joins {
                kept.last = kept.last.max(next.last);
            }
            joins
        });
    }
}

impl<A> Default for CausalContext<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// Everything the clock counts, and nothing out of order.
impl<A> From<VClock<A>> for CausalContext<A> {
    fn from(clock: VClock<A>) -> Self {
        Self { clock, ahead: Vec::new() }
    }
}

/// The events, in any order.
impl<A: Ord + Clone> FromIterator<Dot<A>> for CausalContext<A> {
    fn from_iter<I: IntoIterator<Item = Dot<A>>>(dots: I) -> Self {
        dots.into_iter().map(DotRange::from).collect()
    }
}

/// The events of all the runs, which may overlap and come in any order.
impl<A: Ord + Clone> FromIterator<DotRange<A>> for CausalContext<A> {
    fn from_iter<I: IntoIterator<Item = DotRange<A>>>(runs: I) -> Self {
        let mut context = Self { clock: VClock::new(), ahead: runs.into_iter().collect() };
        context.compact();
        context
    }
}
