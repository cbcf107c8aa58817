//! Every way a call can end.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, node, server, settle, start};
use netkernel::{CallError, Executed, MemoryNetwork, Net, Refusal, Role, SendError, ServerName, Stage};
use shim::{CALL, PING, PONG, REPLY, Shim, WHOLE, control, frame, frames};

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_the_callee_learns_it() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let call = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND);
    let responder = b.held.recv().await.unwrap();
    let (left, at) = (responder.remaining(), responder.deadline());
    assert!(left > SECOND / 2 && left <= SECOND + Duration::from_millis(2), "{left:?}");
    assert_eq!(at, tokio::time::Instant::now().into_std() + left);
    let error = call.await.unwrap_err();
    assert_eq!(error, CallError::Timeout { stage: Stage::Sent });
    assert_eq!(error.executed(), Executed::Maybe);
    responder.cancelled().await;
    assert!(responder.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_cancels_it_at_the_callee() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let call = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let responder = b.held.recv().await.unwrap();
    assert!(!responder.is_cancelled());
    assert!(responder.remaining() > 50 * SECOND);
    drop(call);
    responder.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_reaches_nobody() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let late = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND);
    let responder = b.held.recv().await.unwrap();
    assert!(late.await.is_err());
    let next = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND);
    let second = b.held.recv().await.unwrap();
    responder.reply(Bytes::from_static(b"late"));
    settle().await;
    second.reply(Bytes::from_static(b"in time"));
    assert_eq!(&next.await.unwrap()[..], b"in time");
}

/// A peer that answers a call by a PONG, and a PING by a reply: neither ends by it.
#[tokio::test(start_paused = true)]
async fn a_pong_ends_no_call_and_a_reply_no_ping() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut peer = Shim::connect(&network, &b, "peer").await;
    let to = id("peer");
    let call = b.kernel.call(&to, &server("x"), Bytes::new(), 60 * SECOND);
    let ping = b.kernel.ping(&to, 60 * SECOND);
    let answering = async {
        let (mut called, mut pinged) = (None, None);
        while called.is_none() || pinged.is_none() {
            let record = peer.next_record().await.unwrap();
            for frame in frames(&record) {
                match frame.kind {
                    CALL => called = Some(frame.id),
                    PING if frame.id > 0 => pinged = Some(frame.id),
                    _ => {}
                }
            }
        }
        let (called, pinged) = (called.unwrap(), pinged.unwrap());
        let reply = |id, body: &[u8]| frame(REPLY, WHOLE, id, Some((0, 0, body.len() as u64)), body);
        peer.record(&[control(PONG, called), reply(pinged, b"")].concat()).await;
        tokio::time::sleep(3 * SECOND).await;
        peer.record(&[reply(called, b"done"), control(PONG, pinged)].concat()).await;
    };
    let (called, pinged, ()) = tokio::join!(call, ping, answering);
    assert_eq!(called.unwrap(), "done");
    let took = pinged.unwrap();
    assert!(took >= 3 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_happened() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let call = |to| a.kernel.call(&b.id(), &server(to), Bytes::new(), SECOND);
    let dropped = call("drop").await.unwrap_err();
    assert_eq!((dropped.clone(), dropped.executed()), (Refusal::NoReply.into(), Executed::Maybe));
    let nobody = call("nobody").await.unwrap_err();
    assert_eq!((nobody.clone(), nobody.executed()), (Refusal::NoProc.into(), Executed::No));
    let unknown = a.kernel.call(&id("c"), &server("echo"), Bytes::new(), SECOND).await;
    assert_eq!(unknown.unwrap_err(), CallError::NotConnected { node: id("c") });
}

#[tokio::test(start_paused = true)]
async fn a_node_reaches_its_own_servers() {
    let network = MemoryNetwork::new();
    let mut a = node(&network, "a").await;
    assert_eq!(&a.echo(&a, "hello").await.unwrap()[..], b"hello");
    a.kernel.try_cast(&id("a"), &server("sink"), Bytes::from_static(b"x")).unwrap();
    assert_eq!(a.casts.recv().await.unwrap(), (id("a"), Bytes::from_static(b"x")));
    let refused = a.kernel.try_cast(&id("a"), &server("nobody"), Bytes::from_static(b"y")).unwrap_err();
    assert!(
        matches!(&refused, SendError::Refused { refusal: Refusal::NoProc, body } if body == "y"),
        "{refused:?}"
    );
    assert_eq!(refused.into_body(), "y");
}

#[tokio::test(start_paused = true)]
async fn many_calls_of_every_ending_leave_nothing_behind() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "warm").await.unwrap();
    for round in 0..2_000u32 {
        match round % 4 {
            0 => drop(a.echo(&b, "x").await.unwrap()),
            1 => drop(a.kernel.call(&b.id(), &server("hold"), Bytes::new(), SECOND)),
            2 => drop(a.kernel.call(&b.id(), &server("drop"), Bytes::new(), SECOND).await.unwrap_err()),
            _ => drop(a.kernel.call(&b.id(), &server("nobody"), Bytes::new(), SECOND).await.unwrap_err()),
        }
        while let Ok(responder) = b.held.try_recv() {
            drop(responder);
        }
    }
    settle().await;
    while let Ok(responder) = b.held.try_recv() {
        assert!(responder.is_cancelled());
    }
    let status = &a.kernel.peers()[0];
    assert_eq!((status.queued_messages, status.queued_bytes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_control_role_reaches_the_control_server_alone_and_cannot_cast() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let operator = config(&network, "operator", 1).role(Role::Control);
    let operator = start(operator).await;
    operator.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    let call = |server: ServerName, body: Bytes| operator.kernel.call(&id("b"), &server, body, SECOND);
    assert_eq!(call(ServerName::control(), Bytes::from("hello")).await.unwrap(), "hello");
    // In one frame and in pieces.
    for body in [Bytes::new(), Bytes::from(vec![0; 100_000])] {
        for other in
            [server("echo"), server("hold"), server("control"), ServerName::system("gossip").unwrap()]
        {
            let refused = call(other, body.clone()).await;
            assert_eq!(refused, Err(CallError::Refused(Refusal::NotAllowed)));
        }
    }
    operator.kernel.try_cast(&b.id(), &server("sink"), Bytes::new()).unwrap();
    assert_eq!(call(ServerName::control(), Bytes::from("after")).await.unwrap(), "after");
    assert!(b.casts.try_recv().is_err() && b.held.try_recv().is_err());
    let seen = b.kernel.peers().into_iter().find(|peer| peer.id == id("operator")).unwrap();
    assert_eq!((seen.role, seen.traffic.casts_refused), (Some(Role::Control), 1));
    drop(operator);
    settle().await;
    assert!(b.kernel.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cast_waits_for_room_and_gives_the_message_back_at_its_deadline() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &"b:1".parse().unwrap());
    for _ in 0..1_024 {
        a.kernel.try_cast(&id("b"), &server("sink"), Bytes::new()).unwrap();
    }
    let body = Bytes::from_static(b"mine");
    let refused = a.kernel.cast(&id("b"), &server("sink"), body.clone(), SECOND).await.unwrap_err();
    assert!(matches!(refused, SendError::Busy { body: returned, .. } if returned == body));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_that_is_still_being_sent_keeps_it_from_being_executed() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    for _ in 0..20 {
        let call = a.kernel.call(&b.id(), &server("hold"), vec![1; 4 << 20].into(), 60 * SECOND);
        tokio::task::yield_now().await;
        drop(call);
    }
    settle().await;
    while let Ok(responder) = b.held.try_recv() {
        assert!(responder.is_cancelled());
    }
    a.echo(&b, "still there").await.unwrap();
}
