//! What the `metrics` facade is told, and what snapshots show of the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{SECOND, config, cookie, id, node, server, settle, start};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use netkernel::{Config, MemoryNetwork, Net, Noise, PeerState, RefusedReason, Role, ServerName, Transport};
use tokio::io::AsyncWriteExt;

/// Every measure by its name and labels, as a recorder keeps them.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, f64>>>);

struct Measure(Seen, String);

impl Measure {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut seen = self.0.0.lock().unwrap();
        let value = seen.entry(self.1.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for Measure {
    fn increment(&self, value: u64) {
        self.change(|before| before + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for Measure {
    fn increment(&self, value: f64) {
        self.change(|before| before + value);
    }

    fn decrement(&self, value: f64) {
        self.change(|before| before - value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl Seen {
    fn measure(&self, key: &Key) -> Arc<Measure> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Measure(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }

    fn get(&self, name: &str) -> f64 {
        let seen = self.0.lock().unwrap();
        *seen.get(name).unwrap_or_else(|| panic!("{name} is not among {:#?}", seen.keys()))
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}
    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}
    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _description: SharedString) {}

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.measure(key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.measure(key))
    }

    fn register_histogram(&self, _key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_facade_is_told_is_what_snapshots_show() {
    let seen = Seen::default();
    let _recording = metrics::set_default_local_recorder(&seen);
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    for _ in 0..10 {
        a.echo(&b, "hello").await.unwrap();
    }
    for name in ["sink", "sink", "nobody"] {
        a.kernel.cast(&b.id(), &server(name), Bytes::from("x"), SECOND).await.unwrap();
    }
    a.kernel.ping(&b.id(), SECOND).await.unwrap();
    network.reset("a", "b");
    settle().await;
    a.echo(&b, "again").await.unwrap();
    let held = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let _responder = b.held.recv().await.unwrap();
    tokio::time::sleep(6 * SECOND).await;

    let status = &a.kernel.peers()[0];
    assert_eq!((status.state, status.sessions, status.calls_pending), (PeerState::Connected, 1, 1));
    assert_eq!(status.traffic.reconnects, 1);
    assert_eq!(status.traffic.casts_refused_by_peer, 1);
    let traffic = status.traffic;
    for (name, value) in [
        ("netkernel_messages_sent_total", traffic.messages_sent),
        ("netkernel_messages_received_total", traffic.messages_received),
        ("netkernel_bytes_sent_total", traffic.bytes_sent),
        ("netkernel_bytes_received_total", traffic.bytes_received),
        ("netkernel_casts_refused_by_peer_total", traffic.casts_refused_by_peer),
        ("netkernel_sessions_total", traffic.sessions),
        ("netkernel_reconnects_total", traffic.reconnects),
        ("netkernel_connected", 1),
        ("netkernel_sessions", 1),
        ("netkernel_incarnation", 1),
        ("netkernel_calls_pending", 1),
        ("netkernel_calls_executing", 0),
    ] {
        assert_eq!(seen.get(&format!("{name}{{node=a,peer=b}}")), value as f64, "{name}");
    }
    assert_eq!(seen.get("netkernel_casts_refused_total{node=b,peer=a}"), 1.0);
    assert_eq!(seen.get("netkernel_calls_executing{node=b,peer=a}"), 1.0);
    drop(held);

    // Everything that the issue names has a measure, for each lane where it speaks of lanes.
    for name in [
        "netkernel_round_trip_seconds{node=a,peer=b}",
        "netkernel_queued_messages{node=a,peer=b,lane=control}",
        "netkernel_queued_messages{node=a,peer=b,lane=normal}",
        "netkernel_queued_bytes{node=a,peer=b,lane=normal}",
        "netkernel_queued_messages{node=a,peer=b,lane=bulk}",
        "netkernel_queued_bytes{node=a,peer=b,lane=bulk}",
        "netkernel_credit_used_messages{node=a,peer=b}",
        "netkernel_credit_used_bytes{node=a,peer=b}",
        "netkernel_casts_held_messages{node=a,peer=b}",
        "netkernel_casts_held_bytes{node=a,peer=b}",
    ] {
        seen.get(name);
    }
}

#[tokio::test(start_paused = true)]
async fn drops_are_told_by_reason_and_a_peer_that_is_gone_measures_nothing() {
    let seen = Seen::default();
    let _recording = metrics::set_default_local_recorder(&seen);
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
    for _ in 0..3 {
        a.kernel.try_cast(&id("away"), &server("sink"), Bytes::new()).unwrap();
    }
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(a.kernel.peers()[0].state, PeerState::Away);
    assert_eq!(seen.get("netkernel_queued_messages{node=a,peer=away,lane=normal}"), 3.0);
    tokio::time::sleep(40 * SECOND).await;
    assert_eq!(seen.get("netkernel_messages_dropped_total{node=a,peer=away,reason=expired}"), 3.0);
    a.kernel.try_cast(&id("away"), &server("sink"), Bytes::new()).unwrap();
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(seen.get("netkernel_queued_messages{node=a,peer=away,lane=normal}"), 1.0);
    a.kernel.disconnect(&id("away"), false);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(seen.get("netkernel_messages_dropped_total{node=a,peer=away,reason=closed}"), 1.0);
    assert_eq!(seen.get("netkernel_queued_messages{node=a,peer=away,lane=normal}"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn refused_handshakes_are_counted_by_reason() {
    let seen = Seen::default();
    let _recording = metrics::set_default_local_recorder(&seen);
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).handshakes(4, 4)).await;
    let thief =
        start(Config::builder(id("thief"), Noise::new(&cookie(true))).transport(network.host("thief"))).await;
    assert!(thief.kernel.dial(&b.address(), None, SECOND).await.is_err());
    let a = node(&network, "a").await;
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    let namesake = start(config(&network, "a", 7)).await;
    assert!(namesake.kernel.dial(&b.address(), None, SECOND).await.is_err());
    for hello in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"CLK1\x02\x01\x00\x00", b"CLK1\x01\x00\x00\x00"] {
        let mut stranger = network.host("stranger").connect(&b.address()).await.unwrap();
        stranger.write.write_all(hello).await.unwrap();
        settle().await;
    }
    drop(network.host("gone").connect(&b.address()).await.unwrap());
    settle().await;
    let mut slow = Vec::new();
    for _ in 0..6 {
        slow.push(network.host("slow").connect(&b.address()).await.unwrap());
        settle().await;
    }
    tokio::time::sleep(SECOND).await;
    let expected = [
        (RefusedReason::Authentication, 1),
        (RefusedReason::Version, 2),
        (RefusedReason::Malformed, 1),
        (RefusedReason::Timeout, 4),
        (RefusedReason::Closed, 1),
        (RefusedReason::Duplicate, 1),
        (RefusedReason::Crowded, 2),
    ];
    assert_eq!(b.kernel.refused(), expected);
    for (reason, count) in expected {
        let name = format!("netkernel_handshakes_refused_total{{node=b,reason={reason}}}");
        assert_eq!(seen.get(&name), f64::from(count as u32), "{name}");
    }
}

/// Clients and command lines come under ever new ids: what is counted of them is counted together.
#[tokio::test(start_paused = true)]
async fn peers_that_come_and_go_make_no_series_of_their_own() {
    let seen = Seen::default();
    let _recording = metrics::set_default_local_recorder(&seen);
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    for (role, shown) in [(Role::Client, "client"), (Role::Control, "control")] {
        for number in 0..3 {
            let name = format!("{shown}-{number}");
            let security = Noise::new(&cookie(false));
            let visitor =
                start(Config::builder(id(&name), security).transport(network.host(&name)).role(role)).await;
            visitor.kernel.dial(&b.address(), None, SECOND).await.unwrap();
            let call = visitor.kernel.call(&b.id(), &ServerName::control(), Bytes::new(), SECOND);
            call.await.unwrap();
            tokio::time::sleep(6 * SECOND).await;
        }
        assert_eq!(seen.get(&format!("netkernel_messages_received_total{{node=b,peer={shown}}}")), 3.0);
    }
    let series: Vec<String> = seen.0.lock().unwrap().keys().cloned().collect();
    assert!(series.iter().all(|name| !name.contains("node=b,peer=client-")), "{series:#?}");
    assert!(series.iter().all(|name| !name.contains("node=b,peer=control-")), "{series:#?}");
}
