//! Why a snapshot is refused.

use core::fmt;

use crate::error::RingError;
use crate::ring::NODES_MAX;

/// Why bytes, or what `serde` reads, are not a snapshot. The index counts the members read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// They begin otherwise.
    NotASnapshot,
    /// They are of a layout that this version does not know.
    UnknownLayout {
        /// Its version.
        version: u32,
    },
    /// They end too early.
    Truncated,
    /// They go on after the last member.
    TrailingBytes {
        /// How many are left.
        bytes: usize,
    },
    /// They announce more members than a ring holds.
    TooManyNodes,
    /// A member's id is not above the one before.
    OutOfOrder {
        /// Which member.
        index: usize,
    },
    /// No node has the member's id, or it is longer than an id may be.
    BadId {
        /// Which member.
        index: usize,
    },
    /// The member's zone is neither absent nor UTF-8, or longer than a zone's name may be.
    BadZone {
        /// Which member.
        index: usize,
    },
    /// The member says no weight, which only `serde` can read.
    NoWeight {
        /// Which member.
        index: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::NotASnapshot => f.write_str("the bytes are not a snapshot of a ring"),
            DecodeError::UnknownLayout { version } => write!(f, "layout version {version} is unknown"),
            DecodeError::Truncated => f.write_str("the snapshot is cut short"),
            DecodeError::TrailingBytes { bytes } => write!(f, "{bytes} bytes follow the snapshot"),
            DecodeError::TooManyNodes => write!(f, "a ring holds at most {NODES_MAX} nodes"),
            DecodeError::OutOfOrder { index } => {
                write!(f, "the id of member {index} is not above the one before")
            }
            DecodeError::BadId { index } => write!(f, "no node has the id of member {index}"),
            DecodeError::BadZone { index } => write!(f, "the zone of member {index} is no name"),
            DecodeError::NoWeight { index } => write!(f, "member {index} has no weight"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Why a snapshot cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// Its fingerprint is not that of its members and the seed: the ring had another seed, or the snapshot was altered.
    FingerprintMismatch,
    /// Its members make no ring.
    Ring(RingError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::FingerprintMismatch => {
                f.write_str("the fingerprint does not match the seed and the members")
            }
            RestoreError::Ring(_) => f.write_str("the members make no ring"),
        }
    }
}

impl core::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            RestoreError::Ring(error) => Some(error),
            RestoreError::FingerprintMismatch => None,
        }
    }
}
