//! What every [`Net`] has to do.

use std::time::Duration;

use bytes::Bytes;

use super::{Arrived, PATIENCE, Recorder};
use crate::call::{Call, Responder};
use crate::error::{CallError, Refusal, SendError, Stage};
use crate::events::PeerEvents;
use crate::net::{Net, PeerEvent};
use crate::node::{Incarnation, Node, NodeId, ServerName};

/// A [`Net`] delivers in order, ends every call once, says what was refused, tells who waits of a full server, makes its
/// node a later instance of itself, and reaches its own node. `a` serves anything; `b`, which listens, serves `at_b`, and
/// neither knows the other yet.
///
/// # Panics
///
/// Where the net does not conform.
pub async fn net(a: &dyn Net, b: &dyn Net, at_b: &Recorder) {
    let (a_node, b_node) = (a.local(), b.local());
    let mut events = a.events();
    let unknown = a.try_cast(&b_node.id, &server("sink"), Bytes::from("lost"));
    assert!(matches!(unknown, Err(SendError::NotConnected { body, .. }) if body == "lost"));
    a.connect(&b_node.id, &b_node.address);
    up(&mut events, &b_node).await;
    ordered(a, &a_node, &b_node, at_b).await;
    outcomes(a, b, &b_node).await;
    full_server(a, &b_node, at_b).await;
    left_calls(a, &b_node, at_b).await;
    let known = a.dial(&b_node.address, Some(&b_node.id), PATIENCE).await.expect("a session");
    assert_eq!(known.id, b_node.id);
    later_instance(a, b, &mut events).await;
    let (call, executing) = executing(a, &b_node, at_b).await;
    a.disconnect(&b_node.id, false);
    down(&mut events).await;
    assert_eq!(call.await, Err(CallError::LinkDown), "a call ends with its link");
    is_told(&executing).await;
}

/// Messages of all sizes arrive once each, in order, from whom they are.
async fn ordered(a: &dyn Net, a_node: &Node, b_node: &Node, at_b: &Recorder) {
    let sink = server("sink");
    let sizes = [0, 1, 100, 70_000, 3, 1 << 20, 16_384, 16_385, 5].repeat(3);
    for (number, bytes) in sizes.iter().enumerate() {
        let body = Bytes::from(vec![number as u8; *bytes]);
        a.cast(&b_node.id, &sink, body, PATIENCE).await.expect("a cast is accepted");
    }
    let arrived = at_b.casts(sizes.len()).await;
    for (number, ((from, body), bytes)) in arrived.into_iter().zip(sizes).enumerate() {
        assert_eq!(from, a_node.id);
        assert!(body.len() == bytes && body.iter().all(|&byte| byte == number as u8), "message {number}");
    }
}

/// How calls end, each once.
async fn outcomes(a: &dyn Net, b: &dyn Net, b_node: &Node) {
    let call = |name, body: &'static str| a.call(&b_node.id, &server(name), Bytes::from(body), PATIENCE);
    assert_eq!(call("echo", "hello").await.expect("an echo"), "hello");
    assert_eq!(call("nobody", "").await, Err(CallError::Refused(Refusal::NoProc)));
    let late: Call = a.call(&b_node.id, &server("never"), Bytes::new(), Duration::from_millis(50));
    assert_eq!(late.await, Err(CallError::Timeout { stage: Stage::Sent }));
    assert!(a.ping(&b_node.id, PATIENCE).await.is_ok());
    let to = [b_node.id.clone(), NodeId::new("a stranger").expect("a good name")];
    let both = a.multicall(&to, &server("echo"), &Bytes::from("all"), PATIENCE).await;
    assert_eq!(both[0], (to[0].clone(), Ok(Bytes::from("all"))));
    assert_eq!(both[1].1, Err(CallError::NotConnected { node: to[1].clone() }));
    // A node reaches itself by its own id.
    assert_eq!(
        b.call(&b_node.id, &server("echo"), Bytes::from("me"), PATIENCE).await.expect("an echo"),
        "me"
    );
}

/// Who casts to a full server is told so, has the message back, and may wait; what was accepted arrives.
async fn full_server(a: &dyn Net, b_node: &Node, at_b: &Recorder) {
    let (sink, numbered) = (server("sink"), |number: u32| Bytes::copy_from_slice(&number.to_be_bytes()));
    at_b.set_room(1);
    let busy = (0..ACCEPTED_MAX)
        .find_map(|number| Some((number, a.try_cast(&b_node.id, &sink, numbered(number)).err()?)));
    let Some((accepted, SendError::Busy { body, .. })) = busy else {
        panic!("no sender is told that a server is full: {busy:?}");
    };
    assert_eq!(body, numbered(accepted), "a message comes back as it was");
    let waited = a.cast(&b_node.id, &sink, body, Duration::from_millis(50)).await;
    let Err(SendError::Busy { body, .. }) = waited else { panic!("a full server has room: {waited:?}") };
    let waiting = a.cast(&b_node.id, &sink, body, PATIENCE);
    let taking = async {
        tokio::task::yield_now().await;
        at_b.set_room(usize::MAX);
    };
    let (waited, ()) = tokio::join!(waiting, taking);
    waited.expect("a cast that waits goes when there is room");
    let arrived = at_b.casts(accepted as usize + 1).await;
    for (number, (_, body)) in (0..).zip(arrived) {
        assert_eq!(body, numbered(number), "what was accepted arrives in order");
    }
}

/// The callee learns that its caller has left.
async fn left_calls(a: &dyn Net, b_node: &Node, at_b: &Recorder) {
    let (call, executing) = executing(a, b_node, at_b).await;
    assert!(!executing.is_cancelled());
    drop(call);
    is_told(&executing).await;
}

/// A call that has reached its server, which has not answered yet.
async fn executing(a: &dyn Net, b_node: &Node, at_b: &Recorder) -> (Call, Responder) {
    let call = a.call(&b_node.id, &server("sink"), Bytes::from("call"), PATIENCE);
    match at_b.next().await {
        Arrived::Call(_, body, responder) if body == "call" => (call, responder),
        other => panic!("a call arrives at its server: {other:?}"),
    }
}

async fn is_told(executing: &Responder) {
    let told = tokio::time::timeout(PATIENCE, executing.cancelled()).await;
    assert!(told.is_ok(), "a callee learns that nobody waits any more");
}

/// A later instance of a node is down and up again for its peers; an earlier one is ignored.
async fn later_instance(a: &dyn Net, b: &dyn Net, events: &mut PeerEvents) {
    let (before, b_node, mut at_b) = (a.local().incarnation, b.local(), b.events());
    let later = Incarnation(before.0 + 1);
    a.set_incarnation(later);
    a.set_incarnation(before);
    let a_node = a.local();
    assert_eq!(a_node.incarnation, later);
    down(&mut at_b).await;
    up(&mut at_b, &a_node).await;
    down(events).await;
    up(events, &b_node).await;
}

async fn up(events: &mut PeerEvents, node: &Node) {
    let event = next_change(events).await;
    assert!(matches!(&event, PeerEvent::Up { peer } if peer.node == *node), "{event:?}, not up {node}");
}

async fn down(events: &mut PeerEvents) {
    let event = next_change(events).await;
    assert!(matches!(event, PeerEvent::Down { .. }), "{event:?}");
}

async fn next_change(events: &mut PeerEvents) -> PeerEvent {
    loop {
        let event = events.recv().await.expect("few events").expect("the net runs");
        if matches!(event, PeerEvent::Up { .. } | PeerEvent::Down { .. }) {
            return event;
        }
    }
}

fn server(name: &str) -> ServerName {
    ServerName::new(name).expect("a good name")
}

/// Many times what any net accepts for a server that takes nothing.
const ACCEPTED_MAX: u32 = 100_000;
