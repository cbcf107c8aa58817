//! Taking connections in: what a listener says, and who holds a place of those that may be in mid-handshake.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{SECOND, TestNode, config, node, settle, start};
use netkernel::{
    Address, BoxFuture, Connection, Listener, MemoryHost, MemoryNetwork, Net, PeerEvent, RefusedReason,
    Transport,
};
use shim::{PING, PONG, Shim, control, frames};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A listener whose system is out of file descriptors for a while.
#[derive(Debug, Clone)]
struct Exhausted {
    inner: MemoryHost,
    error: ErrorKind,
    failures: Arc<AtomicU32>,
    asked: Arc<AtomicU32>,
}

#[derive(Debug)]
struct Failing(Exhausted, Box<dyn Listener>);

impl Transport for Exhausted {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.inner.bind(address).await?;
            Ok(Box::new(Failing(self.clone(), listener)) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        self.inner.connect(address)
    }
}

impl Listener for Failing {
    fn local_address(&self) -> Address {
        self.1.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked < 1_000_000, "it is asked without end");
        let fails = |left: u32| left.checked_sub(1);
        if self.0.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Box::pin(std::future::ready(Err(self.0.error.into())));
        }
        self.1.accept()
    }
}

/// Out of file descriptors; or dead, which a listener may tell as it tells of a client that hung up while it waited.
#[tokio::test(start_paused = true)]
async fn a_listener_that_fails_is_asked_ever_more_rarely_and_works_again_when_it_can() {
    for (error, at_once) in [(ErrorKind::Other, 0), (ErrorKind::NotConnected, 4_096)] {
        let network = MemoryNetwork::new();
        let exhausted = Exhausted {
            inner: network.host("b"),
            error,
            failures: Arc::new(AtomicU32::new(u32::MAX)),
            asked: Arc::default(),
        };
        let b = start(config(&network, "b", 1).transport(exhausted.clone())).await;
        tokio::time::sleep(60 * SECOND).await;
        let asked = exhausted.asked.load(Ordering::Relaxed) - at_once;
        assert!((15..40).contains(&asked), "asked {asked} times in a minute");
        exhausted.failures.store(0, Ordering::Relaxed);
        let a = node(&network, "a").await;
        a.connect(&b);
        a.echo(&b, "at last").await.unwrap();
    }
}

/// A member under the id of a node that is connected, and takes its time to say that it lives: from as many hosts as it
/// takes for no limit of one of them to matter.
#[tokio::test(start_paused = true)]
async fn namesakes_of_a_slow_node_do_not_keep_a_good_peer_out() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut incumbent = Shim::connect(&network, &b, "z").await;
    settle().await;
    let mut events = b.kernel.events();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(record) = incumbent.next_record().await {
            tokio::time::sleep(Duration::from_millis(300)).await;
            for ping in frames(&record).iter().filter(|frame| frame.kind == PING) {
                incumbent.record(&control(PONG, ping.id)).await;
            }
        }
    });
    for number in 0..128 {
        let (network, to) = (
            network.clone(),
            TestNode { kernel: b.kernel.clone(), casts: mpsc::channel(1).1, held: mpsc::channel(1).1 },
        );
        tasks.spawn(async move {
            for _ in 0..20 {
                let hello = Shim::hello_of("z", 1, 1_000 + number);
                let mut namesake = Shim::unconfirmed(&network, &to, &format!("host-{number}"), hello).await;
                let _refused = namesake.finish().await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (good, begun) = (node(&network, "good").await, Instant::now());
    good.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    tokio::time::sleep(20 * SECOND).await;
    let refused = b.kernel.refused();
    assert!(
        refused.iter().any(|(reason, count)| *reason == RefusedReason::Duplicate && *count > 1),
        "{refused:?}"
    );
    let mut duplicates = 0;
    while let Ok(event) = tokio::time::timeout(SECOND / 100, events.recv()).await {
        duplicates += u32::from(matches!(event, Ok(Some(PeerEvent::Duplicate { .. }))));
    }
    assert!((1..=3).contains(&duplicates), "{duplicates} events for {refused:?}");
}
