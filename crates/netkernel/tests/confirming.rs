//! The last two records of a handshake, by which a session is confirmed or is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use bytes::Bytes;
use common::{SECOND, cookie, id, next, node, server, settle};
use netkernel::{
    CallError, ConnectError, DownReason, HandshakeError, Listener, MemoryNetwork, Net, Noise, PeerEvent,
    RefusedReason, Security, Transport,
};
use shim::{
    CALL, CAST, GOAWAY, MARK, PING, REPLY, Shim, WHOLE, cast, control, define, frame, frames, put_varint,
};

#[tokio::test(start_paused = true)]
async fn a_record_0_that_is_no_finish_confirms_nothing() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let records = [&b""[..], b"FINISH", b"finish\x00", b"FINISI\x00", &control(PING, 1), &[0xff; 300]];
    for record in records {
        let mut shim = Shim::unconfirmed(&network, &b, "mallory", Shim::hello("mallory", 1)).await;
        shim.record(record).await;
        assert_eq!(shim.next_record().await, None, "{record:?} was answered");
        settle().await;
        assert!(b.kernel.peers().is_empty(), "{record:?} left something behind");
    }
    assert_eq!(b.kernel.refused(), [(RefusedReason::Malformed, records.len() as u64)]);
}

/// The accepting end of a handshake, as the node `z`, up to its answer.
async fn welcoming(listener: &mut dyn Listener) -> Shim {
    let connection = listener.accept().await.unwrap();
    let mut welcome = Shim::hello("z", 1);
    put_varint(&mut welcome, 77);
    let noise = Noise::new(&cookie(false));
    let (channel, _hello) = noise.server(connection, welcome, &|| {}).await.unwrap();
    let mut shim = Shim { channel };
    shim.next_record().await.expect("FINISH");
    shim
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_confirms_nothing() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    for (answer, malformed) in [(&b""[..], true), (&[9], true), (&[0, 0xff, 0xff], true), (&[3], false)] {
        let mut listener = network.host("z").bind(&"z:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address();
        let answering = async {
            let mut shim = welcoming(&mut *listener).await;
            shim.record(answer).await;
            shim
        };
        let (dialed, _shim) = tokio::join!(a.kernel.dial(&address, None, SECOND), answering);
        let Err(ConnectError::Handshake { source, .. }) = dialed else { panic!("{answer:?}: {dialed:?}") };
        match source {
            HandshakeError::Malformed => assert!(malformed, "{answer:?}"),
            HandshakeError::Unavailable => assert!(!malformed, "{answer:?}"),
            other => panic!("{answer:?}: {other:?}"),
        }
        settle().await;
        assert!(a.kernel.peers().is_empty(), "{answer:?} left something behind");
    }
}

/// The first two messages have opened, so the cookies agree: what fails after them is not told as another cookie.
#[tokio::test(start_paused = true)]
async fn a_record_0_that_was_damaged_is_not_told_as_another_cookie() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let mut shim = Shim::unconfirmed(&network, &a, "mallory", Shim::hello("mallory", 1)).await;
    let mut finish = shim.sealed(b"FINISH\x00");
    *finish.last_mut().unwrap() ^= 1;
    shim.raw(&finish).await;
    assert_eq!(shim.next_record().await, None);
    settle().await;
    assert_eq!(a.kernel.refused(), [(RefusedReason::Damaged, 1)]);

    let mut listener = network.host("z").bind(&"z:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let answering = async {
        let mut shim = welcoming(&mut *listener).await;
        let mut ready = shim.sealed(&[0, 0]);
        *ready.last_mut().unwrap() ^= 1;
        shim.raw(&ready).await;
        shim
    };
    let (dialed, _shim) = tokio::join!(a.kernel.dial(&address, None, SECOND), answering);
    let Err(ConnectError::Handshake { source, .. }) = dialed else { panic!("{dialed:?}") };
    assert!(matches!(source, HandshakeError::Damaged), "{source:?}");
    assert_eq!(source.to_string(), "a record of the handshake was damaged or forged");
}

/// READY may have been swallowed on its way: until the dialer is heard, the session that works is used.
#[tokio::test(start_paused = true)]
async fn a_further_session_takes_over_only_when_its_dialer_is_heard_on_it() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let to = id("a");
    let cast_by = |body: &'static str| b.kernel.try_cast(&to, &server("sink"), Bytes::from(body)).unwrap();
    let mut first = Shim::connect(&network, &b, "a").await;
    let mut second = Shim::connect_as(&network, &b, "a", Shim::hello("a", 1)).await;
    settle().await;
    cast_by("by the first");
    assert_eq!(next_cast(&mut first).await.unwrap(), b"by the first");
    second.record(&control(PING, 1)).await;
    settle().await;
    cast_by("by the second");
    assert_eq!(next_cast(&mut second).await.unwrap(), b"by the second");
    assert_eq!(next_cast(&mut first).await, None, "the first was ended in favour of the second");
}

/// A call belongs to its link: another session takes it over, and a third that breaks is nothing to it.
#[tokio::test(start_paused = true)]
async fn a_call_outlives_the_session_it_was_sent_by() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut first = Shim::connect(&network, &b, "a").await;
    let call = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
    let number = loop {
        let record = first.next_record().await.unwrap();
        if let Some(call) = frames(&record).into_iter().find(|frame| frame.kind == CALL) {
            break call.id;
        }
    };
    let mut second = Shim::connect_as(&network, &b, "a", Shim::hello("a", 1)).await;
    second.record(&control(PING, 1)).await;
    let superseded = frame(GOAWAY, 0, 0, None, &[0]);
    while frames(&first.next_record().await.unwrap()).iter().all(|frame| frame.kind != GOAWAY) {}
    first.record(&superseded).await;
    first.hung_up().await;
    drop(Shim::connect_as(&network, &b, "a", Shim::hello("a", 1)).await);
    settle().await;
    assert_eq!(b.kernel.peers()[0].sessions, 1);
    second.record(&frame(REPLY, WHOLE, number, Some((0, 0, 4)), b"done")).await;
    assert_eq!(call.await.unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_was_given_up_for_a_better_session_is_not_counted_as_refused() {
    let network = MemoryNetwork::new();
    let (a, z) = (node(&network, "a").await, node(&network, "z").await);
    a.connect(&z);
    a.echo(&z, "connected").await.unwrap();
    drop(Shim::unconfirmed(&network, &a, "z", Shim::hello("z", 1)).await);
    settle().await;
    assert_eq!(a.kernel.refused(), []);
    drop(Shim::unconfirmed(&network, &a, "m", Shim::hello("m", 1)).await);
    settle().await;
    assert_eq!(a.kernel.refused(), [(RefusedReason::Closed, 1)]);
}

/// The body of the next cast; `None` at the end of the session's direction.
async fn next_cast(shim: &mut Shim) -> Option<Vec<u8>> {
    loop {
        let record = shim.next_record().await?;
        let cast = frames(&record).into_iter().find(|frame| frame.kind == CAST);
        if let Some(cast) = cast {
            return Some(cast.body.to_vec());
        }
    }
}

/// The accepting end draws the id of a session. One that says the id of a session that exists must not take that one's
/// place, and its end with it.
#[tokio::test(start_paused = true)]
async fn an_acceptor_that_names_a_session_that_exists_takes_nothing_away() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let mut listener = network.host("z").bind(&"z:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let (dialed, first) =
        tokio::join!(a.kernel.dial(&address, None, SECOND), Shim::accepted(&mut *listener, "z", 77));
    dialed.unwrap();
    let mut events = a.kernel.events();
    let call = a.kernel.call(&id("z"), &server("x"), Bytes::new(), 60 * SECOND);
    let (dialed, again) =
        tokio::join!(a.kernel.dial(&address, None, SECOND), Shim::accepted(&mut *listener, "z", 77));
    let Err(ConnectError::Handshake { source, .. }) = dialed else { panic!("{dialed:?}") };
    assert!(matches!(source, HandshakeError::Malformed), "{source:?}");
    drop(again);
    settle().await;
    assert_eq!((a.kernel.peers()[0].sessions, a.kernel.peers()[0].connected), (1, true));
    drop(first);
    assert_eq!(call.await, Err(CallError::LinkDown));
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
}

/// A session whose MARK makes it wait for an earlier one is not silent: it is not read.
#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_an_earlier_one_is_not_taken_for_silent() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let (mut first, session) = Shim::welcomed(&network, &b, "a", Shim::hello("a", 1)).await;
    first.finish().await.unwrap();
    first.record(&define(1, "sink")).await;
    let mut second = Shim::connect(&network, &b, "a").await;
    let mut mark = Vec::new();
    put_varint(&mut mark, session);
    mark.push(0);
    let marked = frame(MARK, 0, 0, None, &mark);
    second.record(&[marked, define(1, "sink"), cast(1, b"after")].concat()).await;
    settle().await;
    let call = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
    // As long as a session may take to end.
    for _ in 0..9 {
        first.record(&cast(1, b"before")).await;
        assert_eq!(b.casts.recv().await.unwrap().1, "before");
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(b.kernel.peers()[0].sessions, 2);
    first.record(&frame(GOAWAY, 0, 0, None, &[0])).await;
    assert_eq!(b.casts.recv().await.unwrap().1, "after");
    drop(call);
    // With nothing to wait for, silence is what it was.
    let mut events = b.kernel.events();
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Silent, .. }), "{down:?}");
}
