//! A short list of slots.

use alloc::vec::Vec;

use crate::cells::Slot;

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

/// More replicas than keys commonly have.
const INLINE: usize = 16;
