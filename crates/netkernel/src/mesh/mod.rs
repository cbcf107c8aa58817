//! All links of a node: who is dialed, who is let in, and how it all ends.

mod acceptor;
mod establish;
mod kernel;
mod latch;
mod net;
mod refused;
mod shared;
mod supervisor;

pub use kernel::{BindError, Kernel, Stopped};
pub use refused::RefusedReason;
