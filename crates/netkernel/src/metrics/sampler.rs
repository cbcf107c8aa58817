//! Measures that go up and down, told to the `metrics` facade every few seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Gauge, gauge};

use super::Labels;
use crate::net::PeerStatus;
use crate::node::{NodeId, Role};

/// Tells what `peers` says of nodes, for as long as it is not dropped. Measures of one that is gone become zero.
pub(crate) async fn run(node: NodeId, peers: impl Fn() -> Vec<PeerStatus>) {
    let mut told: BTreeMap<NodeId, Measures> = BTreeMap::new();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut before = std::mem::take(&mut told);
        for peer in peers().iter().filter(|peer| peer.role.is_none_or(|role| role == Role::Node)) {
            let measures = before.remove(&peer.id).unwrap_or_else(|| Measures::new(&node, &peer.id));
            measures.set(peer);
            told.insert(peer.id.clone(), measures);
        }
        before.values().for_each(Measures::clear);
    }
}

/// The gauges of one peer.
struct Measures(Vec<Gauge>);

impl Measures {
    fn new(node: &NodeId, peer: &NodeId) -> Self {
        let labels = Labels::of_peer(node, peer, Role::Node);
        Self(GAUGES.iter().map(|(name, more, _)| gauge!(*name, labels.with(more))).collect())
    }

    fn set(&self, peer: &PeerStatus) {
        for (gauge, (_, _, value)) in self.0.iter().zip(GAUGES) {
            gauge.set(value(peer));
        }
    }

    fn clear(&self) {
        self.0.iter().for_each(|gauge| gauge.set(0.0));
    }
}

type Measure = (&'static str, &'static [(&'static str, &'static str)], fn(&PeerStatus) -> f64);

/// Every gauge: its name, its own labels, and how it is read.
const GAUGES: &[Measure] = &[
    ("netkernel_connected", &[], |peer| f64::from(u8::from(peer.connected))),
    ("netkernel_sessions", &[], |peer| number(peer.sessions)),
    ("netkernel_incarnation", &[], |peer| peer.incarnation.map_or(0.0, |incarnation| incarnation.0 as f64)),
    ("netkernel_round_trip_seconds", &[], |peer| peer.round_trip.unwrap_or_default().as_secs_f64()),
    ("netkernel_queued_messages", &[("lane", "control")], |peer| number(peer.queued_control)),
    ("netkernel_queued_messages", &[("lane", "normal")], |peer| number(peer.queued_normal.messages)),
    ("netkernel_queued_messages", &[("lane", "bulk")], |peer| number(peer.queued_bulk.messages)),
    ("netkernel_queued_bytes", &[("lane", "normal")], |peer| number(peer.queued_normal.bytes)),
    ("netkernel_queued_bytes", &[("lane", "bulk")], |peer| number(peer.queued_bulk.bytes)),
    ("netkernel_credit_used_messages", &[], |peer| number(peer.casts_unacknowledged.messages)),
    ("netkernel_credit_used_bytes", &[], |peer| number(peer.casts_unacknowledged.bytes)),
    ("netkernel_casts_held_messages", &[], |peer| number(peer.casts_held.messages)),
    ("netkernel_casts_held_bytes", &[], |peer| number(peer.casts_held.bytes)),
    ("netkernel_calls_pending", &[], |peer| number(peer.calls_pending)),
    ("netkernel_calls_executing", &[], |peer| number(peer.calls_executing)),
];

/// Gauges are floating numbers; what is counted here stays far below 2^53.
fn number(count: usize) -> f64 {
    count as f64
}

/// Queues change within milliseconds, and whoever collects metrics looks every few seconds.
const PERIOD: Duration = Duration::from_secs(5);
