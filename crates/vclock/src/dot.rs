//! One event, and a run of them by one actor.

use core::fmt;
use core::num::NonZeroU64;

/// One event: the `counter`-th of `actor`. Counting starts at 1, so no dot means "nothing happened".
///
/// The order of dots (actor first, then counter) is for sorting and for breaking ties; it says nothing
/// about causality.
///
/// ```
/// use vclock::Dot;
///
/// let dot = Dot::new("cart-7", 3).expect("three is not zero");
/// assert_eq!((dot.actor, dot.counter()), ("cart-7", 3));
/// assert_eq!(Dot::new("cart-7", 0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot<A> {
    /// Who did it.
    pub actor: A,
    /// Which of the actor's events it is, from 1.
    pub counter: NonZeroU64,
}

impl<A> Dot<A> {
    /// The `counter`-th event of `actor`; `None` when `counter` is 0, since there is no such event.
    pub fn new(actor: A, counter: u64) -> Option<Self> {
        NonZeroU64::new(counter).map(|counter| Self { actor, counter })
    }

    /// Which of the actor's events it is, from 1, as a plain integer.
    pub const fn counter(&self) -> u64 {
        self.counter.get()
    }

    /// The event of `actor` that follows its first `count`.
    pub(crate) fn after(count: u64, actor: A) -> Result<Self, CounterOverflow> {
        count.checked_add(1).and_then(|counter| Self::new(actor, counter)).ok_or(CounterOverflow)
    }
}

/// An actor's counter is at `u64::MAX`, so it cannot count another event. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterOverflow;

impl fmt::Display for CounterOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the actor's counter is at its maximum; nothing was changed")
    }
}

impl core::error::Error for CounterOverflow {}

/// A run of events by one actor: every counter from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DotRange<A> {
    pub(crate) actor: A,
    pub(crate) first: NonZeroU64,
    pub(crate) last: NonZeroU64,
}

impl<A> DotRange<A> {
    /// The events `first..=last` of `actor`; `None` when `first` is 0 or above `last`.
    pub fn new(actor: A, first: u64, last: u64) -> Option<Self> {
        let (first, last) = (NonZeroU64::new(first)?, NonZeroU64::new(last)?);
        (first <= last).then_some(Self { actor, first, last })
    }

    /// Who did them.
    pub const fn actor(&self) -> &A {
        &self.actor
    }

    /// The counter of the first event.
    pub const fn first(&self) -> u64 {
        self.first.get()
    }

    /// The counter of the last event.
    pub const fn last(&self) -> u64 {
        self.last.get()
    }

    /// How many events it holds; at least 1.
    pub const fn count(&self) -> u64 {
        self.last.get() - self.first.get() + 1
    }

    /// Whether `dot` is one of them.
    pub fn contains(&self, dot: &Dot<A>) -> bool
    where
        A: PartialEq,
    {
        self.actor == dot.actor && self.first <= dot.counter && dot.counter <= self.last
    }

    /// The events one by one. A range read from a peer may be long: [`count`](Self::count) tells first.
    pub fn dots(&self) -> impl Iterator<Item = Dot<A>> + '_
    where
        A: Clone,
    {
        (self.first()..=self.last()).filter_map(|counter| Dot::new(self.actor.clone(), counter))
    }

    /// Whether nothing lies between the first `count` events of the actor and this run.
    pub(crate) fn follows(&self, count: u64) -> bool {
        self.first() - 1 <= count
    }
}

/// The run of this one event.
impl<A> From<Dot<A>> for DotRange<A> {
    fn from(dot: Dot<A>) -> Self {
        Self { actor: dot.actor, first: dot.counter, last: dot.counter }
    }
}
