//! Vector clocks, dots and dotted version vector sets: causality without I/O.

#![no_std]

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
pub use codec::{ActorCodec, DecodeError, Input, Malformed};
pub use context::CausalContext;
pub use dot::{CounterOverflow, Dot, DotRange};
pub use dvv::{DotReused, DvvSet, PartsError, Values, WriteError};
pub use hlc::{Hlc, HlcClock, HlcOverflow, Observed};
pub use stamped::{Seen, StampedVClock};
pub use trim::{TrimPolicy, Trimmed, TrimmedEntry};
