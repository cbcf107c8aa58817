//! What a machine is told at its start. The public face of this is [`Config`](crate::Config).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use netkernel::{Address, NodeId};

use crate::message::PROTOCOL;
use crate::ring_name::RingName;

use super::liveness::{Detector, Never, RemovalPolicy};
use super::record::Protocols;
#[cfg(feature = "sim")]
use super::rules::Rule;
use super::rules::Rules;

/// Everything a machine needs to know of its node and its pace.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// This node.
    pub id: NodeId,
    /// Where it listens.
    pub address: Address,
    /// The ring to found when nothing is stored; `None` stays outside until asked to join.
    pub ring: Option<RingName>,
    /// Fingerprint of everything that decides where keys are.
    pub layout: u64,
    /// The weight of this node when it founds or joins a ring, and of nodes inserted without one.
    pub weight: u32,
    /// This node's failure domain.
    pub zone: Option<Box<str>>,
    /// What the application says of this node.
    pub tags: BTreeMap<String, String>,
    /// The pause between comparisons, each with the member that is probed then, or a random one.
    pub sync_ms: u64,
    /// How long a restarted node listens before it says anything unasked, if no exchange completes sooner.
    pub quiet_ms: u64,
    /// How long a meet is tried.
    pub meet_ms: u64,
    /// How long a leave waits for acknowledgement.
    pub leave_ms: u64,
    /// How long changes that others made may wait to be stored.
    pub flush_ms: u64,
    /// The lead of another's clock that raises an event.
    pub skew_ms: u64,
    /// What decides which members are alive.
    pub detector: Detector,
    /// What follows from a member being down.
    pub removal: Arc<dyn RemovalPolicy>,
    /// How many members an insert may make the ring have.
    pub members_max: usize,
    /// The largest frame to send, in bytes.
    pub frame_bytes_max: usize,
    /// How much to know of the ring at most, in bytes as they are stored. A frame that may bring more is dropped.
    pub known_bytes_max: usize,
    /// How many actors and separate runs of their events to count at most: what is beyond that is dropped with its frame.
    pub context_runs_max: usize,
    /// How old a tombstone has to be to be collected. Longer than any message is under way.
    pub tombstone_ms: u64,
    /// How long a floor is kept.
    pub floor_ms: u64,
    /// The protocol versions it speaks.
    pub protocols: Protocols,
    /// What a later version writes into its records beside what this one knows.
    pub extension: Bytes,
    pub(crate) rules: Rules,
}

impl Settings {
    /// The default pace for a node of this id and address.
    #[must_use]
    pub fn new(id: NodeId, address: Address) -> Self {
        Self {
            id,
            address,
            ring: None,
            layout: 0,
            weight: hashring::WEIGHT_DEFAULT,
            zone: None,
            tags: BTreeMap::new(),
            sync_ms: 1_000,
            quiet_ms: 3_000,
            meet_ms: 5_000,
            leave_ms: 5_000,
            flush_ms: 1_000,
            skew_ms: 10_000,
            detector: Detector::default(),
            removal: Arc::new(Never),
            members_max: 10_000,
            frame_bytes_max: 3 * 1024 * 1024,
            known_bytes_max: 256 * 1024 * 1024,
            context_runs_max: 64 * 1024,
            tombstone_ms: 10 * MINUTE_MS,
            floor_ms: 7 * 24 * 60 * MINUTE_MS,
            protocols: Protocols { oldest: PROTOCOL, newest: PROTOCOL },
            extension: Bytes::new(),
            rules: Rules::default(),
        }
    }

    /// How long it is remembered that an actor was retired: a month by default. A node that was removed and comes back
    /// later than that is taken for a new one, and a few bytes put that off.
    pub(crate) fn retired_ms(&self) -> u64 {
        self.floor_ms.saturating_mul(RETIRED_FLOORS)
    }

    /// A node that does not keep a rule, to show what the rule is for.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { rules: Rules::without(rule), ..self }
    }
}

const MINUTE_MS: u64 = 60 * 1_000;

/// How many times as long as a floor a retired actor is remembered: it takes sixteen bytes.
const RETIRED_FLOORS: u64 = 4;
