//! Distinct nodes along the ring: who keeps a key, and its copies.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use crate::cells::{AHEAD, Slot};
use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::{HashRing, Inner};

impl<N: RingNode> HashRing<N> {
    /// Distinct nodes clockwise from a key, `count` of them or as many as have points: the owner first, and
    /// `replicas(key, r)` is where `replicas(key, r + 1)` begins.
    ///
    /// Lazy: three nodes of a thousand take three steps along the points, rarely a fourth. A walk of more than 32 points
    /// allocates one bit for every node of the ring; a shorter one allocates nothing.
    #[inline]
    pub fn replicas(&self, key: &[u8], count: usize) -> Replicas<'_, N> {
        self.replicas_at(self.token(key), count)
    }

    /// Distinct nodes clockwise from a token.
    #[inline]
    pub fn replicas_at(&self, token: Token, count: usize) -> Replicas<'_, N> {
        let (start, ahead) = self.inner.points.find_ahead(token.get());
        Replicas::new(&self.inner, start, ahead, count, Direction::Clockwise)
    }

    /// Distinct nodes counterclockwise from a key: those of the points before it, the nearest first. The key's owner
    /// comes in its turn, as any other.
    pub fn replicas_back(&self, key: &[u8], count: usize) -> Replicas<'_, N> {
        let points = &self.inner.points;
        let successor = points.successor(self.token(key).get());
        let start = successor.checked_sub(1).unwrap_or(points.len().saturating_sub(1));
        Replicas::new(&self.inner, start, points.behind(start), count, Direction::Counterclockwise)
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
    direction: Direction,
}

#[derive(Clone, Copy)]
enum Direction {
    Clockwise,
    Counterclockwise,
}

impl<'a, N: RingNode> Iterator for Replicas<'a, N> {
    type Item = &'a N;

    #[inline]
    fn next(&mut self) -> Option<&'a N> {
        self.inner.members.node(self.next_slot()?)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    /// Keeps what lies ahead in registers until it is told, which `next` cannot.
    #[inline]
    fn fold<B, F: FnMut(B, &'a N) -> B>(mut self, init: B, mut f: F) -> B {
        let (mut told, mut new, mut left) = (init, self.new, self.left);
        while new != 0 && left > 0 {
            let slot = self.ahead[new.trailing_zeros() as usize % AHEAD];
            if let Some(node) = self.inner.members.node(slot) {
                told = f(told, node);
            }
            new &= new - 1;
            left -= 1;
        }
        (self.new, self.left) = (new, left);
        for node in self {
            told = f(told, node);
        }
        told
    }
}

impl<'a, N: RingNode> Replicas<'a, N> {
    #[inline]
    fn new(
        inner: &'a Inner<N>,
        start: usize,
        ahead: [Slot; AHEAD],
        count: usize,
        direction: Direction,
    ) -> Self {
        let left = count.min(inner.members.placed());
        let new = first_of_each(ahead);
        Replicas { inner, left, start, walked: 0, ahead, new, met: Vec::new(), direction }
    }

    #[inline]
    pub(crate) fn next_slot(&mut self) -> Option<Slot> {
        if self.left == 0 {
            return None;
        }
        if self.new == 0 {
            self.walk_on();
        }
        let slot = self.ahead[self.new.trailing_zeros() as usize % AHEAD];
        self.new &= self.new - 1;
        self.left -= 1;
        Some(slot)
    }

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
        let (points, len) = (&self.inner.points, self.inner.points.len());
        match self.direction {
            Direction::Clockwise => points.ahead((self.start + steps) % len),
            Direction::Counterclockwise => points.behind((self.start + len - steps) % len),
        }
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
