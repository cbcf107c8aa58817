//! Which member each point belongs to, in two bytes while that is enough.

use alloc::vec::Vec;

use crate::splice;

/// A member's place in the tables of its ring.
pub(crate) type Slot = u32;

/// A list of slots.
#[derive(Clone)]
pub(crate) enum Owners {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

impl Owners {
    /// A list of these slots, all of them below `slots`.
    pub(crate) fn new(slots: usize, owners: impl ExactSizeIterator<Item = Slot>) -> Self {
        // Room for the padding that `Points` keeps at the end.
        let capacity = owners.len() + 1;
        let mut list = if slots <= NARROW_SLOTS_MAX {
            Owners::Narrow(Vec::with_capacity(capacity))
        } else {
            Owners::Wide(Vec::with_capacity(capacity))
        };
        match &mut list {
            Owners::Narrow(list) => list.extend(owners.map(|slot| slot as u16)),
            Owners::Wide(list) => list.extend(owners),
        }
        list
    }

    #[inline]
    pub(crate) fn at(&self, ix: usize) -> Slot {
        match self {
            Owners::Narrow(list) => Slot::from(list[ix]),
            Owners::Wide(list) => list[ix],
        }
    }

    pub(crate) fn set(&mut self, ix: usize, slot: Slot) {
        match self {
            Owners::Narrow(list) => list[ix] = slot as u16,
            Owners::Wide(list) => list[ix] = slot,
        }
    }

    /// Inserts a slot before each of these positions, which are in ascending order.
    pub(crate) fn insert_at(&mut self, positions: &[u32], slot: Slot) {
        if let Owners::Narrow(list) = self
            && slot as usize >= NARROW_SLOTS_MAX
        {
            *self = Owners::Wide(list.iter().copied().map(Slot::from).collect());
        }
        match self {
            Owners::Narrow(list) => splice::insert_at(list, positions, |_| slot as u16),
            Owners::Wide(list) => splice::insert_at(list, positions, |_| slot),
        }
    }

    /// Removes the slots at these positions, which are distinct and in ascending order.
    pub(crate) fn remove_at(&mut self, positions: &[u32]) {
        match self {
            Owners::Narrow(list) => splice::remove_at(list, positions),
            Owners::Wide(list) => splice::remove_at(list, positions),
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Owners::Narrow(list) => list.truncate(len),
            Owners::Wide(list) => list.truncate(len),
        }
    }

    /// Repeats the first slot after the last; or, in an empty list, appends a slot that no member has.
    pub(crate) fn pad(&mut self) {
        match self {
            Owners::Narrow(list) => list.push(list.first().copied().unwrap_or(u16::MAX)),
            Owners::Wide(list) => list.push(list.first().copied().unwrap_or(u32::MAX)),
        }
    }
}

/// Slots below this many fit two bytes, with one value left over for nobody.
const NARROW_SLOTS_MAX: usize = u16::MAX as usize;
