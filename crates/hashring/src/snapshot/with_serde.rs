//! Snapshots through `serde`: the layout's version, the fingerprint and the members, checked as their bytes are.

use alloc::vec::Vec;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{DecodeError, Snapshot};
use crate::layout::{Fingerprint, LAYOUT_VERSION};
use crate::node::{ID_BYTES_MAX, NodeSpec, RingNode, ZONE_BYTES_MAX};
use crate::ring::NODES_MAX;

impl<N: Serialize> Serialize for Snapshot<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_struct("Snapshot", 3)?;
        parts.serialize_field("layout", &LAYOUT_VERSION)?;
        parts.serialize_field("fingerprint", &self.fingerprint)?;
        parts.serialize_field("members", &self.members)?;
        parts.end()
    }
}

#[derive(serde::Deserialize)]
#[serde(rename = "Snapshot")]
struct Parts<N> {
    layout: u32,
    fingerprint: Fingerprint,
    members: Vec<NodeSpec<N>>,
}

impl<'de, N: RingNode + Deserialize<'de>> Deserialize<'de> for Snapshot<N> {
    /// Refuses what [`HashRing::snapshot`](crate::HashRing::snapshot) never gives.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts { layout, fingerprint, members } = Parts::deserialize(deserializer)?;
        check(layout, &members).map_err(D::Error::custom)?;
        Ok(Snapshot { fingerprint, members })
    }
}

fn check<N: RingNode>(layout: u32, members: &[NodeSpec<N>]) -> Result<(), DecodeError> {
    if layout != LAYOUT_VERSION {
        return Err(DecodeError::UnknownLayout { version: layout });
    }
    if members.len() > NODES_MAX {
        return Err(DecodeError::TooManyNodes);
    }
    for (index, spec) in members.iter().enumerate() {
        let id = spec.node.ring_id();
        if id.as_ref().len() > ID_BYTES_MAX {
            return Err(DecodeError::BadId { index });
        }
        if spec.zone.as_ref().is_some_and(|zone| zone.as_str().len() > ZONE_BYTES_MAX) {
            return Err(DecodeError::BadZone { index });
        }
        if spec.weight.is_none() {
            return Err(DecodeError::NoWeight { index });
        }
        let before = index.checked_sub(1).map(|index| members[index].node.ring_id());
        if before.is_some_and(|before| before.as_ref() >= id.as_ref()) {
            return Err(DecodeError::OutOfOrder { index });
        }
    }
    Ok(())
}
