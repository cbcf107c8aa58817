//! How a peer's link stands, and what went over it.

use std::fmt;
use std::time::Duration;

use crate::node::{Address, Incarnation, NodeId, Role};

/// What this node knows of one peer's link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer's id.
    pub id: NodeId,
    /// Where it is dialed, or where it said it listens; none if it does neither.
    pub address: Option<Address>,
    /// Its role, once a session was made.
    pub role: Option<Role>,
    /// Its incarnation, while a session is up.
    pub incarnation: Option<Incarnation>,
    /// How the link stands.
    pub state: PeerState,
    /// Whether a session is up: the state is [`PeerState::Connected`].
    pub connected: bool,
    /// Sessions that exist, those that are being made or ended included.
    pub sessions: usize,
    /// The last round trip measured: by [`Net::ping`](crate::Net::ping), or by a [heartbeat](crate::Builder::heartbeat), of which a session that is
    /// never silent is sent one soon after it began and then one each four times `idle`. None until the first is answered.
    pub round_trip: Option<Duration>,
    /// Messages waiting to be written.
    pub queued_messages: usize,
    /// Bytes waiting to be written.
    pub queued_bytes: usize,
    /// Control frames waiting to be written.
    pub queued_control: usize,
    /// What waits in the lane of small messages.
    pub queued_normal: Queued,
    /// What waits in the lane of messages over 16 KiB.
    pub queued_bulk: Queued,
    /// Casts sent or queued that the peer's servers have not taken yet: credit in use.
    pub casts_unacknowledged: Queued,
    /// Casts of the peer that are held here because their servers' mailboxes are full.
    pub casts_held: Queued,
    /// Calls made to the peer that have not ended.
    pub calls_pending: usize,
    /// Calls of the peer that are being executed here.
    pub calls_executing: usize,
    /// Messages and bytes over this link since it was first made.
    pub traffic: Traffic,
}

/// How a peer's link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// A session carries messages.
    Connected,
    /// A session is being made or ended, and none carries messages.
    Changing,
    /// There is no session, and one is wished for: the peer is dialed, or will be after a pause.
    Away,
    /// There is no session and no wish for one: the link is about to be forgotten.
    Unwanted,
}

impl fmt::Display for PeerState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connected => "connected",
            Self::Changing => "changing",
            Self::Away => "away",
            Self::Unwanted => "unwanted",
        })
    }
}

/// A number of messages, and of bytes they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queued {
    /// Messages.
    pub messages: usize,
    /// Bytes, those of queued messages with what keeping them costs.
    pub bytes: usize,
}

/// Messages that this node gave up, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Dropped for newer ones while there was no session ([`OfflinePolicy::DropOldest`](crate::OfflinePolicy)).
    pub queue_full: u64,
    /// They waited too long for a session, or were calls that their callers left.
    pub expired: u64,
    /// Partly sent, or replies, when their session was lost.
    pub link_lost: u64,
    /// Their link was closed: the peer was disconnected from, or this node shut down.
    pub closed: u64,
    /// Replies over a limit; their callers were told.
    pub replies: u64,
    /// Casts that waited for the peer, and were larger than it turned out to take.
    pub too_large: u64,
    /// Answers to a flooding peer that there was no room for; not counted as messages.
    pub control_frames: u64,
}

impl Dropped {
    /// All of them, control frames not counted.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.queue_full + self.expired + self.link_lost + self.closed + self.replies + self.too_large
    }
}

/// Counts of one link, since it was first made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Casts, calls and replies written.
    pub messages_sent: u64,
    /// Casts, calls and replies received.
    pub messages_received: u64,
    /// Bytes written, headers and tags included.
    pub bytes_sent: u64,
    /// Bytes read, headers and tags included.
    pub bytes_received: u64,
    /// Casts that a full or missing mailbox here turned away.
    pub casts_refused: u64,
    /// Casts that the peer's servers turned away, as it reported.
    pub casts_refused_by_peer: u64,
    /// Casts written to a session that broke, which the peer's servers had not been reported to have taken: at most so
    /// many did not arrive.
    pub casts_unconfirmed: u64,
    /// Messages given up on this side, before they were sent whole.
    pub messages_dropped: u64,
    /// The same, by reason.
    pub dropped: Dropped,
    /// Sessions made, those included that replaced another while it was up.
    pub sessions: u64,
    /// Sessions made after there had been none for a while: how often the link was lost and came back.
    pub reconnects: u64,
}
