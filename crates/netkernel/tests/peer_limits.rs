//! Nodes whose limits differ: each end keeps to what the other takes in, and no session ends over it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, TestNode, config, id, next, node, server, settle, start};
use netkernel::{Builder, CallError, MemoryNetwork, Net, PeerEvent, Refusal, SendError, Transport};
use shim::{CAST, CHUNK, FIRST, MARK, RESET, Shim, control, define, frame, frames};

async fn pair(a: Builder, b: Builder) -> (TestNode, TestNode) {
    let (a, b) = (start(a).await, start(b).await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    (a, b)
}

fn body(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

/// How often a peer of this node was told as down.
fn sessions(node: &TestNode) -> u64 {
    node.kernel.peers()[0].traffic.sessions
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_peers_limit_is_handed_back_where_it_is_sent() {
    let network = MemoryNetwork::new();
    for (small, bytes) in [("a", 1_000), ("b", 1_000), ("b", 50_000)] {
        let of = |name: &str| {
            let config = config(&network, name, 1);
            if name == small { config.message_bytes_max(bytes) } else { config }
        };
        // The end that dialed learns it as well as the one that was dialed.
        let (a, b) = pair(of("a"), of("b")).await;
        let (large, small) = if small == "a" { (&b, &a) } else { (&a, &b) };
        let to = small.id();
        let refused = large.kernel.try_cast(&to, &server("sink"), body(bytes + 1)).unwrap_err();
        let handed_back = |error: &SendError| matches!(error, SendError::TooLarge { bytes: b, max, body } if (*b, *max, body.len()) == (bytes + 1, bytes, bytes + 1));
        assert!(handed_back(&refused), "{refused:?}");
        let refused = large.kernel.cast(&to, &server("sink"), body(bytes + 1), SECOND).await.unwrap_err();
        assert!(handed_back(&refused), "{refused:?}");
        let refused = large.kernel.try_cast_ahead(&to, &server("sink"), body(bytes + 1)).unwrap_err();
        assert!(handed_back(&refused), "{refused:?}");
        let refused = large.kernel.call(&to, &server("echo"), body(bytes + 1), SECOND).await;
        assert_eq!(refused, Err(CallError::TooLarge { bytes: bytes + 1, max: bytes }));
        let whole = large.kernel.call(&to, &server("echo"), body(bytes), SECOND).await;
        assert_eq!(whole.unwrap().len(), bytes);
        assert_eq!((sessions(&a), sessions(&b)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_over_the_callers_limit_is_dropped_and_its_caller_told() {
    let network = MemoryNetwork::new();
    let (a, mut b) = pair(config(&network, "a", 1).message_bytes_max(1_000), config(&network, "b", 1)).await;
    let call = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND);
    let replying = async { b.held.recv().await.unwrap().reply(body(1_001)) };
    let (replied, ()) = tokio::join!(call, replying);
    assert_eq!(replied, Err(CallError::Refused(Refusal::NoReply)));
    assert_eq!((b.kernel.peers()[0].traffic.dropped.replies, sessions(&a)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_a_peer_that_takes_less_ends_with_the_reason_and_the_rest_arrives() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let address = "b:7".parse().unwrap();
    a.kernel.connect(&id("b"), &address);
    let mut events = a.kernel.events();
    for bytes in [2_000, 10, 90_000, 20, 100_000] {
        a.kernel.try_cast(&id("b"), &server("sink"), body(bytes)).unwrap();
    }
    let large = a.kernel.call(&id("b"), &server("echo"), body(50_000), 60 * SECOND);
    let small = a.kernel.call(&id("b"), &server("echo"), body(1_000), 60 * SECOND);
    let mut b = start(config(&network, "b", 1).listen(address).message_bytes_max(1_000)).await;
    assert_eq!(large.await, Err(CallError::TooLarge { bytes: 50_000, max: 1_000 }));
    assert_eq!(small.await.unwrap().len(), 1_000);
    let told = next(&mut events, |event| matches!(event, PeerEvent::Dropped { .. })).await;
    assert_eq!(told, PeerEvent::Dropped { id: id("b"), messages: 3 });
    settle().await;
    let status = &a.kernel.peers()[0];
    assert_eq!((status.traffic.dropped.too_large, status.traffic.messages_dropped), (3, 3));
    assert_eq!((status.queued_messages, status.casts_unacknowledged.messages), (0, 2), "{status:?}");
    let arrived: Vec<usize> =
        std::iter::from_fn(|| b.casts.try_recv().ok()).map(|(_, body)| body.len()).collect();
    assert_eq!((arrived, sessions(&a)), (vec![10, 20], 1));
}

/// A sender that may queue many times what its peer holds of unfinished messages begins no more than that at a time.
#[tokio::test(start_paused = true)]
async fn no_sender_begins_more_than_its_peer_holds_and_all_of_it_arrives() {
    const MIB: usize = 1 << 20;
    // Messages of so many bytes, to so many servers, and what the receiver takes: of one message, and unfinished.
    for (bytes, servers, message_max, unfinished_max) in
        [(4 * MIB, 16, 4 * MIB, 8 * MIB), (4 * MIB - 1, 5, 4 * MIB, 4 * MIB), (70_000, 40, 70_000, 100_000)]
    {
        let network = MemoryNetwork::new();
        let a = config(&network, "a", 1).queue_bytes(256 * MIB, 256 * MIB);
        let b = config(&network, "b", 1).message_bytes_max(message_max).reassembly_bytes_max(unfinished_max);
        let (a, b) = pair(a, b).await;
        let to = |kind: &str, number: usize| server(&format!("{kind} {number}"));
        let calls: Vec<_> = (0..servers)
            .map(|number| a.kernel.call(&b.id(), &to("called", number), body(bytes), 60 * SECOND))
            .collect();
        for number in 0..servers {
            a.kernel.cast(&b.id(), &to("cast", number), body(bytes), 60 * SECOND).await.unwrap();
        }
        for call in calls {
            assert_eq!(call.await, Err(CallError::Refused(Refusal::NoProc)));
        }
        settle().await;
        let arrived = b.kernel.peers()[0].traffic.casts_refused;
        assert_eq!((arrived, sessions(&a), sessions(&b)), (servers as u64, 1, 1), "{bytes} bytes each");
    }
}

/// Whatever a sender gives up, its peer is told before anything more begins: else it would hold what never ends.
#[tokio::test(start_paused = true)]
async fn what_a_lost_link_cut_short_is_reset_on_the_next_session() {
    let network = MemoryNetwork::new();
    let host = network.host("peer");
    let mut listener = host.bind(&"peer:0".parse().unwrap()).await.unwrap();
    let a = node(&network, "a").await;
    a.kernel.connect(&id("peer"), &listener.local_address());
    let mut events = a.kernel.events();
    let mut first = Shim::accepted(&mut *listener, "peer", 1).await;
    next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
    a.kernel.try_cast(&id("peer"), &server("sink"), body(1 << 20)).unwrap();
    let begun = loop {
        let record = first.next_record().await.unwrap();
        let mut casts = frames(&record).into_iter().filter(|frame| frame.kind == CAST);
        if let Some(cast) = casts.next() {
            break cast.id;
        }
    };
    network.reset("a", "peer");
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    let mut second = Shim::accepted(&mut *listener, "peer", 2).await;
    next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
    let mut kinds = Vec::new();
    while kinds.len() < 2 {
        let record = second.next_record().await.unwrap();
        kinds.extend(frames(&record).iter().map(|frame| (frame.kind, frame.id)));
    }
    assert_eq!(kinds, [(MARK, 0), (RESET, begun)]);
    assert_eq!(a.kernel.peers()[0].traffic.dropped.link_lost, 1);
}

/// A peer that has forgotten its link, and with it what it had begun, begins anew.
#[tokio::test(start_paused = true)]
async fn a_mark_that_names_no_session_forgets_what_had_begun_before() {
    let network = MemoryNetwork::new();
    let mut b =
        start(config(&network, "b", 1).message_bytes_max(100_000).reassembly_bytes_max(100_000)).await;
    let begin = |body: &[u8]| frame(CAST, FIRST, 1 << 63, Some((1, 0, 90_000)), body);
    let mut old = Shim::connect(&network, &b, "peer").await;
    old.record(&[control(MARK, 0), define(1, "sink"), begin(&[1; 60_000])].concat()).await;
    settle().await;
    let mut new = Shim::connect(&network, &b, "peer").await;
    new.record(&[control(MARK, 0), define(1, "sink"), begin(&[2; 60_000])].concat()).await;
    new.record(&frame(CHUNK, 2, 1 << 63, None, &[2; 30_000])).await;
    let (_, arrived) =
        tokio::time::timeout(Duration::from_millis(100), b.casts.recv()).await.unwrap().unwrap();
    assert_eq!(arrived, vec![2; 90_000]);
}
