//! Where to start looking for a token: one start for each bucket of tokens that share their top bits.

use alloc::vec;
use alloc::vec::Vec;

/// For every bucket, how many points lie before it.
///
/// The number is stored in two halves: a base for each block of buckets, and an offset for each bucket. So an
/// offset takes two bytes instead of four, and a change touches only the blocks it falls into. An offset that would
/// overflow (65,536 points in one block, where 512 are usual) saturates: a start is then too early, never too late,
/// and the search gallops over the difference.
#[derive(Clone)]
pub(crate) struct Index {
    /// How far a position's high half is shifted to give its bucket.
    shift: u32,
    bases: Vec<u32>,
    offsets: Vec<u16>,
}

impl Index {
    /// An index of points, whose high halves these are, in order.
    pub(crate) fn build(highs: &[u32]) -> Self {
        let bits = highs.len().next_power_of_two().ilog2().clamp(BLOCK_BITS, u32::BITS - 1);
        let mut index = Index {
            shift: u32::BITS - bits,
            bases: vec![0; 1 << (bits - BLOCK_BITS)],
            offsets: vec![0; 1 << bits],
        };
        let mut start = 0;
        for (block, offsets) in index.offsets.chunks_exact_mut(1 << BLOCK_BITS).enumerate() {
            index.bases[block] = start as u32;
            let base = start;
            for (bucket, offset) in offsets.iter_mut().enumerate() {
                let bucket = block << BLOCK_BITS | bucket;
                *offset = u16::try_from(start - base).unwrap_or(u16::MAX);
                while highs.get(start).is_some_and(|high| (high >> index.shift) as usize == bucket) {
                    start += 1;
                }
            }
        }
        index
    }

    /// A position at or before the first point whose high half is not below `high`.
    #[inline]
    pub(crate) fn start(&self, high: u32) -> usize {
        let bucket = (high >> self.shift) as usize;
        self.bases[bucket >> BLOCK_BITS] as usize + usize::from(self.offsets[bucket])
    }

    /// Whether this many points are neither crowded nor lost in the buckets there are.
    pub(crate) fn suits(&self, points: usize) -> bool {
        let buckets = self.offsets.len();
        points <= buckets * 2 && (buckets == 1 << BLOCK_BITS || points >= buckets / 4)
    }

    /// Accounts for points that were added, whose high halves these are, in order: 65,535 at most.
    pub(crate) fn add(&mut self, highs: &[u32]) {
        self.patch(highs, u32::wrapping_add, u16::saturating_add);
    }

    /// Accounts for points that were removed, whose high halves these are, in order: 65,535 at most.
    pub(crate) fn remove(&mut self, highs: &[u32]) {
        self.patch(highs, u32::wrapping_sub, u16::saturating_sub);
    }

    fn patch(&mut self, highs: &[u32], base_by: fn(u32, u32) -> u32, offset_by: fn(u16, u16) -> u16) {
        let bucket_of = |high: u32| (high >> self.shift) as usize;
        let mut rest = highs;
        for (block, base) in self.bases.iter_mut().enumerate() {
            *base = base_by(*base, (highs.len() - rest.len()) as u32);
            let here = rest.partition_point(|&high| bucket_of(high) >> BLOCK_BITS == block);
            let (changed, after) = rest.split_at(here);
            rest = after;
            for (ix, &high) in changed.iter().enumerate() {
                let end = changed.get(ix + 1).map_or((block + 1) << BLOCK_BITS, |&next| bucket_of(next) + 1);
                for offset in &mut self.offsets[bucket_of(high) + 1..end] {
                    *offset = offset_by(*offset, (ix + 1) as u16);
                }
            }
        }
    }
}

/// 512 buckets, 1 KiB of offsets: long enough that the bases stay in the nearest cache (2 KiB at 160,000 points),
/// short enough that a change touches little.
const BLOCK_BITS: u32 = 9;
