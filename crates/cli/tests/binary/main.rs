//! The built binary against real nodes on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod demo;
mod errors;
mod forming;
mod guide;
mod local;
mod metrics;
mod node;
mod partitions;
mod schemas;
mod session;
mod support;
mod terminal;
mod watch;
