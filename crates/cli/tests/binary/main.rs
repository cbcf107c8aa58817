//! The built binary against real nodes on real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commands;
mod demo;
mod disk;
#[expect(dead_code, reason = "it runs in nodes, and is only called from here")]
#[path = "../../src/echo.rs"]
mod echo;
mod errors;
mod forming;
mod guide;
mod lab;
mod local;
mod metrics;
mod mounts;
mod names;
mod node;
mod partitions;
mod releases;
mod rolling;
// A thread of another namespace is a thing of Linux.
#[cfg(target_os = "linux")]
mod saturation;
mod schemas;
mod session;
mod support;
mod terminal;
mod transcripts;
mod watch;
