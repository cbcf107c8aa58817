//! What is lost is told: as an event, with its number, wherever it is lost.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use bytes::Bytes;
use common::{SECOND, TestNode, config, id, next, node, server, settle, start};
use netkernel::{MemoryNetwork, Net, OfflinePolicy, PeerEvent, PeerEvents, SendError};
use shim::{CAST, CHUNK, GOAWAY, PING, PONG, RESET, Shim, call, control, credit, define, frame, frames};

/// The messages that the next `Dropped` tells of.
async fn dropped(events: &mut PeerEvents) -> u64 {
    let event = next(events, |event| matches!(event, PeerEvent::Dropped { .. }));
    let event = tokio::time::timeout(10 * SECOND, event).await.expect("drops are told");
    let PeerEvent::Dropped { messages, .. } = event else { unreachable!("no other was asked for") };
    messages
}

/// What was displaced, or waited too long, is told also where the very next dial succeeds.
#[tokio::test(start_paused = true)]
async fn what_was_dropped_before_a_dial_that_succeeds_is_told() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let limits = config(&network, "a", 1).offline_policy(OfflinePolicy::DropOldest);
    let a = start(limits.offline_queue(4, 1 << 20, 30 * SECOND)).await;
    let mut events = a.kernel.events();
    a.connect(&b);
    for _ in 0..10 {
        a.kernel.try_cast(&b.id(), &server("sink"), Bytes::new()).unwrap();
    }
    assert_eq!(dropped(&mut events).await, 6);
    assert_eq!(a.kernel.peers()[0].traffic.sessions, 1, "no dial failed");
}

/// What waits for a peer that nobody wishes for is dropped when it leaves, and is told though the peer is forgotten.
#[tokio::test(start_paused = true)]
async fn what_waited_for_a_peer_that_is_forgotten_is_told() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let visitor = Shim::connect(&network, &b, "visitor").await;
    let mut events = b.kernel.events();
    let body = Bytes::from(vec![0; 10_000]);
    // What the network takes is written, the rest waits.
    for _ in 0..60 {
        b.kernel.try_cast(&id("visitor"), &server("sink"), body.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    let waiting = b.kernel.peers()[0].queued_messages as u64;
    assert!(waiting > 10, "{waiting} messages wait");
    drop(visitor);
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    drop(down);
    assert_eq!(dropped(&mut events).await, waiting);
    assert!(b.kernel.peers().is_empty());
}

/// A reply over a limit is told while the session goes on.
#[tokio::test(start_paused = true)]
async fn replies_that_are_dropped_are_told_while_the_session_lives() {
    let network = MemoryNetwork::new();
    let b = start(
        config(&network, "b", 1).message_bytes_max(100).queue_bytes(100, 100).offline_queue(0, 0, SECOND),
    )
    .await;
    let mut events = b.kernel.events();
    let mut caller = Shim::connect(&network, &b, "caller").await;
    // Replies of which one fits the queue.
    let calls: Vec<u8> = (0..4).flat_map(|id| call(id, 1, &[0; 100])).collect();
    caller.record(&[define(1, "echo"), calls].concat()).await;
    assert_eq!(dropped(&mut events).await, 3);
    assert_eq!(b.kernel.peers()[0].sessions, 1);
}

/// A second session of the peer `a`, which takes over from the first.
async fn taken_over(network: &MemoryNetwork, b: &TestNode) -> Shim {
    let mut second = Shim::connect(network, b, "a").await;
    second.record(&control(PING, 1)).await;
    settle().await;
    second
}

/// The link stays up, so no `Down` says that what was written to a session which broke may be lost.
#[tokio::test(start_paused = true)]
async fn casts_written_to_a_session_that_breaks_beside_another_are_told_as_unconfirmed() {
    for acknowledged in [0, 2, 5] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut events = b.kernel.events();
        let mut first = Shim::connect(&network, &b, "a").await;
        let cast = || b.kernel.try_cast(&id("a"), &server("x"), Bytes::from("written")).unwrap();
        (0..5).for_each(|_| cast());
        settle().await;
        let second = taken_over(&network, &b).await;
        cast();
        settle().await;
        first.record(&credit("x", acknowledged, 7 * acknowledged)).await;
        settle().await;
        drop(first);
        settle().await;
        let status = &b.kernel.peers()[0];
        assert_eq!(status.traffic.casts_unconfirmed, 5 - acknowledged);
        assert_eq!(status.casts_unacknowledged.messages, 1, "that of the session which lives");
        assert_eq!((status.connected, status.traffic.messages_dropped), (true, 0));
        let told = async { next(&mut events, |event| !matches!(event, PeerEvent::Up { .. })).await };
        match tokio::time::timeout(SECOND, told).await {
            Ok(event) => assert_eq!(event, PeerEvent::Unconfirmed { id: id("a"), casts: 5 - acknowledged }),
            Err(_nothing) => assert_eq!(acknowledged, 5),
        }
        drop(second);
    }
}

/// The peer goes on by another session, of which nothing has come yet, while the one it ended is stuck in writing: when that
/// breaks, what it had taken to write is told exactly, and what still waits goes by the other.
#[tokio::test(start_paused = true)]
async fn casts_taken_by_a_session_that_its_peer_ended_and_that_breaks_are_told_as_unconfirmed() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let mut first = Shim::connect(&network, &b, "a").await;
    let mut sent = 0;
    // What the network takes is written, the rest waits.
    while b.kernel.peers().is_empty() || b.kernel.peers()[0].queued_messages < 20 {
        b.kernel.try_cast(&id("a"), &server("x"), vec![0; 10_000].into()).unwrap();
        sent += 1;
        tokio::task::yield_now().await;
    }
    let mut second = Shim::connect(&network, &b, "a").await;
    first.record(&frame(GOAWAY, 0, 0, None, &[0])).await;
    settle().await;
    let taken = sent - b.kernel.peers()[0].queued_messages as u64;
    second.record(&control(PING, 1)).await;
    settle().await;
    assert_eq!(b.kernel.peers()[0].sessions, 2, "the first is stuck");
    drop(first);
    let mut came = 0;
    while let Ok(record) = tokio::time::timeout(SECOND, second.next_record()).await {
        came += frames(&record.unwrap()).iter().filter(|frame| frame.kind == CAST).count() as u64;
    }
    let status = &b.kernel.peers()[0];
    assert_eq!((status.traffic.casts_unconfirmed, taken + came), (taken, sent));
    assert_eq!(status.casts_unacknowledged.messages as u64, came, "those of the session which lives");
    let told = next(&mut events, |event| !matches!(event, PeerEvent::Up { .. })).await;
    assert_eq!(told, PeerEvent::Unconfirmed { id: id("a"), casts: taken });
}

/// A large cast of which the first pieces went by one session and the next by another, when the first breaks.
#[tokio::test(start_paused = true)]
async fn a_message_begun_by_a_session_that_breaks_is_dropped_by_its_successor_and_counted() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let mut first = Shim::connect(&network, &b, "a").await;
    b.kernel.try_cast(&id("a"), &server("x"), vec![0; 1 << 20].into()).unwrap();
    let mut milestone = 0;
    while let Ok(record) = tokio::time::timeout(SECOND / 10, first.next_record()).await {
        let record = record.unwrap();
        let pings = frames(&record).into_iter().filter(|frame| frame.kind == PING && frame.id >> 63 == 1);
        milestone = pings.map(|frame| frame.id).fold(milestone, u64::max);
    }
    let mut second = taken_over(&network, &b).await;
    // The peer has read the first pieces, so the next go by the second session.
    second.record(&control(PONG, milestone)).await;
    let mut came = 0;
    while came == 0 {
        let record = second.next_record().await.unwrap();
        came += frames(&record).into_iter().filter(|frame| frame.kind == CHUNK).count();
    }
    drop(first);
    let mut reset = false;
    while !reset {
        let record = tokio::time::timeout(SECOND, second.next_record()).await.expect("RESET").unwrap();
        reset = frames(&record).into_iter().any(|frame| frame.kind == RESET);
    }
    let status = &b.kernel.peers()[0];
    assert_eq!((status.traffic.dropped.link_lost, status.queued_messages), (1, 0));
    assert_eq!(status.casts_unacknowledged.messages, 0, "its credit is given back");
    assert_eq!(status.traffic.casts_unconfirmed, 0, "it did not arrive");
    assert_eq!(dropped(&mut events).await, 1);
}

/// What breaks beside the session that carries messages opens no second window for them.
#[tokio::test(start_paused = true)]
async fn a_session_that_carried_nothing_and_breaks_opens_no_window() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut works = Shim::connect(&network, &b, "a").await;
    let cast = || b.kernel.try_cast(&id("a"), &server("x"), Bytes::new());
    assert_eq!((0..5_000).filter(|_| cast().is_ok()).count(), 4_096);
    settle().await;
    for _ in 0..3 {
        drop(Shim::connect(&network, &b, "a").await);
        settle().await;
        assert_eq!(b.kernel.peers()[0].sessions, 1);
        assert!(matches!(cast(), Err(SendError::Busy { .. })));
    }
    works.record(&credit("x", 3, 0)).await;
    settle().await;
    assert_eq!((0..10).filter(|_| cast().is_ok()).count(), 3);
    let record = works.next_record().await.unwrap();
    assert!(frames(&record).iter().any(|frame| frame.kind != CAST || frame.body.is_empty()));
}
