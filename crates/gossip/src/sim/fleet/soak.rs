//! Long times under a removal policy, in which nobody is to be removed but who is dead.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use netkernel::NodeId;

use super::cluster::Fleet;
use crate::liveness::{RemovalPolicy, RemoveAfter};

/// What came of it.
#[derive(Debug)]
pub struct Soak {
    /// The members that were removed.
    pub removed: BTreeSet<NodeId>,
    /// Those that had ended for good.
    pub killed: BTreeSet<NodeId>,
    /// Whether the others agree in the end, and all have heard of each other.
    pub is_whole: bool,
    /// How often the network came apart.
    pub partitions: u64,
    /// What they said to each other.
    pub frames: u64,
}

impl Soak {
    /// Lets an even number of nodes, which remove whom they have not heard for ten minutes, live for so many hours, of their
    /// packets 5 % lost.
    ///
    /// Somewhere one stands still for some seconds each minute. In every odd hour the network comes apart in the middle, for up
    /// to twenty minutes; in every even one into a greater and a smaller part, for up to nine. Once a day two nodes end for good.
    #[must_use]
    pub fn run(nodes: usize, hours: u64, seed: u64) -> Self {
        let policy: Arc<dyn RemovalPolicy> =
            Arc::new(RemoveAfter { after: Duration::from_secs(600), max_per_hour: 10 });
        let mut fleet = Fleet::settled_under(&policy, nodes, 5, seed);
        let (mut killed, mut partitions) = (BTreeSet::new(), 0);
        for minute in 0..hours * 60 {
            let (hour, of_hour) = (minute / 60, minute % 60);
            let in_halves = hour % 2 == 1;
            let apart_for = if in_halves { 5 + (hour * 7 + seed) % 16 } else { 5 + (hour * 3 + seed) % 5 };
            match of_hour {
                10 => {
                    let living = nodes - killed.len();
                    fleet.part_some(if in_halves { living / 2 } else { living * 11 / 25 });
                    partitions += 1;
                }
                at if at == 10 + apart_for => fleet.heal(),
                35 if hour % 24 == 0 => killed.extend([fleet.kill_one(), fleet.kill_one()]),
                _ => {}
            }
            fleet.pause_one();
            fleet.run_for(60_000);
        }
        let frames = fleet.traffic().total().frames;
        Self { removed: fleet.removed().clone(), killed, is_whole: fleet.is_whole(), partitions, frames }
    }
}
