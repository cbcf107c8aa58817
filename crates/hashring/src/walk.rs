//! Walks along the ring: points in order, and the distinct nodes clockwise from a key.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use crate::cells::{AHEAD, Slot};
use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::{HashRing, Inner};

/// A point: a position, and the node that owns the tokens from the point before it up to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point<'a, N> {
    /// Where the point is.
    pub token: Token,
    /// Whose it is.
    pub node: &'a N,
}

impl<N: RingNode> HashRing<N> {
    /// All points, in ascending order; with `.rev()`, descending.
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        self.lap(0)
    }

    /// All points once, clockwise from the first one at or after the token; with `.rev()`, the same ones from the
    /// last, which is the one before the token, counterclockwise.
    pub fn points_from(
        &self,
        token: Token,
    ) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        self.lap(self.inner.points.successor(token.get()))
    }

    fn lap(&self, start: usize) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        let (inner, len) = (&*self.inner, self.point_count());
        (0..len).map(move |step| {
            let position = if start + step < len { start + step } else { start + step - len };
            let node = inner.members.node(inner.points.slot(position)).expect("points belong to members");
            Point { token: Token::new(inner.points.as_slice()[position]), node }
        })
    }

    /// Distinct nodes clockwise from a key, `count` of them or as many as have points: the owner first, and
    /// `replicas(key, r)` is where `replicas(key, r + 1)` begins.
    ///
    /// Lazy: three nodes of a thousand take three steps along the points, rarely a fourth. A walk of
    /// more than 32 points allocates one bit for every node of the ring; a shorter one allocates nothing.
    #[inline]
    pub fn replicas(&self, key: &[u8], count: usize) -> Replicas<'_, N> {
        self.replicas_at(self.token(key), count)
    }

    /// Distinct nodes clockwise from a token.
    #[inline]
    pub fn replicas_at(&self, token: Token, count: usize) -> Replicas<'_, N> {
        let inner = &*self.inner;
        let start = inner.points.successor(token.get());
        let ahead = inner.points.ahead(start);
        let left = count.min(inner.members.placed());
        Replicas { inner, left, start, walked: 0, ahead, new: first_of_each(ahead), met: Vec::new() }
    }
}

/// Distinct nodes along the ring. See [`HashRing::replicas`].
#[must_use = "iterators are lazy"]
pub struct Replicas<'a, N> {
    inner: &'a Inner<N>,
    left: usize,
    /// The index of the first point, and how many have been walked before those ahead.
    start: usize,
    walked: usize,
    /// The slots of the next points, and a bit for each of those that are met for the first time and not yet told.
    ahead: [Slot; AHEAD],
    new: u32,
    /// A bit for each slot, once the walk is too long to look back along it.
    met: Vec<u64>,
}

impl<'a, N: RingNode> Iterator for Replicas<'a, N> {
    type Item = &'a N;

    #[inline]
    fn next(&mut self) -> Option<&'a N> {
        if self.left == 0 {
            return None;
        }
        if self.new == 0 {
            self.walk_on();
        }
        let slot = self.ahead[self.new.trailing_zeros() as usize % AHEAD];
        self.new &= self.new - 1;
        self.left -= 1;
        self.inner.members.node(slot)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<N: RingNode> Replicas<'_, N> {
    /// Walks until a node is met for the first time. Ends: as many nodes as are left have points not yet walked.
    #[cold]
    fn walk_on(&mut self) {
        while self.new == 0 {
            self.walked += AHEAD;
            self.ahead = self.slots_after(self.walked);
            let mut new = first_of_each(self.ahead);
            for (ix, slot) in self.ahead.into_iter().enumerate() {
                if new & 1 << ix != 0 && !self.meet(slot) {
                    new ^= 1 << ix;
                }
            }
            self.new = new;
        }
    }

    /// The slots so many steps after the first, less than a lap.
    fn slots_after(&self, steps: usize) -> [Slot; AHEAD] {
        let (ix, len) = (self.start + steps, self.inner.points.len());
        self.inner.points.ahead(if ix < len { ix } else { ix - len })
    }

    fn slots_walked(&self) -> impl Iterator<Item = Slot> {
        (0..self.walked).step_by(AHEAD).flat_map(|steps| self.slots_after(steps))
    }

    /// Whether a slot ahead is met for the first time.
    fn meet(&mut self, slot: Slot) -> bool {
        if self.walked < LOOK_BACK {
            return self.slots_walked().all(|met| met != slot);
        }
        if self.met.is_empty() {
            let mut met = vec![0; self.inner.members.len().div_ceil(64)];
            self.slots_walked().for_each(|slot| met[slot as usize / 64] |= 1 << (slot % 64));
            self.met = met;
        }
        let (word, bit) = (&mut self.met[slot as usize / 64], 1 << (slot % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// A bit for each slot that is not among those before it.
#[inline]
fn first_of_each([a, b, c, d]: [Slot; AHEAD]) -> u32 {
    1 | u32::from(b != a) << 1
        | u32::from((c != a) & (c != b)) << 2
        | u32::from((d != a) & (d != b) & (d != c)) << 3
}

impl<N: RingNode> ExactSizeIterator for Replicas<'_, N> {}

impl<N: RingNode> FusedIterator for Replicas<'_, N> {}

impl<N> Clone for Replicas<'_, N> {
    fn clone(&self) -> Self {
        Replicas { met: self.met.clone(), ..*self }
    }
}

impl<N: RingNode + fmt::Debug> fmt::Debug for Replicas<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// How many points a walk looks back along before it notes what it has met: up to here that is as fast, and needs no
/// memory.
const LOOK_BACK: usize = 32;
