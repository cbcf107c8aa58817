//! The wire: what nodes of a ring tell each other.
//!
//! # How a change travels
//!
//! ```text
//!   writer              three others, at random           anyone, later
//!     │ Rumor{record, fact}  │                                │
//!     ├─────────────────────▶│  merges, passes it on          │
//!     │◀─────────────────────┤  Known{learned: fact}          │
//!     │     …until three have answered Known{already: fact}   │
//!     │                      │                                │
//!     │                      │ SyncHash (one random member a second)
//!     │                      ├───────────────────────────────▶│ the hashes differ:
//!     │                      │◀───────────────────────────────┤ Digest{what I have seen}
//!     │                      │ Delta{base, records, upto}     │
//!     │                      ├───────────────────────────────▶│ merges; now it has seen `upto`
//! ```
//!
//! A rumour is fast and may miss someone; the comparison of digests is slow and misses nobody. Both carry whole
//! records, and a record merges into the same result however often and in whatever order it arrives, so every
//! message may be lost, repeated or overtaken.
//!
//! # How a node comes in
//!
//! ```text
//!   newcomer   Meet{all I have}        member        member    Invite{your record}   newcomer
//!      ├──────────────────────────────▶│                ├───────────────────────────────▶│ joins, writes
//!      │◀──────────────────────────────┤                │◀───────────────────────────────┤ its own record,
//!      │       MeetAck{all I have}     │                │       Digest (a pull)          │ or InviteRefused
//! ```
//!
//! # How nodes know who is there
//!
//! Once a second each asks another, in turns: [`Liveness`](Message::Liveness) carries the question, the answer, and
//! what is known of others. [`liveness`](crate::liveness) draws it.
//!
//! # How a node goes
//!
//! A tombstone is a record like any other. A node that missed its own finds out as soon as it says anything:
//! its header names the events of its own record, and whoever has seen these and has no such member answers
//! [`YouAreRemoved`](Message::YouAreRemoved) and takes nothing from it. A member that missed another's leave is
//! told [`Gone`](Message::Gone) by the one who left. [`Goodbye`](Message::Goodbye) is no leave: its sender stops
//! for a while and stays a member.

use std::slice;

use bytes::Bytes;
use netkernel::{Address, Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::proto::liveness::Signal;
use crate::proto::{Context, Digest, Dot, Ended, Fact, Floor, Hash, Protocols, RECORD_BYTES_MAX, Record};
use crate::ring_name::RingName;

/// The protocol version this build writes.
pub const PROTOCOL: u8 = 1;

/// What every frame says of its sender. Who that is, the session has proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The sender's ring; for one that is in none, the last it was in.
    pub ring: Option<RingName>,
    /// Everything that must match on all nodes because keys would move, as a fingerprint.
    pub layout: u64,
    /// Which run of the sender this is.
    pub incarnation: Incarnation,
    /// The events that wrote the sender's roster record, as the sender has it.
    pub own: Vec<Dot>,
}

/// A message with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who speaks, and for which ring.
    pub header: Header,
    /// What is said.
    pub message: Message,
}

/// What nodes tell each other. The variants are in the order of their wire tags: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "This is the hash of what I have." Answered only when it differs.
    SyncHash(SyncHash),
    /// "This is what I have seen." Answered with what is missing, and with a digest if the answerer lacks
    /// something itself.
    Digest(Digest),
    /// What a digest lacked.
    Delta(Delta),
    /// Everything. Sent where a delta cannot explain why two nodes differ.
    Snapshot(Snapshot),
    /// News, passed on at once.
    Rumor {
        /// The records that changed, whole.
        records: Vec<Record>,
        /// What changed.
        facts: Vec<Fact>,
    },
    /// The answer to a rumour: which of its facts were news. The receiver has all of these now.
    Known {
        /// Facts it did not have before.
        learned: Vec<Fact>,
        /// Facts it had.
        already: Vec<Fact>,
    },
    /// "Let our rings be one." Answered with [`MeetAck`](Self::MeetAck), and repeated until it is.
    Meet(Snapshot),
    /// The answer to a meet: everything the answerer has, the sender's share included.
    MeetAck(Snapshot),
    /// "You were inserted." Carries the receiver's own record; it pulls the rest.
    Invite(Box<Record>),
    /// "I do not come." Whoever hears it removes the sender, unless it knows of a later run than the one that says so; that
    /// it tells the sender, in a rumour without facts.
    InviteRefused(InviteRefusal),
    /// "You were removed": nothing of the sender's frame was merged.
    YouAreRemoved {
        /// The receiver's record with its tombstone, while there is one.
        record: Option<Box<Record>>,
        /// The events of the receiver's record that are known to be in the past.
        covered: Vec<Dot>,
        /// What stayed of the receiver once its tombstone was collected.
        floor: Option<Box<Floor>>,
    },
    /// "I am not in this ring any more."
    Gone {
        /// The sender's own record, with its tombstone, unless that was collected.
        record: Option<Box<Record>>,
        /// What stayed of the sender once its tombstone was collected.
        floor: Option<Box<Floor>>,
        /// Some members it knew, for a receiver that knows nobody else.
        members: Vec<(NodeId, Address)>,
    },
    /// "I stop for a while." The sender stays a member and answers nothing until it is back.
    Goodbye,
    /// "Your frame does not concern me": another ring, another layout, or no ring at all. The header says
    /// which. Never answered.
    Stranger,
    /// "Are you there?", and what belongs to it.
    Liveness(Signal),
    /// "These have this on disk." Told while something waits to be forgotten, and answered if the answerer knows of more.
    Stored {
        /// The hash of what was seen in the state.
        state: Hash,
        /// A bit for each member of that state that has been heard from, by id, the lowest bit of the first byte first.
        members: Bytes,
    },
}

/// A comparison of everything in forty-eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncHash {
    /// Of what was seen.
    pub seen: Hash,
    /// Of what is there. Nodes that have seen the same must have the same.
    pub live: Hash,
    /// Of what was seen and is on the sender's disk.
    pub durable: Hash,
}

/// What a digest lacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The digest that was answered. A receiver that does not cover it any more (it restarted from an older
    /// state) must not take `upto` for granted.
    pub base: Context,
    /// Every record of which `base` has not seen everything.
    pub records: Vec<Record>,
    /// What stayed of removed nodes of whose tombstones `base` has not seen everything.
    pub floors: Vec<Floor>,
    /// Actors that `base` still counts and the sender does not any more.
    pub retired: Vec<Ended>,
    /// What a receiver that covers `base` has seen once it merged the records. `None` if they did not all fit:
    /// it asks again.
    pub upto: Option<Context>,
}

/// Everything a node has. What its receiver has besides, and the sender has seen, was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All records.
    pub records: Vec<Record>,
    /// What stayed of removed nodes whose tombstones were collected.
    pub floors: Vec<Floor>,
    /// What the sender has seen. `None` if not everything fitted.
    pub context: Option<Context>,
}

/// Why a node does not accept an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[non_exhaustive]
pub enum InviteRefusal {
    /// It is in another ring.
    #[error("it is in ring `{ring}`")]
    OtherRing {
        /// That ring.
        ring: RingName,
    },
    /// It left of itself, or never was in a ring: it comes when it joins.
    #[error("it is in no ring and has not asked to be in one")]
    NotInRing,
    /// Its settings place keys differently.
    #[error("its ring layout is configured differently")]
    Layout,
}

impl Frame {
    /// The bytes of the frame, in this build's version.
    #[must_use]
    pub fn encode(header: &Header, message: &Message) -> Bytes {
        Self::encode_as(PROTOCOL, header, message)
    }

    /// The bytes of the frame in a version that its receiver speaks. So far all versions are written alike.
    pub(crate) fn encode_as(version: u8, header: &Header, message: &Message) -> Bytes {
        let start = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], version].to_vec();
        let bytes = postcard::to_extend(&(header, message), start);
        bytes.expect("the types of a frame always serialise, and a vector takes every byte").into()
    }

    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`], when nothing of the frame may be believed.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        Self::decode_within(Protocols { oldest: PROTOCOL, newest: PROTOCOL }, bytes)
    }

    /// Reads a frame of one of these versions.
    pub(crate) fn decode_within(spoken: Protocols, bytes: &[u8]) -> Result<Self, FrameError> {
        let (magic, rest) = bytes.split_first_chunk().ok_or(FrameError::NotGossip)?;
        if *magic != MAGIC {
            return Err(FrameError::NotGossip);
        }
        let (version, rest) = rest.split_first().ok_or(FrameError::NotGossip)?;
        if !(spoken.oldest..=spoken.newest).contains(version) {
            return Err(FrameError::Version { version: *version });
        }
        let (header, message) = postcard::from_bytes(rest).map_err(|_| FrameError::Malformed)?;
        let frame = Self { header, message };
        let (records, floors) = (frame.message.records(), frame.message.floors());
        // A frame no longer than the longest record has none that is longer.
        let is_within_limits = match bytes.len() > RECORD_BYTES_MAX {
            true => records.iter().all(Record::is_bearable) && floors.iter().all(Floor::is_bearable),
            false => {
                records.iter().all(Record::is_within_limits) && floors.iter().all(Floor::is_within_limits)
            }
        };
        if is_within_limits { Ok(frame) } else { Err(FrameError::OverLimit) }
    }
}

/// The place of a frame's message among the variants of [`Message`], without reading the message.
#[cfg(feature = "sim")]
pub(crate) fn kind_of(frame: &[u8]) -> Option<usize> {
    let rest = frame.get(MAGIC.len() + 1..)?;
    let (_, rest) = postcard::take_from_bytes::<Header>(rest).ok()?;
    Some(usize::from(*rest.first()?))
}

impl Message {
    /// The records the message carries.
    pub(crate) fn records(&self) -> &[Record] {
        match self {
            Self::Delta(Delta { records, .. })
            | Self::Snapshot(Snapshot { records, .. })
            | Self::Meet(Snapshot { records, .. })
            | Self::MeetAck(Snapshot { records, .. })
            | Self::Rumor { records, .. } => records,
            Self::Invite(record) => slice::from_ref(&**record),
            Self::YouAreRemoved { record, .. } | Self::Gone { record, .. } => {
                record.as_deref().map_or(&[], slice::from_ref)
            }
            _ => &[],
        }
    }

    /// Whether the message makes its receiver know more.
    pub(crate) fn brings_something(&self) -> bool {
        let is_context =
            matches!(self, Self::Delta(_) | Self::Snapshot(_) | Self::Meet(_) | Self::MeetAck(_));
        is_context || !self.records().is_empty() || !self.floors().is_empty()
    }

    /// The floors the message carries.
    pub(crate) fn floors(&self) -> &[Floor] {
        match self {
            Self::Delta(Delta { floors, .. })
            | Self::Snapshot(Snapshot { floors, .. })
            | Self::Meet(Snapshot { floors, .. })
            | Self::MeetAck(Snapshot { floors, .. }) => floors,
            Self::YouAreRemoved { floor, .. } | Self::Gone { floor, .. } => {
                floor.as_deref().map_or(&[], slice::from_ref)
            }
            _ => &[],
        }
    }
}

/// Why a frame was dropped. The state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// They do not start as a gossip frame does.
    #[error("not a gossip frame")]
    NotGossip,
    /// They are of a protocol version this build does not speak.
    #[error("gossip protocol version {version} is not spoken here (this node speaks {PROTOCOL})")]
    Version {
        /// The version found.
        version: u8,
    },
    /// They cannot be decoded.
    #[error("malformed gossip frame")]
    Malformed,
    /// A field is over its limit.
    #[error("a record in the gossip frame is over a limit")]
    OverLimit,
    /// With what it brings, this node would know more than it has room for.
    #[error("what this node knows of the ring has no room for more")]
    NoRoom,
}

const MAGIC: [u8; 4] = *b"CLKG";
