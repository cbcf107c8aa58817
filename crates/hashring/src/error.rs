//! Why a change of a ring, or a question to one, is refused.

use core::fmt;

use crate::{ID_BYTES_MAX, NODES_MAX, POINTS_MAX, TABLE_BITS_MAX, WEIGHT_MAX, ZONE_BYTES_MAX};

/// Why a change of a ring, or a question to one, is refused. A refused change leaves the ring as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RingError {
    /// The node is not in the ring: insert it first.
    UnknownNode,
    /// More points for one node than [`WEIGHT_MAX`].
    WeightTooLarge {
        /// The weight asked for.
        weight: u32,
    },
    /// The ring would have more than [`NODES_MAX`] nodes.
    TooManyNodes,
    /// The ring would have more than [`POINTS_MAX`] points: lower the weights.
    TooManyPoints {
        /// The points it would have.
        points: u64,
    },
    /// The placement asks for more zones than there are with points, or than replicas.
    NotEnoughZones {
        /// The zones asked for.
        asked: usize,
        /// The zones that replicas could be in.
        present: usize,
    },
    /// No node has points, so nothing can be placed.
    NoPoints,
    /// A table of more than 2^[`TABLE_BITS_MAX`] slots.
    TableTooLarge {
        /// The bits asked for.
        bits: u32,
    },
    /// The rings hash keys differently: they were built with other seeds.
    LayoutMismatch,
    /// The node's id is longer than [`ID_BYTES_MAX`].
    IdTooLong {
        /// The length of the id, in bytes.
        bytes: usize,
    },
    /// The name of the zone is longer than [`ZONE_BYTES_MAX`].
    ZoneTooLong {
        /// The length of the name, in bytes.
        bytes: usize,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RingError::UnknownNode => f.write_str("the node is not in the ring"),
            RingError::WeightTooLarge { weight } => {
                write!(f, "weight {weight} is over the limit of {WEIGHT_MAX}")
            }
            RingError::TooManyNodes => write!(f, "a ring holds at most {NODES_MAX} nodes"),
            RingError::TooManyPoints { points } => {
                write!(f, "{points} points are over the limit of {POINTS_MAX}")
            }
            RingError::NotEnoughZones { asked, present } => {
                write!(f, "{asked} zones asked for where replicas can be in {present}")
            }
            RingError::NoPoints => f.write_str("no node of the ring has points"),
            RingError::TableTooLarge { bits } => {
                write!(f, "a table of 2^{bits} slots is over the limit of 2^{TABLE_BITS_MAX}")
            }
            RingError::LayoutMismatch => f.write_str("the rings were built with different seeds"),
            RingError::IdTooLong { bytes } => {
                write!(f, "an id of {bytes} bytes is over the limit of {ID_BYTES_MAX}")
            }
            RingError::ZoneTooLong { bytes } => {
                write!(f, "a zone name of {bytes} bytes is over the limit of {ZONE_BYTES_MAX}")
            }
        }
    }
}

impl core::error::Error for RingError {}
