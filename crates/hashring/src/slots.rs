//! What a placement gathers: lists that are short as a rule, and still quick to add to when they are not.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::cells::Slot;
use crate::node::Zone;

/// Slots in a list that allocates only beyond sixteen.
#[derive(Clone)]
pub(crate) struct Slots {
    len: usize,
    inline: [Slot; INLINE],
    /// All of them, once they are more than fit inline.
    spilled: Vec<Slot>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots { len: 0, inline: [0; INLINE], spilled: Vec::new() }
    }

    pub(crate) fn push(&mut self, slot: Slot) {
        if let Some(free) = self.inline.get_mut(self.len) {
            *free = slot;
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend(self.inline);
            }
            self.spilled.push(slot);
        }
        self.len += 1;
    }

    pub(crate) fn as_slice(&self) -> &[Slot] {
        self.inline.get(..self.len).unwrap_or(&self.spilled)
    }
}

/// Zones, told apart one by one while they are few, and by a tree from the seventeenth on. Having none is one.
pub(crate) struct ZonesMet<'a> {
    count: usize,
    few: [Option<&'a Zone>; INLINE],
    more: BTreeSet<Option<&'a Zone>>,
}

impl<'a> ZonesMet<'a> {
    pub(crate) fn new() -> Self {
        ZonesMet { count: 0, few: [None; INLINE], more: BTreeSet::new() }
    }

    /// Whether the zone is met for the first time.
    pub(crate) fn insert(&mut self, zone: Option<&'a Zone>) -> bool {
        if self.few.iter().take(self.count).any(|&met| met == zone) {
            return false;
        }
        let Some(free) = self.few.get_mut(self.count) else { return self.more.insert(zone) };
        *free = zone;
        self.count += 1;
        true
    }
}

/// More replicas than keys commonly have.
const INLINE: usize = 16;
