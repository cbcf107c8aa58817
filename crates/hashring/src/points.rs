//! The points of a ring, packed for lookups.

mod deal;

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use crate::cells::{AHEAD, BUCKETS_AROUND_BITS, Cell, Cells, Slot, WINDOW, each_width};
use crate::index::Index;
use crate::layout::Token;
use crate::range::TokenRange;
use crate::splice;

/// Points in ascending order, each with the slot of the member it belongs to.
///
/// A lookup reads the [`Index`] once, to learn where the points of its token's bucket are, and then their [`Cells`],
/// four bytes a point, which hold the answer as well as enough of each position to compare. The positions themselves
/// are read only when those bits are equal (once in 50,000 lookups, whatever the size) or a bucket is crowded.
pub(crate) struct Points {
    positions: Vec<u64>,
    /// Narrow only if the index is even.
    cells: Cells,
    index: Index,
}

/// Made by a ring that is shared and about to change.
impl Clone for Points {
    fn clone(&self) -> Self {
        let positions = splice::copy_with_room(&self.positions);
        Points { positions, cells: self.cells.clone(), index: self.index.clone() }
    }
}

impl Points {
    /// These points in any order, each of the member whose slot `owners` says; all slots are below `slots`. Slots must
    /// be in the order of the members' ids, which decides between equal positions.
    pub(crate) fn build(mut positions: Vec<u64>, owners: impl Iterator<Item = Slot>, slots: usize) -> Self {
        let points = deal::sorted(&positions, owners);
        for (position, &(point, _)) in positions.iter_mut().zip(&points) {
            *position = point;
        }
        let index = Index::build(&positions);
        let cells = Cells::build(&points, index.cell_shift::<u32>(), index.is_even().then_some(slots));
        Points { positions, cells, index }
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// The points, in ascending order.
    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.positions
    }

    /// The slot of the point at an index up to `len()`, where the first one is meant; out of range of the members
    /// when there are no points.
    #[inline]
    pub(crate) fn slot(&self, ix: usize) -> Slot {
        self.cells.slot(ix)
    }

    /// How many tokens lie after the point before this one, up to and including it. Of points at one position the first
    /// has them all.
    pub(crate) fn gap(&self, ix: usize) -> u128 {
        let range = self.range(ix);
        // A range that ends where it begins is the whole ring only to the first point: to another it says that the point
        // before is at the same position.
        if range.after() == range.through() && ix > 0 { 0 } else { range.share().tokens() }
    }

    /// How many tokens each of this many slots has.
    pub(crate) fn tokens_by_slot(&self, slots: usize) -> Vec<u128> {
        let mut tokens = vec![0; slots];
        if !self.positions.is_empty() {
            tokens[self.slot(0) as usize] = self.gap(0);
            // Only the first gap can be the whole ring: the others are plain differences.
            each_width!(&self.cells, cells => {
                for (pair, cell) in self.positions.windows(2).zip(&cells[1..]) {
                    tokens[cell.slot() as usize] += u128::from(pair[1] - pair[0]);
                }
            });
        }
        tokens
    }

    /// The tokens after the point before this one, up to and including it.
    pub(crate) fn range(&self, ix: usize) -> TokenRange {
        let before = ix.checked_sub(1).unwrap_or(self.len() - 1);
        TokenRange::new(Token::new(self.positions[before]), Token::new(self.positions[ix]))
    }

    /// The index of the first point that is not below the token, or `len()`, and the slots from there on.
    #[inline(always)]
    pub(crate) fn find_ahead(&self, token: u64) -> (usize, [Slot; AHEAD]) {
        match self.find_fast(token) {
            Some((ix, _)) => (ix, self.ahead(ix)),
            None => self.find_ahead_slow(token),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_ahead_slow(&self, token: u64) -> (usize, [Slot; AHEAD]) {
        let ix = self.find_slow(token).0;
        (ix, self.ahead(ix))
    }

    /// The slots of the points from an index on, over the top of the ring.
    #[inline]
    pub(crate) fn ahead(&self, ix: usize) -> [Slot; AHEAD] {
        self.cells.ahead(ix)
    }

    /// The slots of the points from an index on, backwards, under the bottom of the ring.
    pub(crate) fn behind(&self, ix: usize) -> [Slot; AHEAD] {
        let len = self.len().max(1);
        core::array::from_fn(|steps| self.slot((ix + AHEAD * len - steps) % len))
    }

    /// The index of the first point that is not below the token, or `len()`.
    #[inline]
    pub(crate) fn successor(&self, token: u64) -> usize {
        self.find(token).0
    }

    /// The same, and its slot.
    #[inline]
    pub(crate) fn find(&self, token: u64) -> (usize, Slot) {
        self.find_fast(token).unwrap_or_else(|| self.find_slow(token))
    }

    /// The same, if one window of narrow cells tells: so it does for all but one token in a hundred, unless the ring is
    /// very large or its ids were chosen to be a nuisance.
    #[inline(always)]
    pub(crate) fn find_fast(&self, token: u64) -> Option<(usize, Slot)> {
        match &self.cells {
            Cells::Narrow(cells) => self.find_in_window(cells, token),
            Cells::Wide(_) => None,
        }
    }

    #[inline(never)]
    pub(crate) fn find_slow(&self, token: u64) -> (usize, Slot) {
        let found = match &self.cells {
            Cells::Wide(cells) if self.index.is_even() => self.find_in_window(cells, token),
            _ => None,
        };
        found.unwrap_or_else(|| self.search(token))
    }

    #[inline(always)]
    fn find_in_window<C: Cell>(&self, cells: &[C], token: u64) -> Option<(usize, Slot)> {
        let bits = token >> self.index.cell_shift::<C>();
        let start = self.index.start((bits >> (C::BITS - BUCKETS_AROUND_BITS)) as usize);
        find_from(start, cells, bits)
    }

    /// The slots of the successors of several tokens. All starts are read before the first cell: the reads do not wait for
    /// each other, and neither do those of the cells.
    pub(crate) fn find_batch<const COUNT: usize>(&self, tokens: [u64; COUNT]) -> [Slot; COUNT] {
        let Cells::Narrow(cells) = &self.cells else { return tokens.map(|token| self.find(token).1) };
        let shift = self.index.cell_shift::<u32>();
        let bucket = |token: u64| (token >> shift >> (<u32 as Cell>::BITS - BUCKETS_AROUND_BITS)) as usize;
        let starts = tokens.map(|token| self.index.start(bucket(token)));
        core::array::from_fn(|ix| {
            let found = find_from(starts[ix], cells, tokens[ix] >> shift);
            found.unwrap_or_else(|| self.find_slow(tokens[ix])).1
        })
    }

    /// The same by whole positions: gallops from where the bucket starts, then halves.
    fn search(&self, token: u64) -> (usize, Slot) {
        let (mut from, mut step) = (self.index.start_of(token), WINDOW);
        while self.positions.get(from + step).is_some_and(|&point| point < token) {
            from += step;
            step *= 2;
        }
        let until = self.len().min(from + step);
        let ix = from + self.positions[from..until].partition_point(|&point| point < token);
        (ix, self.slot(ix))
    }

    /// Indices of the points at this position.
    fn equal_to(&self, position: u64) -> Range<usize> {
        let start = self.successor(position);
        let count = self.positions[start..].iter().take_while(|&&point| point == position).count();
        start..start + count
    }

    /// Adds points of one member, in ascending order. `by_id` compares the members of two slots, and decides between
    /// equal positions. All slots are below `slots`.
    pub(crate) fn insert(
        &mut self,
        run: &[u64],
        slot: Slot,
        slots: usize,
        by_id: impl Fn(Slot, Slot) -> Ordering,
    ) {
        let mut before = None;
        let before_larger = |&point: &u64| match before {
            // Else many points of one member at one position would be walked along for each of them.
            Some((position, place)) if position == point => place,
            _ => {
                let mut equals = self.equal_to(point);
                let end = equals.end;
                let place = equals.find(|&ix| by_id(self.slot(ix), slot).is_ge()).unwrap_or(end) as u32;
                before = Some((point, place));
                place
            }
        };
        let places: Vec<u32> = run.iter().map(before_larger).collect();
        if !self.cells.suits(slots) {
            self.cells.rebuild(&self.positions, self.index.cell_shift::<u32>(), Some(slots));
        }
        splice::insert_at(&mut self.positions, &places, |ix| run[ix]);
        self.cells.insert_at(&places, run, self.index.cell_shift::<u32>(), slot);
        self.reindex(slots, |index, points| index.add(run, points));
    }

    /// Removes points of one member, in ascending order. All slots are below `slots`.
    pub(crate) fn remove(&mut self, run: &[u64], slot: Slot, slots: usize) {
        let places = self.places_of(run, slot);
        splice::remove_at(&mut self.positions, &places);
        self.cells.remove_at(&places, self.index.cell_shift::<u32>());
        self.reindex(slots, |index, points| index.remove(run, &places, points));
    }

    /// Gives the points of one member, in ascending order, to another slot.
    pub(crate) fn relabel(&mut self, run: &[u64], from: Slot, to: Slot) {
        let places = self.places_of(run, from);
        self.cells.relabel(&places, self.index.cell_shift::<u32>(), to);
    }

    /// Where a member's point is; of several at one position the first.
    pub(crate) fn place_of(&self, point: u64, slot: Slot) -> Option<usize> {
        self.equal_to(point).find(|&ix| self.slot(ix) == slot)
    }

    /// Where a member's points are: distinct, also for points of its own that are equal.
    fn places_of(&self, run: &[u64], slot: Slot) -> Vec<u32> {
        let (mut position, mut next) = (None, 0);
        let place_of = |&point: &u64| {
            // Points of its own that are equal are one walk along all that are.
            if position.replace(point) != Some(point) {
                next = self.successor(point);
            }
            let place = (next..self.len())
                .take_while(|&ix| self.positions[ix] == point)
                .find(|&ix| self.slot(ix) == slot)
                .expect("a member's points are in the ring as long as its id is what it was");
            next = place + 1;
            place as u32
        };
        run.iter().map(place_of).collect()
    }

    /// Patches the index, or makes a new one.
    fn reindex(&mut self, slots: usize, patch: impl FnOnce(&mut Index, &[u64]) -> bool) {
        if !patch(&mut self.index, &self.positions) {
            self.index = Index::build(&self.positions);
            self.cells.rebuild(
                &self.positions,
                self.index.cell_shift::<u32>(),
                self.index.is_even().then_some(slots),
            );
        }
    }
}

/// The first cell that is not below these bits, counted from the start of their bucket without a branch. `None` when the
/// bits are equal, or the bucket has more points below than the window shows.
#[inline(always)]
fn find_from<C: Cell>(start: usize, cells: &[C], bits: u64) -> Option<(usize, Slot)> {
    let sought = C::new(bits, 0);
    let window = &cells[start..=start + WINDOW];
    let below: usize = window[..WINDOW].iter().map(|cell| usize::from(cell.is_below(sought))).sum();
    let cell = window[below];
    cell.is_above(sought).then(|| (start + below, cell.slot()))
}

#[cfg(test)]
mod tests;
