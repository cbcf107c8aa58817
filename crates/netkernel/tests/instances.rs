//! Instances of one node: restarts, namesakes, and a node that becomes a later instance of itself.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, next, node, server, settle, start};
use netkernel::{
    CallError, ConnectError, DownReason, HandshakeError, Incarnation, MemoryNetwork, Net, PeerEvent,
};
use shim::{MARK, Shim, frame};

#[tokio::test(start_paused = true)]
async fn a_node_that_restarts_is_down_and_then_up_as_a_new_instance() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    let address = b.address();
    let mut events = a.kernel.events();
    drop(b);
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    // The last has a lower incarnation than the one before: its clock went back, and its disk is lost.
    for incarnation in [2, 3, 1] {
        let b = start(config(&network, "b", incarnation).listen(address.clone())).await;
        let up = next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
        let PeerEvent::Up { peer } = up else { unreachable!("only Up was asked for") };
        assert_eq!(peer.node.incarnation, Incarnation(incarnation));
        a.echo(&b, "hello again").await.unwrap();
        drop(b);
        next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    }
}

/// The machine of a node loses its power, and the node starts on another: nobody has closed the old connection. Its new
/// incarnation may be a lower one, or the same, where its clock went back and its disk is lost: what is dead is replaced
/// nonetheless.
#[tokio::test(start_paused = true)]
async fn a_node_that_restarts_elsewhere_replaces_its_dead_instance_after_a_probe() {
    for (patience, incarnation) in [(None, 2), (None, 0), (None, 1), (Some(5 * SECOND), 2)] {
        let network = MemoryNetwork::new();
        let limits = config(&network, "a", 1);
        let a = start(match patience {
            Some(patience) => limits.probe(patience).handshake_time(SECOND, 10 * SECOND),
            None => limits,
        })
        .await;
        let mut dead = node(&network, "b").await;
        a.connect(&dead);
        let lost = a.kernel.call(&id("b"), &server("hold"), Bytes::new(), 60 * SECOND);
        let _responder = dead.held.recv().await.unwrap();
        network.mute("a", "b");
        let mut events = a.kernel.events();
        let successor = config(&network, "b", incarnation).transport(network.host("elsewhere"));
        let limits = successor.listen("elsewhere:0".parse().unwrap()).handshake_time(SECOND, 10 * SECOND);
        let mut successor = start(limits).await;
        let begun = tokio::time::Instant::now();
        successor.kernel.dial(&a.address(), None, 20 * SECOND).await.unwrap();
        let probed = patience.unwrap_or(SECOND);
        assert!(begun.elapsed() >= probed && begun.elapsed() < probed + SECOND, "{:?}", begun.elapsed());
        let down = next(&mut events, |event| !matches!(event, PeerEvent::Unreachable { .. })).await;
        assert!(
            matches!(&down, PeerEvent::Down { peer, reason: DownReason::Restarted } if peer.node.incarnation.0 == 1),
            "{down:?}"
        );
        let up = next(&mut events, |event| !matches!(event, PeerEvent::Unreachable { .. })).await;
        assert!(matches!(&up, PeerEvent::Up { peer } if peer.node.incarnation.0 == incarnation), "{up:?}");
        // What was for the old instance fails; what is for the name reaches the new one.
        assert_eq!(lost.await, Err(CallError::LinkDown));
        a.kernel.cast(&id("b"), &server("sink"), Bytes::from("by name"), SECOND).await.unwrap();
        assert_eq!(successor.casts.recv().await.unwrap().1, "by name");
    }
}

/// Two nodes are given one name, as copies of one machine are: whatever run each says to be, even the same.
#[tokio::test(start_paused = true)]
async fn the_living_keeps_its_id_and_its_namesake_is_refused() {
    for incarnation in [7, 1, 0] {
        let network = MemoryNetwork::new();
        let (a, b) = (node(&network, "a").await, node(&network, "b").await);
        a.connect(&b);
        a.echo(&b, "hello").await.unwrap();
        let mut events = b.kernel.events();
        let namesake = config(&network, "a", incarnation).transport(network.host("elsewhere"));
        let namesake = start(namesake.listen("elsewhere:0".parse().unwrap())).await;
        for _ in 0..3 {
            let refused = namesake.kernel.dial(&b.address(), None, SECOND).await.unwrap_err();
            let ConnectError::Handshake { source: HandshakeError::DuplicateNode { incarnation }, .. } =
                refused
            else {
                panic!("{refused:?}")
            };
            assert_eq!(incarnation, a.kernel.local().incarnation);
        }
        let event = next(&mut events, |event| !matches!(event, PeerEvent::Unreachable { .. })).await;
        assert_eq!(event, PeerEvent::Duplicate { id: id("a"), refused: Incarnation(incarnation) });
        a.echo(&b, "undisturbed").await.unwrap();
        assert_eq!((b.sessions(&a), b.kernel.peers()[0].traffic.sessions), (1, 1));
        let met = namesake.kernel.dial(&a.address(), None, SECOND).await.unwrap_err();
        assert!(
            matches!(met, ConnectError::Handshake { source: HandshakeError::DuplicateNode { .. }, .. }),
            "{met:?}"
        );
    }
}

/// A member that says to be a node which is up, of the same run, and later than all its connections.
#[tokio::test(start_paused = true)]
async fn a_member_does_not_take_the_session_of_a_live_node() {
    let network = MemoryNetwork::new();
    let (mut a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    let held = b.kernel.call(&a.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let responder = a.held.recv().await.unwrap();
    let mut thief = Shim::unconfirmed(&network, &b, "thief", Shim::hello_of("a", 1, 8)).await;
    thief.record(b"FINISH\x00").await;
    let duplicate = [1, 1];
    assert_eq!(thief.next_record().await.as_deref(), Some(&duplicate[..]));
    thief.hung_up().await;
    b.kernel.cast(&a.id(), &server("sink"), Bytes::from("for a"), SECOND).await.unwrap();
    assert_eq!(a.casts.recv().await.unwrap().1, "for a");
    responder.reply(Bytes::from("by a"));
    assert_eq!(held.await.unwrap(), "by a");
    assert_eq!(b.sessions(&a), 1);
}

/// A node with as many calls under way as may be is busy, not dead: neither its own limit nor what its incumbent has
/// yet to read makes it give the id away.
#[tokio::test(start_paused = true)]
async fn a_busy_node_takes_a_live_incumbent_for_alive() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).calls_max(2).control_frames_max(1)).await;
    let a = node(&network, "a").await;
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    let call = || b.kernel.call(&a.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let calls = [call(), call()];
    assert_eq!(call().await, Err(CallError::Busy { node: a.id() }));
    let namesake = config(&network, "a", 7).transport(network.host("elsewhere"));
    let namesake = start(namesake.listen("elsewhere:0".parse().unwrap())).await;
    let refused = namesake.kernel.dial(&b.address(), None, 2 * SECOND).await;
    assert!(
        matches!(refused, Err(ConnectError::Handshake { source: HandshakeError::DuplicateNode { .. }, .. })),
        "{refused:?}"
    );
    assert_eq!((b.sessions(&a), b.kernel.peers()[0].calls_pending), (1, 2));
    drop(calls);
}

/// A node that has much to read before it comes to the question whether it lives shows that it does by whatever it sends.
/// One that sends nothing gives its id away.
#[tokio::test(start_paused = true)]
async fn a_live_node_behind_bulk_keeps_its_id() {
    for talks in [true, false] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut live = Shim::connect(&network, &b, "a").await;
        live.record(&frame(MARK, 0, 0, None, b"")).await;
        settle().await;
        b.kernel.try_cast(&id("a"), &server("sink"), vec![0; 1 << 20].into()).unwrap();
        let talking = async {
            while !talks || live.record(&frame(0x40, 0, 0, None, b"alive")).await {
                tokio::time::sleep(SECOND / 10).await;
            }
        };
        let claiming = async {
            let mut namesake = Shim::unconfirmed(&network, &b, "namesake", Shim::hello_of("a", 1, 8)).await;
            namesake.finish().await.unwrap()
        };
        let answer = tokio::select! {
            () = talking => panic!("the living was closed"),
            answer = claiming => answer,
        };
        assert_eq!(answer[0], u8::from(talks), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_incarnation_of_a_live_node_makes_new_sessions() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    b.connect(&a);
    a.echo(&b, "hello").await.unwrap();
    let mut events = b.kernel.events();
    a.kernel.set_incarnation(Incarnation(2));
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    let up = next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
    let PeerEvent::Up { peer } = up else { unreachable!("only Up was asked for") };
    assert_eq!(peer.node.incarnation, Incarnation(2));
    b.echo(&a, "hello").await.unwrap();
}

/// A node may become a later instance of itself at any moment, also while sessions are being made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_outlives_the_incarnation_it_was_made_under() {
    let network = MemoryNetwork::new();
    let quick = |name| config(&network, name, 1).backoff(Duration::from_millis(1), Duration::from_millis(5));
    let (a, b) = (start(quick("a")).await, start(quick("b")).await);
    a.connect(&b);
    b.connect(&a);
    for incarnation in 2..60 {
        let address = a.address();
        let (raised, _dialed) = tokio::join!(
            async { a.kernel.set_incarnation(Incarnation(incarnation)) },
            b.kernel.dial(&address, None, SECOND),
        );
        let () = raised;
        let known = || {
            let peer = b.kernel.peers().into_iter().find(|peer| peer.id == a.id());
            peer.and_then(|peer| peer.incarnation)
        };
        let settled = async {
            while known() != Some(Incarnation(incarnation)) {
                tokio::task::yield_now().await;
            }
        };
        let settled = tokio::time::timeout(20 * SECOND, settled).await;
        assert!(settled.is_ok(), "incarnation {incarnation}, but the other end knows {:?}", known());
    }
}
