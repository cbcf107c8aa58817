//! Failure detectors of many nodes over TCP-like links: how fast they see a frozen host, and how often they cry wolf.
//!
//! Only detectors are simulated, so that a thousand of them fit into seconds. A link delivers in order; a lost packet
//! delays all behind it by a retransmission, and again twice as long, and a link that fails too often is reset. A node
//! takes time for every message, slow nodes take a lot, and what does not fit into its inbox is lost.
//!
//! ```
//! use gossip::liveness::Pace;
//! use gossip::sim::liveness::Trial;
//!
//! let measured = Trial::new(10, Pace::default()).loss(5).calm_ms(30_000).freezes(3).run(42);
//! assert_eq!(measured.false_downs, 0);
//! assert!(measured.known_mean_ms() < 6_000.0);
//! ```

mod cluster;
pub(super) mod links;
mod measured;

pub use measured::Measured;

use std::sync::Arc;

use crate::liveness::{Pace, RemovalPolicy};
use cluster::Cluster;

/// What is simulated: so many nodes at a pace, and what befalls them.
#[derive(Debug, Clone)]
#[must_use = "a trial does nothing until it runs"]
pub struct Trial {
    pub(super) nodes: usize,
    pub(super) pace: Pace,
    /// In percent of packets.
    pub(super) loss: u64,
    /// How long a packet takes one way, from and to, in milliseconds.
    pub(super) delay_ms: (u64, u64),
    pub(super) calm_ms: u64,
    pub(super) freezes: usize,
    /// In percent of nodes.
    pub(super) slow: u64,
    /// The mean time between pauses anywhere in the cluster; none pause at 0.
    pub(super) pause_every_ms: u64,
    pub(super) policy: Option<Arc<dyn RemovalPolicy>>,
}

impl Trial {
    /// Healthy nodes on good links that are watched for a minute; then one after the other is frozen, ten in all.
    pub fn new(nodes: usize, pace: Pace) -> Self {
        Self {
            nodes: nodes.max(2),
            pace,
            loss: 0,
            delay_ms: (0, 15),
            calm_ms: 60_000,
            freezes: 10,
            slow: 0,
            pause_every_ms: 0,
            policy: None,
        }
    }

    /// How long a packet takes one way, in milliseconds, if not what it takes through a data centre: up to 15 ms.
    pub fn delay(mut self, least_ms: u64, most_ms: u64) -> Self {
        self.delay_ms = (least_ms, most_ms.max(least_ms).min(10_000));
        self
    }

    /// So many packets of a hundred are lost.
    pub fn loss(mut self, percent: u64) -> Self {
        self.loss = percent.min(90);
        self
    }

    /// How long nobody is frozen, so that every node said to be down is a false alarm.
    pub fn calm_ms(mut self, ms: u64) -> Self {
        self.calm_ms = ms;
        self
    }

    /// How many nodes are frozen, one after the other, to see when all know.
    pub fn freezes(mut self, count: usize) -> Self {
        self.freezes = count;
        self
    }

    /// So many nodes of a hundred take 40 ms for each message.
    pub fn slow(mut self, percent: u64) -> Self {
        self.slow = percent.min(100);
        self
    }

    /// While it is calm, some node stands still for 1 to 10 s every so often.
    pub fn pauses(mut self, every_ms: u64) -> Self {
        self.pause_every_ms = every_ms;
        self
    }

    /// What decides whether members that are down would be removed. Removals are counted, not made.
    pub fn policy(mut self, policy: impl RemovalPolicy + 'static) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Runs it; `seed` decides everything that is left to chance.
    #[must_use]
    pub fn run(self, seed: u64) -> Measured {
        let (calm_ms, freezes) = (self.calm_ms, self.freezes);
        let mut cluster = Cluster::new(self, seed);
        cluster.calm(calm_ms);
        (0..freezes).for_each(|_| cluster.freeze_one());
        cluster.measured
    }
}
