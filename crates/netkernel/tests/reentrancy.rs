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

/// Takes nothing. What is held of a peer is offered once more at its link's end: then it disconnects from it, and waits.
struct Leaves {
    net: OnceLock<Kernel>,
    entered: std::sync::mpsc::SyncSender<()>,
    goes_on: Mutex<std::sync::mpsc::Receiver<()>>,
    once: std::sync::Once,
}

impl Dispatch for Leaves {
    fn cast(&self, from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        let net = self.net.get().unwrap();
        if net.peers().iter().all(|peer| peer.sessions == 0) {
            self.once.call_once(|| {
                net.disconnect(&from.node.id, true);
                self.entered.send(()).unwrap();
                self.goes_on.lock().unwrap().recv().unwrap();
            });
        }
        Err(Refusal::Overloaded)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

/// However long the layer above takes over what a lost link held, and whatever it asks for meanwhile: the peer that has come
/// back is told as up after it was told as down.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_that_is_disconnected_as_it_ends_is_told_as_down_before_the_next_is_up() {
    let network = MemoryNetwork::new();
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let (entered, has_entered) = std::sync::mpsc::sync_channel(1);
    let (go_on, goes_on) = std::sync::mpsc::sync_channel(1);
    let leaves =
        Leaves { net: b.clone().into(), entered, goes_on: goes_on.into(), once: std::sync::Once::new() };
    b.serve(Arc::new(leaves));
    let mut events = b.events();
    let moment = SECOND / 1_000;
    let a = common::start(config(&network, "a", 1).backoff(moment, moment)).await;
    a.kernel.connect(&id("b"), &b.local().address);
    a.kernel.cast(&id("b"), &server("full"), Bytes::from("held"), 10 * SECOND).await.unwrap();
    while b.peers().first().is_none_or(|peer| peer.casts_held.messages == 0) {
        tokio::task::yield_now().await;
    }
    network.reset("a", "b");
    tokio::task::spawn_blocking(move || has_entered.recv().unwrap()).await.unwrap();
    // It redials at once, and has a session now or when that is over: not both are to be waited for.
    let address = b.local().address;
    let mut dialing = std::pin::pin!(a.kernel.dial(&address, None, 10 * SECOND));
    let _either = tokio::time::timeout(SECOND / 10, &mut dialing).await;
    go_on.send(()).unwrap();
    let told = |event: &PeerEvent| matches!(event, PeerEvent::Up { .. } | PeerEvent::Down { .. });
    assert!(matches!(next(&mut events, told).await, PeerEvent::Up { .. }));
    assert!(matches!(next(&mut events, told).await, PeerEvent::Down { .. }));
    assert!(matches!(next(&mut events, told).await, PeerEvent::Up { .. }));
}
