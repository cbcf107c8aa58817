//! The limits of a system, each with its reason.

use std::time::Duration;

/// The limits of a [`System`](crate::System) and its servers. The nodes of a cluster need not agree on them.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) mailbox_messages: usize,
    pub(crate) mailbox_bytes: i64,
    pub(crate) timeout: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) slow_handler: Duration,
    pub(crate) tasks_max: usize,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            mailbox_messages: MAILBOX_MESSAGES,
            mailbox_bytes: MAILBOX_BYTES,
            timeout: TIMEOUT,
            start_timeout: START_TIMEOUT,
            slow_handler: SLOW_HANDLER,
            tasks_max: TASKS_MAX,
        }
    }

    /// How many messages a server's mailbox holds. Default 1,024; zero counts as one.
    #[must_use]
    pub fn mailbox_messages(mut self, messages: usize) -> Self {
        self.mailbox_messages = messages.max(1);
        self
    }

    /// How many bytes of messages from other nodes a server's mailbox holds on to. Default 8 MiB; one message is
    /// accepted while any are left.
    #[must_use]
    pub fn mailbox_bytes(mut self, bytes: usize) -> Self {
        self.mailbox_bytes = i64::try_from(bytes).unwrap_or(i64::MAX).max(1);
        self
    }

    /// How long a call waits for its answer, and a cast for room, unless told otherwise. Default 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a server's `init` may take. Default 30 s.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// How long a handler may keep its server before a warning is logged. Default 1 s.
    #[must_use]
    pub fn slow_handler(mut self, after: Duration) -> Self {
        self.slow_handler = after;
        self
    }

    /// How many tasks of one server ([`Cx::spawn`](crate::Cx::spawn), [`Cx::cast_when`](crate::Cx::cast_when)) may
    /// run before it takes no more messages until one ends. Default 1,024; zero counts as one.
    #[must_use]
    pub fn tasks_max(mut self, tasks: usize) -> Self {
        self.tasks_max = tasks.max(1);
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Enough that a server which falls behind for a moment loses nothing, few enough that a caller at the end of a
/// full mailbox is still answered within its deadline by a handler of a few milliseconds.
const MAILBOX_MESSAGES: usize = 1_024;
/// Twice the largest message netkernel takes.
const MAILBOX_BYTES: i64 = 8 << 20;
/// As in Erlang.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Long enough to open a database, short enough that a supervisor is not stuck for good.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A fifth of the default timeout: the first callers are about to give up.
const SLOW_HANDLER: Duration = Duration::from_secs(1);
/// As many as the mailbox holds.
const TASKS_MAX: usize = 1_024;
