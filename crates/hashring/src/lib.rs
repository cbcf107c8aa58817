//! A consistent hash ring: which node owns a key, and which keep its copies.
//!
//! ```
//! use hashring::{HashRing, NodeSpec, Op};
//!
//! let mut ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
//! let owner = *ring.owner(b"user:42").expect("the ring has nodes");
//! let copies: Vec<&&str> = ring.replicas(b"user:42", 2).collect();
//! assert_eq!(*copies[0], owner);
//!
//! // What would a new node, twice as strong, change? Only what moves to it.
//! let newcomer = NodeSpec::new("douglas").weight(320);
//! let plan = ring.plan(&[Op::Insert(newcomer.clone())])?;
//! assert!(plan.moves().all(|step| step.to == Some(&"douglas")));
//! println!("{} of all keys would move", plan.moved());
//!
//! ring.insert(newcomer)?;
//! let now = *ring.owner(b"user:42").expect("the ring has nodes");
//! assert!(now == owner || now == "douglas");
//! # Ok::<(), hashring::RingError>(())
//! ```
//!
//! # How it works
//!
//! Keys are hashed to *tokens*, positions on a ring of 2^64. Every node has some *points* on the same ring, 160 unless its
//! *weight* says otherwise, placed there by hashing its id. A key belongs to the first point clockwise from its token, and
//! its copies to the next nodes after that:
//!
//! ```text
//!          token of a key
//!                ↓
//!  ──birch────────────cedar──ash──cedar────birch──ash──→   and round again
//!                       ↑     ↑             ↑
//!                     owner  2nd           3rd copy (cedar has one already)
//! ```
//!
//! A node that comes takes only what lies before its own points, and one that goes leaves it to the next: nothing moves
//! between the others. All who agree on the members agree on every key, whoever they are and in whatever order they
//! learned of them: positions depend on ids, weights and the seed, and on nothing else. That layout is frozen, described
//! byte by byte in [`layout_v1`], and held in place by files that a second implementation wrote: it stays
//! the same between versions of this crate, machines and builds. [`HashRing::fingerprint`] compares two rings in 32 bytes.
//!
//! # When not to use a ring
//!
//! - Nodes are numbered 0 to n − 1 and only the last one ever comes or goes: *jump hash* needs no memory at all.
//! - There are a dozen nodes or fewer and lookups are rare: *rendezvous hashing* is even simpler, and as fair.
//! - Load must be even to a few percent, or a lookup must take a single load from memory, and it is no harm if a few more
//!   keys move on a change: make a [`PartitionTable`] of a ring. Points at random leave the most loaded of 1,000 equal
//!   nodes 28 % over the mean (21 % of 100, 12 % of 10); a table, 5 % or what you ask for.
//! - Keys come from an enemy who chooses them to fall to one node: see [`Builder::seed`].
//!
//! # What it costs
//!
//! For n nodes and p points; measured by `cargo xtask bench hashring` at 1,000 nodes of 160 points, keys of 16 to 32 bytes,
//! on a virtual machine with two cores of an AMD EPYC where hashing a key took 5.9 ns and a bucketed table that does no more
//! than it must 44 to 80 ns an owner: what counts is the ratio.
//!
//! | | steps | allocates | measured |
//! |---|---|---|---|
//! | [`owner`](HashRing::owner) | the hash, one line of an index, one of points | nothing | 31 ns |
//! | [`owners_batch`](HashRing::owners_batch) | the same without the hash, for each | nothing | 87 ns each where one by one is 155 (10,000 nodes of 256 points) |
//! | [`replicas`](HashRing::replicas)`(key, 3)` | and three points, seldom more | nothing¹ | 70 ns |
//! | [`replica_set`](HashRing::replica_set) of 3 in 12 zones | and points until there are zones enough, twice | nothing¹ ² | 232 ns |
//! | [`owner_bounded_of`](HashRing::owner_bounded_of) | and points until a node has room | nothing¹ | 130 ns, half of all nodes full |
//! | [`owner_bounded`](HashRing::owner_bounded) | and n loads | nothing¹ | 3.6 µs |
//! | [`PartitionTable::owner`] | the hash, one load | nothing | 11 ns |
//! | [`get`](HashRing::get), [`contains`](HashRing::contains), [`weight_of`](HashRing::weight_of), [`zone_of`](HashRing::zone_of) | log n | nothing | |
//! | [`nodes`](HashRing::nodes), [`members`](HashRing::members), [`points`](HashRing::points), [`points_from`](HashRing::points_from) | one for each | nothing | |
//! | `==`, [`fingerprint`](HashRing::fingerprint) | n | nothing | |
//! | [`ownership`](HashRing::ownership) | p | nothing | |
//! | [`balance`](HashRing::balance), [`ownerships`](HashRing::ownerships) | p | 16 bytes a node | |
//! | [`ranges_of`](HashRing::ranges_of), [`successors`](HashRing::successors), [`predecessors`](HashRing::predecessors) | p | the list, a byte a node | |
//! | clone | one reference count | nothing | 5 ns |
//! | [`insert`](HashRing::insert), [`set_weight`](HashRing::set_weight), [`remove`](HashRing::remove) | moves the points after those that change; a removal looks at n nodes | for the points that change | 110 µs; 120 µs |
//! | the same while a clone shares the ring | and copies p points | a copy | 260 µs |
//! | [`from_nodes`](HashRing::from_nodes), [`union`](HashRing::union), [`merge`](HashRing::merge), [`restore`](Builder::restore) | n log n, and p | 30 bytes a point, 14 of which the ring keeps | 7.2 ms |
//! | [`partition_table`](HashRing::partition_table)`(16, …)` | p and 2^16 | the table, and 4 bytes a point for the time | 2.2 ms |
//! | [`diff`](HashRing::diff) | changed points × log p, or p | the list | 24 µs for one node, 6.2 ms for all |
//! | [`diff_replicas`](HashRing::diff_replicas), [`sharing_zones`](Plan::sharing_zones) | p placements in either ring | the list, none | 17 to 34 ms |
//! | [`plan`](HashRing::plan) of a node, with both balances | p | the ring after it, and the list | 0.46 ms |
//!
//! ¹ Over 32 points walked, a bit for each node. ² Over 16 replicas or zones, a list of them.
//!
//! A ring takes 12 bytes a point, about 2 more for its index, and its nodes: 2.3 MB at the size above. A table takes 4 bytes a
//! stretch beside its ring.
//!
//! # Names in the original
//!
//! The node.js library of the same name calls the default weight `rfactor` and one less than the copies `pfactor`;
//! `insert`, `remove`, `get`, `nodes` and `weights` are the same here, and
//!
//! | there | here |
//! |---|---|
//! | `new CHash(rfactor, pfactor)` | `HashRing::builder().default_weight(rfactor).build()` |
//! | `update(node, weight)` | [`set_weight`](HashRing::set_weight) |
//! | `find(key)` | [`owner`](HashRing::owner) |
//! | `rangeNext(key, n)`, `rangePrev(key, n)` | [`replicas`](HashRing::replicas), [`replicas_back`](HashRing::replicas_back) |
//! | `next(node)`, `prev(node)` | [`successors`](HashRing::successors), [`predecessors`](HashRing::predecessors) |
//! | `merge`, `intersect` | [`union`](HashRing::union), [`intersection`](HashRing::intersection); to combine changes, [`merge`](HashRing::merge) |
//! | `size`, `numberNodes`, `isDefined` | [`point_count`](HashRing::point_count), [`len`](HashRing::len), [`contains`](HashRing::contains) |
//! | `begin`, `end`, `iterator` | [`points`](HashRing::points), [`points_from`](HashRing::points_from), also backwards |
//! | `equals`, `toJSON`, `fromJSON` | `==` or [`fingerprint`](HashRing::fingerprint), [`Snapshot`] |
//!
//! # Map
//!
//! - rings: [`HashRing`], [`Builder`], [`NodeSpec`], [`RingNode`], [`Zone`], [`Member`], [`Change`], [`RingError`]
//! - who keeps a key: [`Replicas`], [`Placement`] over zones, [`LoadFactor`] for bounded loads, [`PartitionTable`]
//! - the ring itself: [`Token`], [`Point`], [`TokenRange`], [`Fraction`], [`Balance`], [`Fingerprint`]
//! - change: [`Op`], [`Plan`], [`RangeMove`], [`ReplicaMove`], [`Transition`]
//! - at rest: [`Snapshot`]
//!
//! # Features
//!
//! `no_std` with `alloc`, without unsafe code. `serde` (off) gives [`Snapshot`], [`NodeSpec`], [`Zone`], [`Token`] and
//! [`Fingerprint`] their `Serialize` and `Deserialize`.

#![no_std]

extern crate alloc;

mod balance;
mod batch;
mod builder;
mod cells;
mod copies;
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

#[doc = include_str!("../docs/layout-v1.md")]
pub mod layout_v1 {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

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
