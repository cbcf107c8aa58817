//! How two histories relate, and the walk that finds out.

use core::cmp::Ordering;
use core::iter::Peekable;
use core::slice;

use crate::Dot;
use crate::entries::Entry;

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

/// What a clock would learn from another.
pub(crate) enum News {
    None,
    /// More events, all of actors it knows.
    Counts,
    /// At least one actor it does not know.
    Actors,
}

/// Whether every event counted in `right` is counted in `left`. Both are sorted by actor.
pub(crate) fn includes<A: Ord>(left: &[Entry<A>], right: &[Entry<A>]) -> bool {
    if left.len() < right.len() {
        return false;
    }
    let at = in_step(left, right, |mine, theirs| (mine.0 == theirs.0) & (mine.1 >= theirs.1));
    if at == right.len() {
        return true;
    }
    let mut candidates = left[at..].iter();
    right[at..].iter().all(|(actor, needed)| {
        let found = candidates.find(|(candidate, _)| candidate >= actor);
        found.is_some_and(|(candidate, seen)| candidate == actor && seen >= needed)
    })
}

/// How the history counted in `left` relates to the one in `right`. Both are sorted by actor.
pub(crate) fn compare<A: Ord>(left: &[Entry<A>], right: &[Entry<A>]) -> Causality {
    let at = in_step(left, right, |mine, theirs| mine == theirs);
    let (left, right) = (&left[at..], &right[at..]);
    if left.is_empty() || right.is_empty() {
        return Causality::of(right.is_empty(), left.is_empty());
    }
    // Where they first differ one of the two fails at once, so this is hardly more than one pass.
    Causality::of(includes(left, right), includes(right, left))
}

/// For how many leading entries `holds` of the pair that stands at the same place.
///
/// Clocks of one history mostly know the same actors, so most comparisons are decided here, without any
/// search, and a few entries at a time, without a branch between them.
#[inline]
fn in_step<A>(left: &[Entry<A>], right: &[Entry<A>], holds: impl Fn(&Entry<A>, &Entry<A>) -> bool) -> usize {
    const STRIDE: usize = 4;
    let shorter = left.len().min(right.len());
    let (left, right) = (&left[..shorter], &right[..shorter]);
    let all = |(left, right): (&[Entry<A>; STRIDE], &[Entry<A>; STRIDE])| {
        (0..STRIDE).fold(true, |so_far, at| so_far & holds(&left[at], &right[at]))
    };
    let strides = left.as_chunks().0.iter().zip(right.as_chunks().0);
    let from = STRIDE * strides.take_while(|pair| all(*pair)).count();
    let rest = left[from..].iter().zip(&right[from..]);
    from + rest.take_while(|(left, right)| holds(left, right)).count()
}

/// What `mine` would learn from `theirs`. Both are sorted by actor.
pub(crate) fn news<A: Ord>(mine: &[Entry<A>], theirs: &[Entry<A>]) -> News {
    let mut candidates = mine.iter();
    let mut news = News::None;
    for (actor, count) in theirs {
        match candidates.find(|(candidate, _)| candidate >= actor) {
            Some((candidate, own)) if candidate == actor => {
                if own < count {
                    news = News::Counts;
                }
            }
            _ => return News::Actors,
        }
    }
    news
}

/// Looks up events in entries that are sorted by actor, as these are: each search starts where the last one ended,
/// and leaps twice as far with every leap, after Bentley and Yao, *An Almost Optimal Algorithm for Unbounded
/// Searching* (1976). So as many lookups as entries cost as much as a walk, and a few among many hardly anything.
pub(crate) struct Walk<'a, A> {
    ahead: &'a [Entry<A>],
}

impl<'a, A: Ord> Walk<'a, A> {
    pub(crate) fn new(entries: &'a [Entry<A>]) -> Self {
        Self { ahead: entries }
    }

    /// Whether the event is counted; its actor may not be lower than the one asked for before.
    pub(crate) fn contains(&mut self, dot: &Dot<A>) -> bool {
        let mut beyond = 1;
        while self.ahead.get(beyond).is_some_and(|(actor, _)| *actor <= dot.actor) {
            beyond *= 2;
        }
        let (from, to) = (beyond / 2, beyond.min(self.ahead.len()));
        let at = from + self.ahead[from..to].partition_point(|(actor, _)| *actor < dot.actor);
        self.ahead = &self.ahead[at..];
        self.ahead.first().is_some_and(|(actor, count)| *actor == dot.actor && dot.counter <= *count)
    }
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
