//! A consistent hash ring: which node owns a key, and which keep its copies.
//!
//! ```
//! use hashring::{HashRing, NodeSpec};
//!
//! let mut ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
//! let owner = *ring.owner(b"user:42").expect("the ring has nodes");
//! let copies: Vec<_> = ring.replicas(b"user:42", 2).collect();
//! assert_eq!(*copies[0], owner);
//!
//! ring.insert(NodeSpec::new("douglas").weight(320))?;
//! let after = *ring.owner(b"user:42").expect("the ring has nodes");
//! assert!(after == owner || after == "douglas");
//! # Ok::<(), hashring::RingError>(())
//! ```

#![no_std]

extern crate alloc;

mod balance;
mod batch;
mod builder;
mod cells;
mod diff;
mod error;
mod index;
mod layout;
mod members;
mod node;
mod placement;
mod plan;
mod points;
mod range;
mod replicas;
mod ring;
mod sets;
mod slots;
mod snapshot;
mod splice;
mod table;
mod walk;

pub use balance::{Balance, Fraction};
pub use builder::Builder;
pub use diff::{RangeMove, ReplicaMove};
pub use error::RingError;
pub use layout::{Fingerprint, LAYOUT_VERSION, Token};
pub use members::Member;
pub use node::{ID_BYTES_MAX, NodeSpec, RingNode, ZONE_BYTES_MAX, Zone};
pub use placement::{LoadFactor, Placement, ReplicaSet};
pub use plan::{NodeMove, Op, Owners, Plan, Transition};
pub use range::TokenRange;
pub use replicas::Replicas;
pub use ring::{Change, HashRing, NODES_MAX, POINTS_MAX, WEIGHT_DEFAULT, WEIGHT_MAX};
pub use sets::CombineError;
pub use snapshot::{DecodeError, FromRingId, RestoreError, Snapshot};
pub use table::{PartitionMove, PartitionTable, TABLE_BITS_MAX};
pub use walk::Point;
