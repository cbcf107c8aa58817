//! The driver over real kernels: handshakes, sessions and records, on a network in memory and a paused clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod disks;
mod down;
mod handles;
mod operations;
mod restarts;
