//! The counters of a node, as plain data.
//!
//! Names follow Prometheus: a prefix, base units, counters without the `_total` that an exporter adds.

use std::time::Duration;

use genserver::System;
use gossip::{Gossip, Report, RingMember};
use netkernel::{Kernel, Net, PeerStatus, Role, Traffic};
use serde::{Deserialize, Serialize};

use crate::control::growing::growing;

/// One thing that is measured, for everything it is measured of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Metric {
    /// Its name, such as `clusterluck_link_messages_sent`.
    pub name: String,
    /// Whether it only grows.
    pub kind: Kind,
    /// What it says.
    pub help: String,
    /// The values; none if there is nothing to measure now.
    pub samples: Vec<Sample>,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It only grows, for as long as what it is measured of is there.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A value of a metric, and what it is the value of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Sample {
    /// What it is measured of, as names and values; empty for the node itself.
    pub labels: Vec<(String, String)>,
    /// The value, in the unit of the name.
    pub value: f64,
}

growing!(Metric, Sample);

/// Measures a node. It reads counters and takes no lock for longer than that.
pub(crate) fn measure(kernel: &Kernel, gossip: &Gossip, servers: &System, uptime: Duration) -> Vec<Metric> {
    let mut metrics = vec![gauge("uptime_seconds", "Time since the node started", uptime.as_secs_f64())];
    metrics.extend(of_ring(kernel, gossip));
    metrics.extend(of_gossip(&gossip.report()));
    let peers = kernel.peers();
    let links: Vec<&PeerStatus> = peers.iter().filter(|peer| peer.role != Some(Role::Control)).collect();
    metrics.extend(of_links(&links));
    metrics.extend(of_servers(servers));
    metrics
}

fn of_ring(kernel: &Kernel, gossip: &Gossip) -> [Metric; 5] {
    let (view, local) = (gossip.view(), kernel.local());
    let ring = view.ring();
    let own = ring.ownership(&RingMember { id: local.id, address: local.address });
    [
        gauge(
            "ring_members",
            "Members of the ring, those not heard from yet included",
            number(view.members().len()),
        ),
        gauge("ring_nodes", "Members that have their place on the ring", number(ring.len())),
        gauge("ring_points", "Points on the ring", number(ring.point_count())),
        gauge(
            "ring_ownership_ratio",
            "Part of all keys this node owns",
            own.map_or(0.0, hashring::Fraction::as_f64),
        ),
        gauge(
            "ring_conflicts",
            "Members of which concurrent changes say different things",
            number(view.conflicts().len()),
        ),
    ]
}

fn of_gossip(report: &Report) -> Vec<Metric> {
    let Report { stats, overdue, .. } = report;
    let held_back_by = overdue.members.iter().map(|member| {
        let labels = vec![("member".to_owned(), member.to_string())];
        Sample { labels, value: 1.0 }
    });
    let counter = |name, help, value| Metric {
        samples: vec![Sample { labels: Vec::new(), value: count(value) }],
        ..metric(Kind::Counter, name, help)
    };
    vec![
        gauge(
            "gossip_tombstones_overdue",
            "Tombstones old enough to be collected that wait for members",
            number(overdue.tombstones),
        ),
        Metric {
            samples: held_back_by.collect(),
            ..metric(Kind::Gauge, "gossip_tombstones_held_back", "Members that tombstones wait for")
        },
        counter("gossip_tombstones_collected", "Tombstones collected", stats.collected),
        counter("gossip_actors_retired", "Writers of earlier runs forgotten", stats.retired),
        counter("gossip_stores_failed", "Writes of the state that failed", stats.failed_stores),
        counter("gossip_frames_unreadable", "Frames that could not be read", stats.bad_frames),
        counter("gossip_frames_foreign", "Frames of another ring or layout", stats.foreign_frames),
        counter("gossip_frames_refused", "Frames of nodes that were removed", stats.refused_frames),
        counter("gossip_frames_crowded", "Frames for which there was no room", stats.crowded_frames),
        counter("gossip_divergences", "Nodes that had seen the same and not had the same", stats.divergences),
        counter("gossip_events_reused", "Writes that bore the event of another", stats.reused_dots),
        counter("gossip_records_refused", "Records too large to be merged", stats.large_records),
        counter("gossip_members_behind", "Members whose disks went back behind a removal", stats.below_floor),
    ]
}

fn of_links(links: &[&PeerStatus]) -> Vec<Metric> {
    let per_peer = |kind, name, help, value: fn(&PeerStatus) -> Option<f64>| {
        let samples = links.iter().filter_map(|peer| {
            let labels = vec![("peer".to_owned(), peer.id.to_string())];
            Some(Sample { labels, value: value(peer)? })
        });
        Metric { samples: samples.collect(), ..metric(kind, name, help) }
    };
    let gauge = |name, help, value| per_peer(Kind::Gauge, name, help, value);
    let counter = |name, help, value| per_peer(Kind::Counter, name, help, value);
    vec![
        gauge("link_up", "Whether there is a session with the peer", |peer| {
            Some(f64::from(u8::from(peer.connected)))
        }),
        gauge("link_round_trip_seconds", "The last round trip measured", |peer| {
            peer.round_trip.map(|time| time.as_secs_f64())
        }),
        gauge("link_queued_messages", "Messages that wait to be written", |peer| {
            Some(number(peer.queued_messages))
        }),
        gauge("link_queued_bytes", "Bytes that wait to be written", |peer| Some(number(peer.queued_bytes))),
        counter("link_messages_sent", "Messages written", |peer| of(peer, |traffic| traffic.messages_sent)),
        counter("link_messages_received", "Messages read", |peer| {
            of(peer, |traffic| traffic.messages_received)
        }),
        counter("link_sent_bytes", "Bytes written", |peer| of(peer, |traffic| traffic.bytes_sent)),
        counter("link_received_bytes", "Bytes read", |peer| of(peer, |traffic| traffic.bytes_received)),
        counter("link_messages_dropped", "Queued messages given up", |peer| {
            of(peer, |traffic| traffic.messages_dropped)
        }),
        counter("link_casts_refused", "Casts that a full or missing mailbox turned away", |peer| {
            of(peer, |traffic| traffic.casts_refused)
        }),
        counter("link_sessions", "Sessions made", |peer| of(peer, |traffic| traffic.sessions)),
    ]
}

fn of_servers(servers: &System) -> [Metric; 3] {
    let servers = servers.servers();
    let named = |value: fn(&genserver::ServerInfo) -> f64| {
        let samples = servers.iter().filter_map(|server| {
            let labels = vec![("server".to_owned(), server.pid.name()?.to_string())];
            Some(Sample { labels, value: value(server) })
        });
        samples.collect()
    };
    [
        gauge("servers", "Gen_servers on the node, those without a name included", number(servers.len())),
        Metric {
            samples: named(|server| number(server.mailbox_messages)),
            ..metric(Kind::Gauge, "server_mailbox_messages", "Messages that wait for a named gen_server")
        },
        Metric {
            samples: named(|server| count(server.handled)),
            ..metric(Kind::Counter, "server_messages_handled", "Messages a named gen_server has handled")
        },
    ]
}

fn of(peer: &PeerStatus, counter: fn(&Traffic) -> u64) -> Option<f64> {
    Some(count(counter(&peer.traffic)))
}

fn gauge(name: &str, help: &str, value: f64) -> Metric {
    Metric { samples: vec![Sample { labels: Vec::new(), value }], ..metric(Kind::Gauge, name, help) }
}

fn metric(kind: Kind, name: &str, help: &str) -> Metric {
    Metric { name: format!("clusterluck_{name}"), kind, help: help.to_owned(), samples: Vec::new() }
}

fn number(number: usize) -> f64 {
    count(number as u64)
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which no counter here reaches")]
fn count(number: u64) -> f64 {
    number as f64
}
