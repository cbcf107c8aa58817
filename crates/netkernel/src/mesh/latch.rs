//! Shut once, and whoever enters at that moment leaves again.

use std::sync::atomic::Ordering;

use crate::sync::AtomicBool;

/// Keeps a kernel that shuts down from being given further sessions.
///
/// A session takes over while another thread begins to shut down: either it is there when that thread ends what it
/// finds, or it finds the latch shut and ends itself. Both may happen; that neither does, and a session goes on that
/// nobody ends, is what the order of the two steps on either side rules out.
#[derive(Debug)]
pub(super) struct Latch {
    shut: AtomicBool,
}

impl Latch {
    pub(super) fn new() -> Self {
        Self { shut: AtomicBool::new(false) }
    }

    /// Enters, and leaves at once if the latch has been shut.
    pub(super) fn enter(&self, enter: impl FnOnce(), leave: impl FnOnce()) {
        enter();
        if self.is_shut() {
            leave();
        }
    }

    /// Shuts, and ends what is inside. What enters from now on leaves by itself.
    pub(super) fn shut(&self, end_all: impl FnOnce()) {
        self.shut.store(true, Ordering::SeqCst);
        end_all();
    }

    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }
}
