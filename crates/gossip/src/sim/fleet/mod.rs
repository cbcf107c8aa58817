//! Large rings of whole machines, for figures: how fast a change spreads, what it costs, and what costs a ring in which
//! nothing happens.
//!
//! Hosts have a network card of 1 Gbit/s and disks that take some milliseconds. Links are TCP connections: what is sent
//! arrives in order, after 0.5 to 15 ms, and a lost packet delays all behind it by a retransmission. The failure detector
//! runs as by default. What a machine computes takes no time.
//!
//! ```
//! use gossip::sim::fleet::Fleet;
//!
//! let mut fleet = Fleet::settled(100, 0, 42);
//! fleet.run_for(3_000);
//! let spread = fleet.insert(7).expect("everyone hears of it");
//! assert!(spread.all_ms < 1_400);
//! ```

mod cluster;
mod soak;
mod traffic;
mod weather;

pub use cluster::Fleet;
pub use soak::Soak;
pub use traffic::Traffic;

/// How a change spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// From the command until the last node had it, in milliseconds.
    pub all_ms: u64,
    /// What nodes sent meanwhile and in the second after.
    pub traffic: Traffic,
}
