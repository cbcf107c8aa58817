//! Commands that wait for something to happen.
//!
//! Each is a long poll: it is answered when there is news, or with none when its time is up. A watcher says how far it
//! has come, so nothing is lost between two of them, nor while it has to find another way to the node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::growing::growing;
use super::protocol::NodeInfo;

/// The ring, as soon as it is not as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Follow {
    /// The [`version`](Followed::version) that is known already; 0 for none.
    pub seen: u64,
    /// How long to wait for another one, in milliseconds.
    pub wait_ms: u64,
}

/// All that is needed to place keys as the ring's members do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Followed {
    /// Tells this answer from others of the same node. Never 0.
    pub version: u64,
    /// The ring's name; `None` when the node is in none.
    pub ring: Option<String>,
    /// Those that have a place on the ring, ordered by id.
    pub nodes: Vec<RingNodeInfo>,
    /// The ring's fingerprint, 64 hexadecimal digits: a ring made of these nodes has to have it.
    pub fingerprint: String,
}

/// A node on the ring.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct RingNodeInfo {
    /// Where it is.
    pub node: NodeInfo,
    /// How many points it has.
    pub weight: u32,
    /// The zone it is in, if one was given.
    pub zone: Option<String>,
}

/// What happened since.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Watch {
    /// From where on; from now, if `None`.
    pub from: Option<Place>,
    /// How long to wait for something to happen, in milliseconds.
    pub wait_ms: u64,
}

/// How far a watcher has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Place {
    /// Which run of the node it was. A later run tells all that happened in it.
    pub run: u64,
    /// The number of the next event.
    pub next: u64,
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Watched {
    /// From where to go on.
    pub place: Place,
    /// Events that the node has forgotten by now: it keeps the last 1,024.
    pub missed: u64,
    /// The events.
    pub events: Vec<WatchedEvent>,
}

/// Something that happened on the node, as it tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct WatchedEvent {
    /// How long ago, in milliseconds. Clocks of two machines are never compared.
    pub age_ms: u64,
    /// What it is, such as `member_up`.
    pub event: String,
    /// The node it is about, if it is about one.
    pub node: Option<String>,
    /// The rest of it, by name.
    pub details: BTreeMap<String, String>,
}

growing!(Follow, Followed, RingNodeInfo, Watch, Place, Watched, WatchedEvent);
