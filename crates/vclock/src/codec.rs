//! The canonical encoding: equal values give equal bytes, and only those bytes decode.
//!
//! ```text
//! clock     1  entries                    entries   n  { actor  count } × n
//! context   2  entries  runs              runs      n  { actor  missing before it  length − 1 } × n
//! set       3  entries  siblings          siblings  n  { actor  count − counter  bytes  value } × n
//! stamped   4  n  { actor  count  first  last − first } × n
//! ```
//!
//! Numbers are LEB128, actors as [`ActorCodec`] has it: integers as the difference from the actor before,
//! in a form that spends half a byte on its length (ids are often random, so differences are wide). An actor
//! is written in full wherever it stands: a reference would let few bytes ask for many copies of a long one.
//! The first byte tells the kind and the version at once: another layout gets another number.

mod actor;
mod error;
mod forms;
mod input;

pub use actor::ActorCodec;
pub use error::DecodeError;
pub use input::{Input, Malformed, write_number, write_wide};
