//! Chooses the settings of a kernel, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use super::{Config, ConfigError, OfflinePolicy};
use crate::node::{Address, Incarnation, Role};
use crate::transport::Transport;

/// Chooses settings, and checks them at the end.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }

    /// The settings, if a kernel can work by them.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that is out of its range, or the two that contradict each other.
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut config = self.config;
        config.limits.check()?;
        if let Some(bearing) = config.transport.bearing(config.limits.write_stall) {
            config.transport = bearing;
        }
        Ok(config)
    }

    /// Where to take connections in; port 0 takes any free port.
    pub fn listen(mut self, address: Address) -> Self {
        self.config.listen = Some(address);
        self
    }

    /// The address told to others, where it is not the one listened at (behind a translator, or on 0.0.0.0).
    pub fn advertise(mut self, address: Address) -> Self {
        self.config.advertise = Some(address);
        self
    }

    /// Which run of the node this is. Default 0: the layer above mints it.
    pub fn incarnation(mut self, incarnation: Incarnation) -> Self {
        self.config.incarnation = incarnation;
        self
    }

    /// What this end says it is. Default [`Role::Node`].
    pub fn role(mut self, role: Role) -> Self {
        self.config.role = role;
        self
    }

    /// How connections are made. Default [`Tcp`](crate::Tcp).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.config.transport = Arc::new(transport);
        self
    }

    /// The largest message, in bytes, in either direction. Default 4 MiB: a message is held whole in memory at
    /// both ends, and one that takes longer than a blink on a slow link is better a stream. A larger one is refused
    /// with `TooLarge` where it is sent, by the lower of the two ends' limits: each tells the other its own. At most 1 GiB,
    /// and no more than [`reassembly_bytes_max`](Self::reassembly_bytes_max) or the connected queue.
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.config.limits.message_bytes_max = bytes;
        self
    }

    /// The queue towards one peer that is connected, in bytes, control frames not counted: from `soft` on, casts wait;
    /// at `max`, calls are turned away with `Busy`, and a reply is dropped, counted, and its caller told `NoReply`.
    /// Defaults 1 MiB, some milliseconds of a fast link, so that a call behind it is not late; and 8 MiB, so that
    /// replies, which nobody can hold back, have room where requests have not.
    pub fn queue_bytes(mut self, soft: usize, max: usize) -> Self {
        self.config.limits.queue_bytes_soft = soft;
        self.config.limits.queue_bytes_max = max;
        self
    }

    /// What may wait for a peer that is not connected: so many messages, so many bytes, none older than `age`. Defaults
    /// 1,024, 8 MiB and 30 s: a restart of the peer is outlasted, and what is older than that is rarely still wanted. At
    /// most 4,096 and 16 MiB: all of it is sent at once when the peer is back, and a full server's node has room for so much;
    /// and no more bytes than [`queue_bytes.max`](Self::queue_bytes), or calls to a peer that is back would be turned away.
    pub fn offline_queue(mut self, messages: usize, bytes: usize, age: Duration) -> Self {
        self.config.limits.offline_messages_max = messages;
        self.config.limits.offline_bytes_max = bytes;
        self.config.limits.offline_age_max = age;
        self
    }

    /// What happens to a message for a peer that is not connected when as many wait as may. Default
    /// [`OfflinePolicy::FailNew`]: whoever sends knows best what to do with it.
    pub fn offline_policy(mut self, policy: OfflinePolicy) -> Self {
        self.config.limits.offline_policy = policy;
        self
    }

    /// The bytes of one peer's messages that are still arriving in pieces, each counted whole, for which up to twice as
    /// much is allocated. Default 8 MiB: two messages of the largest size, or many smaller ones, arrive side by side.
    /// Peers are told, and begin no more at a time; one that does all the same is wasting memory, and its session is
    /// closed.
    pub fn reassembly_bytes_max(mut self, bytes: usize) -> Self {
        self.config.limits.reassembly_bytes_max = bytes;
        self
    }

    /// How many answers to PINGs may wait for one peer, and how many refusals of calls. Default 4,096 of either: one that
    /// makes more of them than it reads is flooding; further ones are dropped and counted. Other control frames are
    /// bounded by what this node has begun, and credit by the servers it is for.
    pub fn control_frames_max(mut self, frames: usize) -> Self {
        self.config.limits.control_frames_max = frames;
        self
    }

    /// How many connections may be in mid-handshake: in all, and from one host (loopback addresses are exempt, for
    /// there all clients have one; the addresses of one IPv6 /64 are one host). At either limit the oldest whose first
    /// message has not opened is dropped, or else the oldest; one that has sent its record 0 counts among the
    /// [`sessions`](Self::sessions) instead. Defaults 128,
    /// some kilobytes each, so that a flood costs a megabyte and a cluster of a hundred may start at once; and 32, so
    /// that one host cannot take every place.
    pub fn handshakes(mut self, max: usize, per_host: usize) -> Self {
        self.config.limits.handshakes_max = max;
        self.config.limits.handshakes_per_host_max = per_host;
        self
    }

    /// How many sessions that others dialed may exist: in all, and with one peer, those in the making and those that end
    /// included. More are refused as [`Unavailable`](crate::HandshakeError::Unavailable). Defaults 4,096, for a mesh of a
    /// thousand nodes and as many clients as it has descriptors, and so that one who holds the cookie and makes up ids
    /// takes a known share; and 8, for a healthy pair has two for a moment, and each that is replaced ends in seconds.
    pub fn sessions(mut self, max: usize, per_peer: usize) -> Self {
        self.config.limits.sessions_max = max;
        self.config.limits.sessions_per_peer_max = per_peer;
        self
    }

    /// How long a handshake may take at either end: until the first message has come and opened, and in all. Defaults
    /// 500 ms, for a stranger's connection holds a place for no longer, and 3 s, for an authentic one may have an
    /// incumbent probed on its behalf.
    pub fn handshake_time(mut self, first: Duration, whole: Duration) -> Self {
        self.config.limits.handshake_first = first;
        self.config.limits.handshake_whole = whole;
        self
    }

    /// How long the incumbent of a node id may take to answer, when another instance of the id appears, before it is
    /// taken for dead and replaced. Default 1 s: a live node on a loaded host answers within this, and a dead one
    /// delays its successor by no more.
    pub fn probe(mut self, patience: Duration) -> Self {
        self.config.limits.probe = patience;
        self
    }

    /// How long a peer may take nothing of what is written to it before its session is closed. Default 10 s: what
    /// waits for it holds memory, and a healthy host stalls for less. A transport that has a limit of its own is told of this
    /// one ([`Transport::bearing`]).
    pub fn write_stall(mut self, stall: Duration) -> Self {
        self.config.limits.write_stall = stall;
        self
    }

    /// How many calls to one peer, and of one peer, may be under way. Default 65,536, of some 100 bytes each: a caller
    /// that outruns its peer by more has lost count. More are refused with `Busy` here, and answered `Overloaded` there.
    pub fn calls_max(mut self, calls: usize) -> Self {
        self.config.limits.calls_max = calls;
        self
    }

    /// When to ask a silent peer for a sign of life: after `idle`, or after `busy` while calls wait for it; and
    /// how long it may take to give one before the session is closed. Defaults 15 s, for judging nodes is the business
    /// of gossip and an idle session should cost little; 2 s, for then somebody waits; and 5 s. All sessions of a kernel
    /// are looked at together: at beats of half of the shortest of the three, from 10 ms to a second, while a call waits or
    /// a peer was asked, and at every other beat otherwise. Each time may take so much longer. `idle` and `busy` are at
    /// least 20 ms: looking for silence more often would be all that a node does.
    ///
    /// Calls are those made by [`Net::call`](crate::Net::call): what layers above wait for without one, as monitors do,
    /// makes no link busy. A peer that is never silent is asked as well, soon and then every four times `idle`, for the time
    /// that its answer takes.
    pub fn heartbeat(mut self, idle: Duration, busy: Duration, timeout: Duration) -> Self {
        self.config.limits.heartbeat_idle = idle;
        self.config.limits.heartbeat_busy = busy;
        self.config.limits.heartbeat_timeout = timeout;
        self
    }

    /// How many wished-for peers may be dialed at once; a further one waits for its turn, half a second at most. Default
    /// 8: where all nodes of a mesh start together, most find themselves dialed while they wait, and half of the
    /// handshakes are spared; and a node that is started last does not fall upon its peers with all its dials at once.
    pub fn dials(mut self, max: usize) -> Self {
        self.config.limits.dials_max = max;
        self
    }

    /// How long to wait before dialing again: from `first`, doubling up to `max`, with jitter. A session that has lasted for
    /// `max` begins anew; one that is lost before is as good as none. Defaults 100 ms, so that
    /// a restart is met at once, and 5 s, so that a host that comes back is noticed soon.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.config.limits.backoff_first = first;
        self.config.limits.backoff_max = max;
        self
    }
}
