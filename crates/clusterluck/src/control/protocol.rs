//! What an operator and a node say to each other.
//!
//! A request is a version, a command's name and its arguments; commands are known by name, so that an older node can
//! say which ones it lacks. Arguments and answers are postcard; their structs may get more fields (see [`growing`]),
//! and a command that means something else gets another name. A new version is for requests that older nodes would
//! read as others.
//!
//! [`growing`]: super::growing

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::growing::growing;
use super::live::{Follow, Followed, Watch, Watched};
use crate::metrics::Metric;

/// A command of the control server.
pub trait Command: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name on the wire and on the command line.
    const NAME: &'static str;
    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// A command as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u16,
    pub(crate) command: String,
    pub(crate) arguments: Vec<u8>,
}

/// The answer as it travels.
pub(crate) type Response = Result<Vec<u8>, Failure>;

impl Request {
    /// Reads a request. Its version comes first whatever the version, so that a newer one can be named.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Failure> {
        let malformed = |_| Failure::Malformed { command: String::new() };
        let (version, _) = postcard::take_from_bytes::<u16>(bytes).map_err(malformed)?;
        if version > VERSION {
            let release = env!("CARGO_PKG_VERSION").to_owned();
            return Err(Failure::NewerProtocol { version, newest: VERSION, release });
        }
        postcard::from_bytes(bytes).map_err(malformed)
    }
}

/// The protocol's version. A node answers every version up to its own.
pub(crate) const VERSION: u16 = 1;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct NodeInfo {
    /// Its id.
    pub id: String,
    /// The host it is reached at.
    pub host: String,
    /// The port it is reached at.
    pub port: u16,
}

/// A change has been made on the node that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Done {
    /// Whether every reachable member has it too; `None` if that was not waited for.
    pub propagated: Option<bool>,
}

/// The whole ring.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Inspect {
    /// Whether to list every point.
    pub points: bool,
}

/// What a ring looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Inspection {
    /// The ring's name; `None` when the node is in none.
    pub ring: Option<String>,
    /// The weight of a node that was given none.
    pub default_weight: u32,
    /// How many nodes hold a key, the owner included.
    pub replicas: u32,
    /// The members with their part of the ring, ordered by id.
    pub members: Vec<InspectedMember>,
    /// Every point in ascending order with the index of its member; empty unless asked for.
    pub points: Vec<(u64, u32)>,
    /// The ring's fingerprint, 64 hexadecimal digits: equal on nodes that place keys alike.
    pub fingerprint: String,
}

/// A member and its part of the ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct InspectedMember {
    /// The member.
    pub node: NodeInfo,
    /// How many points it has.
    pub weight: u32,
    /// Which part of all keys it owns, from 0 to 1.
    pub ownership: f64,
    /// Whether the node that was asked has a session to it, or is it.
    pub connected: bool,
    /// Whether it was inserted and has not been heard from, so that it has its points still to come.
    pub joining: bool,
    /// `alive`, `suspect` or `down`, as far as the node that was asked can tell; `unknown` while it was not heard from.
    pub liveness: String,
}

/// Every member's place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Nodes {}

/// One member's place.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Get {
    /// The member's id.
    pub id: String,
}

/// Whether a node is a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Has {
    /// The node's id.
    pub id: String,
}

/// One member's weight.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Weight {
    /// The member's id.
    pub id: String,
}

/// Every member's weight.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Weights {}

/// Whether the node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Ping {}

/// Joins a ring; the node must be in none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Join {
    /// The ring's name.
    pub ring: String,
    /// How long to wait until every reachable member knows, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// Meets another node: both come to know what either knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Meet {
    /// The id the node there must have; any, if empty.
    pub id: String,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long to wait until every reachable member knows, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// Leaves the ring.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Leave {
    /// Without waiting until others have acknowledged it.
    pub force: bool,
}

/// Adds members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Insert {
    /// The nodes to add.
    pub nodes: Vec<NodeInfo>,
    /// Their weight; the default if `None`.
    pub weight: Option<u32>,
    /// Ahead of other operations that wait.
    pub force: bool,
    /// How long to wait until every reachable member knows, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// Changes a member's weight.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Update {
    /// The member's id.
    pub id: String,
    /// The new weight; the default if `None`.
    pub weight: Option<u32>,
    /// Taken for parity with the original: an update never waits for others, so there is nothing to force.
    pub force: bool,
    /// How long to wait until every reachable member knows, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// Removes members.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Remove {
    /// Their ids.
    pub ids: Vec<String>,
    /// Ahead of other operations that wait.
    pub force: bool,
    /// How long to wait until every reachable member knows, in milliseconds.
    pub wait_ms: Option<u64>,
}

/// Every member with what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Members {}

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct MemberInfo {
    /// Where it is.
    pub node: NodeInfo,
    /// `joining`, `member` or `draining`.
    pub status: String,
    /// Whether the node that was asked has a session to it, or is it.
    pub connected: bool,
    /// Which run of the node it is.
    pub incarnation: u64,
    /// How many points it has.
    pub weight: u32,
    /// The zone it is in, if one was given.
    pub zone: Option<String>,
    /// Its protocol version.
    pub version: u16,
    /// The last round trip measured, in microseconds.
    pub round_trip_us: Option<u64>,
    /// What its operator says of it.
    pub tags: BTreeMap<String, String>,
    /// `alive`, `suspect` or `down`, as far as the node that was asked can tell; `unknown` while it was not heard from.
    pub liveness: String,
}

/// Who holds a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Owner {
    /// The key.
    pub key: Vec<u8>,
    /// How many nodes to name, the owner first.
    pub replicas: u32,
}

/// The gen_servers on the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Servers {}

/// What is known of a gen_server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// Messages in its mailbox.
    pub mailbox: u64,
    /// Messages it has handled.
    pub handled: u64,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
}

/// The node itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Info {}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct NodeReport {
    /// Where it is.
    pub node: NodeInfo,
    /// Which run of it this is.
    pub incarnation: u64,
    /// Its release of clusterluck.
    pub release: String,
    /// The name of its ring, if it is in one.
    pub ring: Option<String>,
    /// How many members the ring has.
    pub members: u64,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// Its links, ordered by the peer's id.
    pub links: Vec<LinkInfo>,
}

/// One link of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct LinkInfo {
    /// The peer's id.
    pub id: String,
    /// Whether a session is up.
    pub connected: bool,
    /// The last round trip measured, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Messages waiting to be sent.
    pub queued_messages: u64,
    /// Bytes waiting to be sent.
    pub queued_bytes: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Messages given up.
    pub dropped: u64,
    /// Sessions made.
    pub sessions: u64,
    /// What the peer says it is: `node` or `client`; unknown before its first session.
    pub role: Option<String>,
}

/// The node's counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Metrics {}

growing!(
    NodeInfo,
    Done,
    Inspect,
    Inspection,
    InspectedMember,
    Nodes,
    Get,
    Has,
    Weight,
    Weights,
    Ping,
    Join,
    Meet,
    Leave,
    Insert,
    Update,
    Remove,
    Members,
    MemberInfo,
    Owner,
    Servers,
    ServerInfo,
    Info,
    NodeReport,
    LinkInfo,
    Metrics,
);

macro_rules! commands {
    ($($name:literal $command:ty => $answer:ty,)*) => {
        $(impl Command for $command {
            const NAME: &'static str = $name;
            type Answer = $answer;
        })*

        /// The names of the commands this release knows.
        pub const COMMANDS: &[&str] = &[$($name),*];
    };
}

commands! {
    "inspect" Inspect => Inspection,
    "nodes" Nodes => Vec<NodeInfo>,
    "get" Get => NodeInfo,
    "has" Has => bool,
    "weight" Weight => u32,
    "weights" Weights => BTreeMap<String, u32>,
    "ping" Ping => String,
    "join" Join => Done,
    "meet" Meet => Done,
    "leave" Leave => Done,
    "insert" Insert => Done,
    "update" Update => Done,
    "remove" Remove => Done,
    "members" Members => Vec<MemberInfo>,
    "owner" Owner => Vec<NodeInfo>,
    "servers" Servers => Vec<ServerInfo>,
    "info" Info => NodeReport,
    "metrics" Metrics => Vec<Metric>,
    "follow" Follow => Followed,
    "watch" Watch => Watched,
}
