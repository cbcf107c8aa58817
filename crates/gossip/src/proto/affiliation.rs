//! How a node stands to its ring.

use serde::{Deserialize, Serialize};

use crate::ring_name::RingName;

/// How this node stands to a ring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Affiliation {
    /// It never was in one. It refuses invitations until it joins.
    #[default]
    Outside,
    /// It is a member.
    In(RingName),
    /// It was removed by another. It comes back when invited again, or when it joins.
    Evicted(RingName),
    /// It left of itself. It refuses invitations until it joins.
    Left(RingName),
    /// Another live node has its id and was there first. It keeps silent.
    Withdrawn(RingName),
}

impl Affiliation {
    /// The ring it is in.
    #[must_use]
    pub fn ring(&self) -> Option<&RingName> {
        match self {
            Self::In(ring) => Some(ring),
            _ => None,
        }
    }

    /// The ring it is in, or was in last.
    #[must_use]
    pub fn last_ring(&self) -> Option<&RingName> {
        match self {
            Self::Outside => None,
            Self::In(ring) | Self::Evicted(ring) | Self::Left(ring) | Self::Withdrawn(ring) => Some(ring),
        }
    }
}
