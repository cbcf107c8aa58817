//! Walks along the ring: points in order, and the distinct nodes clockwise from a key.

use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use crate::layout::Token;
use crate::node::RingNode;
use crate::owners::Slot;
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
        self.lap(self.inner.points.position(token.get()))
    }

    fn lap(&self, start: usize) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        let (inner, len) = (&*self.inner, self.point_count());
        (0..len).map(move |step| {
            let position = if start + step < len { start + step } else { start + step - len };
            let node = inner.members.node(inner.points.slot(position)).expect("points belong to members");
            Point { token: Token::new(inner.points.point(position)), node }
        })
    }

    /// Distinct nodes clockwise from a key, `count` of them or as many as have points: the owner first, and
    /// `replicas(key, r)` is where `replicas(key, r + 1)` begins.
    ///
    /// Lazy: three nodes of a thousand take three steps along the points, rarely a fourth. Beyond 16 nodes it
    /// allocates one bit for every node of the ring; up to 16 it allocates nothing.
    #[inline]
    pub fn replicas(&self, key: &[u8], count: usize) -> Replicas<'_, N> {
        self.replicas_at(self.token(key), count)
    }

    /// Distinct nodes clockwise from a token.
    #[inline]
    pub fn replicas_at(&self, token: Token, count: usize) -> Replicas<'_, N> {
        let inner = &*self.inner;
        Replicas {
            inner,
            position: inner.points.position(token.get()),
            left: count.min(inner.members.placed()),
            seen: Seen::new(),
        }
    }
}

/// Distinct nodes along the ring. See [`HashRing::replicas`].
#[must_use = "iterators are lazy"]
pub struct Replicas<'a, N> {
    inner: &'a Inner<N>,
    position: usize,
    left: usize,
    seen: Seen,
}

impl<'a, N: RingNode> Iterator for Replicas<'a, N> {
    type Item = &'a N;

    #[inline]
    fn next(&mut self) -> Option<&'a N> {
        if self.left == 0 {
            return None;
        }
        // Ends: as many nodes as are left have points that have not been passed.
        loop {
            let slot = self.inner.points.slot(self.position);
            self.position += 1;
            if self.position >= self.inner.points.len() {
                self.position = 0;
            }
            if self.seen.insert(slot, self.inner.members.len()) {
                self.left -= 1;
                return self.inner.members.node(slot);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<N: RingNode> ExactSizeIterator for Replicas<'_, N> {}

impl<N: RingNode> FusedIterator for Replicas<'_, N> {}

impl<N> Clone for Replicas<'_, N> {
    fn clone(&self) -> Self {
        Replicas { inner: self.inner, position: self.position, left: self.left, seen: self.seen.clone() }
    }
}

impl<N: RingNode + fmt::Debug> fmt::Debug for Replicas<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Which slots a walk has met: a short list, and from its end on a bit for each.
#[derive(Clone)]
struct Seen {
    count: usize,
    first: [Slot; SEEN_INLINE],
    bits: Vec<u64>,
}

impl Seen {
    fn new() -> Self {
        Seen { count: 0, first: [0; SEEN_INLINE], bits: Vec::new() }
    }

    /// Whether the slot, one of `slots`, is met for the first time.
    #[inline]
    fn insert(&mut self, slot: Slot, slots: usize) -> bool {
        if self.count >= SEEN_INLINE {
            return self.insert_bit(slot, slots);
        }
        if self.first[..self.count].contains(&slot) {
            return false;
        }
        self.first[self.count] = slot;
        self.count += 1;
        true
    }

    #[cold]
    fn insert_bit(&mut self, slot: Slot, slots: usize) -> bool {
        if self.bits.is_empty() {
            self.bits.resize(slots.div_ceil(64), 0);
            for slot in self.first {
                self.bits[slot as usize / 64] |= 1 << (slot % 64);
            }
        }
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }
}

/// More replicas than anyone keeps of a key.
const SEEN_INLINE: usize = 16;
