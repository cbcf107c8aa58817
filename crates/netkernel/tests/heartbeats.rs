//! Heartbeats: what they measure, and that no setting of them ends a session.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, node, server, settle, start};
use netkernel::{CallError, MemoryNetwork, Net, Stage};
use shim::{PING, PONG, Shim, control, frames};
use tokio::time::Instant;

/// Nobody asks for it, and the session may never be silent: its round trip is known soon after it is up, and again with
/// every heartbeat, or once a minute.
#[tokio::test(start_paused = true)]
async fn a_session_knows_its_round_trip_be_it_idle_or_busy() {
    for busy in [false, true] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut peer = Shim::connect(&network, &b, "peer").await;
        let begun = Instant::now();
        let mut asked = Vec::new();
        for number in 1..=70 {
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
        assert!(
            asked[0] <= first_by * SECOND && (if busy { 2..=2 } else { 3..=5 }).contains(&asked.len()),
            "busy {busy}: {asked:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_any_times_end_no_session() {
    let times = [Duration::from_millis(20), SECOND, Duration::MAX / 2, Duration::MAX];
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

/// A session that was well a moment ago, and would be asked in an hour.
#[tokio::test(start_paused = true)]
async fn a_call_made_to_a_peer_that_has_fallen_silent_ends_the_session() {
    let network = MemoryNetwork::new();
    let hour = 3_600 * SECOND;
    let a = start(config(&network, "a", 1).heartbeat(hour, 2 * SECOND, 5 * SECOND)).await;
    let b = start(config(&network, "b", 1).heartbeat(hour, 2 * SECOND, 5 * SECOND)).await;
    a.connect(&b);
    a.echo(&b, "text").await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    network.mute("a", "b");
    tokio::time::sleep(60 * SECOND).await;
    assert!(a.kernel.peers()[0].connected, "nobody has asked");
    let called = Instant::now();
    let call = a.kernel.call(&b.id(), &server("echo"), Bytes::from("x"), hour).await;
    assert!(matches!(call, Err(CallError::LinkDown)), "{call:?}");
    // It was silent for longer than two seconds, is looked at within two, and has five.
    assert!(called.elapsed() <= 8 * SECOND, "it took {:?}", called.elapsed());
}

/// A process that was stopped, or whose machine slept: what it did not hear meanwhile is not its peers' fault.
#[tokio::test(start_paused = true)]
async fn a_process_that_stood_still_gives_its_peers_the_time_to_answer() {
    // At different times before the next beat.
    for ms in (0..1_000).step_by(150) {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut peer = Shim::connect(&network, &b, "peer").await;
        peer.record(&control(PONG, 1 << 62)).await;
        let (to, server) = (id("peer"), server("busy"));
        let call = b.kernel.call(&to, &server, Bytes::new(), 3_600 * SECOND);
        let answering = async {
            let until = Instant::now() + 60 * SECOND;
            while let Ok(record) = tokio::time::timeout_at(until, peer.next_record()).await {
                let record = record.expect("the session lives");
                for ping in frames(&record).iter().filter(|frame| frame.kind == PING) {
                    tokio::time::sleep(Duration::from_millis(600)).await;
                    peer.record(&control(PONG, ping.id)).await;
                }
            }
        };
        let standing_still = async {
            tokio::time::sleep(SECOND).await;
            // Once while it is well, and once while a question waits for its answer.
            tokio::time::advance(30 * SECOND + Duration::from_millis(ms)).await;
            tokio::time::sleep(Duration::from_millis(2_200)).await;
            tokio::time::advance(30 * SECOND).await;
        };
        tokio::select! {
            ended = call => panic!("{ms} ms: {ended:?}"),
            _ = async { tokio::join!(answering, standing_still) } => {}
        }
        assert_eq!(b.kernel.peers()[0].sessions, 1);
    }
}

/// To a peer that takes nothing, which is asked again and again.
#[tokio::test(start_paused = true)]
async fn pings_that_have_ended_leave_nothing_behind() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let _reads_nothing = Shim::connect(&network, &b, "a").await;
    for number in 0..60 {
        let _busy = b.kernel.try_cast(&id("a"), &server(&format!("s{number}")), vec![0; 15_000].into());
    }
    settle().await;
    for _ in 0..1_000 {
        let unanswered = b.kernel.ping(&id("a"), Duration::ZERO).await.unwrap_err();
        assert_eq!(unanswered, CallError::Timeout { stage: Stage::Queued });
    }
    let status = &b.kernel.peers()[0];
    assert_eq!((status.calls_pending, status.queued_control), (0, 0));
}
