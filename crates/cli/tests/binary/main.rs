//! The built binary against real nodes on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod demo;
mod disk;
mod errors;
mod forming;
mod guide;
mod local;
mod metrics;
mod mounts;
mod names;
mod node;
mod partitions;
mod releases;
mod rolling;
mod schemas;
mod session;
mod support;
mod terminal;
mod transcripts;
mod watch;
