//! Vector clocks, dots and dotted version vector sets: causality without I/O.
//!
//! Two machines each changed something. Did one of them know of the other's change, so that its own replaces
//! it? Or did neither, so that both must be kept and reconciled? Wall clocks cannot tell: they are never quite
//! right, and *later* is not *knew of it*. A vector clock can. It counts, for every actor that makes changes,
//! how many of its changes are known here:
//!
//! ```
//! let mut here = vclock::VClock::new();
//! here.increment("ash")?;
//! let mut there = here.clone();
//! there.increment("birch")?;
//! assert!(here < there); // there knows all that is known here, and more
//! # Ok::<(), vclock::CounterOverflow>(())
//! ```
//!
//! # The four outcomes
//!
//! ```text
//!          {a:1}             {a:2}                    {a:3, b:2}
//! a ─────────●─────────────────●───────────────────────────●─────▶
//!             ╲                                           ╱
//! b ───────────●────────────────────────●────────────────╱───────▶
//!          {a:1, b:1}               {a:1, b:2}
//! ```
//!
//! ```
//! use vclock::{Causality, VClock};
//!
//! let clock = |counts: &[(char, u64)]| counts.iter().copied().collect::<VClock<char>>();
//! let (start, left) = (clock(&[('a', 1)]), clock(&[('a', 2)]));
//! let (right, joined) = (clock(&[('a', 1), ('b', 2)]), clock(&[('a', 3), ('b', 2)]));
//!
//! assert_eq!(start.compare(&right), Causality::Before); // the right one replaces it
//! assert_eq!(joined.compare(&left), Causality::After); // it replaces the left one
//! assert_eq!(left.compare(&right), Causality::Concurrent); // a conflict: keep both
//! assert_eq!(left.compare(&left.clone()), Causality::Equal); // the same history
//! ```
//!
//! # Which type to take
//!
//! | To | take |
//! |---|---|
//! | compare and merge histories | [`VClock`] |
//! | know which messages arrived, when some overtake others | [`CausalContext`] |
//! | keep the values of a replicated key, and all of those that conflict | [`DvvSet`] |
//! | forget actors by age, as clocks with short-lived actors must | [`StampedVClock`] |
//! | order events for people, or break ties between concurrent writes | [`HlcClock`] |
//!
//! A clock beside a value, the usual way to version it, calls two clients' writes through one node ordered
//! when they were concurrent, or else needs an actor for each client. [`DvvSet`] needs one actor a node: each
//! value has the [`Dot`] of its own write. An [`Hlc`] is one stamp in place of a count an actor, and cannot tell
//! concurrent from ordered: what was caused by another has the greater stamp, and the others some stamp.
//!
//! An actor is one writer that never counts backwards: a node with a disk, an incarnation of one without,
//! never a node restored from a backup. Few stable actors make small clocks.
//!
//! # What trimming costs
//!
//! What [`StampedVClock::trim`] drops cannot be told from what never was. Trim the newer side, and related
//! clocks look concurrent; the cost is a reconciliation that was not needed:
//!
//! ```
//! # use vclock::{Causality, StampedVClock, TrimPolicy};
//! # use std::time::Duration;
//! let policy = TrimPolicy { min_entries: 1, max_entries: 1, young: Duration::ZERO, ..Default::default() };
//! let mut older = StampedVClock::new();
//! older.increment_at("retired", 1)?;
//! older.increment_at("ash", 2)?;
//! let mut newer = older.clone();
//! newer.increment_at("ash", 3)?;
//! assert!(newer > older);
//! let dropped = newer.trim(4, &policy);
//! assert_eq!(dropped.iter().next().map(|entry| entry.actor), Some("retired"));
//! assert_eq!(newer.clock().compare(older.clock()), Causality::Concurrent); // false concurrency
//! # Ok::<(), vclock::CounterOverflow>(())
//! ```
//!
//! Trim the stored side, and a write that never saw the dropped one looks as if it had; the cost is a lost
//! write:
//!
//! ```
//! # use vclock::{Dot, StampedVClock, TrimPolicy};
//! # use std::time::Duration;
//! # let policy = TrimPolicy { min_entries: 1, max_entries: 1, young: Duration::ZERO, ..Default::default() };
//! let mut stored = StampedVClock::new();
//! stored.increment_at("ash", 2)?;
//! let mut incoming = stored.clone(); // read before the other write arrives
//! stored.witness_at(Dot::new("retired", 1).expect("not 0"), 1);
//! incoming.increment_at("birch", 3)?;
//! assert!(stored.clock().is_concurrent(incoming.clock()));
//! let dropped = stored.trim(4, &policy);
//! assert_eq!(dropped.len(), 1);
//! assert!(incoming > stored); // a hidden conflict: what "retired" wrote would be overwritten
//! # Ok::<(), vclock::CounterOverflow>(())
//! ```
//!
//! So prefer one stable actor a node, and [`retire`](VClock::retire) it when the node is gone. That is forgetting
//! too, but at a time of your choosing: once every clock has seen the actor's last event, and all of them are rid
//! of it, they compare as before. Until they are, it costs false concurrency as trimming does; done before, it
//! hides conflicts, or brings values of a [`DvvSet`] back.
//!
//! # Serialising
//!
//! `to_bytes` is canonical: equal clocks give equal bytes, so bytes can be hashed and compared. `from_bytes`
//! accepts nothing else, says which entry is at fault, and allocates no more than a small multiple of what it
//! reads; for bytes from strangers `from_bytes_within` also bounds the entries (not the counts: a
//! [clock is believed](VClock)). The layout is stable. For
//! actors of your own there is [`ActorCodec`]. The feature `serde` is separate: plain sequences, just as
//! strictly read, in whatever format you like.
//!
//! ```
//! use vclock::{DecodeError, VClock};
//!
//! let clock: VClock<String> = [("birch".to_owned(), 2), ("ash".to_owned(), 7)].into_iter().collect();
//! let bytes = clock.to_bytes();
//! assert_eq!(bytes, b"\x01\x02\x03ash\x07\x05birch\x02");
//! assert_eq!(VClock::from_bytes(&bytes), Ok(clock));
//! assert_eq!(VClock::<String>::from_bytes(&bytes[..8]), Err(DecodeError::Truncated { entry: 1 }));
//! ```
//!
//! # Coming from the original
//!
//! For users of the node.js library's `VectorClock`, here [`StampedVClock`]:
//!
//! | There | Here |
//! |---|---|
//! | `increment(node)` | [`increment_at(actor, now_us)`](StampedVClock::increment_at): reads no clock, refuses overflow |
//! | `insert(node)` | nothing: an actor without events is no entry |
//! | `update(node, count, time)` | [`witness_at(dot, now_us)`](StampedVClock::witness_at): never counts down |
//! | `remove(node)` | [`retire(&actor)`](StampedVClock::retire) |
//! | `getCount`, `has` | [`get(&actor)`](StampedVClock::get), 0 for none |
//! | `get`, `getInsert`, `getTimestamp` | [`seen(&actor)`](StampedVClock::seen) |
//! | `merge`, `descends`, `equals` | [`merge`](StampedVClock::merge), `>=`, `==` (events alone: times do not count) |
//! | `trim(threshold, { lowerBound, youngBound, upperBound, oldBound })` | [`trim(now_us, &policy)`](StampedVClock::trim), which says what it dropped |
//! | `nodes`, `size`, `toJSON` | [`iter`](StampedVClock::iter), [`len`](StampedVClock::len), feature `serde` |
//!
//! # What it is not
//!
//! No clock is read here, no randomness drawn, nothing sent or stored; `no_std` with `alloc` and pointer-sized
//! atomics (as `Arc` needs them), and no dependency unless a feature asks for one. Nothing detects that two writers use one actor, except
//! [`DvvSet`] when it meets both their values. It merges histories; merging *values* is left to whoever knows
//! what they mean.
//!
//! # Features
//!
//! - `serde`: serialisation of [`VClock`], [`StampedVClock`], [`Seen`], [`CausalContext`], [`DvvSet`], [`Dot`],
//!   [`DotRange`], [`Hlc`] and [`TrimPolicy`]; decoding refuses what encoding never writes
//! - `proptest`: the module `strategies`, and the laws of a merge, for tests of types that hold clocks

#![no_std]

#[cfg(not(target_has_atomic = "ptr"))]
compile_error!(
    "this target has no pointer-sized atomics, so no `Arc`, with which clones of clocks share entries"
);

extern crate alloc;

mod causality;
mod clock;
mod codec;
mod context;
mod dot;
mod dvv;
mod entries;
mod hlc;
#[cfg(feature = "serde")]
mod serde;
mod stamped;
#[cfg(feature = "proptest")]
pub mod strategies;
mod trim;

pub use causality::Causality;
pub use clock::{Iter, VClock};
pub use codec::{ActorCodec, DecodeError, Input, Malformed, write_number, write_wide};
pub use context::CausalContext;
pub use dot::{CounterOverflow, Dot, DotRange};
pub use dvv::{DotReused, DvvSet, PartsError, Values, WriteError};
pub use hlc::{Hlc, HlcClock, HlcOverflow, Observed};
pub use stamped::{Seen, StampedVClock};
pub use trim::{TrimPolicy, Trimmed, TrimmedEntry};

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
