//! A layer above that panics loses the session its message came by, and no more.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use common::{SECOND, config, id, next, node, server, settle};
use netkernel::{Dispatch, Kernel, MemoryNetwork, Net, Peer, PeerEvent, Refusal, Responder, ServerName};

/// Full for casts to `full` until it is told to panic instead.
#[derive(Default)]
struct Panics(AtomicBool);

impl Dispatch for Panics {
    fn cast(&self, _from: &Arc<Peer>, server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        assert!(server.as_str() != "boom" && !self.0.load(Ordering::Relaxed), "as the test wants");
        Err(Refusal::Overloaded)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

/// Whether it panics at a message that arrives, or at one that was held when it is offered for the last time: the link
/// is told as down, made again and as good as before.
#[tokio::test(start_paused = true)]
async fn a_dispatch_that_panics_ends_its_session_and_the_link_is_made_again() {
    for held in [false, true] {
        let network = MemoryNetwork::new();
        let a = node(&network, "a").await;
        let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
        let dispatch = Arc::new(Panics::default());
        b.serve(Arc::clone(&dispatch) as Arc<dyn Dispatch>);
        b.connect(&id("a"), &a.address());
        let mut events = b.events();
        next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
        if held {
            a.kernel.try_cast(&id("b"), &server("full"), Bytes::new()).unwrap();
            settle().await;
            dispatch.0.store(true, Ordering::Relaxed);
            network.reset("a", "b");
        } else {
            a.kernel.try_cast(&id("b"), &server("boom"), Bytes::new()).unwrap();
        }
        next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
        let reply = a.kernel.call(&id("b"), &server("echo"), Bytes::from("text"), 10 * SECOND).await;
        assert_eq!(reply.unwrap(), "text", "held {held}");
        assert_eq!(b.peers()[0].casts_held.messages, 0);
    }
}
