//! The points of a ring, packed for lookups.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use crate::index::Index;
use crate::owners::{Owners, Slot};

/// Points in ascending order, each with the slot of the member it belongs to.
///
/// A position is split into two halves, each in a list of its own: a lookup reads only high halves (four bytes a
/// point, so twice as many stay in cache), and looks at a low half only when the high ones are equal, which happens
/// once in 27,000 lookups of 160,000 points. Positions count from 0 to `len()`; the one at `len()` stands for the
/// first point, reached over the top of the ring, and is padded accordingly.
#[derive(Clone)]
pub(crate) struct Points {
    /// `len() + PADDING` long; the padding is above every token that the fast path decides.
    highs: Vec<u32>,
    lows: Vec<u32>,
    /// `len() + 1` long.
    owners: Owners,
    index: Index,
}

impl Points {
    /// The points of members whose slots are below `slots`, in any order. Members must have their slots in the order
    /// of their ids: it decides between equal positions.
    pub(crate) fn build(mut points: Vec<(u64, Slot)>, slots: usize) -> Self {
        points.sort_unstable();
        let mut highs = Vec::with_capacity(points.len() + PADDING);
        highs.extend(points.iter().map(|&(point, _)| high(point)));
        let index = Index::build(&highs);
        highs.resize(points.len() + PADDING, u32::MAX);
        let lows = points.iter().map(|&(point, _)| point as u32).collect();
        let mut owners = Owners::new(slots, points.iter().map(|&(_, slot)| slot));
        owners.pad();
        Points { highs, lows, owners, index }
    }

    pub(crate) fn len(&self) -> usize {
        self.lows.len()
    }

    /// The point at a position below `len()`.
    pub(crate) fn point(&self, position: usize) -> u64 {
        u64::from(self.highs[position]) << 32 | u64::from(self.lows[position])
    }

    /// The slot at a position up to `len()`; out of range of the members when there are no points.
    #[inline]
    pub(crate) fn slot(&self, position: usize) -> Slot {
        self.owners.at(position)
    }

    /// The position of the first point that is not below the token.
    #[inline]
    pub(crate) fn position(&self, token: u64) -> usize {
        let high = high(token);
        let start = self.index.start(high);
        let window = &self.highs[start..start + WINDOW];
        let position = start + window.iter().map(|&point| usize::from(point < high)).sum::<usize>();
        // Above, not equal: so the point before it is below, since the window counted it or there is none.
        if self.highs[position] > high { position } else { self.position_past(position, token) }
    }

    /// The same beyond the window, or among equal high halves: gallops, then halves.
    #[cold]
    fn position_past(&self, start: usize, token: u64) -> usize {
        let below = |position: usize| self.point(position) < token;
        let (mut from, mut step) = (start, WINDOW);
        while from + step < self.len() && below(from + step) {
            from += step;
            step *= 2;
        }
        let mut range = from..self.len().min(from + step);
        while !range.is_empty() {
            let middle = range.start.midpoint(range.end);
            if below(middle) {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        range.start
    }

    /// Positions of the points equal to this one.
    fn equal_to(&self, point: u64) -> Range<usize> {
        let start = self.position(point);
        let count = (start..self.len()).take_while(|&position| self.point(position) == point).count();
        start..start + count
    }

    /// Adds points of one member, in ascending order, at most 65,535. `by_id` compares the members of two slots, and
    /// decides between equal positions.
    pub(crate) fn insert(&mut self, run: &[u64], slot: Slot, by_id: impl Fn(Slot, Slot) -> Ordering) {
        let after_smaller = |&point: &u64| {
            let mut equals = self.equal_to(point);
            let end = equals.end;
            equals.find(|&position| by_id(self.slot(position), slot).is_ge()).unwrap_or(end) as u32
        };
        let positions: Vec<u32> = run.iter().map(after_smaller).collect();
        self.splice(run, &positions, |points, positions, highs| {
            crate::splice::insert_at(&mut points.highs, positions, |ix| highs[ix]);
            crate::splice::insert_at(&mut points.lows, positions, |ix| run[ix] as u32);
            points.owners.insert_at(positions, slot);
            points.index.add(highs);
        });
    }

    /// Removes points of one member, in ascending order, at most 65,535.
    pub(crate) fn remove(&mut self, run: &[u64], slot: Slot) {
        let positions = self.positions_of(run, slot);
        self.splice(run, &positions, |points, positions, highs| {
            crate::splice::remove_at(&mut points.highs, positions);
            crate::splice::remove_at(&mut points.lows, positions);
            points.owners.remove_at(positions);
            points.index.remove(highs);
        });
    }

    /// Gives the points of one member, in ascending order, to another slot.
    pub(crate) fn relabel(&mut self, run: &[u64], from: Slot, to: Slot) {
        for position in self.positions_of(run, from) {
            self.owners.set(position as usize, to);
        }
        self.owners.truncate(self.len());
        self.owners.pad();
    }

    /// Where a member's points are: distinct positions, also for points of its own that are equal.
    fn positions_of(&self, run: &[u64], slot: Slot) -> Vec<u32> {
        let mut free_from = 0;
        let position_of = |&point: &u64| {
            let mut equals = self.equal_to(point);
            let position = equals
                .find(|&position| position >= free_from && self.slot(position) == slot)
                .expect("a member's points are in the ring as long as its id is what it was");
            free_from = position + 1;
            position as u32
        };
        run.iter().map(position_of).collect()
    }

    /// Changes all lists by a run of points, the padding taken away for the while.
    fn splice(&mut self, run: &[u64], positions: &[u32], change: impl FnOnce(&mut Self, &[u32], &[u32])) {
        if run.is_empty() {
            return;
        }
        let highs: Vec<u32> = run.iter().map(|&point| high(point)).collect();
        self.highs.truncate(self.len());
        self.owners.truncate(self.len());
        change(self, positions, &highs);
        if !self.index.suits(self.len()) {
            self.index = Index::build(&self.highs);
        }
        self.highs.resize(self.len() + PADDING, u32::MAX);
        self.owners.pad();
    }
}

#[inline]
fn high(point: u64) -> u32 {
    (point >> 32) as u32
}

/// How many points the fast path of a lookup counts, in any case. Buckets hold one point or fewer on average, so all
/// but one lookup in a thousand end within four.
const WINDOW: usize = 4;

/// A window may start at the last position.
const PADDING: usize = WINDOW;
