//! What is known about one node, as it is stored and sent: both planes of its record.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use hashring::WEIGHT_MAX;
use netkernel::{Address, Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// Who wrote: a random number that one boot of one node draws for its first roster write and that no other
/// boot ever uses, so that a disk that was cloned or rolled back cannot make one event mean two things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Actor(#[serde(with = "postcard::fixint::le")] pub u64);

/// One event of the roster: the so-and-so-many-th write of an actor. Counters run through all records.
pub type Dot = vclock::Dot<Actor>;

/// Which events of the roster a node has seen.
pub type Context = vclock::CausalContext<Actor>;

/// The versions of one roster record that no write has replaced yet, and what they replaced.
pub type Versions = vclock::DvvSet<Actor, Version>;

/// All that is known of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose record it is.
    pub id: NodeId,
    /// The roster plane, which any member may write. More than one version means concurrent writes.
    pub versions: Versions,
    /// The self plane, which only the node itself writes; `None` until it was heard from.
    pub own: Option<OwnRecord>,
}

/// One write of the roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What it says of the node.
    pub standing: Standing,
    /// When it was written, to choose between concurrent versions.
    pub stamp: Stamp,
    /// The node that wrote it.
    pub by: NodeId,
    /// Bytes of a later protocol version: kept, hashed and passed on by nodes that do not know their meaning.
    pub extension: Bytes,
}

/// What the roster says of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It belongs to the ring.
    Member(Membership),
    /// It does not any more.
    Removed {
        /// The highest incarnation of the node its remover knew: members of this or an older one lose against it.
        incarnation: Incarnation,
    },
}

impl Standing {
    /// The incarnation it speaks of.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        match self {
            Self::Member(membership) => membership.incarnation,
            Self::Removed { incarnation } => *incarnation,
        }
    }
}

/// How a node belongs to the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The least incarnation of the node that this membership admits.
    pub incarnation: Incarnation,
    /// How many points the node has on the ring.
    pub weight: u32,
    /// Where it is reached until its own record says otherwise.
    pub address: Address,
    /// Its failure domain.
    pub zone: Option<Box<str>>,
}

/// What a node says of itself. Of two, that with the higher (incarnation, version) is newer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRecord {
    /// Which run of the node wrote it.
    pub incarnation: Incarnation,
    /// Counts the writes of that run, from 1.
    pub version: u32,
    /// Where the node listens. This decides, whatever the roster says.
    pub address: Address,
    /// The protocol versions it speaks.
    pub protocols: Protocols,
    /// Whether it is about to stop and asks to be passed over.
    pub draining: bool,
    /// What its application says of it.
    pub tags: BTreeMap<String, String>,
    /// Under which actor it writes, once it has written.
    pub actor: Option<Actor>,
    /// Actors it retired last, being the first of the members: nothing of them is left, and every member has on disk
    /// that it is so.
    pub ended: Vec<Ended>,
    /// Bytes of a later protocol version: kept, hashed and passed on by nodes that do not know their meaning.
    pub extension: Bytes,
}

impl OwnRecord {
    /// What orders the own records of one node.
    #[must_use]
    pub fn age(&self) -> OwnVersion {
        OwnVersion { incarnation: self.incarnation, version: self.version }
    }
}

/// An actor that will never write again. Once every member has on disk that all of its events were replaced, it is
/// retired: nobody counts them any more, and all of them pass for seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ended {
    /// The actor.
    pub actor: Actor,
    /// Its last event.
    pub last: u64,
}

/// The place of an own record among those of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnVersion {
    /// Which run of the node.
    pub incarnation: Incarnation,
    /// Which write of that run.
    pub version: u32,
}

/// A range of protocol versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Protocols {
    /// The oldest spoken.
    pub oldest: u8,
    /// The newest spoken.
    pub newest: u8,
}

/// Something that happened to one record: what rumours are about and acknowledgements name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    /// Whose record.
    pub id: NodeId,
    /// What happened.
    pub what: What,
}

/// A write of either plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum What {
    /// The roster record was written.
    Roster(Dot),
    /// The node wrote its own record.
    Own(OwnVersion),
}

impl Record {
    /// Every fact the record carries.
    pub fn facts(&self) -> impl Iterator<Item = Fact> + '_ {
        let roster = self.versions.siblings().map(|(dot, _)| What::Roster(*dot));
        let own = self.own.iter().map(|own| What::Own(own.age()));
        roster.chain(own).map(|what| Fact { id: self.id.clone(), what })
    }

    /// Whether every field keeps the limits a well-meaning writer keeps.
    pub(crate) fn is_within_limits(&self) -> bool {
        let versions = self.versions.siblings().all(|(_, version)| {
            let standing = match &version.standing {
                Standing::Member(Membership { weight, zone, .. }) => {
                    *weight <= WEIGHT_MAX && zone.as_ref().is_none_or(|zone| zone.len() <= ZONE_BYTES_MAX)
                }
                Standing::Removed { .. } => true,
            };
            standing && version.extension.len() <= EXTENSION_BYTES_MAX
        });
        let own = self.own.as_ref().is_none_or(|own| {
            own.extension.len() <= EXTENSION_BYTES_MAX
                && tag_bytes(&own.tags) <= TAG_BYTES_MAX
                && own.ended.len() <= ENDED_MAX
        });
        versions && own && self.versions.siblings().len() <= SIBLINGS_MAX
    }

    /// Whether it fits a frame beside others, with all that was written of it at the same time.
    pub(crate) fn is_bearable(&self) -> bool {
        self.is_within_limits()
            && postcard::experimental::serialized_size(self).is_ok_and(|bytes| bytes <= RECORD_BYTES_MAX)
    }
}

/// What the tags of a node take up, in bytes.
pub(crate) fn tag_bytes(tags: &BTreeMap<String, String>) -> usize {
    tags.iter().map(|(key, value)| key.len() + value.len()).sum()
}

impl fmt::Debug for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The longest name of a zone, in bytes.
pub(crate) const ZONE_BYTES_MAX: usize = 255;

/// Room for a node's tags. They travel with every change of its own record, so they are labels, not a store.
pub(crate) const TAG_BYTES_MAX: usize = 4 * 1024;

/// Room for fields of later protocol versions.
const EXTENSION_BYTES_MAX: usize = 4 * 1024;

/// Actors retired by one record; the rest waits for the next.
pub(crate) const ENDED_MAX: usize = 32;

/// The largest record, as it is sent: a third of a frame.
pub(crate) const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Concurrent versions of one record: what is written of one node while its change spreads, by every member of a large
/// ring at worst.
pub(crate) const SIBLINGS_MAX: usize = 8_192;
