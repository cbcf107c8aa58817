//! Points as lookups read them: a few bits of the position beside the owner.

use alloc::vec::Vec;

use crate::splice;

/// A member's place in the tables of its ring.
pub(crate) type Slot = u32;

/// One point in a form that a lookup can both compare and answer with: the bits of the position next to where the
/// bucket is named, and the slot below them.
///
/// The topmost of the bits name a bucket among the 128 around it. So cells of one window, which lie within half that
/// many buckets of a token ([`EVEN`](crate::index::EVEN)), can be compared with it by the sign of a wrapping difference,
/// without knowing where the bucket ends.
pub(crate) trait Cell: Copy {
    /// How many bits of the position a cell keeps.
    const BITS: u32;

    /// A cell of the low bits of `bits`, and a slot.
    fn new(bits: u64, slot: Slot) -> Self;

    /// The slot.
    fn slot(self) -> Slot;

    /// The same bits with another slot.
    fn with_slot(self, slot: Slot) -> Self;

    /// Whether the point's bits are below those of the other.
    fn is_below(self, other: Self) -> bool;

    /// Whether the point's bits are above those of the other, of slot 0. When they are neither below nor above, whole
    /// positions decide.
    fn is_above(self, other: Self) -> bool;
}

macro_rules! cell_of_halves {
    ($cell:ty, $signed:ty) => {
        impl Cell for $cell {
            const BITS: u32 = <$cell>::BITS / 2;

            #[inline]
            fn new(bits: u64, slot: Slot) -> Self {
                (bits as $cell) << <Self as Cell>::BITS | (slot as $cell & Self::MAX >> <Self as Cell>::BITS)
            }

            #[inline]
            fn slot(self) -> Slot {
                (self & Self::MAX >> <Self as Cell>::BITS) as Slot
            }

            #[inline]
            fn with_slot(self, slot: Slot) -> Self {
                <Self as Cell>::new(u64::from(self >> <Self as Cell>::BITS), slot)
            }

            #[inline]
            fn is_below(self, other: Self) -> bool {
                (self.wrapping_sub(other) as $signed) < 0
            }

            #[inline]
            fn is_above(self, other: Self) -> bool {
                // Between the distances of all slots at the same bits, and of half the way round.
                const LEAST: $cell = 1 << <$cell as Cell>::BITS;
                self.wrapping_sub(other).wrapping_sub(LEAST) < (1 << (<$cell>::BITS - 1)) - LEAST
            }
        }
    };
}

// For slots below 65,535: the last value is nobody's.
cell_of_halves!(u32, i32);
cell_of_halves!(u64, i64);

/// The cells of all points, in their order, and padding: over the top of the ring the slots of the first points follow,
/// or nobody's when there are none.
pub(crate) enum Cells {
    /// While all slots fit two bytes.
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Clone for Cells {
    fn clone(&self) -> Self {
        match self {
            Cells::Narrow(list) => Cells::Narrow(splice::copy_with_room(list)),
            Cells::Wide(list) => Cells::Wide(splice::copy_with_room(list)),
        }
    }
}

macro_rules! each_width {
    ($cells:expr, $list:ident => $body:expr) => {
        match $cells {
            Cells::Narrow($list) => $body,
            Cells::Wide($list) => $body,
        }
    };
}
pub(crate) use each_width;

impl Cells {
    /// The cells of points in ascending order, each with its slot: narrow, if all slots are known to be below `slots` and
    /// that is few enough.
    pub(crate) fn build(points: &[(u64, Slot)], narrow_shift: u32, slots: Option<usize>) -> Self {
        let mut cells = if slots.is_some_and(|slots| slots <= NARROW_SLOTS_MAX) {
            Cells::Narrow(cells(points, narrow_shift))
        } else {
            Cells::Wide(cells(points, narrow_shift))
        };
        cells.pad(narrow_shift);
        cells
    }

    /// Which member a position belongs to.
    #[inline]
    pub(crate) fn slot(&self, position: usize) -> Slot {
        each_width!(self, list => list[position].slot())
    }

    /// Which members a position and those after it belong to.
    #[inline]
    pub(crate) fn ahead(&self, position: usize) -> [Slot; AHEAD] {
        fn ahead<C: Cell>(cells: &[C]) -> [Slot; AHEAD] {
            cells[..AHEAD].first_chunk().expect("a prefix of that length").map(C::slot)
        }
        each_width!(self, list => ahead(&list[position..]))
    }

    /// Gives these positions to another member.
    pub(crate) fn relabel(&mut self, positions: &[u32], narrow_shift: u32, slot: Slot) {
        each_width!(self, list => for &position in positions {
            let own = &mut list[position as usize];
            *own = own.with_slot(slot);
        });
        self.unpad();
        self.pad(narrow_shift);
    }

    /// Makes the cells anew, for these points: when other bits of them are shared, or the slots outgrow two bytes.
    pub(crate) fn rebuild(&mut self, points: &[u64], narrow_shift: u32, slots: Option<usize>) {
        let slot_of = |(position, &point): (usize, &u64)| (point, self.slot(position));
        let points: Vec<(u64, Slot)> = points.iter().enumerate().map(slot_of).collect();
        *self = Cells::build(&points, narrow_shift, slots);
    }

    /// Whether all of this many slots fit.
    pub(crate) fn suits(&self, slots: usize) -> bool {
        slots <= NARROW_SLOTS_MAX || matches!(self, Cells::Wide(_))
    }

    /// Inserts the cells of one member's points before these positions, which are in ascending order.
    pub(crate) fn insert_at(&mut self, positions: &[u32], run: &[u64], narrow_shift: u32, slot: Slot) {
        self.unpad();
        each_width!(self, list => splice::insert_at(list, positions, |ix| cell(run[ix], narrow_shift, slot)));
        self.pad(narrow_shift);
    }

    /// Removes the cells at these positions, which are distinct and in ascending order.
    pub(crate) fn remove_at(&mut self, positions: &[u32], narrow_shift: u32) {
        self.unpad();
        each_width!(self, list => splice::remove_at(list, positions));
        self.pad(narrow_shift);
    }

    fn pad(&mut self, narrow_shift: u32) {
        fn pad<C: Cell>(list: &mut Vec<C>, narrow_shift: u32) {
            let points = list.len();
            for step in 0..PADDING {
                let slot = if points == 0 { Slot::MAX } else { list[step % points].slot() };
                list.push(top(narrow_shift, slot));
            }
        }
        each_width!(self, list => pad(list, narrow_shift));
    }

    fn unpad(&mut self) {
        each_width!(self, list => list.truncate(list.len() - PADDING));
    }
}

fn cells<C: Cell>(points: &[(u64, Slot)], narrow_shift: u32) -> Vec<C> {
    let mut list = Vec::with_capacity(points.len() + PADDING);
    list.extend(points.iter().map(|&(point, slot)| cell::<C>(point, narrow_shift, slot)));
    list
}

fn cell<C: Cell>(point: u64, narrow_shift: u32, slot: Slot) -> C {
    C::new(point >> cell_shift::<C>(narrow_shift), slot)
}

/// The cell of the place just above the last token.
fn top<C: Cell>(narrow_shift: u32, slot: Slot) -> C {
    C::new(1 << (u64::BITS - cell_shift::<C>(narrow_shift)), slot)
}

/// How far to shift a position so that what a cell keeps of it comes lowest, given how far it is for a narrow cell.
#[inline]
pub(crate) fn cell_shift<C: Cell>(narrow_shift: u32) -> u32 {
    narrow_shift + <u32 as Cell>::BITS - C::BITS
}

/// How many bits of a cell name its bucket: 128 buckets.
pub(crate) const BUCKETS_AROUND_BITS: u32 = 7;

/// How many cells the fast path of a lookup compares, in any case. Buckets hold about one point, so nearly all lookups
/// end within four.
pub(crate) const WINDOW: usize = 4;

/// How many slots are read together.
pub(crate) const AHEAD: usize = 4;

/// A window, or what lies ahead, may start after the last point.
pub(crate) const PADDING: usize = if AHEAD > WINDOW { AHEAD } else { WINDOW + 1 };

/// Slots below this many fit two bytes, with one value left over for nobody.
const NARROW_SLOTS_MAX: usize = u16::MAX as usize;
