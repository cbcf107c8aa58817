//! Pure parts of the protocol: bytes and events in, bytes and decisions out. Nothing here waits, reads a clock
//! or draws a random number.

pub(crate) mod arbiter;
pub(crate) mod backoff;
pub(crate) mod credit;
pub(crate) mod due;
pub(crate) mod frame;
pub(crate) mod hello;
pub(crate) mod interning;
pub(crate) mod mark;
pub(crate) mod pace;
pub(crate) mod pressure;
pub(crate) mod reassembly;
pub(crate) mod refusal;
pub(crate) mod silence;
pub(crate) mod throttle;
pub(crate) mod varint;
