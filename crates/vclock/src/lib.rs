//! Vector clocks, dots and dotted version vector sets: causality without I/O.

#![no_std]

extern crate alloc;

mod causality;
mod clock;
mod context;
mod dot;
mod dvv;
mod entries;
#[cfg(feature = "serde")]
mod serde;

pub use causality::Causality;
pub use clock::{Iter, VClock};
pub use context::CausalContext;
pub use dot::{CounterOverflow, Dot, DotRange};
pub use dvv::{DotReused, DvvSet, PartsError, Values, WriteError};
