//! A partition table: the ring as fixed slots, one load for a lookup, no node over its capacity.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::balance::{Balance, Fraction};
use crate::cells::Slot;
use crate::error::RingError;
use crate::layout::Token;
use crate::node::RingNode;
use crate::placement::LoadFactor;
use crate::points::Points;
use crate::range::TokenRange;
use crate::ring::HashRing;

/// 2^bits equal stretches of the ring, each with an owner.
///
/// A stretch belongs to the first node clockwise from its start that has room for it. So load is as even as the factor
/// says, and a lookup is a hash and one load. The price: when a node comes or goes, stretches of others move as well,
/// because whoever is pushed out of one pushes others out of the next. [`moves`](Self::moves) says which. Equal rings
/// give equal tables.
#[derive(Clone)]
pub struct PartitionTable<N> {
    ring: HashRing<N>,
    bits: u32,
    owners: Box<[Slot]>,
}

/// A stretch of a table that changes hands.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionMove<'a, N> {
    /// Which stretch: the top bits of its tokens.
    pub partition: usize,
    /// Its owner before.
    pub from: &'a N,
    /// Its owner after.
    pub to: &'a N,
}

impl<N: RingNode> HashRing<N> {
    /// Divides the ring into 2^bits stretches of which no node has more than its due, times the factor, rounded up.
    ///
    /// About 64 stretches a node keep the rounding small. Takes a step for each stretch and each point.
    ///
    /// ```
    /// use hashring::{HashRing, LoadFactor};
    ///
    /// let ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let table = ring.partition_table(8, LoadFactor::percent_over(5))?;
    /// assert_eq!(table.len(), 256);
    /// assert!(table.iter().filter(|(_, owner)| **owner == "ash").count() <= 90);
    /// assert_eq!(table.owner(b"user:42"), table.owner_of(table.partition_of(ring.token(b"user:42"))));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RingError::NoPoints`] when no node has points, and [`RingError::TableTooLarge`] over [`TABLE_BITS_MAX`].
    pub fn partition_table(&self, bits: u32, factor: LoadFactor) -> Result<PartitionTable<N>, RingError> {
        if bits > TABLE_BITS_MAX {
            return Err(RingError::TableTooLarge { bits });
        }
        if self.point_count() == 0 {
            return Err(RingError::NoPoints);
        }
        let (members, partitions) = (&self.inner.members, 1_usize << bits);
        let capacity = |slot| factor.capacity(partitions as u128, members.weight(slot), self.point_count());
        let mut room: Vec<u128> = (0..members.len() as Slot).map(capacity).collect();
        let mut walk = RoomWalk::new(&self.inner.points);
        let mut owners = vec![0; partitions].into_boxed_slice();
        for partition in (0..partitions).map(|ix| reversed(ix, bits)) {
            let start = self.inner.points.successor(first_token(partition, bits));
            let slot = walk.first_with_room(start, &room);
            room[slot as usize] -= 1;
            owners[partition] = slot;
        }
        Ok(PartitionTable { ring: self.clone(), bits, owners })
    }
}

impl<N: RingNode> PartitionTable<N> {
    /// The node that owns a key.
    #[inline]
    pub fn owner(&self, key: &[u8]) -> &N {
        self.owner_at(self.ring.token(key))
    }

    /// The node that owns a token.
    #[inline]
    pub fn owner_at(&self, token: Token) -> &N {
        self.owner_of(self.partition_of(token))
    }

    /// Which stretch a token is in.
    #[inline]
    pub fn partition_of(&self, token: Token) -> usize {
        // In two steps, because there may be no bits.
        (token.get() >> 1 >> (u64::BITS - 1 - self.bits)) as usize
    }

    /// The node that owns a stretch.
    ///
    /// # Panics
    ///
    /// When there is no such stretch: see [`len`](Self::len).
    #[inline]
    pub fn owner_of(&self, partition: usize) -> &N {
        self.ring.inner.members.node(self.owners[partition]).expect("stretches belong to members")
    }

    /// How many stretches there are.
    #[expect(clippy::len_without_is_empty, reason = "a table always has a stretch")]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// The tokens of a stretch.
    ///
    /// # Panics
    ///
    /// When there is no such stretch: see [`len`](Self::len).
    pub fn range(&self, partition: usize) -> TokenRange {
        assert!(partition < self.len(), "stretch {partition} of a table of {}", self.len());
        let first = first_token(partition, self.bits);
        let last = first | u64::MAX >> self.bits;
        TokenRange::new(Token::new(first.wrapping_sub(1)), Token::new(last))
    }

    /// The stretches and their owners, in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TokenRange, &N)> + DoubleEndedIterator {
        (0..self.len()).map(|partition| (self.range(partition), self.owner_of(partition)))
    }

    /// The ring that the table was made of.
    pub fn ring(&self) -> &HashRing<N> {
        &self.ring
    }

    /// How evenly the nodes with points are loaded.
    pub fn balance(&self) -> Balance {
        let mut tokens = vec![0; self.ring.len()];
        for &slot in &self.owners {
            tokens[slot as usize] += Fraction::WHOLE.tokens() / self.len() as u128;
        }
        Balance::of(&self.ring, &tokens).expect("a table is made of a ring with points")
    }

    /// Which stretches change hands when this table gives way to the other.
    ///
    /// # Errors
    ///
    /// [`RingError::LayoutMismatch`] when the tables have different numbers of stretches, or were made of rings with
    /// different seeds.
    pub fn moves<'a>(
        &'a self,
        other: &'a Self,
    ) -> Result<impl Iterator<Item = PartitionMove<'a, N>>, RingError> {
        if self.bits != other.bits || !self.ring.same_layout(&other.ring) {
            return Err(RingError::LayoutMismatch);
        }
        Ok((0..self.len()).filter_map(|partition| {
            let (from, to) = (self.owner_of(partition), other.owner_of(partition));
            let same = from.ring_id().as_ref() == to.ring_id().as_ref();
            (!same).then_some(PartitionMove { partition, from, to })
        }))
    }
}

impl<N: RingNode + fmt::Debug> fmt::Debug for PartitionTable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionTable").field("partitions", &self.len()).field("ring", &self.ring).finish()
    }
}

/// A walk along the points that passes those of full members only once: a disjoint-set forest, in which the points of
/// full members lead to the next, with paths halved.
struct RoomWalk<'a> {
    points: &'a Points,
    next: Vec<u32>,
}

impl<'a> RoomWalk<'a> {
    fn new(points: &'a Points) -> Self {
        RoomWalk { points, next: (0..points.len() as u32).collect() }
    }

    /// The first slot at an index or after it that has room. There is one: all capacities together are no less than the
    /// stretches.
    fn first_with_room(&mut self, start: usize, room: &[u128]) -> Slot {
        let len = self.points.len();
        let mut ix = start % len;
        loop {
            while self.next[ix] as usize != ix {
                self.next[ix] = self.next[self.next[ix] as usize];
                ix = self.next[ix] as usize;
            }
            let slot = self.points.slot(ix);
            if room[slot as usize] > 0 {
                return slot;
            }
            self.next[ix] = ((ix + 1) % len) as u32;
        }
    }
}

fn first_token(partition: usize, bits: u32) -> u64 {
    // In two steps, because there may be no bits.
    (partition as u64) << 1 << (u64::BITS - 1 - bits)
}

/// The order in which stretches choose: with their bits reversed, so that those that find their first node full lie
/// scattered over the ring instead of all at its end.
fn reversed(ix: usize, bits: u32) -> usize {
    ((ix as u64).reverse_bits() >> 1 >> (u64::BITS - 1 - bits)) as usize
}

/// The most bits of a partition table: 16.8 million stretches, 64 MiB.
pub const TABLE_BITS_MAX: u32 = 24;
