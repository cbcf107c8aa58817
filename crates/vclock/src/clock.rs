//! The vector clock.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZeroU64;
use core::slice;

use crate::causality;
use crate::entries::{self, Entries, Entry};
use crate::{Causality, CounterOverflow, Dot, DotRange};

/// How many events of each actor a history holds.
///
/// A count of `n` stands for the events 1 to `n` of that actor; an actor never seen counts 0 and takes no
/// room. Two clocks are equal exactly when they stand for the same events, and then they hash and encode
/// alike, in whatever order they were built.
///
/// Clocks are only partly ordered, so there is [`PartialOrd`] and never `Ord`; [`compare`](Self::compare)
/// names the four outcomes. `A` identifies an actor: one writer, which never writes twice under one count.
///
/// A clock is believed. One from a stranger may count `u64::MAX` events of an actor, and whoever merges it can
/// never [count](Self::increment) another for that actor. Nobody has seen more of an actor's events than the
/// actor itself made; so before merging, a node can refuse a clock that counts more of its own events than
/// it does.
///
/// ```
/// use vclock::{Causality, VClock};
///
/// let mut here = VClock::new();
/// here.increment("a")?;
/// let mut there = here.clone();
/// here.increment("a")?;
/// there.increment("b")?;
/// assert_eq!(here.compare(&there), Causality::Concurrent);
///
/// here.merge(&there);
/// assert!(here.dominates(&there));
/// # Ok::<(), vclock::CounterOverflow>(())
/// ```
///
/// A clone of up to four actors copies them; of more, it shares them until either clock changes. A new actor
/// moves those that sort after it: many at once are better collected, or [merged](Self::merge), than added one
/// by one in descending order. Names are best held as `Arc<str>`: the first change after a clone copies the
/// actors, and fifty `String`s cost more than a microsecond.
#[derive(Clone)]
pub struct VClock<A> {
    entries: Entries<A>,
}

impl<A> VClock<A> {
    /// A clock that has seen nothing.
    pub const fn new() -> Self {
        Self { entries: Entries::Zero }
    }

    /// How many actors it has seen.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every actor seen, in order, with its count (never 0).
    pub fn iter(&self) -> Iter<'_, A> {
        Iter(self.entries.iter())
    }

    /// A clock of entries that are sorted by actor, each actor once.
    pub(crate) fn from_sorted(entries: Vec<Entry<A>>) -> Self {
        Self { entries: Entries::from_sorted(entries) }
    }

    /// Where the entry of `actor` is among all entries, or else belongs.
    pub(crate) fn place<Q>(&self, actor: &Q) -> Result<usize, usize>
    where
        A: Borrow<Q> + Ord,
        Q: Ord + ?Sized,
    {
        entries::place(&self.entries, actor)
    }

    pub(crate) fn entries(&self) -> &[Entry<A>] {
        &self.entries
    }
}

impl<A: Ord> VClock<A> {
    /// How many events of `actor` it has seen; 0 for an actor it never met.
    pub fn get<Q>(&self, actor: &Q) -> u64
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        entries::place(&self.entries, actor).map_or(0, |at| self.entries[at].1.get())
    }

    /// Whether it has seen the event.
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        self.get(&dot.actor) >= dot.counter()
    }

    /// How the history seen here relates to the one seen by `other`.
    ///
    /// Trimmed or retired actors are lost to both answers: see [`retire`](Self::retire).
    pub fn compare(&self, other: &Self) -> Causality {
        if self.entries.agree(&other.entries, |mine, theirs| mine == theirs) {
            return Causality::Equal;
        }
        causality::compare(&self.entries, &other.entries)
    }

    /// Whether it has seen everything `other` has: equal or later. Reflexive.
    pub fn descends(&self, other: &Self) -> bool {
        self.entries.agree(&other.entries, |mine, theirs| mine.0 == theirs.0 && mine.1 >= theirs.1)
            || causality::includes(&self.entries, &other.entries)
    }

    /// Whether it has seen everything `other` has, and something more.
    pub fn dominates(&self, other: &Self) -> bool {
        self.compare(other) == Causality::After
    }

    /// Whether each has seen something the other has not.
    pub fn is_concurrent(&self, other: &Self) -> bool {
        self.compare(other) == Causality::Concurrent
    }
}

impl<A: Ord + Clone> VClock<A> {
    /// Counts one more event of `actor`, and returns that event.
    ///
    /// # Errors
    /// When the count is at `u64::MAX`. The clock is unchanged.
    #[inline]
    pub fn increment(&mut self, actor: A) -> Result<Dot<A>, CounterOverflow> {
        let counter = match self.entries.count_mut(&actor) {
            Ok(count) => raised(count)?,
            Err(at) => {
                self.entries.insert(at, (actor.clone(), NonZeroU64::MIN));
                NonZeroU64::MIN
            }
        };
        Ok(Dot { actor, counter })
    }

    /// Counts one more event of `actor`, and returns its counter: [`increment`](Self::increment) for actors
    /// that are costly to copy, which it does only for one that is new to the clock.
    ///
    /// # Errors
    /// When the count is at `u64::MAX`. The clock is unchanged.
    #[inline]
    pub fn increment_ref<Q>(&mut self, actor: &Q) -> Result<NonZeroU64, CounterOverflow>
    where
        A: Borrow<Q>,
        Q: Ord + ToOwned<Owned = A> + ?Sized,
    {
        match self.entries.count_mut(actor) {
            Ok(count) => raised(count),
            Err(at) => {
                self.entries.insert(at, (actor.to_owned(), NonZeroU64::MIN));
                Ok(NonZeroU64::MIN)
            }
        }
    }

    /// The event that [`increment`](Self::increment) would count, without counting it.
    ///
    /// # Errors
    /// When the count is at `u64::MAX`.
    pub fn next_dot(&self, actor: A) -> Result<Dot<A>, CounterOverflow> {
        Dot::after(self.get(&actor), actor)
    }

    /// Counts `dot` and all earlier events of its actor as seen. Returns whether any of them was new.
    pub fn witness(&mut self, dot: Dot<A>) -> bool {
        match self.place(&dot.actor) {
            Ok(at) => {
                let new = self.entries[at].1 < dot.counter;
                if new {
                    self.entries.make_mut()[at].1 = dot.counter;
                }
                new
            }
            Err(at) => {
                self.entries.insert(at, (dot.actor, dot.counter));
                true
            }
        }
    }

    /// Sees everything `other` has seen: the least clock that descends both. Returns whether any of it was
    /// new. Allocates only when actors are added, or when the entries are shared with a clone and change.
    pub fn merge(&mut self, other: &Self) -> bool {
        self.entries.merge(&other.entries)
    }

    /// Forgets all events of `actor`, and returns how many those were.
    ///
    /// Clocks that counted as many events of `actor`, and that have all retired it, compare as they did before.
    /// On the way there it has a price. Beside a clock that still counts the actor, a retired one is no longer
    /// later but concurrent, and no longer equal but earlier; and merging with such a clock brings the entry
    /// back. So first let every clock see the actor's last event, those on their way and those of readers
    /// included, and then retire it everywhere. Where some had not seen that event, a conflict with it
    /// is hidden from then on. An actor that writes again after all counts from 1, and to every clock that
    /// still counts it that is nothing new.
    ///
    /// ```
    /// use vclock::{Causality, VClock};
    ///
    /// let mut here: VClock<&str> = [("ash", 4), ("gone", 7)].into_iter().collect();
    /// let mut there = here.clone();
    /// here.increment("ash")?;
    /// assert_eq!(here.retire("gone"), 7);
    /// assert_eq!(here.compare(&there), Causality::Concurrent); // until it is retired there as well
    /// there.retire("gone");
    /// assert_eq!(here.compare(&there), Causality::After);
    /// # Ok::<(), vclock::CounterOverflow>(())
    /// ```
    pub fn retire<Q>(&mut self, actor: &Q) -> u64
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        entries::place(&self.entries, actor).map_or(0, |at| self.entries.remove(at).1.get())
    }

    /// What both have seen: the greatest clock that both descend.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let entries = causality::join(&self.entries, &other.entries)
            .filter_map(|(actor, left, right)| Some((actor.clone(), NonZeroU64::new(left.min(right))?)))
            .collect();
        Self { entries: Entries::from_sorted(entries) }
    }

    /// The events seen here and not by `other`: what `other` would have to be told. At most one range an
    /// actor, in order of actors.
    pub fn missing_from<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = DotRange<A>> + 'a {
        causality::join(&self.entries, &other.entries).filter_map(|(actor, here, there)| {
            (here > there).then(|| DotRange::new(actor.clone(), there.saturating_add(1), here))?
        })
    }
}

#[inline]
fn raised(count: &mut NonZeroU64) -> Result<NonZeroU64, CounterOverflow> {
    *count = count.checked_add(1).ok_or(CounterOverflow)?;
    Ok(*count)
}

impl<A> Default for VClock<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: PartialEq> PartialEq for VClock<A> {
    fn eq(&self, other: &Self) -> bool {
        self.entries.agree(&other.entries, |mine, theirs| mine == theirs) || *self.entries == *other.entries
    }
}

impl<A: Eq> Eq for VClock<A> {}

impl<A: Hash> Hash for VClock<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entries.hash(state);
    }
}

impl<A: fmt::Debug> fmt::Debug for VClock<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// The causal order: less is part of the other's past, `None` is concurrent.
impl<A: Ord> PartialOrd for VClock<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.compare(other).ordering()
    }
}

/// The actors' counts, in any order. Of an actor given twice the higher count stays; a count of 0 adds
/// nothing.
impl<A: Ord> FromIterator<(A, u64)> for VClock<A> {
    fn from_iter<I: IntoIterator<Item = (A, u64)>>(counts: I) -> Self {
        counts.into_iter().filter_map(|(actor, count)| Dot::new(actor, count)).collect()
    }
}

/// The least clock that has seen all of the events.
impl<A: Ord> FromIterator<Dot<A>> for VClock<A> {
    fn from_iter<I: IntoIterator<Item = Dot<A>>>(dots: I) -> Self {
        let mut entries: Vec<Entry<A>> = dots.into_iter().map(|dot| (dot.actor, dot.counter)).collect();
        entries.sort_unstable();
        entries.dedup_by(|next, kept| {
            let again = next.0 == kept.0;
            if again {
                kept.1 = next.1;
            }
            again
        });
        Self::from_sorted(entries)
    }
}

impl<'a, A> IntoIterator for &'a VClock<A> {
    type Item = (&'a A, u64);
    type IntoIter = Iter<'a, A>;

    fn into_iter(self) -> Iter<'a, A> {
        self.iter()
    }
}

/// The actors of a [`VClock`] in order, with their counts. From [`VClock::iter`].
#[derive(Clone, Debug)]
pub struct Iter<'a, A>(slice::Iter<'a, Entry<A>>);

impl<'a, A> Iterator for Iter<'a, A> {
    type Item = (&'a A, u64);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(actor, count)| (actor, count.get()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<A> ExactSizeIterator for Iter<'_, A> {}
