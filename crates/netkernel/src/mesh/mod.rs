//! All links of a node: who is dialed, who is let in, and how it all ends.

mod acceptor;
mod establish;
mod kernel;
mod net;
mod shared;
mod supervisor;

pub use kernel::{BindError, Kernel, Stopped};
