//! Every setting of a kernel, each with its reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::node::{Address, Incarnation, NodeId, Role};
use crate::security::Security;
use crate::transport::{Tcp, Transport};

/// How a kernel is set up. Security has no default: it is the one choice that must be made.
#[derive(Clone)]
pub struct Config {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) role: Role,
    pub(crate) listen: Option<Address>,
    pub(crate) advertise: Option<Address>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) security: Arc<dyn Security>,
    pub(crate) limits: Limits,
}

/// The limits of a kernel's links and handshakes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) message_bytes_max: usize,
    pub(crate) queue_bytes_soft: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) offline_messages_max: usize,
    pub(crate) offline_age_max: Duration,
    pub(crate) offline_policy: OfflinePolicy,
    pub(crate) parked_bytes_max: usize,
    pub(crate) reassembly_bytes_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) heartbeat_idle: Duration,
    pub(crate) heartbeat_busy: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) handshake_first: Duration,
    pub(crate) handshake_whole: Duration,
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_host_max: usize,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) probe: Duration,
}

impl Config {
    /// A node of this name. Everything else has a default; without [`listen`](Self::listen) it only dials.
    #[must_use]
    pub fn new(id: NodeId, security: impl Security) -> Self {
        Self {
            id,
            incarnation: Incarnation::default(),
            role: Role::Node,
            listen: None,
            advertise: None,
            transport: Arc::new(Tcp),
            security: Arc::new(security),
            limits: Limits::default(),
        }
    }

    /// Where to take connections in; port 0 takes any free port.
    #[must_use]
    pub fn listen(mut self, address: Address) -> Self {
        self.listen = Some(address);
        self
    }

    /// The address told to others, where it is not the one listened at (behind a translator, or on 0.0.0.0).
    #[must_use]
    pub fn advertise(mut self, address: Address) -> Self {
        self.advertise = Some(address);
        self
    }

    /// Which run of the node this is. Default 0: the layer above mints it.
    #[must_use]
    pub fn incarnation(mut self, incarnation: Incarnation) -> Self {
        self.incarnation = incarnation;
        self
    }

    /// What this end says it is. Default [`Role::Node`].
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// How connections are made. Default [`Tcp`].
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    /// The largest message, in bytes, in either direction. Default 4 MiB: a message is held whole in memory at
    /// both ends. Must match on all nodes, or larger messages close the session.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.message_bytes_max = bytes;
        self
    }

    /// The queue towards one peer, in bytes: from `soft` on, casts wait; at `max`, calls and replies are turned
    /// away too. Defaults 1 MiB and 8 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, soft: usize, max: usize) -> Self {
        self.limits.queue_bytes_soft = soft;
        self.limits.queue_bytes_max = max.max(soft);
        self
    }

    /// What may wait for a peer that is not connected: so many messages, none older than `age`. Defaults 1,024
    /// and 30 s.
    #[must_use]
    pub fn offline_queue(mut self, messages: usize, age: Duration) -> Self {
        self.limits.offline_messages_max = messages;
        self.limits.offline_age_max = age;
        self
    }

    /// What happens to a message for a peer that is not connected when as many wait as may. Default
    /// [`OfflinePolicy::FailNew`].
    #[must_use]
    pub fn offline_policy(mut self, policy: OfflinePolicy) -> Self {
        self.limits.offline_policy = policy;
        self
    }

    /// How many connections may be in mid-handshake: in all, and from one host (loopback addresses are exempt). At
    /// either limit the oldest that has not shown the cookie is dropped. Defaults 128 and 32.
    #[must_use]
    pub fn handshakes(mut self, max: usize, per_host: usize) -> Self {
        self.limits.handshakes_max = max.max(1);
        self.limits.handshakes_per_host_max = per_host.max(1);
        self
    }

    /// How long a peer may take nothing of what is written to it before its session is closed. Default 10 s.
    #[must_use]
    pub fn write_stall(mut self, stall: Duration) -> Self {
        self.limits.write_stall = stall;
        self
    }

    /// How many calls to one peer, and of one peer, may be under way. Default 65,536.
    #[must_use]
    pub fn calls_max(mut self, calls: usize) -> Self {
        self.limits.calls_max = calls;
        self
    }

    /// When to ask a silent peer for a sign of life: after `idle`, or after `busy` while calls wait for it; and
    /// how long it may take to give one before the session is closed. Defaults 15 s, 2 s and 5 s. All sessions of a
    /// kernel are looked at together, every half of `busy`.
    #[must_use]
    pub fn heartbeat(mut self, idle: Duration, busy: Duration, timeout: Duration) -> Self {
        self.limits.heartbeat_idle = idle;
        self.limits.heartbeat_busy = busy;
        self.limits.heartbeat_timeout = timeout;
        self
    }

    /// How long to wait before dialing again: from `first`, doubling up to `max`, with jitter. Defaults 100 ms
    /// and 5 s.
    #[must_use]
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.limits.backoff_first = first;
        self.limits.backoff_max = max.max(first);
        self
    }
}

/// What happens to a message for a peer that is not connected when as many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OfflinePolicy {
    /// It is not accepted: its sender gets it back as [`SendError::Busy`](crate::SendError::Busy).
    #[default]
    FailNew,
    /// The oldest cast that waits is dropped for it, and counted.
    DropOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            queue_bytes_soft: 1 << 20,
            queue_bytes_max: 8 << 20,
            offline_messages_max: 1_024,
            offline_age_max: Duration::from_secs(30),
            offline_policy: OfflinePolicy::FailNew,
            // All of a peer's offline queue, and a message of the largest size that follows it.
            parked_bytes_max: 12 << 20,
            // Two messages of the largest size: one that arrives while the last is being put together.
            reassembly_bytes_max: 8 << 20,
            // Slots of some 100 bytes: a caller that outruns its peer by more than this has lost count.
            calls_max: 65_536,
            heartbeat_idle: Duration::from_secs(15),
            heartbeat_busy: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(5),
            // A peer that takes nothing for this long holds memory here for no use.
            write_stall: Duration::from_secs(10),
            // A stranger's connection is held for half a second, an authenticated one until the rest has come.
            handshake_first: Duration::from_millis(500),
            handshake_whole: Duration::from_secs(3),
            // Some kilobytes each: a flood costs a megabyte, a cluster of a hundred nodes may start at once.
            handshakes_max: 128,
            // A quarter of all, so that one host cannot take every place.
            handshakes_per_host_max: 32,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            // A live node on a loaded host answers within this; a dead one delays its successor by no more.
            probe: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("id", &self.id)
            .field("incarnation", &self.incarnation)
            .field("role", &self.role)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("transport", &self.transport)
            .field("security", &self.security)
            .field("limits", &self.limits)
            .finish()
    }
}
