//! A peer that makes its node answer more than it reads, and what must not be lost beside that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, node, server, settle, start};
use netkernel::{CallError, Dispatch, Kernel, MemoryNetwork, Net, Peer, Refusal, Responder, ServerName};
use shim::{CANCEL, CREDIT, PING, REPLY, Shim, call, cast, control, define, frames};
use tokio::sync::mpsc;

/// The messages that a CREDIT frame gives back, and for which server.
fn given_back(mut body: &[u8]) -> (u64, String) {
    let messages = shim::take_varint(&mut body);
    for _bytes_and_refused in 0..2 {
        shim::take_varint(&mut body);
    }
    (messages, String::from_utf8(body.to_vec()).unwrap())
}

/// Credit that ripens while as many control frames wait as may is given all the same, and so is what ripens after.
#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_takes_no_credit_away() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).control_frames_max(50)).await;
    let mut flooding = Shim::connect(&network, &b, "flooding").await;
    let pings = || (0..200).flat_map(|id| control(PING, id)).collect::<Vec<u8>>();
    // In one record: the writer has no turn before it is read.
    let record = |casts: usize| [pings(), cast(1, b"").repeat(casts)].concat();
    flooding.record(&define(1, "sink")).await;
    let mut given = 0;
    for round in 1..=3 {
        flooding.record(&record(1_024)).await;
        while given < round * 1_024 {
            let record = tokio::time::timeout(SECOND, flooding.next_record()).await;
            let record = record.unwrap_or_else(|_| panic!("credit for {given} of {round} * 1,024 casts"));
            let record = record.unwrap();
            let credit = frames(&record).into_iter().filter(|frame| frame.kind == CREDIT);
            given += credit.map(|frame| given_back(frame.body).0).sum::<u64>();
        }
    }
    assert_eq!(given, 3 * 1_024);
    assert!(b.kernel.peers()[0].traffic.dropped.control_frames > 100, "there was no flood");
}

/// A peer that has messages refused for ever new servers, and reads nothing, is not read either: credit for a server is
/// one frame, and for so many servers none is remembered. Others go on.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_credit_is_not_read_either() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    let mut named = 0;
    let flooding = async {
        loop {
            let record = (0..250).flat_map(|_| {
                named += 1;
                [define(named, &format!("{named:0200}")), cast(named, b"")].concat()
            });
            if !bad.record(&record.collect::<Vec<u8>>()).await {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(SECOND, flooding).await.is_err(), "it was closed early");
    // What the network itself takes in either direction is more than what the node keeps.
    assert!(named < 15_000, "{named} names were read");
    let status = b.kernel.peers().into_iter().find(|peer| peer.id == id("mallory")).unwrap();
    assert!(status.queued_control <= 4_096 + 250, "{status:?}");
    a.echo(&b, "undisturbed").await.unwrap();
    // One that begins to read has all its credit.
    let mut refused = 0;
    while refused < status.traffic.messages_received {
        let record = tokio::time::timeout(SECOND, bad.next_record()).await.expect("credit comes").unwrap();
        let credit = frames(&record).into_iter().filter(|frame| frame.kind == CREDIT);
        refused += credit.map(|frame| given_back(frame.body).0).sum::<u64>();
    }
}

/// The callers of a busy peer learn how their calls ended, and those it calls that it has left, in any flood of PINGs.
#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_takes_neither_refusals_nor_cancels_away() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).control_frames_max(50).calls_max(10)).await;
    let mut flooding = Shim::connect(&network, &b, "flooding").await;
    let left = b.kernel.call(&id("flooding"), &server("x"), Bytes::new(), 60 * SECOND);
    settle().await;
    let pings: Vec<u8> = (0..200).flat_map(|id| control(PING, id)).collect();
    let calls: Vec<u8> = (0..30).flat_map(|id| call(id, 1, b"")).collect();
    flooding.record(&[define(1, "hold"), pings, calls].concat()).await;
    // As soon as the record was read, and before its answers are written.
    while b.kernel.peers()[0].calls_executing < 10 {
        tokio::task::yield_now().await;
    }
    drop(left);
    let (mut refused, mut cancelled) = (0, false);
    while refused < 20 || !cancelled {
        let record = tokio::time::timeout(SECOND, flooding.next_record()).await;
        let record = record.unwrap_or_else(|_| panic!("{refused} refusals, cancelled: {cancelled}")).unwrap();
        for frame in frames(&record) {
            refused += usize::from(frame.kind == REPLY);
            cancelled |= frame.kind == CANCEL;
        }
    }
    assert_eq!(refused, 20);
}

/// Every control frame that is dropped is counted, whatever it was.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_dropped_is_counted() {
    let network = MemoryNetwork::new();
    let b = start(
        config(&network, "b", 1)
            .control_frames_max(10)
            .message_bytes_max(100)
            .queue_bytes(100, 100)
            .offline_queue(0, 0, SECOND),
    )
    .await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    // Replies of which one fits the queue.
    let calls: Vec<u8> = (0..31).flat_map(|id| call(id, 1, &[0; 100])).collect();
    bad.record(&[define(1, "echo"), calls].concat()).await;
    settle().await;
    let dropped = b.kernel.peers()[0].traffic.dropped;
    assert_eq!((dropped.replies, dropped.control_frames), (30, 20));
}

/// A mailbox of so many messages, for one server; a sink without bounds for another.
struct Two(mpsc::Sender<Bytes>);

impl Dispatch for Two {
    fn cast(&self, _from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if server.as_str() == "sink" {
            return Ok(());
        }
        self.0.try_send(body).map_err(|_| Refusal::Overloaded)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

/// A mailbox that does not tell when it has room is offered what waits for it, however busy the session is otherwise.
#[tokio::test(start_paused = true)]
async fn held_casts_are_offered_again_on_a_busy_session() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let (sender, mut mailbox) = mpsc::channel(1);
    b.serve(Arc::new(Two(sender)));
    a.kernel.connect(&id("b"), &b.local().address);
    a.kernel.call(&id("b"), &server("up"), Bytes::new(), SECOND).await.unwrap();
    for _ in 0..20 {
        a.kernel.cast(&id("b"), &server("full"), Bytes::from("held"), SECOND).await.unwrap();
    }
    settle().await;
    assert_eq!(b.peers()[0].casts_held.messages, 19);
    let busy = async {
        loop {
            a.kernel.cast(&id("b"), &server("sink"), Bytes::new(), SECOND).await.unwrap();
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    };
    let taking = async {
        for _ in 0..20 {
            mailbox.recv().await.unwrap();
        }
    };
    tokio::select! {
        () = busy => unreachable!("it casts on"),
        () = taking => {}
        () = tokio::time::sleep(2 * SECOND) => panic!("held casts starve: {:?}", b.peers()[0].casts_held),
    }
    settle().await;
    let called = a.kernel.call(&id("b"), &server("full"), Bytes::new(), SECOND).await;
    assert_eq!(called, Ok::<_, CallError>(Bytes::new()), "nothing waits that it could overtake");
}
