//! A seeded simulation of many nodes: virtual time, TCP-like links, crashes and disks, and an oracle that knows
//! what every roster has to hold in the end.
//!
//! One seed derives everything, so a failure is its seed. A run has a safety phase, in which operations and faults
//! fall where they may and invariants are checked all along, and a liveness phase, in which the faults end and the
//! nodes must come to agree on exactly what the oracle expects.
//!
//! ```
//! use gossip::sim::{Scenario, Story};
//!
//! let scenario = Scenario::new(Story::ConcurrentInserts, 5, 42);
//! let report = scenario.run().expect("both inserts survive");
//! assert!(report.events >= 2);
//! ```

pub mod fleet;
pub mod liveness;
mod network;
mod node;
mod operator;
mod oracle;
mod report;
mod scenario;
mod storm;
mod turning;
mod world;

pub use network::Ix;
pub use node::Disk;
pub use oracle::Violation;
pub use report::{Fault, Faults, Report};
pub use scenario::{Scenario, Story};
pub use world::{Trace, World, address};
