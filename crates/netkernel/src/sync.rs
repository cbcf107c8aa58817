//! The locks of what is also tested with loom's in their place (`tests/interleavings.rs`, `tests/lone_writes.rs`).

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Mutex, MutexGuard};
