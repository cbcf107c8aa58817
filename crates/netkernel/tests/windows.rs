//! Windows hold across sessions that replace each other: what is queued while none sends counts as well.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, TestNode, config, id, node, server, settle, small, start};
use netkernel::{
    Address, BoxFuture, Connection, Listener, MemoryHost, MemoryNetwork, Net, OfflinePolicy, Transport,
};
use shim::{Shim, goaway, mark};
use tokio::io::{AsyncRead, ReadBuf};

/// As many casts as the window allows.
fn casts(from: &TestNode) -> usize {
    std::iter::from_fn(|| from.kernel.try_cast(&id("a"), &server("x"), Bytes::from("one")).ok()).count()
}

async fn session(network: &MemoryNetwork, of: &TestNode) -> (Shim, u64) {
    Shim::welcomed(network, of, "a", Shim::hello("a", 1)).await
}

/// A peer that gives no credit replaces its session some times, and something is done while no session sends. How
/// many casts it was sent in all.
async fn sent_over_sessions(between: impl AsyncFn(&TestNode) -> usize) -> usize {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (mut present, mut before) = session(&network, &b).await;
    present.finish().await.unwrap();
    present.record(&mark(&[])).await;
    settle().await;
    let mut sent = 0;
    for _ in 0..4 {
        sent += casts(&b);
        settle().await;
        while let Ok(record) = tokio::time::timeout(SECOND / 100, present.next_record()).await {
            record.unwrap();
        }
        let (mut heir, heir_session) = session(&network, &b).await;
        heir.finish().await.unwrap();
        present.record(&goaway(0)).await;
        settle().await;
        sent += between(&b).await;
        heir.record(&mark(&[(before, false)])).await;
        settle().await;
        (present, before) = (heir, heir_session);
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_between_two_sessions_keeps_to_the_window() {
    assert_eq!(sent_over_sessions(async |_: &TestNode| 0).await, 4_096);
    assert_eq!(sent_over_sessions(async |b: &TestNode| casts(b)).await, 4_096);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_between_two_sessions_opens_no_window() {
    let leaves = async |b: &TestNode| {
        let left = b.kernel.call(&id("a"), &server("y"), Bytes::new(), SECOND / 1_000).await;
        assert!(left.is_err());
        0
    };
    assert_eq!(sent_over_sessions(leaves).await, 4_096);
}

/// A host to which the first packet after the handshake of a further connection has to be sent again.
#[derive(Debug, Clone)]
struct Late {
    inner: MemoryHost,
    connections: Arc<AtomicUsize>,
}

impl Transport for Late {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.inner.bind(address).await?;
            Ok(Box::new(LateListener { inner, of: self.clone() }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        self.inner.connect(address)
    }
}

#[derive(Debug)]
struct LateListener {
    inner: Box<dyn Listener>,
    of: Late,
}

impl Listener for LateListener {
    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let mut connection = self.inner.accept().await?;
            if self.of.connections.fetch_add(1, Ordering::Relaxed) > 0 {
                let waits = Box::pin(tokio::time::sleep(SECOND / 5));
                connection.read = Box::new(LateRead { inner: connection.read, reads: 0, waits });
            }
            Ok(connection)
        })
    }
}

struct LateRead {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    reads: usize,
    waits: Pin<Box<tokio::time::Sleep>>,
}

impl AsyncRead for LateRead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Preamble, message 1 and record 0.
        if self.reads >= 3 && !self.waits.is_elapsed() {
            std::task::ready!(self.waits.as_mut().poll(context));
        }
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.reads += 1;
        Poll::Ready(Ok(()))
    }
}

/// The server takes nothing, and casts are sent as fast as they are accepted.
#[tokio::test(start_paused = true)]
async fn no_cast_is_refused_while_sessions_are_replaced() {
    let network = MemoryNetwork::new();
    let late = Late { inner: network.host("a"), connections: Arc::default() };
    let a = start(config(&network, "a", 1).transport(late)).await;
    let (b, _mailbox) = small(&network, "b", 1).await;
    b.connect(&a.id(), &a.address());
    while !a.kernel.peers().first().is_some_and(|peer| peer.connected) {
        settle().await;
    }
    for _ in 0..8 {
        b.dial(&a.address(), None, SECOND).await.unwrap();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            while a.kernel.try_cast(&id("b"), &server("x"), Bytes::from("one")).is_ok() {}
        }
        settle().await;
    }
    let traffic = &a.kernel.peers()[0].traffic;
    assert!(traffic.sessions > 4, "{traffic:?}");
    assert_eq!((traffic.casts_refused_by_peer, traffic.reconnects, traffic.casts_unconfirmed), (0, 0, 0));
}

/// More may wait from when there was a session than may wait for one.
#[tokio::test(start_paused = true)]
async fn one_cast_that_waits_for_a_session_displaces_one() {
    let network = MemoryNetwork::new();
    let a = start(config(&network, "a", 1).offline_policy(OfflinePolicy::DropOldest)).await;
    let b = node(&network, "b").await;
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    network.mute("a", "b");
    for number in 0..4 {
        let to = server(&format!("s{number}"));
        while a.kernel.try_cast(&b.id(), &to, vec![0; 200].into()).is_ok() {}
        settle().await;
    }
    network.cut("a", "b");
    settle().await;
    let waiting = a.kernel.peers()[0].queued_messages;
    assert!(waiting > 1_024, "{waiting}");
    for _ in 0..3 {
        a.kernel.try_cast(&b.id(), &server("s"), Bytes::new()).unwrap();
    }
    let status = &a.kernel.peers()[0];
    assert_eq!((status.traffic.dropped.queue_full, status.queued_messages), (3, waiting));
}
