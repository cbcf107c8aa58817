//! Sorting points that are spread evenly, as hashed ones are, in time linear in their number.

use alloc::vec;
use alloc::vec::Vec;

use crate::cells::Slot;

/// A position, and the slot of the member that has it.
type Entry = (u64, Slot);

/// These positions with their owners, in ascending order: by slot where positions are equal.
///
/// Twice dealt out by bits and not compared until the end: first by the topmost bits into heaps that fit the nearest
/// cache, and each heap there by the bits below into about as many piles as it has points. What is then out of order is so
/// by a place or two.
pub(super) fn sorted(positions: &[u64], owners: impl Iterator<Item = Slot>) -> Vec<Entry> {
    let bits = (positions.len() / HEAP_POINTS).max(1).ilog2().min(HEAP_BITS_MAX);
    let heap_of = |position: u64| top(position, bits);
    let mut ends = vec![0; 1 << bits];
    count(positions.iter().map(|&position| heap_of(position)), &mut ends);
    let mut dealt = vec![(0, 0); positions.len()];
    deal(positions.iter().copied().zip(owners), |entry| heap_of(entry.0), &mut ends, &mut dealt);
    let (mut start, mut scratch) = (0, Scratch::default());
    for end in ends {
        scratch.sort(&mut dealt[start..end as usize], bits);
        start = end as usize;
    }
    dealt
}

/// What sorting a heap needs, for one after the other.
#[derive(Default)]
struct Scratch {
    heap: Vec<Entry>,
    ends: Vec<u32>,
}

impl Scratch {
    /// Sorts entries whose positions have these topmost bits in common.
    fn sort(&mut self, entries: &mut [Entry], bits_before: u32) {
        let bits = entries.len().max(1).ilog2();
        let pile_of = |entry: &Entry| top(entry.0 << bits_before, bits);
        self.ends.clear();
        self.ends.resize(1 << bits, 0);
        let largest = count(entries.iter().map(pile_of), &mut self.ends);
        if largest > PILE_POINTS_MAX {
            return entries.sort_unstable();
        }
        self.heap.clear();
        self.heap.extend_from_slice(entries);
        deal(self.heap.iter().copied(), pile_of, &mut self.ends, entries);
        insertion_sort(entries);
    }
}

/// Counts what goes where, and makes of the counts where each begins. Returns the largest.
fn count(places: impl Iterator<Item = usize>, counts: &mut [u32]) -> u32 {
    for place in places {
        counts[place] += 1;
    }
    let (mut start, mut largest) = (0, 0);
    for count in counts {
        largest = largest.max(*count);
        start += core::mem::replace(count, start);
    }
    largest
}

/// Puts each entry at the next place of where it goes; the beginnings become the ends.
fn deal(
    entries: impl Iterator<Item = Entry>,
    place_of: impl Fn(&Entry) -> usize,
    nexts: &mut [u32],
    dealt: &mut [Entry],
) {
    for entry in entries {
        let next = &mut nexts[place_of(&entry)];
        dealt[*next as usize] = entry;
        *next += 1;
    }
}

fn insertion_sort(entries: &mut [Entry]) {
    for ix in 1..entries.len() {
        let entry = entries[ix];
        let mut place = ix;
        while place > 0 && entries[place - 1] > entry {
            entries[place] = entries[place - 1];
            place -= 1;
        }
        entries[place] = entry;
    }
}

/// The topmost bits of a position.
fn top(position: u64, bits: u32) -> usize {
    // In two steps, because there may be no bits.
    (position >> 1 >> (u64::BITS - 1 - bits)) as usize
}

/// So few that a heap, its copy and its piles' ends stay in a cache near by: 36 bytes a point.
const HEAP_POINTS: usize = 1_024;

/// So few heaps that their ends, and a line of each, stay in the cache while points are dealt.
const HEAP_BITS_MAX: u32 = 11;

/// The largest pile that is sorted by insertion. A hashed one has a point or two; who fills one has chosen the ids.
const PILE_POINTS_MAX: u32 = 24;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn assert_sorted(entries: &[Entry]) {
        let positions: Vec<u64> = entries.iter().map(|entry| entry.0).collect();
        let mut expected = entries.to_vec();
        expected.sort_unstable();
        assert_eq!(sorted(&positions, entries.iter().map(|entry| entry.1)), expected);
    }

    /// Positions that lie as hashed ones do, of members that take turns, the last first.
    fn spread(count: u64) -> impl Iterator<Item = Entry> {
        (0..count).map(|ix| (ix.wrapping_mul(0x9e37_79b9_7f4a_7c15), 6 - (ix % 7) as Slot))
    }

    #[test]
    fn as_many_as_make_none_one_or_several_heaps_are_sorted() {
        let counts: &[u64] =
            if cfg!(miri) { &[0, 1, 2_048] } else { &[0, 1, 2, 3, 1_023, 1_024, 2_047, 2_048, 5_000] };
        for &count in counts {
            assert_sorted(&spread(count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn equal_positions_are_in_the_order_of_slots() {
        let count = if cfg!(miri) { 300 } else { 3_000 };
        let doubled = spread(count).map(|(position, slot)| (position, slot + 7));
        assert_sorted(&doubled.chain(spread(count)).collect::<Vec<_>>());
        assert_sorted(&spread(count).map(|entry| (7, entry.1)).collect::<Vec<_>>());
    }

    #[test]
    fn a_crowd_in_one_pile_is_sorted_beside_what_is_spread() {
        let (many, around) = if cfg!(miri) { (50, 300) } else { (1_000, 4_000) };
        for crowd in [u64::from(PILE_POINTS_MAX), many] {
            let near = spread(crowd).map(|(position, slot)| (1 << 63 | position >> 40, slot));
            assert_sorted(&spread(around).chain(near).collect::<Vec<_>>());
        }
    }
}
