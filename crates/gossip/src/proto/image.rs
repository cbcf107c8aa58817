//! What a node keeps on disk: everything but who it talks to at the moment.

use std::sync::Arc;

use netkernel::{Address, Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::floor::Floor;
use super::record::{Context, Ended, Record};
use super::roster::Roster;
use super::rules::Rules;

/// A consistent state of one node. Cheap to make: the records are shared with the machine, and encoded by whoever
/// writes them.
#[derive(Debug, Clone)]
pub struct Image {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) affiliation: Affiliation,
    pub(crate) incarnation: Incarnation,
    pub(crate) context: Context,
    pub(crate) entries: Vec<Arc<Entry>>,
    /// With how long each is still to be kept, in milliseconds.
    pub(crate) floors: Vec<(Arc<Floor>, u64)>,
    /// With how long each is still to be remembered, in milliseconds.
    pub(crate) retired: Vec<(Ended, u64)>,
}

#[derive(Serialize)]
struct Encoded<'a> {
    id: &'a NodeId,
    address: &'a Address,
    affiliation: &'a Affiliation,
    incarnation: Incarnation,
    context: &'a Context,
    records: Vec<&'a Record>,
    floors: &'a [(Arc<Floor>, u64)],
    retired: &'a [(Ended, u64)],
}

#[derive(Deserialize)]
struct Decoded {
    id: NodeId,
    address: Address,
    affiliation: Affiliation,
    incarnation: Incarnation,
    context: Context,
    records: Vec<Record>,
    floors: Vec<(Arc<Floor>, u64)>,
    retired: Vec<(Ended, u64)>,
}

impl Image {
    /// The bytes of a state file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { id, address, affiliation, incarnation, context, floors, retired, .. } = self;
        let records = self.entries.iter().map(|entry| entry.record()).collect();
        let incarnation = *incarnation;
        let encoded = Encoded { id, address, affiliation, incarnation, context, records, floors, retired };
        let bytes = postcard::to_extend(&encoded, vec![VERSION]);
        bytes.expect("the types of an image always serialise, and a vector takes every byte")
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the bytes are of another version or no image at all.
    pub fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let (version, rest) = bytes.split_first().ok_or(ImageError::Malformed)?;
        if *version != VERSION {
            return Err(ImageError::Version { version: *version });
        }
        let decoded: Decoded = postcard::from_bytes(rest).map_err(|_| ImageError::Malformed)?;
        let Decoded { id, address, affiliation, incarnation, context, records, floors, retired } = decoded;
        let entries = records.into_iter().map(Entry::new).map(Arc::new).collect();
        Ok(Self { id, address, affiliation, incarnation, context, entries, floors, retired })
    }

    /// Whose state this is.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// How the node stood to its ring.
    #[must_use]
    pub fn affiliation(&self) -> &Affiliation {
        &self.affiliation
    }

    /// The roster events it has seen.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Actors whose events all pass for seen, though the context counts them no more.
    pub fn retired(&self) -> impl Iterator<Item = Ended> + '_ {
        self.retired.iter().map(|(ended, _)| *ended)
    }

    /// Nodes whose tombstones were collected.
    #[cfg(feature = "sim")]
    pub(crate) fn collected(&self) -> impl Iterator<Item = &NodeId> {
        self.floors.iter().map(|(floor, _)| &floor.id)
    }

    /// The records it holds, by id.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.entries.iter().map(|entry| entry.record())
    }

    pub(crate) fn roster(&self, rules: Rules) -> Roster {
        let floors = self.floors.iter().map(|(floor, _)| Arc::clone(floor));
        let retired = self.retired.iter().map(|(ended, _)| *ended);
        Roster::restored(rules, &self.context, self.entries.iter().cloned(), floors, retired)
    }
}

/// Why stored bytes are no image. Their checksum held, so they were written this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Another version of this library wrote them.
    #[error("the stored state has format version {version}, this build reads version {VERSION}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// They are not what this library writes.
    #[error("the stored state cannot be decoded")]
    Malformed,
}

const VERSION: u8 = 3;
