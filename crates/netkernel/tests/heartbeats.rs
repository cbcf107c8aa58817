//! Heartbeats: what they measure, and that no setting of them ends a session.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use common::{SECOND, config, node, start};
use netkernel::{MemoryNetwork, Net};
use shim::{PING, PONG, Shim, control, frames};
use tokio::time::Instant;

/// Nobody asks for it, and the session may never be silent: its round trip is known soon after it is up, and again every
/// time that heartbeats are due.
#[tokio::test(start_paused = true)]
async fn a_session_knows_its_round_trip_be_it_idle_or_busy() {
    for busy in [false, true] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut peer = Shim::connect(&network, &b, "peer").await;
        let begun = Instant::now();
        let mut asked = Vec::new();
        for number in 1..=40 {
            // Heartbeats come at whole seconds.
            let until = begun + number * SECOND + Duration::from_millis(300);
            while let Ok(record) = tokio::time::timeout_at(until, peer.next_record()).await {
                for ping in frames(&record.unwrap()).iter().filter(|frame| frame.kind == PING) {
                    asked.push(begun.elapsed());
                    tokio::time::sleep(Duration::from_millis(30 * asked.len() as u64)).await;
                    assert!(peer.record(&control(PONG, ping.id)).await);
                }
            }
            if busy {
                assert!(peer.record(&control(PONG, 1 << 62)).await);
            }
            // The last answer is on its way.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let expected = (!asked.is_empty()).then(|| Duration::from_millis(30 * asked.len() as u64));
            assert_eq!(b.kernel.peers()[0].round_trip, expected, "busy {busy}, after {number} s");
        }
        let first_by = if busy { 4 } else { 18 };
        assert!(asked[0] <= first_by * SECOND && (2..=4).contains(&asked.len()), "busy {busy}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_any_times_end_no_session() {
    let times = [Duration::ZERO, SECOND, Duration::MAX / 2, Duration::MAX];
    for idle in times {
        for busy in times {
            let network = MemoryNetwork::new();
            let a = start(config(&network, "a", 1).heartbeat(idle, busy, 5 * SECOND)).await;
            let b = start(config(&network, "b", 1).heartbeat(idle, busy, Duration::MAX)).await;
            a.connect(&b);
            for _ in 0..3 {
                a.echo(&b, "text").await.unwrap();
                tokio::time::sleep(20 * SECOND).await;
            }
            let traffic = a.kernel.peers()[0].traffic;
            assert_eq!((traffic.sessions, traffic.reconnects), (1, 0), "{idle:?}, {busy:?}");
        }
    }
}
