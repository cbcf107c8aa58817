//! The settings of a kernel, each with its reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::node::{Address, Incarnation, NodeId, Role};
use crate::proto::credit::{CAST_OVERHEAD_BYTES, LINK_BYTES};
use crate::proto::hello::Receives;
use crate::proto::reassembly::MESSAGES_MAX as UNFINISHED_MAX;
use crate::security::Security;
use crate::transport::{Tcp, Transport};

/// How a kernel is set up. Security has no default: it is the one choice that must be made.
///
/// What both ends of a session have to agree on, and what no deployment has a reason to change, is no setting: the credit
/// of a server (4,096 casts or 2 MiB) and of a link (16 MiB), 4,096 names and 1,024 unfinished messages a session, 64 KiB
/// that may go ahead, pieces of 60 KiB at most, how much bulk may be under way (64 KiB to 16 MiB, as its way is), and the
/// turns of those who dial at once. The [wire format](crate::wire_v1) says what of this a peer can rely on.
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
    pub(crate) offline_bytes_max: usize,
    pub(crate) offline_age_max: Duration,
    pub(crate) offline_policy: OfflinePolicy,
    pub(crate) reassembly_bytes_max: usize,
    pub(crate) control_frames_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) heartbeat_idle: Duration,
    pub(crate) heartbeat_busy: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) handshake_first: Duration,
    pub(crate) handshake_whole: Duration,
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_host_max: usize,
    pub(crate) sessions_max: usize,
    pub(crate) sessions_per_peer_max: usize,
    pub(crate) dials_max: usize,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) probe: Duration,
}

impl Limits {
    /// What the other end of a session is told of them.
    pub(crate) fn receives(&self) -> Receives {
        Receives {
            message_bytes: self.message_bytes_max as u64,
            unfinished_bytes: self.reassembly_bytes_max as u64,
            unfinished_messages: UNFINISHED_MAX as u64,
        }
    }

    /// What casts of one peer may take here while they wait for their mailboxes: all that a peer which keeps to its
    /// credit can have under way, with an offline queue like this node's, and one message of the largest size that
    /// exceeds it.
    pub(crate) fn held_bytes_max(&self) -> usize {
        let overhead = 2 * CAST_OVERHEAD_BYTES as usize;
        self.offline_bytes_max.max(LINK_BYTES as usize) + self.message_bytes_max + overhead
    }
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
    /// both ends, and one that takes longer than a blink on a slow link is better a stream. A larger one is refused
    /// with `TooLarge` where it is sent, by the lower of the two ends' limits: each tells the other its own.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.message_bytes_max = bytes;
        self
    }

    /// The queue towards one peer that is connected, in bytes, control frames not counted: from `soft` on, casts wait;
    /// at `max`, calls are turned away with `Busy`, and a reply is dropped, counted, and its caller told `NoReply`.
    /// Defaults 1 MiB, some milliseconds of a fast link, so that a call behind it is not late; and 8 MiB, so that
    /// replies, which nobody can hold back, have room where requests have not.
    #[must_use]
    pub fn queue_bytes(mut self, soft: usize, max: usize) -> Self {
        self.limits.queue_bytes_soft = soft;
        self.limits.queue_bytes_max = max.max(soft);
        self
    }

    /// What may wait for a peer that is not connected: so many messages, so many bytes, none older than `age`. Defaults
    /// 1,024, 8 MiB and 30 s: a restart of the peer is outlasted, and what is older than that is rarely still wanted.
    #[must_use]
    pub fn offline_queue(mut self, messages: usize, bytes: usize, age: Duration) -> Self {
        self.limits.offline_messages_max = messages;
        self.limits.offline_bytes_max = bytes;
        self.limits.offline_age_max = age;
        self
    }

    /// What happens to a message for a peer that is not connected when as many wait as may. Default
    /// [`OfflinePolicy::FailNew`]: whoever sends knows best what to do with it.
    #[must_use]
    pub fn offline_policy(mut self, policy: OfflinePolicy) -> Self {
        self.limits.offline_policy = policy;
        self
    }

    /// The bytes of one peer's messages that are still arriving in pieces, each counted whole, for which up to twice as
    /// much is allocated. Default 8 MiB: two messages of the largest size, or many smaller ones, arrive side by side.
    /// Peers are told, and begin no more at a time; one that does all the same is wasting memory, and its session is
    /// closed.
    #[must_use]
    pub fn reassembly_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.reassembly_bytes_max = bytes;
        self
    }

    /// How many answers to PINGs may wait for one peer, and how many refusals of calls. Default 4,096 of either: one that
    /// makes more of them than it reads is flooding; further ones are dropped and counted. Other control frames are
    /// bounded by what this node has begun, and credit by the servers it is for.
    #[must_use]
    pub fn control_frames_max(mut self, frames: usize) -> Self {
        self.limits.control_frames_max = frames;
        self
    }

    /// How many connections may be in mid-handshake: in all, and from one host (loopback addresses are exempt, for
    /// there all clients have one; the addresses of one IPv6 /64 are one host). At either limit the oldest whose first
    /// message has not opened is dropped, or else the oldest that has not sent its record 0. Defaults 128,
    /// some kilobytes each, so that a flood costs a megabyte and a cluster of a hundred may start at once; and 32, so
    /// that one host cannot take every place.
    #[must_use]
    pub fn handshakes(mut self, max: usize, per_host: usize) -> Self {
        self.limits.handshakes_max = max.max(1);
        self.limits.handshakes_per_host_max = per_host.max(1);
        self
    }

    /// How many sessions that others dialed may exist: in all, and with one peer, those in the making and those that end
    /// included. More are refused as [`Unavailable`](crate::HandshakeError::Unavailable). Defaults 4,096, for a mesh of a
    /// thousand nodes and as many clients as it has descriptors, and so that one who holds the cookie and makes up ids
    /// takes a known share; and 8, for a healthy pair has two for a moment, and each that is replaced ends in seconds.
    #[must_use]
    pub fn sessions(mut self, max: usize, per_peer: usize) -> Self {
        self.limits.sessions_max = max.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self.limits.sessions_per_peer_max = per_peer.max(2);
        self
    }

    /// How long a handshake may take at either end: until the first message has come and opened, and in all. Defaults
    /// 500 ms, for a stranger's connection holds a place for no longer, and 3 s, for an authentic one may have an
    /// incumbent probed on its behalf.
    #[must_use]
    pub fn handshake_time(mut self, first: Duration, whole: Duration) -> Self {
        self.limits.handshake_first = first;
        self.limits.handshake_whole = whole.max(first);
        self
    }

    /// How long the incumbent of a node id may take to answer, when another instance of the id appears, before it is
    /// taken for dead and replaced. Default 1 s: a live node on a loaded host answers within this, and a dead one
    /// delays its successor by no more.
    #[must_use]
    pub fn probe(mut self, patience: Duration) -> Self {
        self.limits.probe = patience;
        self
    }

    /// How long a peer may take nothing of what is written to it before its session is closed. Default 10 s: what
    /// waits for it holds memory, and a healthy host stalls for less.
    #[must_use]
    pub fn write_stall(mut self, stall: Duration) -> Self {
        self.limits.write_stall = stall;
        self
    }

    /// How many calls to one peer, and of one peer, may be under way. Default 65,536, of some 100 bytes each: a caller
    /// that outruns its peer by more has lost count. More are refused with `Busy` here, and answered `Overloaded` there.
    #[must_use]
    pub fn calls_max(mut self, calls: usize) -> Self {
        self.limits.calls_max = calls;
        self
    }

    /// When to ask a silent peer for a sign of life: after `idle`, or after `busy` while calls wait for it; and
    /// how long it may take to give one before the session is closed. Defaults 15 s, for judging nodes is the business
    /// of gossip and an idle session should cost little; 2 s, for then somebody waits; and 5 s. All sessions of a kernel
    /// are looked at together: at beats of half of the shortest of the three, from 10 ms to a second, while a call waits or
    /// a peer was asked, and at every other beat otherwise. Each time may take so much longer. `idle` and `busy` are at
    /// least 20 ms.
    ///
    /// Calls are those made by [`Net::call`](crate::Net::call): what layers above wait for without one, as monitors do,
    /// makes no link busy. A peer that is never silent is asked as well, soon and then every four times `idle`, for the time
    /// that its answer takes.
    #[must_use]
    pub fn heartbeat(mut self, idle: Duration, busy: Duration, timeout: Duration) -> Self {
        self.limits.heartbeat_idle = idle.max(HEARTBEAT_MIN);
        self.limits.heartbeat_busy = busy.max(HEARTBEAT_MIN);
        self.limits.heartbeat_timeout = timeout;
        self
    }

    /// How many wished-for peers may be dialed at once; a further one waits for its turn, half a second at most. Default
    /// 8: where all nodes of a mesh start together, most find themselves dialed while they wait, and half of the
    /// handshakes are spared; and a node that is started last does not fall upon its peers with all its dials at once.
    #[must_use]
    pub fn dials(mut self, max: usize) -> Self {
        self.limits.dials_max = max.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// How long to wait before dialing again: from `first`, doubling up to `max`, with jitter. A session that has lasted for
    /// `max` begins anew; one that is lost before is as good as none. Defaults 100 ms, so that
    /// a restart is met at once, and 5 s, so that a host that comes back is noticed soon.
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

/// More often, looking for silence would be all that a node does.
const HEARTBEAT_MIN: Duration = Duration::from_millis(20);

/// The reasons stand with the setters.
impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            queue_bytes_soft: 1 << 20,
            queue_bytes_max: 8 << 20,
            offline_messages_max: 1_024,
            offline_bytes_max: 8 << 20,
            offline_age_max: Duration::from_secs(30),
            offline_policy: OfflinePolicy::FailNew,
            reassembly_bytes_max: 8 << 20,
            control_frames_max: 4_096,
            calls_max: 65_536,
            heartbeat_idle: Duration::from_secs(15),
            heartbeat_busy: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(5),
            write_stall: Duration::from_secs(10),
            handshake_first: Duration::from_millis(500),
            handshake_whole: Duration::from_secs(3),
            handshakes_max: 128,
            handshakes_per_host_max: 32,
            sessions_max: 4_096,
            sessions_per_peer_max: 8,
            dials_max: 8,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
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
