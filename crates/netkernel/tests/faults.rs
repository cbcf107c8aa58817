//! What a network, a clock or a caller does at the worst moment, and the kernel faults of the original.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use common::line::Line;
use common::{SECOND, TestNode, config, cookie, id, node, server, settle, start};
use netkernel::{
    CallError, Config, ConnectError, Cookie, CookieError, Dispatch, Executed, HandshakeError, Insecure,
    Kernel, MemoryNetwork, Net, Noise, Peer, Refusal, Responder, ServerName, Stage, Transport,
};
use wire::{Fate, Wire};

/// Counts how often each call was executed.
#[derive(Default)]
struct Counting(Mutex<HashMap<Vec<u8>, u32>>);

impl Dispatch for Counting {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        *self.0.lock().unwrap().entry(body[..4].to_vec()).or_default() += 1;
        responder.reply(body);
    }
}

async fn dialer(wire: Wire) -> TestNode {
    start(Config::builder(id("dialer"), Noise::new(&cookie(false))).transport(wire)).await
}

/// Bytes an echo moves, handshake included: sent and received.
async fn bytes_of_an_echo(network: &MemoryNetwork, b: &TestNode, body: &Bytes) -> (usize, usize) {
    let wire = Wire::new(network.host("dialer"));
    let bytes = Arc::clone(&wire.bytes);
    let honest = dialer(wire).await;
    honest.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    honest.kernel.call(&b.id(), &server("echo"), body.clone(), SECOND).await.unwrap();
    *bytes.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_link_cut_in_any_phase_of_a_call_never_executes_it_twice_and_tells_the_truth() {
    let network = MemoryNetwork::new();
    let counting = Arc::new(Counting::default());
    let kernel = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    kernel.serve(Arc::clone(&counting) as Arc<dyn Dispatch>);
    let address = kernel.local().address;
    let probe = node(&network, "probe").await;
    let body = |number: u32| {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(40_000, 1);
        Bytes::from(body)
    };
    let (sent, received) = bytes_of_an_echo(&network, &probe, &body(0)).await;
    let mut number = 0;
    let mut maybe = 0;
    for (total, of_sent) in [(sent, true), (received, false)] {
        for cut in (1..total).step_by(977).chain(total - 60..total) {
            number += 1;
            let mut wire = Wire::new(network.host("dialer"));
            *(if of_sent { &mut wire.sent } else { &mut wire.received }) =
                Fate { cut: Some(cut), ..Fate::default() };
            let dialer = dialer(wire).await;
            if dialer.kernel.dial(&address, None, SECOND).await.is_err() {
                continue;
            }
            let called = dialer.kernel.call(&id("b"), &server("count"), body(number), SECOND).await;
            drop(dialer);
            settle().await;
            let times = counting.0.lock().unwrap().get(&number.to_be_bytes()[..]).copied().unwrap_or(0);
            match called.map_err(|error| error.executed()) {
                Ok(_) | Err(Executed::Yes) => assert_eq!(times, 1, "cut at {cut}"),
                Err(Executed::No) => assert_eq!(times, 0, "cut at {cut}"),
                Err(Executed::Maybe) => {
                    maybe += 1;
                    assert!(times <= 1, "cut at {cut}: executed {times} times");
                }
            }
        }
    }
    assert!(maybe > 50, "the link was hardly ever cut in mid-call: {maybe}");
}

#[tokio::test(start_paused = true)]
async fn every_changed_byte_of_the_answer_makes_the_handshake_fail() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let wire = Wire::new(network.host("dialer"));
    let bytes = Arc::clone(&wire.bytes);
    let honest = dialer(wire).await;
    honest.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    let received = bytes.lock().unwrap().1;
    drop(honest);
    settle().await;
    for index in 0..received {
        let mut wire = Wire::new(network.host("dialer"));
        wire.received.flip = Some(index);
        let victim = dialer(wire).await;
        let dialed = victim.kernel.dial(&b.address(), None, 5 * SECOND).await;
        if dialed.is_ok() {
            let called = victim.kernel.call(&b.id(), &server("echo"), vec![0; 2_000].into(), SECOND).await;
            assert!(called.is_err(), "byte {index} was changed and nobody noticed");
        }
        drop(victim);
        settle().await;
        assert!(b.kernel.peers().is_empty(), "byte {index} left something behind");
    }
}

#[tokio::test(start_paused = true)]
async fn one_byte_at_a_time_in_both_directions_is_enough() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let mut wire = Wire::new(network.host("dialer"));
    wire.sent.slow = true;
    wire.received.slow = true;
    let dialer = dialer(wire).await;
    dialer.kernel.dial(&b.address(), None, 10 * SECOND).await.unwrap();
    for bytes in [0, 1, 5_000, 70_000] {
        let body = Bytes::from(vec![3; bytes]);
        dialer.kernel.cast(&b.id(), &server("sink"), body.clone(), SECOND).await.unwrap();
        assert_eq!(b.casts.recv().await.unwrap().1, body);
        let echoed = dialer.kernel.call(&b.id(), &server("echo"), body.clone(), 10 * SECOND).await.unwrap();
        assert_eq!(echoed, body);
    }
}

/// A relay that passes every byte on gains nothing but the ciphertext, and cannot pass one node off as another.
#[tokio::test(start_paused = true)]
async fn a_relay_between_two_victims_is_noticed_where_a_node_was_named() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    let relay = network.host("relay");
    let mut listener = relay.bind(&"relay:0".parse().unwrap()).await.unwrap();
    let (address, target) = (listener.local_address(), b.address());
    let relaying = async {
        let mut from = listener.accept().await.unwrap();
        let mut to = relay.connect(&target).await.unwrap();
        let there = tokio::io::copy(&mut from.read, &mut to.write);
        let back = tokio::io::copy(&mut to.read, &mut from.write);
        let _cut = tokio::time::timeout(SECOND, async { tokio::join!(there, back) }).await;
    };
    let expected = id("c");
    let dialing = a.kernel.dial(&address, Some(&expected), SECOND);
    let (dialed, ()) = tokio::join!(dialing, relaying);
    assert!(matches!(dialed, Err(ConnectError::WrongNode { .. })), "{dialed:?}");
    settle().await;
    assert!(b.kernel.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_cookie_version_or_mode_and_a_stranger_are_told_apart() {
    let network = MemoryNetwork::new();
    let (b, other) = (node(&network, "b").await, Noise::new(&cookie(true)));
    let plain =
        start(Config::builder(id("p"), Insecure).transport(network.host("p")).listen("p:0".parse().unwrap()))
            .await;
    let handshake = async |config: netkernel::Builder, to: &TestNode| {
        let dialer = start(config.transport(network.host("d"))).await;
        match dialer.kernel.dial(&to.address(), None, SECOND).await {
            Err(ConnectError::Handshake { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let wrong_cookie = handshake(Config::builder(id("d"), other), &b).await;
    assert!(matches!(wrong_cookie, HandshakeError::Authentication), "{wrong_cookie:?}");
    let plain_to_noise = handshake(Config::builder(id("d"), Insecure), &b).await;
    assert!(matches!(plain_to_noise, HandshakeError::Mode { theirs: 1, ours: 0 }), "{plain_to_noise:?}");
    let noise_to_plain = handshake(Config::builder(id("d"), Noise::new(&cookie(false))), &plain).await;
    assert!(matches!(noise_to_plain, HandshakeError::Mode { theirs: 0, ours: 1 }), "{noise_to_plain:?}");
    assert!(b.kernel.peers().is_empty() && plain.kernel.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ends_no_session() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "before").await.unwrap();
    for hours in [1, 30, 24 * 365] {
        tokio::time::advance(Duration::from_secs(hours * 3_600)).await;
        settle().await;
        a.echo(&b, "after").await.unwrap();
    }
    assert_eq!(a.kernel.peers()[0].traffic.sessions, 1);
}

/// Over a line that takes forty seconds for a message: questions and answers go ahead of what waits, so a node that is
/// asked often, and has little time to answer, is never taken for dead, and its answers tell how long the way is.
#[tokio::test(start_paused = true)]
async fn heartbeats_survive_bulk() {
    let network = MemoryNetwork::new();
    let often =
        |config: netkernel::Builder| config.heartbeat(SECOND, SECOND / 2, SECOND).write_stall(4 * SECOND);
    let a = start(often(config(&network, "a", 1))).await;
    let line = Line::slow(network.host("b"), 100_000);
    let mut b = start(often(config(&network, "b", 1).transport(line))).await;
    b.connect(&a);
    b.echo(&a, "connected").await.unwrap();
    a.kernel.try_cast(&b.id(), &server("sink"), vec![1; 4 << 20].into()).unwrap();
    let mut pings = 0;
    while a.kernel.peers()[0].queued_bytes > 0 {
        let took = a.kernel.ping(&b.id(), 30 * SECOND).await.unwrap();
        assert!(took <= 2 * SECOND, "the way takes {took:?}");
        pings += 1;
        tokio::time::sleep(SECOND).await;
    }
    assert!(pings > 10, "{pings}");
    assert_eq!(b.casts.recv().await.unwrap().1.len(), 4 << 20);
    assert_eq!((a.kernel.peers()[0].traffic.sessions, b.kernel.peers()[0].traffic.sessions), (1, 1));
}

/// Polls a future so many times, letting others run between, and then drops it. True if it ended before.
async fn poll_and_drop(future: impl Future, times: usize) -> bool {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let ended =
            std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if ended {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_at_any_await_leaks_nothing() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    let (kernel, to, address) = (&a.kernel, b.id(), b.address());
    for times in 0..40 {
        poll_and_drop(kernel.dial(&address, None, SECOND), times).await;
        let hour = 3_600 * SECOND;
        poll_and_drop(kernel.call(&to, &server("hold"), Bytes::from(vec![0; 50_000]), hour), times).await;
        poll_and_drop(kernel.ping(&to, SECOND), times).await;
        poll_and_drop(kernel.cast(&to, &server("nobody"), Bytes::from(vec![0; 50_000]), SECOND), times).await;
        poll_and_drop(
            kernel.multicall(std::slice::from_ref(&to), &server("hold"), &Bytes::new(), hour),
            times,
        )
        .await;
    }
    settle().await;
    tokio::time::sleep(2 * SECOND).await;
    for (node, peers) in [("a", a.kernel.peers()), ("b", b.kernel.peers())] {
        assert!(peers.len() <= 1, "{node}: {peers:?}");
        for peer in peers {
            let left = (peer.queued_messages, peer.queued_bytes, peer.calls_pending, peer.calls_executing);
            assert_eq!(left, (0, 0, 0, 0), "{node}");
            assert!(peer.sessions <= 1);
        }
    }
    a.kernel.dial(&address, None, SECOND).await.unwrap();
    a.echo(&b, "still").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn fifty_nodes_that_connect_at_once_keep_one_session_per_pair() {
    let network = MemoryNetwork::new();
    let mut nodes = Vec::new();
    for number in 0..50 {
        nodes.push(node(&network, &format!("node-{number:02}")).await);
    }
    for one in &nodes {
        for other in &nodes {
            one.kernel.connect(&other.id(), &other.address());
        }
    }
    tokio::time::sleep(5 * SECOND).await;
    for node in &nodes {
        let peers = node.kernel.peers();
        assert_eq!(peers.len(), 49);
        for peer in peers {
            assert_eq!((peer.connected, peer.sessions), (true, 1), "{} to {}", node.id(), peer.id);
        }
    }
}

/// Fault 24 of the original: a message named "error" threw inside the kernel.
#[tokio::test(start_paused = true)]
async fn fault_24_no_server_name_means_anything_to_the_kernel() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    for name in ["error", "close", "newListener", "__proto__", "constructor", "toString", "_reply"] {
        a.kernel.cast(&b.id(), &server(name), "boom".into(), SECOND).await.unwrap();
        let called = a.kernel.call(&b.id(), &server(name), "boom".into(), SECOND).await;
        assert_eq!(called, Err(CallError::Refused(Refusal::NoProc)), "{name}");
    }
    a.echo(&b, "alive").await.unwrap();
    assert_eq!(a.kernel.peers()[0].traffic.sessions, 1);
}

/// Fault 28 of the original: an empty cookie disabled authentication.
#[test]
fn fault_28_an_empty_cookie_is_refused() {
    for text in ["", " ", "\n", "\t\r\n"] {
        assert!(matches!(text.parse::<Cookie>(), Err(CookieError::Empty)), "{text:?}");
    }
}

/// Fault 29 of the original: a call waited for ever unless a timeout was asked for.
#[tokio::test(start_paused = true)]
async fn fault_29_every_call_names_its_deadline_and_ends_at_it() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "before").await.unwrap();
    let begun = tokio::time::Instant::now();
    let call = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), 5 * SECOND);
    let ended = tokio::time::timeout(60 * SECOND, call).await.expect("it ends");
    assert_eq!(ended, Err(CallError::Timeout { stage: Stage::Sent }));
    assert_eq!(begun.elapsed().as_secs(), 5);
}
