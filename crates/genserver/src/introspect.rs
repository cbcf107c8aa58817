//! What can be seen of a running server.

use std::time::Duration;

use crate::pid::Pid;

/// The state of one server, as seen from outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its identity, with its name.
    pub pid: Pid,
    /// Its Rust type.
    pub type_name: &'static str,
    /// Messages that wait in its mailbox.
    pub mailbox_messages: usize,
    /// How many fit.
    pub mailbox_capacity: usize,
    /// Messages handled since it started, the running one included.
    pub handled: u64,
    /// Whether it was paused.
    pub paused: bool,
    /// How long it has run.
    pub uptime: Duration,
    /// The handler that is suspended now. One that runs without ever awaiting does not show.
    pub handling: Option<Handling>,
}

/// A handler that is suspended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Handling {
    /// The type of its message.
    pub message: &'static str,
    /// How long ago it suspended first.
    pub busy: Duration,
}
