//! Who may follow on whose sessions: a link is of one kernel, in one role and one run of itself, and nothing of it passes
//! to another. At both ends it ends before what follows is made.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/closing.rs"]
mod closing;
mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use bytes::Bytes;
use closing::Closing;
use common::{SECOND, TestNode, config, cookie, id, node, server, settle, small, start};
use netkernel::{
    CallError, DownReason, Incarnation, MemoryNetwork, Net, Noise, PeerEvent, PeerEvents, Security, Transport,
};
use shim::{GOAWAY, PING, Shim, call, cast, control, define, frames, goaway, mark, put_varint};

const READY: &[u8] = &[0, 0];
/// Of incarnation 1.
const DUPLICATE: &[u8] = &[1, 1];
const UNAVAILABLE: &[u8] = &[3];

/// What is told until nothing more is.
async fn told(events: &mut PeerEvents) -> Vec<(&'static str, u64)> {
    let mut told = Vec::new();
    while let Ok(event) = tokio::time::timeout(SECOND / 100, events.recv()).await {
        told.extend(match event.unwrap().unwrap() {
            PeerEvent::Up { peer } => Some(("up", peer.node.incarnation.0)),
            PeerEvent::Down { peer, reason: DownReason::Restarted } => {
                Some(("restarted", peer.node.incarnation.0))
            }
            PeerEvent::Down { peer, .. } => Some(("down", peer.node.incarnation.0)),
            _ => None,
        });
    }
    told
}

/// A session of the peer `a`, whose GOAWAY says that it goes on by the second one, which has not been heard of yet. What
/// is done before that is done by the first.
async fn between_two_sessions(
    of: &TestNode,
    network: &MemoryNetwork,
    before: &[Vec<u8>],
) -> (Shim, Shim, u64) {
    let (mut first, session) = Shim::welcomed(network, of, "a", Shim::hello("a", 1)).await;
    first.finish().await.expect("READY");
    first.record(&[&[mark(&[])], before].concat().concat()).await;
    settle().await;
    let second = Shim::connect(network, of, "a").await;
    first.record(&goaway(0)).await;
    settle().await;
    (first, second, session)
}

/// What another kernel of this number is answered that says to be `a` as well.
async fn claim(network: &MemoryNetwork, of: &TestNode, instance: u64) -> (Shim, Vec<u8>) {
    let mut namesake = Shim::unconfirmed(network, of, "mallory", Shim::hello_of("a", 1, instance)).await;
    let answer = namesake.finish().await.expect("an answer");
    (namesake, answer)
}

#[tokio::test(start_paused = true)]
async fn a_namesake_is_refused_also_between_two_sessions_of_the_living() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let (_first, mut second, session) = between_two_sessions(&b, &network, &[]).await;
    let goes_on = async {
        tokio::time::sleep(SECOND / 2).await;
        second.record(&mark(&[(session, false)])).await
    };
    let ((_namesake, answer), lives) = tokio::join!(claim(&network, &b, 9), goes_on);
    assert_eq!((&answer[..], lives), (DUPLICATE, true));
    b.kernel.try_cast(&id("a"), &server("x"), Bytes::from("for a")).unwrap();
    let own = second.next_record().await.unwrap();
    assert!(frames(&own).iter().any(|frame| frame.kind == shim::MARK), "it is sent to");
    assert_eq!(told(&mut events).await, [("up", 1)]);
}

/// The host of a node loses power while one of its sessions takes over from another, and the node is started anew: as to
/// nothing is it the heir of what it was before.
#[tokio::test(start_paused = true)]
async fn a_new_instance_is_no_heir_of_one_that_died_between_two_sessions() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let begun = [define(1, "hold"), call(1, 1, b"")];
    let (mut first, session) = Shim::welcomed(&network, &b, "a", Shim::hello("a", 1)).await;
    first.finish().await.expect("READY");
    first.record(&[mark(&[]), begun.concat()].concat()).await;
    let executing = b.held.recv().await.unwrap();
    let waiting = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
    while b.kernel.try_cast(&id("a"), &server("x"), Bytes::from("one")).is_ok() {}
    while tokio::time::timeout(SECOND / 100, first.next_record()).await.is_ok() {}
    let _heir = Shim::connect(&network, &b, "a").await;
    first.record(&goaway(0)).await;
    settle().await;
    let mut again = Shim::connect_as(&network, &b, "a", Shim::hello_of("a", 2, 9)).await;
    again.record(&mark(&[(session, false)])).await;
    settle().await;
    assert_eq!(told(&mut events).await, [("up", 1), ("restarted", 1), ("up", 2)]);
    let waited = tokio::time::timeout(SECOND, waiting).await;
    assert_eq!((waited.unwrap(), executing.is_cancelled()), (Err(CallError::LinkDown), true));
    assert_eq!(b.kernel.peers()[0].casts_unacknowledged.messages, 0, "its windows are whole");
}

#[tokio::test(start_paused = true)]
async fn nothing_held_of_a_dead_instance_arrives_after_its_down() {
    let network = MemoryNetwork::new();
    let (kernel, mut mailbox) = small(&network, "b", 1).await;
    let (casts, held) = (tokio::sync::mpsc::channel(1).1, tokio::sync::mpsc::channel(1).1);
    let b = TestNode { kernel, casts, held };
    let mut events = b.kernel.events();
    let sent = [define(1, "full"), cast(1, b"taken"), cast(1, b"held")];
    let _died = between_two_sessions(&b, &network, &sent).await;
    let _again = Shim::connect_as(&network, &b, "a", Shim::hello_of("a", 2, 9)).await;
    settle().await;
    assert_eq!(told(&mut events).await, [("up", 1), ("restarted", 1), ("up", 2)]);
    assert_eq!(mailbox.recv().await.unwrap().1, "taken");
    let after = tokio::time::timeout(5 * SECOND, mailbox.recv()).await;
    assert!(after.is_err(), "{after:?}");
    assert_eq!(b.kernel.peers()[0].traffic.casts_refused, 1, "it is counted");
}

/// What a kernel itself did not say within the time of a probe does not count: that one of its sessions has ended here, so
/// that another is read again, is no word of it.
#[tokio::test(start_paused = true)]
async fn a_dead_instance_does_not_live_by_what_ends_here() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (mut first, session) = Shim::welcomed(&network, &b, "a", Shim::hello("a", 1)).await;
    first.finish().await.expect("READY");
    first.record(&mark(&[])).await;
    settle().await;
    let mut second = Shim::connect(&network, &b, "a").await;
    second.record(&mark(&[(session, false)])).await;
    settle().await;
    let ends = async {
        tokio::time::sleep(SECOND / 2).await;
        drop(first);
    };
    let ((_again, answer), ()) = tokio::join!(claim(&network, &b, 9), ends);
    assert_eq!(answer[0], READY[0], "{answer:?}");
}

/// A member whose second session says another role: the layers above know of nodes and clients, and of no command line. What
/// they were told of is told as gone.
#[tokio::test(start_paused = true)]
async fn a_peer_told_as_up_is_told_as_down_whatever_role_it_claims_next() {
    for (role, next) in [(0, 2), (2, 0), (1, 0)] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut events = b.kernel.events();
        let hello = |role| {
            let mut hello = Shim::hello("a", 1);
            // After its id, host, port and incarnation.
            assert_eq!(std::mem::replace(&mut hello[6], role), 0);
            hello
        };
        let mut first = Shim::connect_as(&network, &b, "a", hello(role)).await;
        first.record(&mark(&[])).await;
        settle().await;
        let mut second = Shim::unconfirmed(&network, &b, "a", hello(next)).await;
        assert_eq!(second.finish().await.as_deref(), Some(UNAVAILABLE));
        // Of the first role it may have more.
        let mut third = Shim::connect_as(&network, &b, "a", hello(role)).await;
        third.record(&control(PING, 1)).await;
        settle().await;
        drop((first, second, third));
        settle().await;
        let expected = if role == 2 { vec![] } else { vec![("up", 1), ("down", 1)] };
        assert_eq!((told(&mut events).await, b.kernel.peers().len()), (expected, 0));
    }
}

/// A kernel that becomes a later run of itself closes its sessions. Comes a session of the later run before that was read,
/// those of the earlier end all the same, with all that they bring, before it is made.
#[tokio::test(start_paused = true)]
async fn a_later_run_of_a_kernel_follows_when_the_earlier_has_been_read_to_its_end() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let mut earlier = Shim::connect(&network, &b, "a").await;
    earlier.record(&[mark(&[]), define(1, "sink")].concat()).await;
    settle().await;
    let waiting = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
    let closes = async {
        while earlier.next_record().await.is_some_and(|own| frames(&own).iter().all(|it| it.kind != GOAWAY)) {
        }
        earlier.record(&[cast(1, b"the last"), goaway(1)].concat()).await;
    };
    let follows = Shim::connect_as(&network, &b, "a", Shim::hello("a", 2));
    let (mut later, ()) = tokio::join!(follows, closes);
    assert_eq!(b.casts.try_recv().unwrap().1, "the last", "it has arrived by READY");
    later.record(&mark(&[])).await;
    assert_eq!(waiting.await, Err(CallError::LinkDown));
    assert_eq!(told(&mut events).await, [("up", 1), ("restarted", 1), ("up", 2)]);
    // What was said of itself before is out of date.
    let mut stale = Shim::unconfirmed(&network, &b, "a", Shim::hello("a", 1)).await;
    assert_eq!(stale.finish().await.as_deref(), Some(UNAVAILABLE));
    assert_eq!(b.kernel.peers()[0].incarnation, Some(Incarnation(2)));
}

/// A peer that disconnects forgets what it has sent by, and connects anew before all of that was read here: what the MARK of
/// its next session does not name is lost, and not read beside that. Nothing is lost by which it has not sent.
#[tokio::test(start_paused = true)]
async fn what_a_peer_has_forgotten_does_not_arrive_after_what_follows() {
    for has_sent in [true, false] {
        let network = MemoryNetwork::new();
        let mut b = node(&network, "b").await;
        let mut first = Shim::connect(&network, &b, "a").await;
        let begins = if has_sent { mark(&[]) } else { control(PING, 1) };
        first.record(&[begins, define(1, "sink")].concat()).await;
        settle().await;
        let mut next = Shim::connect(&network, &b, "a").await;
        next.record(&[mark(&[]), define(1, "sink"), cast(1, b"later")].concat()).await;
        settle().await;
        let lives = first.record(&cast(1, b"earlier")).await;
        settle().await;
        let arrived: Vec<_> = std::iter::from_fn(|| b.casts.try_recv().ok()).map(|(_, body)| body).collect();
        if has_sent {
            assert_eq!((arrived, lives), (vec![Bytes::from("later")], false));
        } else {
            assert_eq!((arrived.len(), lives), (2, true));
        }
    }
}

/// `a` dials `z`, and has sent its FINISH. Before `z` reads that, it closes the link: it is down there when it has read the
/// GOAWAY of `a`, and the other session the first of a new link. Here the old one has not ended yet.
#[tokio::test(start_paused = true)]
async fn a_session_confirmed_while_its_link_is_closed_is_no_successor() {
    let network = MemoryNetwork::new();
    let closing = Closing::new(network.host("a"), || Box::pin(tokio::time::sleep(SECOND / 2)));
    let a = start(config(&network, "a", 1).transport(closing)).await;
    let mut listener = network.host("z").bind(&"z:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let mut events = a.kernel.events();
    let mut first = Shim::connect(&network, &a, "z").await;
    first.record(&mark(&[])).await;
    settle().await;
    let waiting = a.kernel.call(&id("z"), &server("x"), Bytes::new(), 60 * SECOND);
    settle().await;
    let accepting = async {
        let connection = listener.accept().await.unwrap();
        let mut welcome = Shim::hello("z", 1);
        put_varint(&mut welcome, 77);
        let noise = Noise::new(&cookie(false));
        let (channel, _hello) = noise.server(connection, welcome, &|| {}).await.unwrap();
        let mut second = Shim { channel };
        second.next_record().await.expect("FINISH");
        first.record(&goaway(1)).await;
        while frames(&first.next_record().await.unwrap()).iter().all(|frame| frame.kind != GOAWAY) {}
        second.record(READY).await;
        second.record(&mark(&[])).await;
        second
    };
    let (_dialed, second) = tokio::join!(a.kernel.dial(&address, None, 3 * SECOND), accepting);
    let waited = tokio::time::timeout(SECOND, waiting).await;
    assert_eq!(waited, Ok(Err(CallError::LinkDown)));
    drop(second);
    settle().await;
    let told = told(&mut events).await;
    assert!(told.starts_with(&[("up", 1), ("down", 1)]) && told.len() % 2 == 0, "{told:?}");
    // Nothing is left of it that would hold up another.
    let mut third = Shim::connect(&network, &a, "z").await;
    third.record(&mark(&[])).await;
    settle().await;
    assert!(a.kernel.peers()[0].connected);
}
