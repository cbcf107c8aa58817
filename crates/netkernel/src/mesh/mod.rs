//! All links of a node: who is dialed, who is let in, and how it all ends.

mod acceptor;
mod admission;
mod establish;
mod kernel;
mod latch;
mod local;
mod making;
mod net;
mod refused;
mod shared;
mod supervisor;

pub use kernel::{BindError, Kernel, Stopped};
pub use refused::RefusedReason;
