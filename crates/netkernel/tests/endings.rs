//! How sessions end: what waits is sent first or dropped, as was asked, and no peer can put its end off for ever.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::line::Line;
use common::{SECOND, TestNode, config, id, node, server, settle, start};
use netkernel::{CallError, DownReason, MemoryNetwork, Net, PeerEvent, PeerEvents, Stopped};
use shim::{Shim, cast, define, goaway, mark};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

/// A node with as many casts as it takes for a second one, which reads 100 kB a second; and how many.
async fn loaded(network: &MemoryNetwork) -> (TestNode, TestNode, usize) {
    let a = node(network, "a").await;
    let line = Line::slow(network.host("b"), 100_000);
    let b = start(config(network, "b", 1).transport(line)).await;
    b.connect(&a);
    b.echo(&a, "connected").await.unwrap();
    let mut sent = 0;
    // In pieces, and whole.
    while a.kernel.try_cast(&b.id(), &server("sink"), vec![0; 16_000 + 1_000 * (sent % 2)].into()).is_ok() {
        sent += 1;
    }
    settle().await;
    (a, b, sent)
}

fn arrived(node: &mut TestNode) -> usize {
    std::iter::from_fn(|| node.casts.try_recv().ok()).count()
}

/// A peer of this name with a session of its own.
async fn peer(network: &MemoryNetwork, of: &TestNode) -> (Shim, u64) {
    let (mut shim, session) = Shim::welcomed(network, of, "a", Shim::hello("a", 1)).await;
    shim.finish().await.expect("READY");
    (shim, session)
}

/// Waits for the peer's end, and says how long it took and why it came.
async fn down(events: &mut PeerEvents) -> (Duration, DownReason) {
    let begun = Instant::now();
    loop {
        if let Some(PeerEvent::Down { reason, .. }) = events.recv().await.unwrap() {
            return (begun.elapsed(), reason);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_shut_down_at_once_both_send_what_waits() {
    let network = MemoryNetwork::new();
    let (a, mut b, sent) = loaded(&network).await;
    let shutdowns = tokio::join!(a.kernel.shutdown(120 * SECOND), async {
        settle().await;
        b.kernel.shutdown(120 * SECOND).await
    });
    assert_eq!((arrived(&mut b), shutdowns), (sent, (Stopped::Drained, Stopped::Drained)));
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_disconnect_from_each_other_both_send_what_waits() {
    let network = MemoryNetwork::new();
    let (a, mut b, sent) = loaded(&network).await;
    a.kernel.disconnect(&b.id(), true);
    settle().await;
    b.kernel.disconnect(&a.id(), true);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!((arrived(&mut b), a.kernel.peers().len(), b.kernel.peers().len()), (sent, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_disconnect_drops_is_counted_at_once_and_not_sent_later() {
    let network = MemoryNetwork::new();
    let line = Line::fast(network.host("a"));
    let a = start(config(&network, "a", 1).transport(line.clone())).await;
    let mut b = node(&network, "b").await;
    b.connect(&a);
    b.echo(&a, "connected").await.unwrap();
    tokio::time::sleep(6 * SECOND).await;
    line.set_behind(true);
    // What was being read goes through.
    b.kernel.try_cast(&a.id(), &server("nobody"), Bytes::new()).unwrap();
    settle().await;
    let mut events = a.kernel.events();
    a.kernel.try_cast(&b.id(), &server("sink"), Bytes::from("dropped")).unwrap();
    let call = a.kernel.call(&b.id(), &server("echo"), Bytes::new(), 60 * SECOND);
    a.kernel.disconnect(&b.id(), false);
    assert_eq!(a.kernel.peers()[0].traffic.dropped.closed, 2);
    let begun = Instant::now();
    assert_eq!(
        (call.await, begun.elapsed()),
        (Err(CallError::NotConnected { node: b.id() }), Duration::ZERO)
    );
    line.set_behind(false);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(arrived(&mut b), 0);
    let mut told = false;
    while let Ok(event) = tokio::time::timeout(SECOND / 100, events.recv()).await {
        told |= event.unwrap() == Some(PeerEvent::Dropped { id: id("b"), messages: 2 });
    }
    assert!(told);
}

/// A peer may go on to send, and never answer.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_goaway_is_got_rid_of() {
    for (drain, within) in [(false, 15 * SECOND), (true, 310 * SECOND)] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let (mut shim, _) = peer(&network, &b).await;
        shim.record(&[mark(&[]), define(1, "sink")].concat()).await;
        settle().await;
        let mut events = b.kernel.events();
        b.kernel.disconnect(&id("a"), drain);
        let sends = async {
            while shim.record(&cast(1, b"still here")).await {
                tokio::time::sleep(5 * SECOND).await;
            }
            std::future::pending::<()>().await;
        };
        let (took, reason) = tokio::select! {
            down = down(&mut events) => down,
            () = sends => unreachable!(),
        };
        assert!(
            took <= within && reason == DownReason::Disconnected,
            "drain {drain}: {reason:?} after {took:?}"
        );
    }
}

/// It may also answer, and hardly read.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_byte_now_and_then_is_got_rid_of() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (mut shim, _) = peer(&network, &b).await;
    shim.record(&[mark(&[]), define(1, "sink")].concat()).await;
    settle().await;
    for number in 0..60 {
        b.kernel.try_cast(&id("a"), &server(&format!("s{number}")), vec![0; 15_000].into()).unwrap();
    }
    settle().await;
    let mut events = b.kernel.events();
    b.kernel.disconnect(&id("a"), false);
    shim.record(&goaway(1)).await;
    let reads = async {
        loop {
            tokio::time::sleep(9 * SECOND).await;
            shim.channel.read.read_u8().await.unwrap();
        }
    };
    let (took, _) = tokio::select! {
        down = down(&mut events) => down,
        () = reads => unreachable!(),
    };
    assert!(took <= 15 * SECOND, "{took:?}");
}

/// Or make two sessions of which each waits for the other, so that neither is read.
#[tokio::test(start_paused = true)]
async fn sessions_that_wait_for_each_other_are_got_rid_of() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (mut first, one) = peer(&network, &b).await;
    let (mut second, other) = peer(&network, &b).await;
    first.record(&mark(&[(other, false)])).await;
    settle().await;
    second.record(&mark(&[(one, false)])).await;
    settle().await;
    tokio::time::sleep(60 * SECOND).await;
    let queued = b.kernel.peers()[0].queued_control;
    assert!(queued <= 2, "{queued} heartbeats wait for a session that does not send");
    let mut events = b.kernel.events();
    b.kernel.disconnect(&id("a"), false);
    let (took, _) = down(&mut events).await;
    assert!(took <= 15 * SECOND && b.kernel.peers().is_empty(), "{took:?}");
}
