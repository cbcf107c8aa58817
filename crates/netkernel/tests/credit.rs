//! Flow: casts that a full mailbox holds back, queues that are full, and what is told of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, next, node, server, settle, small};
use netkernel::{
    CallError, Dispatch, Kernel, MemoryNetwork, Net, OfflinePolicy, Peer, PeerEvent, Refusal, Responder,
    SendError, ServerName,
};
use tokio::time::Instant;

fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes(body[..4].try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn three_tight_cast_loops_at_one_slow_server_drop_nothing_and_keep_their_orders() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 16).await;
    let mut casters = Vec::new();
    for name in ["x", "y", "z"] {
        let caster = node(&network, name).await;
        caster.kernel.connect(&id("b"), &b.local().address);
        casters.push(caster);
    }
    let count = 5_000u32;
    let casting = |caster: usize| {
        let kernel = casters[caster].kernel.clone();
        async move {
            for number in 0..count {
                let body = Bytes::copy_from_slice(&number.to_be_bytes());
                kernel.cast(&id("b"), &server("sink"), body, 60 * SECOND).await.unwrap();
            }
        }
    };
    let receiving = async {
        let mut next = std::collections::HashMap::new();
        for step in 0..3 * count {
            let (from, body) = mailbox.recv().await.unwrap();
            let expected: &mut u32 = next.entry(from.node.id.clone()).or_default();
            assert_eq!(number(&body), *expected);
            *expected += 1;
            if step % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    tokio::join!(casting(0), casting(1), casting(2), receiving);
    settle().await;
    let refused: u64 = b.peers().iter().map(|peer| peer.traffic.casts_refused).sum();
    assert_eq!(refused, 0);
}

#[tokio::test(start_paused = true)]
async fn two_full_servers_that_cast_to_each_other_end() {
    let network = MemoryNetwork::new();
    let (a, _full_a) = small(&network, "a", 8).await;
    let (b, _full_b) = small(&network, "b", 8).await;
    a.connect(&id("b"), &b.local().address);
    let casting = async |kernel: &Kernel, to: &str| {
        let mut accepted = 0;
        loop {
            let body = Bytes::from_static(b"mine");
            match kernel.cast(&id(to), &server("full"), body, SECOND).await {
                Ok(()) => accepted += 1,
                Err(SendError::Busy { body, .. }) => return (accepted, body),
                Err(other) => panic!("{other:?}"),
            }
        }
    };
    a.call(&id("b"), &server("up"), Bytes::new(), SECOND).await.unwrap();
    let (one, other) = tokio::join!(casting(&a, "b"), casting(&b, "a"));
    for (accepted, returned) in [one, other] {
        assert_eq!(returned, "mine");
        // The window, and what the mailboxes took and gave credit for.
        assert!((4_096..4_096 + 1_100).contains(&accepted), "{accepted}");
    }
    let held = &b.peers()[0].casts_held;
    assert!(held.messages <= 4_096, "{held:?}");
    let call = a.call(&id("b"), &server("full"), Bytes::new(), SECOND).await.unwrap_err();
    assert_eq!(call, CallError::Refused(Refusal::Overloaded), "a call needs no credit and is answered");
}

/// Casts are full until the door is opened; calls are always taken. Both are written down.
#[derive(Default)]
struct Door {
    open: AtomicBool,
    arrived: Mutex<Vec<Bytes>>,
}

impl Dispatch for Door {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if !self.open.load(Ordering::Relaxed) {
            return Err(Refusal::Overloaded);
        }
        self.arrived.lock().unwrap().push(body);
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        self.arrived.lock().unwrap().push(body.clone());
        responder.reply(body);
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_overtakes_the_casts_that_wait_for_its_server() {
    let network = MemoryNetwork::new();
    let (a, door) = (node(&network, "a").await, Arc::new(Door::default()));
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    b.serve(Arc::clone(&door) as Arc<dyn Dispatch>);
    a.kernel.connect(&id("b"), &b.local().address);
    let call = |to| a.kernel.call(&id("b"), &server(to), Bytes::from("call"), 5 * SECOND);
    call("up").await.unwrap();
    for body in ["first", "second"] {
        a.kernel.cast(&id("b"), &server("sink"), Bytes::from(body), SECOND).await.unwrap();
    }
    assert_eq!(call("sink").await, Err(CallError::Refused(Refusal::Overloaded)));
    assert_eq!(call("another").await.unwrap(), "call", "only those for the same server wait");
    door.open.store(true, Ordering::Relaxed);
    // Whether it is refused or comes after them depends on when they are offered again.
    let _refused_or_later = call("sink").await;
    settle().await;
    assert_eq!(call("sink").await.unwrap(), "call");
    let arrived = door.arrived.lock().unwrap().clone();
    assert_eq!(arrived[2..4], ["first", "second"], "{arrived:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cast_to_a_full_server_of_the_same_node_waits_and_is_given_back_at_its_deadline() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 1).await;
    let (to, full, body) = (id("b"), server("full"), Bytes::from_static(b"mine"));
    b.try_cast(&to, &full, body.clone()).unwrap();
    let busy = b.try_cast(&to, &full, body.clone()).unwrap_err();
    assert!(matches!(busy, SendError::Busy { body: returned, .. } if returned == body));
    let begun = Instant::now();
    let busy = b.cast(&to, &full, body.clone(), SECOND).await.unwrap_err();
    assert!(matches!(busy, SendError::Busy { body: returned, .. } if returned == body));
    assert_eq!(begun.elapsed(), SECOND);
    let taking = async {
        tokio::time::sleep(3 * SECOND).await;
        mailbox.recv().await.unwrap()
    };
    let (cast, _first) = tokio::join!(b.cast(&to, &full, Bytes::from("later"), 5 * SECOND), taking);
    cast.unwrap();
    assert_eq!(mailbox.recv().await.unwrap().1, "later");
    let nobody = b.cast(&to, &server("nobody"), body.clone(), SECOND).await.unwrap_err();
    assert!(
        matches!(&nobody, SendError::Refused { refusal: Refusal::NoProc, body: returned } if *returned == body),
        "{nobody:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_cast_is_reported_to_its_sender() {
    let network = MemoryNetwork::new();
    let (b, _mailbox) = small(&network, "b", 8).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    for _ in 0..7 {
        a.kernel.cast(&id("b"), &server("nobody"), Bytes::new(), SECOND).await.unwrap();
    }
    settle().await;
    assert_eq!(a.kernel.peers()[0].traffic.casts_refused_by_peer, 7);
    assert_eq!(b.peers()[0].traffic.casts_refused, 7);
}

/// Fault 27 of the original: the 1,025th queued message silently dropped the first, while `send` reported success.
#[tokio::test(start_paused = true)]
async fn fault_27_the_1025th_queued_message_is_refused_or_displaces_the_oldest_and_is_counted() {
    let network = MemoryNetwork::new();
    for policy in [OfflinePolicy::FailNew, OfflinePolicy::DropOldest] {
        let a = common::start(config(&network, "a", 1).offline_policy(policy)).await;
        a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
        let mut events = a.kernel.events();
        let send = |number: u32| {
            a.kernel.try_cast(&id("away"), &server("sink"), Bytes::copy_from_slice(&number.to_be_bytes()))
        };
        let refused = (0..1_100).filter(|&number| send(number).is_err()).count() as u64;
        let status = &a.kernel.peers()[0];
        assert_eq!(status.queued_messages, 1_024);
        match policy {
            OfflinePolicy::DropOldest => {
                assert_eq!((refused, status.traffic.dropped.queue_full), (0, 76));
                let told = next(&mut events, |event| matches!(event, PeerEvent::Dropped { .. })).await;
                assert_eq!(told, PeerEvent::Dropped { id: id("away"), messages: 76 });
            }
            _ => assert_eq!((refused, status.traffic.messages_dropped), (76, 0)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_offline_queue_is_bounded_in_bytes_too() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
    let body = Bytes::from(vec![0; 1 << 20]);
    let accepted =
        (0..20).filter(|_| a.kernel.try_cast(&id("away"), &server("sink"), body.clone()).is_ok()).count();
    assert_eq!(accepted, 7);
    assert!(a.kernel.peers()[0].queued_bytes <= 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn more_servers_than_a_session_remembers_are_reached_all_the_same() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 20_000).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    let count = 10_000u32;
    for round in 0..count {
        let body = Bytes::copy_from_slice(&round.to_be_bytes());
        a.kernel.cast(&id("b"), &server(&format!("server {round}")), body, SECOND).await.unwrap();
    }
    for round in 0..count {
        assert_eq!(number(&mailbox.recv().await.unwrap().1), round);
    }
    assert_eq!(b.peers()[0].traffic.sessions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_down_only_after_its_last_message() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 100_000).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    a.kernel.call(&id("b"), &server("up"), Bytes::new(), SECOND).await.unwrap();
    let mut events = b.events();
    for number in 0..1_000u32 {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        a.kernel.cast(&id("b"), &server("sink"), body, SECOND).await.unwrap();
    }
    a.kernel.shutdown(5 * SECOND).await;
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    let arrived = std::iter::from_fn(|| mailbox.try_recv().ok()).count();
    assert_eq!(arrived, 1_000);
}

/// Fault 30 of the original: a multicall failed as a whole on its first error.
#[tokio::test(start_paused = true)]
async fn fault_30_a_multicall_gives_each_nodes_own_outcome() {
    let network = MemoryNetwork::new();
    let (a, b, c) = (node(&network, "a").await, node(&network, "b").await, node(&network, "c").await);
    a.connect(&b);
    a.connect(&c);
    a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
    let to = [id("b"), id("stranger"), id("away"), id("c"), id("a")];
    let outcomes = a.kernel.multicall(&to, &server("echo"), &Bytes::from("hello"), SECOND).await;
    let nodes: Vec<_> = outcomes.iter().map(|(node, _)| node.clone()).collect();
    assert_eq!(nodes, to);
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    for answered in [0, 3, 4] {
        assert_eq!(outcomes[answered].as_ref().unwrap(), "hello");
    }
    assert_eq!(outcomes[1], Err(CallError::NotConnected { node: id("stranger") }));
    assert!(matches!(outcomes[2], Err(CallError::Timeout { .. })));
    let sent = a.kernel.abcast(&to[..3], &server("sink"), &Bytes::from("all"));
    let accepted: Vec<bool> = sent.iter().map(|(_, outcome)| outcome.is_ok()).collect();
    assert_eq!(accepted, [true, false, true]);
}

/// Fault 31 of the original: two senders of large messages shared a buffer, and most messages vanished.
#[tokio::test(start_paused = true)]
async fn fault_31_large_messages_of_two_senders_all_arrive() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 1_000).await;
    let senders = [node(&network, "x").await, node(&network, "y").await];
    let sending = |sender: usize| {
        let kernel = senders[sender].kernel.clone();
        kernel.connect(&id("b"), &b.local().address);
        async move {
            for number in 0..200u32 {
                let mut body = number.to_be_bytes().to_vec();
                body.resize(80_000, sender as u8);
                kernel.cast(&id("b"), &server("sink"), body.into(), 60 * SECOND).await.unwrap();
            }
        }
    };
    tokio::join!(sending(0), sending(1));
    let mut next = [0; 2];
    for _ in 0..400 {
        let (_, body) = mailbox.recv().await.unwrap();
        let sender = usize::from(body[79_999]);
        assert!(body[4..].iter().all(|&byte| usize::from(byte) == sender));
        assert_eq!(number(&body), next[sender]);
        next[sender] += 1;
    }
    assert_eq!(next, [200, 200]);
}

/// A mailbox of one message, emptied by hand, that tells when it is.
#[derive(Default)]
struct Telling(Mutex<(Option<Bytes>, Option<Waker>)>);

impl Telling {
    fn empty(&self) -> Option<Bytes> {
        let (body, waker) = std::mem::take(&mut *self.0.lock().unwrap());
        if let Some(waker) = waker {
            waker.wake();
        }
        body
    }
}

impl Dispatch for Telling {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        let mut mailbox = self.0.lock().unwrap();
        if mailbox.0.is_some() {
            return Err(Refusal::Overloaded);
        }
        mailbox.0 = Some(body);
        Ok(())
    }

    fn wake_with_room(&self, _server: &ServerName, next: &Bytes, waker: &Waker) {
        let mut mailbox = self.0.lock().unwrap();
        assert_ne!(mailbox.0.as_ref(), Some(next), "it is the one that waits that is named");
        mailbox.1 = Some(waker.clone());
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_tells_of_room_is_offered_what_waits_without_delay() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let mailbox = Arc::new(Telling::default());
    b.serve(Arc::clone(&mailbox) as Arc<dyn Dispatch>);
    a.kernel.connect(&id("b"), &b.local().address);
    for number in 0..100_u32 {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        a.kernel.cast(&id("b"), &server("one"), body, SECOND).await.unwrap();
    }
    // By now the link looks by itself but rarely.
    tokio::time::sleep(SECOND).await;
    let began = Instant::now();
    for number in 0..100_u32 {
        let mut turns = 0;
        let body = loop {
            match mailbox.empty() {
                Some(body) => break body,
                None => tokio::task::yield_now().await,
            }
            turns += 1;
            assert!(turns < 1_000, "message {number} does not come");
        };
        assert_eq!(body[..], number.to_be_bytes());
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Says at once that there may be room, and has none.
#[derive(Default)]
struct Restless(AtomicUsize);

impl Dispatch for Restless {
    fn cast(&self, _: &Arc<Peer>, _: &ServerName, _: Bytes) -> Result<(), Refusal> {
        assert!(self.0.fetch_add(1, Ordering::Relaxed) < 10_000, "asked without end");
        Err(Refusal::Overloaded)
    }

    fn wake_with_room(&self, _: &ServerName, _: &Bytes, waker: &Waker) {
        waker.wake_by_ref();
    }

    fn call(&self, _: &Arc<Peer>, _: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_tells_of_room_it_does_not_have_is_asked_by_the_clock() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let restless = Arc::new(Restless::default());
    b.serve(Arc::clone(&restless) as Arc<dyn Dispatch>);
    a.kernel.connect(&id("b"), &b.local().address);
    a.kernel.cast(&id("b"), &server("full"), Bytes::from_static(b"x"), SECOND).await.unwrap();
    tokio::time::sleep(SECOND).await;
    let asked = restless.0.load(Ordering::Relaxed);
    assert!((30..2_000).contains(&asked), "asked {asked} times in a second");
    let answer = a.kernel.call(&id("b"), &server("echo"), Bytes::from_static(b"y"), SECOND).await;
    assert_eq!(answer.unwrap(), "y");
}
