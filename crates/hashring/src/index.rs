//! Where to start looking for a token: its bucket, which is all tokens that share its top bits.

use alloc::vec;
use alloc::vec::Vec;

use crate::cells::{self, BUCKETS_AROUND_BITS, Cell, WINDOW};

/// For every bucket, how many points lie before it.
///
/// The number is stored in two halves: a base for each block of buckets, and an offset for each bucket. So an offset
/// takes two bytes instead of four, and a change touches only the blocks it falls into.
#[derive(Clone)]
pub(crate) struct Index {
    /// How many top bits name a bucket.
    bits: u32,
    /// [`Self::cell_shift`] of a narrow cell.
    narrow_shift: u32,
    even: bool,
    bases: Vec<u32>,
    offsets: Vec<u16>,
}

impl Index {
    /// An index of these points, which are in ascending order.
    pub(crate) fn build(points: &[u64]) -> Self {
        let bits = bits_for(points.len());
        let mut index = Self::new(bits, true);
        if index.is_even_everywhere(points) && index.fill(points).is_some() {
            index
        } else {
            Self::new(0, false)
        }
    }

    fn new(bits: u32, even: bool) -> Self {
        let narrow_shift = u64::BITS - bits - (<u32 as Cell>::BITS - BUCKETS_AROUND_BITS);
        Index { bits, narrow_shift, even, bases: Vec::new(), offsets: vec![0; 1 << bits] }
    }

    fn fill(&mut self, points: &[u64]) -> Option<()> {
        let (mut bucket, mut base) = (0, 0);
        let mut fill_through = |last: usize, start: usize| {
            while bucket <= last {
                if bucket % (1 << BLOCK_BITS) == 0 {
                    base = start;
                    self.bases.push(start as u32);
                }
                self.offsets[bucket] = u16::try_from(start - base).ok()?;
                bucket += 1;
            }
            Some(())
        };
        for (ix, &point) in points.iter().enumerate() {
            fill_through(bucket_of(point, self.bits), ix)?;
        }
        fill_through((1 << self.bits) - 1, points.len())
    }

    /// Whether the points are [spread evenly enough](EVEN); if not, the index is of no use.
    pub(crate) fn is_even(&self) -> bool {
        self.even
    }

    /// How far to shift a position so that what a cell keeps of it comes lowest.
    #[inline]
    pub(crate) fn cell_shift<C: Cell>(&self) -> u32 {
        cells::cell_shift::<C>(self.narrow_shift)
    }

    /// How many points lie before a bucket.
    #[inline]
    pub(crate) fn start(&self, bucket: usize) -> usize {
        self.bases[bucket >> BLOCK_BITS] as usize + usize::from(self.offsets[bucket])
    }

    /// A place at or before the first point that is not below the token.
    pub(crate) fn start_of(&self, token: u64) -> usize {
        if self.even { self.start(bucket_of(token, self.bits)) } else { 0 }
    }

    /// Accounts for points that were added: `run`, in ascending order, is now among `points`. `false` when a new index
    /// is needed.
    pub(crate) fn add(&mut self, run: &[u64], points: &[u64]) -> bool {
        self.suits(points.len()) && self.patch(run, u32::wrapping_add, u16::checked_add)
    }

    /// Accounts for points that were removed: they were at these `places`, in ascending order, and are no longer among
    /// `points`. `false` when a new index is needed.
    pub(crate) fn remove(&mut self, run: &[u64], places: &[u32], points: &[u64]) -> bool {
        let even_at = |(removed, &place): (usize, &u32)| {
            let place = place as usize - removed;
            (place.saturating_sub(SPAN)..=place).all(|ix| self.is_even_before(points, ix))
        };
        self.suits(points.len())
            && places.iter().enumerate().all(even_at)
            && self.patch(run, u32::wrapping_sub, u16::checked_sub)
    }

    /// Whether so many points are neither crowded nor lost in the buckets there are. Somewhat wider than what a new index
    /// would keep to, so that a ring at the edge of a size is not made anew with each change.
    fn suits(&self, points: usize) -> bool {
        let buckets = 1_usize << self.bits;
        self.even && points * 4 <= buckets * 7 && (points * 8 >= buckets * 5 || self.bits == 0)
    }

    fn patch(&mut self, run: &[u64], base_by: fn(u32, u32) -> u32, by: fn(u16, u16) -> Option<u16>) -> bool {
        let bits = self.bits;
        let mut rest = run;
        for (block, (base, offsets)) in
            self.bases.iter_mut().zip(self.offsets.chunks_mut(1 << BLOCK_BITS)).enumerate()
        {
            *base = base_by(*base, (run.len() - rest.len()) as u32);
            let here = rest.partition_point(|&point| bucket_of(point, bits) >> BLOCK_BITS == block);
            let (changed, after) = rest.split_at(here);
            rest = after;
            let next_bucket = |point: u64| (bucket_of(point, bits) & ((1 << BLOCK_BITS) - 1)) + 1;
            for (ix, &point) in changed.iter().enumerate() {
                let end = changed.get(ix + 1).map_or(offsets.len(), |&next| next_bucket(next));
                for offset in &mut offsets[next_bucket(point)..end] {
                    let Some(patched) = by(*offset, (ix + 1) as u16) else { return false };
                    *offset = patched;
                }
            }
        }
        true
    }

    /// Whether all points are [spread evenly enough](EVEN). Beyond the first and the last point the ends of the token
    /// space count as points.
    fn is_even_everywhere(&self, points: &[u64]) -> bool {
        let near = |from: u64, to: u64| self.are_near(from, to);
        let (first, last) = (points.first_chunk::<SPAN>(), points.last_chunk::<SPAN>());
        let ends = near(0, first.map_or(u64::MAX, |first| first[SPAN - 1]))
            && near(last.map_or(0, |last| last[0]), u64::MAX);
        ends && points.windows(SPAN + 1).all(|window| near(window[0], window[SPAN]))
    }

    /// The same from the point before `ix` on.
    fn is_even_before(&self, points: &[u64], ix: usize) -> bool {
        let before = ix.checked_sub(1).map_or(0, |ix| points[ix]);
        self.are_near(before, points.get(ix + SPAN - 1).copied().unwrap_or(u64::MAX))
    }

    fn are_near(&self, from: u64, to: u64) -> bool {
        self.bits < EVEN.ilog2() || (to - from) >> (u64::BITS - self.bits) < EVEN
    }
}

fn bucket_of(point: u64, bits: u32) -> usize {
    // In two steps, because there may be no bits.
    (point >> 1 >> (u64::BITS - 1 - bits)) as usize
}

/// Between three quarters of a point and one and a half for each bucket. Fewer buckets leave more of the cache to the
/// points; more buckets save comparisons that the window makes anyway.
fn bits_for(points: usize) -> u32 {
    (points + points / 3).max(1).ilog2()
}

/// Points are spread evenly enough when any five in a row, and the tokens before them, lie within this many buckets, and
/// no block has 65,536 of them. Hashed points always are: at the fewest points for a bucket the chance of a longer
/// stretch is 10^-12 for each. So who finds them uneven has chosen the ids, and pays with a binary search for each lookup.
pub(crate) const EVEN: u64 = 62;

/// How many points in a row.
const SPAN: usize = WINDOW + 1;

/// 512 buckets: long enough that the bases stay in the nearest cache (1 KiB at 160,000 points), short enough that a
/// change touches little.
const BLOCK_BITS: u32 = 9;
