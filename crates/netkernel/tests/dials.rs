//! Dials that cross, and dials that wait for their turn.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, TestNode, config, cookie, id, next, node, server, settle, start};
use netkernel::testing::Recorder;
use netkernel::{
    Address, BoxFuture, Channel, Config, Connection, Kernel, Listener, MemoryHost, MemoryNetwork, Net, Noise,
    PeerEvent, RefusedReason, Security, Transport,
};
use shim::{Shim, put_varint};
use tokio::io::AsyncReadExt;

/// The node `own` dials a peer, which has the connection answered only when the peer's own session to the node is up.
async fn crossing(network: &MemoryNetwork, own: &str, peer: &str) -> (TestNode, Shim, Channel) {
    let this = node(network, own).await;
    let mut listener = network.host(peer).bind(&format!("{peer}:0").parse().unwrap()).await.unwrap();
    this.kernel.connect(&id(peer), &listener.local_address());
    let dialed: Connection = listener.accept().await.unwrap();
    let theirs = Shim::connect(network, &this, peer).await;
    settle().await;
    assert_eq!(this.kernel.peers()[0].traffic.sessions, 1);
    let mut welcome = Shim::hello(peer, 1);
    put_varint(&mut welcome, 77);
    let noise = Noise::new(&cookie(false));
    let (channel, _hello) = noise.server(dialed, welcome, &|| {}).await.unwrap();
    (this, theirs, channel)
}

/// Whether a record 0 comes, or the end of the connection.
async fn confirms(mut channel: Channel) -> bool {
    channel.read.read(&mut [0]).await.unwrap() == 1
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_would_lose_against_the_peers_session_is_given_up_before_it_is_confirmed() {
    let network = MemoryNetwork::new();
    let (this, theirs, channel) = crossing(&network, "z", "a").await;
    assert!(!confirms(channel).await);
    settle().await;
    assert_eq!((this.kernel.peers()[0].sessions, this.kernel.peers()[0].connected), (1, true));
    // The wish stands: with the session gone, the peer is dialed again.
    let mut events = this.kernel.events();
    drop(theirs);
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    next(&mut events, |event| matches!(event, PeerEvent::Unreachable { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_would_win_goes_on() {
    let network = MemoryNetwork::new();
    let (_this, _theirs, channel) = crossing(&network, "a", "z").await;
    assert!(confirms(channel).await);
}

/// What is dialed for its own sake is made, present session or not.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_asked_for_is_made_though_it_does_not_stay() {
    let network = MemoryNetwork::new();
    let (a, z) = (node(&network, "a").await, node(&network, "z").await);
    a.connect(&z);
    a.echo(&z, "connected").await.unwrap();
    z.kernel.dial(&a.address(), Some(&a.id()), SECOND).await.unwrap();
    settle().await;
    assert_eq!((z.kernel.peers()[0].traffic.sessions, z.sessions(&a)), (2, 1));
}

/// Counts the connections that are dialed.
#[derive(Debug, Clone)]
struct Counted(MemoryHost, Arc<AtomicU64>);

impl Transport for Counted {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.0.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.connect(address)
    }
}

/// Of all handshakes of a mesh that starts at once, few more than one a pair are made, and no more at one moment than
/// may be.
#[tokio::test(start_paused = true)]
async fn nodes_that_start_together_spare_most_of_the_handshakes_that_would_be_for_nothing() {
    let network = MemoryNetwork::new();
    let (mut nodes, dialed) = (Vec::new(), Arc::new(AtomicU64::new(0)));
    for number in 10..40 {
        let name = format!("node-{number}");
        let counted = Counted(network.host(&name), Arc::clone(&dialed));
        nodes.push(start(config(&network, &name, 1).transport(counted)).await);
    }
    for one in &nodes {
        for other in &nodes {
            one.kernel.connect(&other.id(), &other.address());
        }
    }
    tokio::time::sleep(5 * SECOND).await;
    let pairs = 30 * 29 / 2;
    let peers = || nodes.iter().flat_map(|node| node.kernel.peers());
    assert!(peers().all(|peer| peer.connected && peer.sessions == 1));
    let made = peers().map(|peer| peer.traffic.sessions).sum::<u64>() / 2;
    let dialed = dialed.load(Ordering::Relaxed);
    assert!(made < pairs * 5 / 4 && dialed < pairs * 5 / 4, "{dialed} dials, {made} sessions, {pairs} pairs");
    let refused: Vec<(RefusedReason, u64)> = nodes.iter().flat_map(|node| node.kernel.refused()).collect();
    assert_eq!(refused, [], "a dial that is given up is no refusal");
}

#[tokio::test(start_paused = true)]
async fn as_many_dials_as_configured_are_under_way_and_a_further_one_waits_half_a_second() {
    let network = MemoryNetwork::new();
    let a = start(config(&network, "a", 1).dials(2)).await;
    // They take connections in and say nothing.
    let frozen = network.host("frozen");
    let mut listeners = Vec::new();
    for number in 0..6 {
        let listener = frozen.bind(&"frozen:0".parse().unwrap()).await.unwrap();
        a.kernel.connect(&id(&format!("frozen-{number}")), &listener.local_address());
        listeners.push(listener);
    }
    settle().await;
    let dialed = |listener: &mut Box<dyn Listener>| {
        let accepting = std::pin::pin!(listener.accept());
        let ready = accepting.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        ready.is_ready()
    };
    assert_eq!(listeners.iter_mut().map(dialed).filter(|dialed| *dialed).count(), 2);
    let b = node(&network, "b").await;
    let begun = tokio::time::Instant::now();
    a.connect(&b);
    a.echo(&b, "answered").await.unwrap();
    assert!(begun.elapsed() <= Duration::from_millis(510), "{:?}", begun.elapsed());
}

/// A peer that takes every connection, makes it a session and hangs up: a node whose limits differ, one that crashes when
/// it starts, or one that means harm.
#[tokio::test(start_paused = true)]
async fn a_peer_whose_sessions_do_not_last_is_dialed_ever_more_rarely() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let mut listener = network.host("z").bind(&"z:0".parse().unwrap()).await.unwrap();
    a.kernel.connect(&id("z"), &listener.local_address());
    let mut made = 0;
    let accepting = async {
        loop {
            drop(Shim::accepted(&mut *listener, "z", made).await);
            made += 1;
            assert!(made < 1_000, "it is dialed as fast as handshakes go");
        }
    };
    assert!(tokio::time::timeout(60 * SECOND, accepting).await.is_err());
    assert!((12..30).contains(&made), "{made} sessions in a minute");
    // One that lasts begins anew: it is made again within the first pause.
    let lasting = Shim::accepted(&mut *listener, "z", 10_000).await;
    tokio::time::sleep(6 * SECOND).await;
    let lost = tokio::time::Instant::now();
    drop(lasting);
    Shim::accepted(&mut *listener, "z", 10_001).await;
    assert!(lost.elapsed() < SECOND / 10, "{:?}", lost.elapsed());
}

/// A node that dials and does not listen, as a client does, says so by an address that nobody can dial.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_listen_has_no_address() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let silent = Config::builder(id("a"), Noise::new(&cookie(false))).transport(network.host("a"));
    let a = start(silent).await;
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    assert_eq!(b.kernel.peers()[0].address, None);
    assert_eq!(a.kernel.peers()[0].address, Some(b.address()));
}

/// A program whose main thread is not the runtime's connects and serves as any other.
#[test]
fn a_kernel_connects_and_serves_from_outside_its_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let network = MemoryNetwork::new();
    let (a, b) = runtime.block_on(async {
        let kernel = Kernel::bind(config(&network, "a", 1).build().unwrap()).await.unwrap();
        (kernel, node(&network, "b").await)
    });
    a.serve(Arc::new(Recorder::default()));
    a.connect(&b.id(), &b.address());
    runtime.block_on(async {
        let call = a.call(&b.id(), &server("echo"), Bytes::from("hello"), SECOND);
        assert_eq!(call.await.unwrap(), "hello");
    });
}
