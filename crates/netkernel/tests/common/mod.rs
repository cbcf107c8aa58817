//! What the tests of a kernel share: nodes on a network in memory, and a dispatch that shows what arrives.
#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: each file uses its own part, and fails by panicking"
)]

pub(crate) mod line;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::{
    Address, Builder, Config, Cookie, Dispatch, Incarnation, Kernel, MemoryNetwork, Net, NodeId, Noise, Peer,
    PeerEvent, Refusal, Responder, ServerName,
};
use tokio::sync::mpsc;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A cluster's cookie, the same for all tests; `other` gives one of another cluster.
pub(crate) fn cookie(other: bool) -> Cookie {
    (if other { "1" } else { "0" }).repeat(64).parse().unwrap()
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn server(name: &str) -> ServerName {
    ServerName::new(name).unwrap()
}

/// One node and what arrives at it.
pub(crate) struct TestNode {
    pub(crate) kernel: Kernel,
    pub(crate) casts: mpsc::Receiver<(NodeId, Bytes)>,
    pub(crate) held: mpsc::Receiver<Responder>,
}

impl TestNode {
    pub(crate) fn id(&self) -> NodeId {
        self.kernel.local().id
    }

    pub(crate) fn address(&self) -> Address {
        self.kernel.local().address
    }

    /// Wishes for a session to another node.
    pub(crate) fn connect(&self, other: &TestNode) {
        self.kernel.connect(&other.id(), &other.address());
    }

    /// Calls the other node's echo server.
    pub(crate) async fn echo(&self, other: &TestNode, text: &str) -> Result<Bytes, netkernel::CallError> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.kernel.call(&other.id(), &server("echo"), body, 10 * SECOND).await
    }

    /// Whether a session to the other node is up.
    pub(crate) fn sees(&self, other: &TestNode) -> bool {
        self.kernel.peers().iter().any(|peer| peer.id == other.id() && peer.connected)
    }

    /// The number of sessions to the other node that are alive.
    pub(crate) fn sessions(&self, other: &TestNode) -> usize {
        self.kernel.peers().iter().find(|peer| peer.id == other.id()).map_or(0, |peer| peer.sessions)
    }
}

/// Answers `echo` and the control server's calls, holds the calls for `hold`, drops those for `drop`, and shows casts to `sink`.
struct Show {
    casts: mpsc::Sender<(NodeId, Bytes)>,
    held: mpsc::Sender<Responder>,
}

impl Dispatch for Show {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        match server.as_str() {
            "sink" => self.casts.try_send((from.node.id.clone(), body)).map_err(|_| Refusal::Overloaded),
            _ => Err(Refusal::NoProc),
        }
    }

    fn call(&self, _from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        match server.as_str() {
            "echo" | "$control" => responder.reply(body),
            "hold" => drop(self.held.try_send(responder)),
            "drop" => drop(responder),
            _ => responder.refuse(Refusal::NoProc),
        }
    }
}

/// A node's configuration: named, in memory, listening on any port of the host of its name.
pub(crate) fn config(network: &MemoryNetwork, name: &str, incarnation: u64) -> Builder {
    Config::builder(id(name), Noise::new(&cookie(false)))
        .transport(network.host(name))
        .listen(Address::new(name, 0).unwrap())
        .incarnation(Incarnation(incarnation))
}

pub(crate) async fn start(config: Builder) -> TestNode {
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    let (casts, casts_seen) = mpsc::channel(100_000);
    let (held, held_seen) = mpsc::channel(1_000);
    kernel.serve(Arc::new(Show { casts, held }));
    TestNode { kernel, casts: casts_seen, held: held_seen }
}

pub(crate) async fn node(network: &MemoryNetwork, name: &str) -> TestNode {
    start(config(network, name, 1)).await
}

/// The next event that `wanted` accepts.
pub(crate) async fn event(kernel: &Kernel, wanted: impl Fn(&PeerEvent) -> bool) -> PeerEvent {
    let mut events = kernel.events();
    next(&mut events, wanted).await
}

/// The next event that `wanted` accepts, from a stream taken earlier.
pub(crate) async fn next(
    events: &mut netkernel::PeerEvents,
    wanted: impl Fn(&PeerEvent) -> bool,
) -> PeerEvent {
    loop {
        let event = events.recv().await.unwrap().expect("the kernel still runs");
        if wanted(&event) {
            return event;
        }
    }
}

/// Lets every task run until nothing is left to do but wait; only for tests whose clock is paused.
pub(crate) async fn settle() {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// One small mailbox for everybody; calls are echoed if it has room.
struct Small(mpsc::Sender<(Arc<Peer>, Bytes)>);

impl Dispatch for Small {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if server.as_str() == "nobody" {
            return Err(Refusal::NoProc);
        }
        self.0.try_send((Arc::clone(from), body)).map_err(|_| Refusal::Overloaded)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        if self.0.capacity() == 0 { responder.refuse(Refusal::Overloaded) } else { responder.reply(body) }
    }
}

/// A node whose mailbox holds so many messages.
pub(crate) async fn small(
    network: &MemoryNetwork,
    name: &str,
    room: usize,
) -> (Kernel, mpsc::Receiver<(Arc<Peer>, Bytes)>) {
    small_with(config(network, name, 1), room).await
}

/// The same, configured otherwise.
pub(crate) async fn small_with(config: Builder, room: usize) -> (Kernel, mpsc::Receiver<(Arc<Peer>, Bytes)>) {
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    let (sender, mailbox) = mpsc::channel(room);
    kernel.serve(Arc::new(Small(sender)));
    (kernel, mailbox)
}
