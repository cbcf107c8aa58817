//! How two histories relate, and the walk that finds out.

use core::cmp::Ordering;
use core::iter::Peekable;
use core::num::NonZeroU64;
use core::slice;

/// An actor and how many of its events a clock has seen.
pub(crate) type Entry<A> = (A, NonZeroU64);

/// How one history relates to another. [`VClock::compare`](crate::VClock::compare) answers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Causality {
    /// Both saw the same events: either may be kept.
    Equal,
    /// The left one is part of the right one's past: the right one replaces it.
    Before,
    /// The right one is part of the left one's past: the left one replaces it.
    After,
    /// Each saw an event the other did not: a conflict, which only the application can settle.
    Concurrent,
}

impl Causality {
    /// The same relation seen from the other side: swaps `Before` and `After`.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            Self::Equal | Self::Concurrent => self,
        }
    }

    /// The relation as [`PartialOrd`] puts it: `None` when concurrent.
    #[must_use]
    pub const fn ordering(self) -> Option<Ordering> {
        match self {
            Self::Equal => Some(Ordering::Equal),
            Self::Before => Some(Ordering::Less),
            Self::After => Some(Ordering::Greater),
            Self::Concurrent => None,
        }
    }

    /// The relation of two histories given which of them includes the other.
    pub(crate) const fn of(left_includes_right: bool, right_includes_left: bool) -> Self {
        match (left_includes_right, right_includes_left) {
            (true, true) => Self::Equal,
            (false, true) => Self::Before,
            (true, false) => Self::After,
            (false, false) => Self::Concurrent,
        }
    }
}

/// Whether every event counted in `right` is counted in `left`. Both are sorted by actor.
pub(crate) fn includes<A: Ord>(left: &[Entry<A>], right: &[Entry<A>]) -> bool {
    if left.len() < right.len() {
        return false;
    }
    let mut candidates = left.iter();
    right.iter().all(|(actor, needed)| {
        candidates
            .by_ref()
            .find(|(candidate, _)| candidate >= actor)
            .is_some_and(|(candidate, seen)| candidate == actor && seen >= needed)
    })
}

/// How the history counted in `left` relates to the one in `right`. Both are sorted by actor.
pub(crate) fn compare<A: Ord>(left: &[Entry<A>], right: &[Entry<A>]) -> Causality {
    Causality::of(includes(left, right), includes(right, left))
}

/// Walks two sorted slices as one: every actor of either, with its count on each side, 0 where absent.
pub(crate) fn join<'a, A: Ord>(left: &'a [Entry<A>], right: &'a [Entry<A>]) -> Join<'a, A> {
    Join { left: left.iter().peekable(), right: right.iter().peekable() }
}

pub(crate) struct Join<'a, A> {
    left: Peekable<slice::Iter<'a, Entry<A>>>,
    right: Peekable<slice::Iter<'a, Entry<A>>>,
}

impl<'a, A: Ord> Iterator for Join<'a, A> {
    type Item = (&'a A, u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.left.peek(), self.right.peek()) {
            (Some((left, _)), Some((right, _))) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let left = if order.is_le() { self.left.next() } else { None };
        let right = if order.is_ge() { self.right.next() } else { None };
        let count = |entry: Option<&Entry<A>>| entry.map_or(0, |(_, count)| count.get());
        let (actor, _) = left.or(right)?;
        Some((actor, count(left), count(right)))
    }
}
