//! The locks and flags whose interleavings are explored: `tests/interleavings.rs` compiles the mailbox, the seat and
//! the slot with loom's in their place.

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Mutex, MutexGuard};
