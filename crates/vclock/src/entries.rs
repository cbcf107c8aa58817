//! Where a clock keeps its entries, and how it takes in another's.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::mem;
use core::num::NonZeroU64;
use core::ops::Deref;

use crate::causality::{self, News};

/// An actor and how many of its events a clock has seen.
pub(crate) type Entry<A> = (A, NonZeroU64);

/// Entries sorted by actor, each actor once.
///
/// Up to four stand in place: most clocks are that small, and copying them must not allocate. More are shared
/// between clones until one of them changes, since a context is cloned for every read and then mostly thrown
/// away. A variant per length, rather than a length and room for four, lets a copy be a plain one.
#[derive(Clone)]
pub(crate) enum Entries<A> {
    Zero,
    One([Entry<A>; 1]),
    Two([Entry<A>; 2]),
    Three([Entry<A>; 3]),
    Four([Entry<A>; 4]),
    /// Five or more, and the place last [asked for](Entries::count_mut).
    Many(Arc<Vec<Entry<A>>>, usize),
}

const FEW: usize = 4;

impl<A> Deref for Entries<A> {
    type Target = [Entry<A>];

    #[inline]
    fn deref(&self) -> &[Entry<A>] {
        match self {
            Self::Zero => &[],
            Self::One(entries) => entries,
            Self::Two(entries) => entries,
            Self::Three(entries) => entries,
            Self::Four(entries) => entries,
            Self::Many(entries, _) => entries,
        }
    }
}

impl<A> Entries<A> {
    pub(crate) fn from_sorted(entries: Vec<Entry<A>>) -> Self {
        match entries.len() {
            0 => Self::Zero,
            1 => Self::One(exactly(entries)),
            2 => Self::Two(exactly(entries)),
            3 => Self::Three(exactly(entries)),
            4 => Self::Four(exactly(entries)),
            _ => Self::Many(Arc::new(entries), 0),
        }
    }

    /// A quick yes to whether `holds` of every two entries at the same place, if it holds of equal ones.
    ///
    /// Most clocks compared are small and know the same actors, or are clones that never changed.
    #[inline]
    pub(crate) fn agree(&self, other: &Self, holds: impl Fn(&Entry<A>, &Entry<A>) -> bool) -> bool {
        match (self, other) {
            (Self::Zero, Self::Zero) => true,
            (Self::One(mine), Self::One(theirs)) => pairwise(mine, theirs, holds),
            (Self::Two(mine), Self::Two(theirs)) => pairwise(mine, theirs, holds),
            (Self::Three(mine), Self::Three(theirs)) => pairwise(mine, theirs, holds),
            (Self::Four(mine), Self::Four(theirs)) => pairwise(mine, theirs, holds),
            (Self::Many(mine, _), Self::Many(theirs, _)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }
}

impl<A: Clone> Entries<A> {
    /// The entries, to raise counts: actors must stay as they are.
    #[inline]
    pub(crate) fn make_mut(&mut self) -> &mut [Entry<A>] {
        match self {
            Self::Zero => &mut [],
            Self::One(entries) => entries,
            Self::Two(entries) => entries,
            Self::Three(entries) => entries,
            Self::Four(entries) => entries,
            Self::Many(entries, _) => Arc::make_mut(entries).as_mut_slice(),
        }
    }

    /// Adds an entry at the place that keeps the order.
    pub(crate) fn insert(&mut self, at: usize, entry: Entry<A>) {
        *self = match mem::replace(self, Self::Zero) {
            Self::Zero => Self::One([entry]),
            Self::One([a]) => Self::Two(last_to(at, [a, entry])),
            Self::Two([a, b]) => Self::Three(last_to(at, [a, b, entry])),
            Self::Three([a, b, c]) => Self::Four(last_to(at, [a, b, c, entry])),
            Self::Four([a, b, c, d]) => Self::Many(Arc::new(last_to(at, [a, b, c, d, entry]).into()), at),
            Self::Many(mut entries, _) => {
                Arc::make_mut(&mut entries).insert(at, entry);
                Self::Many(entries, at)
            }
        };
    }

    pub(crate) fn remove(&mut self, at: usize) -> Entry<A> {
        let mut entries = match mem::replace(self, Self::Zero) {
            Self::Many(entries, _) => Arc::unwrap_or_clone(entries),
            few => few.to_vec(),
        };
        let entry = entries.remove(at);
        *self = Self::from_sorted(entries);
        entry
    }
}

impl<A: Ord + Clone> Entries<A> {
    /// The count of `actor`, to raise it, or else the place where its entry belongs. Of many, the one asked
    /// for last is tried first: a node mostly counts its own events.
    #[inline]
    pub(crate) fn count_mut<Q>(&mut self, actor: &Q) -> Result<&mut NonZeroU64, usize>
    where
        A: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (entries, at) = match self {
            Self::Many(entries, last) => {
                if entries.get(*last).is_none_or(|(candidate, _)| candidate.borrow() != actor) {
                    *last = place(entries, actor)?;
                }
                (Arc::make_mut(entries).as_mut_slice(), *last)
            }
            few => {
                let entries = few.make_mut();
                let at = place(entries, actor)?;
                (entries, at)
            }
        };
        Ok(&mut entries[at].1)
    }

    /// Takes in every event of `theirs`; returns whether any was new.
    pub(crate) fn merge(&mut self, theirs: &Self) -> bool {
        if self.agree(theirs, |mine, theirs| mine.0 == theirs.0 && mine.1 >= theirs.1) {
            return false;
        }
        if theirs.len() <= FEW {
            return self.merge_few(theirs);
        }
        match causality::news(self, theirs) {
            News::None => return false,
            News::Counts => raise(self.make_mut(), theirs),
            News::Actors => {
                *self = match mem::replace(self, Self::Zero) {
                    Self::Many(mine, _) => match Arc::try_unwrap(mine) {
                        Ok(mine) => union(mine.into_iter(), theirs),
                        Err(mine) => union(mine.iter().cloned(), theirs),
                    },
                    mine => union(mine.iter().cloned(), theirs),
                };
            }
        }
        true
    }

    /// One search for each entry: no copy of a long `self` for a short `theirs`.
    fn merge_few(&mut self, theirs: &[Entry<A>]) -> bool {
        let (mut changed, mut from) = (false, 0);
        for (actor, count) in theirs {
            match place(&self[from..], actor) {
                Ok(ahead) => {
                    from += ahead;
                    if self[from].1 < *count {
                        self.make_mut()[from].1 = *count;
                        changed = true;
                    }
                }
                Err(ahead) => {
                    from += ahead;
                    self.insert(from, (actor.clone(), *count));
                    changed = true;
                }
            }
            from += 1;
        }
        changed
    }
}

/// Where the entry of `actor` is, or else belongs.
#[inline]
pub(crate) fn place<A, Q>(entries: &[Entry<A>], actor: &Q) -> Result<usize, usize>
where
    A: Borrow<Q>,
    Q: Ord + ?Sized,
{
    if entries.len() <= FEW {
        return place_among_few(entries, actor);
    }
    if mem::needs_drop::<A>() {
        return place_guessing(entries, actor);
    }
    entries.binary_search_by(|(candidate, _)| candidate.borrow().cmp(actor))
}

/// Halving a few takes more than it saves, and being equal is found out sooner than being less.
#[inline]
fn place_among_few<A, Q>(entries: &[Entry<A>], actor: &Q) -> Result<usize, usize>
where
    A: Borrow<Q>,
    Q: Ord + ?Sized,
{
    match entries.iter().position(|(candidate, _)| candidate.borrow() == actor) {
        Some(at) => Ok(at),
        None => Err(entries.iter().take_while(|(candidate, _)| candidate.borrow() < actor).count()),
    }
}

/// The standard library's search takes every step, and waits for each comparison to know the next. Where actors
/// own memory, as strings do, comparing costs more than now and then having guessed wrong.
fn place_guessing<A, Q>(entries: &[Entry<A>], actor: &Q) -> Result<usize, usize>
where
    A: Borrow<Q>,
    Q: Ord + ?Sized,
{
    let (mut from, mut to) = (0, entries.len());
    while from < to {
        let middle = from + (to - from) / 2;
        match entries[middle].0.borrow().cmp(actor) {
            Ordering::Less => from = middle + 1,
            Ordering::Equal => return Ok(middle),
            Ordering::Greater => to = middle,
        }
    }
    Err(from)
}

/// Raises the counts of `mine` to those of `theirs`, all of whose actors are among mine.
fn raise<A: Ord>(mine: &mut [Entry<A>], theirs: &[Entry<A>]) {
    let mut mine = mine.iter_mut();
    for (actor, count) in theirs {
        if let Some((_, own)) = mine.find(|(candidate, _)| candidate == actor) {
            *own = (*own).max(*count);
        }
    }
}

/// The entries of both, the higher count of an actor that both have.
fn union<A: Ord + Clone>(mine: impl ExactSizeIterator<Item = Entry<A>>, theirs: &[Entry<A>]) -> Entries<A> {
    let mut entries = Vec::with_capacity(mine.len() + theirs.len());
    let mut next = 0;
    for (actor, mut count) in mine {
        while next < theirs.len() && theirs[next].0 < actor {
            entries.push(theirs[next].clone());
            next += 1;
        }
        if next < theirs.len() && theirs[next].0 == actor {
            count = count.max(theirs[next].1);
            next += 1;
        }
        entries.push((actor, count));
    }
    entries.extend_from_slice(&theirs[next..]);
    Entries::from_sorted(entries)
}

#[inline]
fn pairwise<T, const N: usize>(left: &[T; N], right: &[T; N], holds: impl Fn(&T, &T) -> bool) -> bool {
    left.iter().zip(right).all(|(left, right)| holds(left, right))
}

/// The same with the last one moved to `at`, and those from there on behind it.
#[inline]
fn last_to<T, const N: usize>(at: usize, mut entries: [T; N]) -> [T; N] {
    for ix in (at + 1..N).rev() {
        entries.swap(ix - 1, ix);
    }
    entries
}

fn exactly<T, const N: usize>(entries: Vec<T>) -> [T; N] {
    match entries.try_into() {
        Ok(entries) => entries,
        Err(_) => unreachable!("the length was looked at"),
    }
}
