//! Every limit of the configuration, reached: what happens at it, and that it is where the configuration says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, TestNode, config, cookie, id, next, node, server, settle, small, start};
use netkernel::{
    CallError, DownReason, MemoryNetwork, Net, Noise, OfflinePolicy, PeerEvent, Refusal, RefusedReason,
    Security, SendError, Transport,
};
use shim::{CAST, FIRST, PING, Shim, WHOLE, control, define, frame};
use tokio::io::AsyncReadExt;

async fn pair(network: &MemoryNetwork, a: netkernel::Builder) -> (TestNode, TestNode) {
    let (a, b) = (start(a).await, node(network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_handed_back_and_one_that_arrives_closes_its_session() {
    let network = MemoryNetwork::new();
    let (a, b) = pair(&network, config(&network, "a", 1).message_bytes_max(1_000)).await;
    let body = Bytes::from(vec![0; 1_001]);
    let refused = a.kernel.try_cast(&b.id(), &server("sink"), body.clone()).unwrap_err();
    assert!(
        matches!(refused, SendError::TooLarge { bytes: 1_001, max: 1_000, body: returned } if returned == body)
    );
    let refused = a.kernel.call(&b.id(), &server("echo"), body.clone(), SECOND).await;
    assert_eq!(refused, Err(CallError::TooLarge { bytes: 1_001, max: 1_000 }));
    a.kernel.cast(&b.id(), &server("sink"), body.slice(1..), SECOND).await.unwrap();
    // A peer that ignores what it was told, in one frame and in pieces.
    for (flags, bytes) in [(WHOLE, 1_001), (FIRST, 100_000)] {
        let mut bad = Shim::connect(&network, &a, "mallory").await;
        let mut events = a.kernel.events();
        let body = vec![0; 1_001];
        let cast = frame(CAST, flags, u64::from(flags == FIRST) << 63, Some((1, 0, bytes)), &body);
        bad.record(&[define(1, "sink"), cast].concat()).await;
        let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        assert!(matches!(down, PeerEvent::Down { reason: DownReason::Protocol, .. }), "{down:?}");
    }
    a.echo(&b, "by the session that was there").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn casts_wait_from_the_soft_limit_on_and_calls_are_busy_at_the_hard_one() {
    let network = MemoryNetwork::new();
    let (a, b) = pair(
        &network,
        config(&network, "a", 1)
            .message_bytes_max(30_000)
            .queue_bytes(10_000, 30_000)
            .offline_queue(1_024, 30_000, SECOND),
    )
    .await;
    network.mute("a", "b");
    let body = Bytes::from(vec![0; 1_000]);
    // The writer never runs in between: all of it waits.
    let cast = || a.kernel.try_cast(&b.id(), &server("sink"), body.clone());
    let casts = (0..100).filter(|_| cast().is_ok()).count();
    assert_eq!(casts, 10, "ten of 1,096 bytes pass 10,000");
    let mut calls = Vec::new();
    let busy = loop {
        let mut call = Box::pin(a.kernel.call(&b.id(), &server("echo"), body.clone(), SECOND));
        match futures_now(call.as_mut()) {
            None => calls.push(call),
            Some(ended) => break ended,
        }
    };
    assert_eq!(busy, Err(CallError::Busy { node: b.id() }));
    let queued = a.kernel.peers()[0].queued_bytes;
    assert!((29_000..=31_000).contains(&queued), "{queued}");
}

/// The outcome of a future, if it has one at once.
fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_at_the_hard_limit_is_dropped_and_counted_and_its_caller_told() {
    let network = MemoryNetwork::new();
    let b = start(
        config(&network, "b", 1)
            .message_bytes_max(5_000)
            .queue_bytes(1_000, 5_000)
            .offline_queue(0, 0, SECOND),
    )
    .await;
    let a = node(&network, "a").await;
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    let calls = (0..10).map(|_| a.kernel.call(&b.id(), &server("echo"), vec![1; 1_000].into(), SECOND));
    let calls: Vec<_> = calls.collect();
    let (mut answered, mut told) = (0, 0);
    for call in calls {
        match call.await {
            Ok(body) => answered += usize::from(body.len() == 1_000),
            Err(error) => {
                assert_eq!(error, CallError::Refused(Refusal::NoReply));
                told += 1;
            }
        }
    }
    assert_eq!((answered, told), (5, 5), "nine requests came in one record, and four of their replies fit");
    assert_eq!(b.kernel.peers()[0].traffic.dropped.replies, 5);
}

#[tokio::test(start_paused = true)]
async fn the_offline_queue_drops_the_oldest_cast_large_or_small_when_it_is_told_to() {
    let network = MemoryNetwork::new();
    let limits = config(&network, "a", 1).offline_queue(4, 1 << 20, 30 * SECOND);
    let a = start(limits.offline_policy(OfflinePolicy::DropOldest)).await;
    let address = "b:7".parse().unwrap();
    a.kernel.connect(&id("b"), &address);
    for (number, bytes) in [(0u8, 50_000), (1, 10), (2, 60_000), (3, 20), (4, 30), (5, 40_000), (6, 40)] {
        let body = vec![number; bytes].into();
        a.kernel.try_cast(&id("b"), &server(&format!("sink {number}")), body).unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let status = &a.kernel.peers()[0];
    assert_eq!((status.queued_messages, status.traffic.dropped.queue_full), (4, 3));
    let (b, mut mailbox) = small_at(&network, address).await;
    let mut arrived = Vec::new();
    for _ in 0..4 {
        arrived.push(mailbox.recv().await.unwrap().1[0]);
    }
    arrived.sort_unstable();
    assert_eq!(arrived, [3, 4, 5, 6]);
    drop(b);
}

async fn small_at(
    network: &MemoryNetwork,
    address: netkernel::Address,
) -> (netkernel::Kernel, tokio::sync::mpsc::Receiver<(std::sync::Arc<netkernel::Peer>, Bytes)>) {
    common::small_with(config(network, "b", 1).listen(address), 100).await
}

#[tokio::test(start_paused = true)]
async fn the_offline_queue_is_bounded_as_configured() {
    let network = MemoryNetwork::new();
    let queued = async |messages, bytes| {
        let limits = config(&network, "a", 1).offline_queue(messages, bytes, 5 * SECOND);
        let a = start(limits).await;
        a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
        let body = Bytes::from(vec![0; 1_000]);
        let send = || a.kernel.try_cast(&id("away"), &server("sink"), body.clone());
        let accepted = (0..100).filter(|_| send().is_ok()).count();
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(a.kernel.peers()[0].traffic.dropped.expired, accepted as u64, "none outlives its age");
        accepted
    };
    assert_eq!(queued(7, 1 << 20).await, 7);
    assert_eq!(queued(1_000, 10_000).await, 9);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_begins_more_than_may_arrive_at_once_loses_its_session() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).message_bytes_max(100_000).reassembly_bytes_max(100_000)).await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    bad.record(&define(1, "sink")).await;
    let part = vec![0; 30_000];
    for id in 0..3u64 {
        bad.record(&frame(CAST, FIRST, (1 << 63) + id, Some((1, 0, 40_000)), &part)).await;
    }
    settle().await;
    assert!(b.kernel.peers()[0].connected, "90,000 bytes are within the limit");
    let mut events = b.kernel.events();
    bad.record(&frame(CAST, FIRST, (1 << 63) + 3, Some((1, 0, 40_000)), &part)).await;
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Protocol, .. }), "{down:?}");
}

#[tokio::test(start_paused = true)]
async fn control_frames_beyond_their_limit_are_dropped_and_counted() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).control_frames_max(50)).await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    // One record: the writer has no turn before it is read.
    let pings: Vec<u8> = (0..200).flat_map(|id| control(PING, id)).collect();
    bad.record(&pings).await;
    settle().await;
    assert_eq!(b.kernel.peers()[0].traffic.dropped.control_frames, 150);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_held_for_half_a_second_and_a_holder_of_the_cookie_for_three() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let begun = tokio::time::Instant::now();
    let mut silent = network.host("silent").connect(&b.address()).await.unwrap();
    assert!(matches!(silent.read.read(&mut [0]).await, Ok(0) | Err(_)));
    assert_eq!(begun.elapsed().as_millis() / 10, 50);

    let begun = tokio::time::Instant::now();
    let connection = network.host("slow").connect(&b.address()).await.unwrap();
    let hello = Shim::hello("slow", 1);
    let (mut channel, _) = Noise::new(&cookie(false)).client(connection, hello).await.unwrap();
    assert!(matches!(channel.read.read(&mut [0]).await, Ok(0) | Err(_)), "it never sends its FINISH");
    assert_eq!(begun.elapsed().as_millis() / 100, 30);
    assert_eq!(b.kernel.refused(), [(RefusedReason::Timeout, 2)]);

    let quick = start(config(&network, "q", 1).handshake_time(Duration::from_millis(20), SECOND)).await;
    let begun = tokio::time::Instant::now();
    let mut silent = network.host("silent").connect(&quick.address()).await.unwrap();
    assert!(matches!(silent.read.read(&mut [0]).await, Ok(0) | Err(_)));
    assert!(begun.elapsed() < Duration::from_millis(30));
}

#[tokio::test(start_paused = true)]
async fn as_many_calls_as_configured_may_be_under_way_and_more_are_busy() {
    let network = MemoryNetwork::new();
    let (a, b) = pair(&network, config(&network, "a", 1).calls_max(10)).await;
    let call = || a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND);
    let mut calls: Vec<_> = (0..10).map(|_| call()).collect();
    assert_eq!(call().await, Err(CallError::Busy { node: b.id() }));
    calls.pop();
    let again = call();
    assert!(again.await.unwrap_err() != CallError::Busy { node: b.id() }, "a place was given back");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_waits_longer_after_every_failure_up_to_the_limit() {
    let network = MemoryNetwork::new();
    let a = start(config(&network, "a", 1).backoff(SECOND, 4 * SECOND)).await;
    let mut events = a.kernel.events();
    a.kernel.connect(&id("b"), &"b:1".parse().unwrap());
    let mut waits = Vec::new();
    let mut last = None;
    for _ in 0..6 {
        next(&mut events, |event| matches!(event, PeerEvent::Unreachable { .. })).await;
        let now = tokio::time::Instant::now();
        waits.extend(last.map(|last| now - last));
        last = Some(now);
    }
    for (wait, whole) in waits.into_iter().zip([1, 2, 4, 4, 4]) {
        let whole = whole * SECOND;
        assert!(wait >= whole / 2 && wait <= whole + Duration::from_millis(5), "{wait:?} of {whole:?}");
    }
}

/// However many full servers a peer casts to, what it may have under way fits in what is kept for it.
#[tokio::test(start_paused = true)]
async fn casts_to_many_full_servers_are_all_kept_within_the_bound_and_none_is_lost() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 1).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    a.kernel.call(&id("b"), &server("up"), Bytes::new(), SECOND).await.unwrap();
    let mut accepted = 0;
    for round in 0..40 {
        for target in 0..30 {
            let body = vec![0; [10, 3_000, 10_000, 200_000][(round + target) % 4]].into();
            accepted +=
                usize::from(a.kernel.try_cast(&id("b"), &server(&format!("x{target}")), body).is_ok());
        }
        settle().await;
    }
    let status = &b.peers()[0];
    assert!(status.casts_held.bytes <= (20 << 20) + 192, "{status:?}");
    assert!(status.casts_held.bytes > 4 << 20, "the bound was hardly tested: {status:?}");
    let last = a.kernel.try_cast(&id("b"), &server("a fresh one"), Bytes::from(vec![0; 4 << 20]));
    assert!(last.is_ok(), "a destination with nothing under way has a share left");
    for _ in 0..=accepted {
        mailbox.recv().await.unwrap();
    }
    assert_eq!(b.peers()[0].traffic.casts_refused, 0);
    settle().await;
    assert_eq!(b.peers()[0].casts_held, netkernel::Queued::default());
}

#[tokio::test(start_paused = true)]
async fn sessions_beyond_the_limits_are_refused_and_a_place_is_given_back() {
    const UNAVAILABLE: &[u8] = &[3];
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).sessions(2, 8)).await;
    let answer = async |name: &str| {
        let mut shim = Shim::unconfirmed(&network, &b, name, Shim::hello(name, 1)).await;
        (shim.finish().await.unwrap(), shim)
    };
    let one = Shim::connect(&network, &b, "one").await;
    let _other = Shim::connect(&network, &b, "other").await;
    assert_eq!(answer("third").await.0, UNAVAILABLE);
    settle().await;
    assert_eq!(b.kernel.peers().len(), 2, "one that is refused leaves nothing behind");
    assert_eq!(b.kernel.refused(), [(RefusedReason::Unavailable, 1)]);
    drop(one);
    settle().await;
    assert_eq!(answer("third").await.0[0], 0, "READY");

    let b = start(config(&network, "b", 1).sessions(100, 2)).await;
    let answer = async || {
        let mut shim = Shim::unconfirmed(&network, &b, "many", Shim::hello("many", 1)).await;
        (shim.finish().await.unwrap(), shim)
    };
    let sessions = [answer().await, answer().await];
    assert!(sessions.iter().all(|(answer, _)| answer[0] == 0));
    assert_eq!(answer().await.0, UNAVAILABLE);
    assert_eq!(b.kernel.peers()[0].sessions, 2);
    Shim::connect(&network, &b, "another").await;
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let shown = format!("{:?}", config(&MemoryNetwork::new(), "a", 1));
    for default in [
        "message_bytes_max: 4194304",
        "queue_bytes_soft: 1048576",
        "queue_bytes_max: 8388608",
        "offline_messages_max: 1024",
        "offline_bytes_max: 8388608",
        "offline_age_max: 30s",
        "offline_policy: FailNew",
        "reassembly_bytes_max: 8388608",
        "control_frames_max: 4096",
        "calls_max: 65536",
        "heartbeat_idle: 15s",
        "heartbeat_busy: 2s",
        "heartbeat_timeout: 5s",
        "write_stall: 10s",
        "handshake_first: 500ms",
        "handshake_whole: 3s",
        "handshakes_max: 128",
        "handshakes_per_host_max: 32",
        "sessions_max: 4096",
        "sessions_per_peer_max: 8",
        "dials_max: 8",
        "backoff_first: 100ms",
        "backoff_max: 5s",
        "probe: 1s",
    ] {
        assert!(shown.contains(default), "{default} in {shown}");
    }
}
