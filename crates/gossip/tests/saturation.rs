//! Probes on links that applications keep full: real kernels and gossip, lines of a limited rate, a paused clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use gossip::liveness::Liveness;
use gossip::{Config, Event, Gossip, MemoryStore, RingName};
use netkernel::{
    Address, BoxFuture, Connection, Dispatch, Kernel, Listener, MemoryNetwork, Net, NodeId, Noise, Peer,
    Refusal, Responder, ServerName, Transport,
};
use tokio::io::AsyncWrite;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, timeout};

/// Gossip goes to gossip; what the applications send is counted.
#[derive(Default)]
struct Door {
    gossip: OnceLock<Gossip>,
    taken_bytes: AtomicUsize,
}

impl Dispatch for Door {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if server.as_str() == SINK {
            self.taken_bytes.fetch_add(body.len(), Ordering::Relaxed);
            return Ok(());
        }
        self.gossip.get().ok_or(Refusal::NoProc)?.deliver(from, body)
    }

    fn call(&self, _: &Arc<Peer>, _: &ServerName, _: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}

struct Node {
    kernel: Kernel,
    gossip: Gossip,
    door: Arc<Door>,
}

async fn start(network: &MemoryNetwork, name: &str) -> Node {
    let cookie = "0".repeat(64).parse().unwrap();
    let config = netkernel::Config::builder(NodeId::new(name).unwrap(), Noise::new(&cookie));
    let line = Line::new(network.host(name), BYTES_A_SECOND);
    let config = config.transport(line).listen(Address::new(name, 7_022).unwrap());
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    let settings = Config::builder().ring(RingName::new("ring").unwrap()).build().unwrap();
    let store = Arc::new(MemoryStore::new());
    let gossip = Gossip::start(Arc::new(kernel.clone()), settings, store).await.unwrap();
    let door = Arc::new(Door::default());
    assert!(door.gossip.set(gossip.clone()).is_ok());
    kernel.serve(Arc::clone(&door) as Arc<dyn Dispatch>);
    Node { kernel, gossip, door }
}

/// Every node sends casts of this size to every other as fast as it may, and nobody is suspected for it.
async fn nobody_is_suspected_while_links_are_full_of(body_bytes: usize) {
    let network = MemoryNetwork::new();
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let node = start(&network, name).await;
        if let Some(last) = nodes.last() {
            node.gossip.meet(&last.kernel.local().address).await.unwrap();
        }
        nodes.push(node);
    }
    for node in &nodes {
        let mut views = node.gossip.watch();
        timeout(LIMIT, views.until(|view| view.ring().len() == nodes.len())).await.unwrap().unwrap();
    }
    let mut events: Vec<_> = nodes.iter().map(|node| node.gossip.events()).collect();
    let mut floods = JoinSet::new();
    let ids: Vec<NodeId> = nodes.iter().map(|node| node.kernel.local().id).collect();
    for (node, to) in nodes.iter().flat_map(|node| ids.iter().map(move |to| (node, to.clone()))) {
        if node.kernel.local().id == to {
            continue;
        }
        let (kernel, body) = (node.kernel.clone(), Bytes::from(vec![7; body_bytes]));
        floods.spawn(async move {
            let sink = ServerName::new(SINK).unwrap();
            while kernel.cast(&to, &sink, body.clone(), LIMIT).await.is_ok() {}
            panic!("a cast to {to} waited for longer than {LIMIT:?}");
        });
    }
    let end = Instant::now() + WATCHED;
    for events in &mut events {
        while let Ok(event) = tokio::time::timeout_at(end, events.recv()).await {
            let event = event.unwrap().expect("gossip still runs");
            assert!(!matches!(event, Event::Suspect { .. } | Event::Down { .. }), "{event:?}");
        }
    }
    assert!(floods.try_join_next().is_none(), "all floods go on");
    for node in &nodes {
        assert!(node.gossip.view().members().iter().all(|member| member.liveness == Liveness::Alive));
        let wanted = BYTES_A_SECOND * (nodes.len() - 1) * WATCHED.as_secs() as usize * 2 / 3;
        let taken = node.door.taken_bytes.load(Ordering::Relaxed);
        assert!(taken > wanted, "{taken} bytes came: the lines were not full");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_suspected_while_links_are_full_of_large_messages() {
    nobody_is_suspected_while_links_are_full_of(256 * 1_024).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_suspected_while_links_are_full_of_small_messages() {
    nobody_is_suspected_while_links_are_full_of(512).await;
}

/// Connections as another transport makes them, slowed down.
#[derive(Debug)]
struct Line<T> {
    inner: T,
    bytes_a_second: usize,
}

impl<T> Line<T> {
    fn new(inner: T, bytes_a_second: usize) -> Self {
        Self { inner, bytes_a_second }
    }
}

impl<T: Transport> Transport for Line<T> {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.inner.bind(address).await?;
            Ok(Box::new(Bound { inner, bytes_a_second: self.bytes_a_second }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move { Ok(slow(self.inner.connect(address).await?, self.bytes_a_second)) })
    }
}

#[derive(Debug)]
struct Bound {
    inner: Box<dyn Listener>,
    bytes_a_second: usize,
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async { Ok(slow(self.inner.accept().await?, self.bytes_a_second)) })
    }
}

fn slow(connection: Connection, bytes_a_second: usize) -> Connection {
    let Connection { read, write, remote, .. } = connection;
    let free = Box::pin(tokio::time::sleep_until(Instant::now()));
    Connection::new(read, Slow { inner: write, bytes_a_second, free }, remote)
}

struct Slow {
    inner: Box<dyn AsyncWrite + Send + Unpin>,
    bytes_a_second: usize,
    /// When the line has carried what was written.
    free: Pin<Box<Sleep>>,
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.free.as_mut().poll(context));
        let part = &bytes[..bytes.len().min(PACKET_BYTES)];
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, part))?;
        let took = Duration::from_secs_f64(written as f64 / self.bytes_a_second as f64);
        let free_at = self.free.deadline().max(Instant::now()) + took;
        self.free.as_mut().reset(free_at);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// What is written at a time: some milliseconds of the line.
const PACKET_BYTES: usize = 16 * 1_024;

const SINK: &str = "sink";
/// One direction of one link.
const BYTES_A_SECOND: usize = 1 << 20;
/// Several suspicions long.
const WATCHED: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(60);
