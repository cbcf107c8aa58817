//! A layer above may ask its network for anything from within its callbacks, at whatever moment it is called.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use bytes::Bytes;
use common::{SECOND, config, id, next, node, server, settle};
use netkernel::{
    Accepted, Dispatch, Kernel, MemoryNetwork, Net, Peer, PeerEvent, Refusal, Responder, ServerName,
};

/// A mailbox with room for as many casts as it is told, whose every callback uses all of the network it is called by.
#[derive(Default)]
struct Asking {
    net: OnceLock<Kernel>,
    room: AtomicUsize,
    taken: Mutex<Vec<Bytes>>,
    waker: Mutex<Option<Waker>>,
}

impl Asking {
    fn ask(&self, from: &Arc<Peer>) {
        let Some(net) = self.net.get() else { return };
        let peer = &from.node.id;
        assert!(net.peers().iter().all(|status| status.casts_held.messages < 1_000));
        net.connect(peer, &from.node.address);
        net.try_cast(peer, &server("nobody"), Bytes::from_static(b"seen")).unwrap();
        net.try_cast_ahead(peer, &server("nobody"), Bytes::new()).unwrap();
        drop(net.call(peer, &server("echo"), Bytes::new(), SECOND));
        drop(net.call(&net.local().id, &server("echo"), Bytes::new(), SECOND));
        net.abcast(std::slice::from_ref(peer), &server("nobody"), &Bytes::new());
        drop(net.events());
        net.disconnect(&id("stranger"), false);
        net.set_incarnation(net.local().incarnation);
    }

    /// Room for so many more.
    fn make_room(&self, messages: usize) {
        self.room.fetch_add(messages, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl Dispatch for Asking {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        unreachable!("casts are taken together")
    }

    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        self.ask(from);
        Accepted::of_each(server, bodies, |body| {
            if self.room.load(Ordering::Relaxed) == 0 {
                return Err(Refusal::Overloaded);
            }
            self.room.fetch_sub(1, Ordering::Relaxed);
            self.taken.lock().unwrap().push(body);
            Ok(())
        })
    }

    fn wake_with_room(&self, _server: &ServerName, _next: &Bytes, waker: &Waker) {
        let peers = self.net.get().map(|net| net.peers().len());
        assert_ne!(peers, Some(0));
        *self.waker.lock().unwrap() = Some(waker.clone());
    }

    fn call(&self, from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        if from.node.id.as_str() != "b" {
            self.ask(from);
        }
        responder.reply(body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_may_use_the_network_in_every_callback() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let asking = Arc::new(Asking::default());
    asking.net.set(b.clone()).unwrap();
    b.serve(Arc::clone(&asking) as Arc<dyn Dispatch>);
    a.kernel.connect(&id("b"), &b.local().address);
    let call = async || a.kernel.call(&id("b"), &server("up"), Bytes::from("text"), SECOND).await;
    assert_eq!(call().await.unwrap(), "text");
    let mut events = b.events();
    let cast = |number: u32| {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        a.kernel.try_cast(&id("b"), &server("sink"), body).unwrap();
    };
    // Some find room, others are held, offered again by the bell and by the clock, and at last with the link's end.
    for number in 0..60 {
        cast(number);
        if number % 7 == 0 {
            asking.make_room(3);
        }
        settle().await;
    }
    assert!(b.peers()[0].casts_held.messages > 20);
    asking.make_room(100);
    network.reset("a", "b");
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    let numbers: Vec<u32> = asking
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|body| u32::from_be_bytes(body[..].try_into().unwrap()))
        .collect();
    assert!(numbers.into_iter().eq(0..60), "in order, and all before the link was told as down");
}
