//! Conformance suites: what every implementation of the crate's traits has to do, as functions that panic where one
//! does not. And [`LocalMesh`], a net without a network.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let network = netkernel::MemoryNetwork::new();
//! netkernel::testing::transport(&network.host("a"), &"a:0".parse().unwrap()).await;
//! # });
//! ```

mod dispatch;
mod local;
mod recorder;
mod security;
mod served;

pub use dispatch::dispatch;
pub use local::{LocalMesh, LocalNet};
pub use recorder::{Arrived, Recorder};
pub use security::security;
pub use served::{Asked, Served, Taken};

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::call::Call;
use crate::error::{CallError, Refusal, SendError, Stage};
use crate::events::PeerEvents;
use crate::net::{Net, PeerEvent};
use crate::node::{Address, Node, NodeId, ServerName};
use crate::transport::Transport;

/// A [`Transport`] makes ordered, reliable byte streams in both directions; port 0 asks for any free port.
///
/// # Panics
///
/// Where the transport does not conform.
pub async fn transport(transport: &dyn Transport, listen: &Address) {
    assert_eq!(listen.port(), 0, "the suite asks for any free port");
    let mut listener = transport.bind(listen).await.expect("a free port can be listened at");
    let address = listener.local_address();
    assert_ne!(address.port(), 0, "a listener knows its port");
    assert!(transport.bind(&address).await.is_err(), "a port in use was given twice");
    {
        // Cancel safety: an accept that was given up takes no connection with it.
        let accepting = listener.accept();
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            _ = accepting => panic!("nobody has connected yet"),
        }
    }
    let (near, far) = tokio::join!(transport.connect(&address), listener.accept());
    let (mut near, mut far) = (near.expect("a listener can be reached"), far.expect("a connection arrives"));
    let pattern: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
    let send = async {
        near.write.write_all(&pattern).await.expect("bytes can be sent");
        near.write.shutdown().await.expect("the sender can say that this is all");
    };
    let receive = async {
        let mut received = Vec::new();
        far.read.read_to_end(&mut received).await.expect("bytes arrive");
        received
    };
    let ((), received) = tokio::join!(send, receive);
    assert!(received == pattern, "bytes were lost, changed or reordered");
    far.write.write_all(b"answer").await.expect("the other direction is still open");
    far.write.flush().await.expect("bytes can be sent");
    let mut answer = [0; 6];
    near.read.read_exact(&mut answer).await.expect("bytes arrive in the other direction");
    assert_eq!(&answer, b"answer");
    drop(far);
    let end = near.read.read(&mut [0]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "the end of a connection is not seen");
    drop(listener);
    let refused = async { transport.connect(&address).await.is_err() };
    assert!(refused.await, "nobody listens any more");
}

/// A [`Net`] delivers in order, ends every call once, says what was refused, and reaches its own node. `a` serves
/// anything; `b`, which listens, serves `at_b`, and neither knows the other yet.
///
/// # Panics
///
/// Where the net does not conform.
pub async fn net(a: &dyn Net, b: &dyn Net, at_b: &Recorder) {
    let (a_node, b_node) = (a.local(), b.local());
    let server = |name| ServerName::new(name).expect("a good name");
    let mut events = a.events();
    let unknown = a.try_cast(&b_node.id, &server("sink"), Bytes::from("lost"));
    assert!(matches!(unknown, Err(SendError::NotConnected { body, .. }) if body == "lost"));
    a.connect(&b_node.id, &b_node.address);
    let up = first_event(&mut events).await;
    assert!(matches!(&up, PeerEvent::Up { peer } if peer.node.id == b_node.id), "{up:?}");
    ordered(a, &a_node, &b_node, at_b).await;
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
    let refused = b.try_cast(&b_node.id, &server("nobody"), Bytes::from("mine"));
    assert!(matches!(refused, Err(SendError::Refused { refusal: Refusal::NoProc, body }) if body == "mine"));
    let known = a.dial(&b_node.address, Some(&b_node.id), PATIENCE).await.expect("a session");
    assert_eq!(known.id, b_node.id);
    a.disconnect(&b_node.id, true);
    let down = first_event(&mut events).await;
    assert!(matches!(down, PeerEvent::Down { .. }), "{down:?}");
}

/// Messages of all sizes arrive once each, in order, from whom they are.
async fn ordered(a: &dyn Net, a_node: &Node, b_node: &Node, at_b: &Recorder) {
    let sink = ServerName::new("sink").expect("a good name");
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

async fn first_event(events: &mut PeerEvents) -> PeerEvent {
    loop {
        let event = events.recv().await.expect("few events").expect("the net runs");
        if matches!(event, PeerEvent::Up { .. } | PeerEvent::Down { .. }) {
            return event;
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
