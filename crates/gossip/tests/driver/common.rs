//! What the tests share: real kernels on a network in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gossip::{Config, Event, Events, Gossip, MemoryStore, RingName, Store, View};
use netkernel::{
    Address, Dispatch, Kernel, MemoryNetwork, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// One node: its kernel and its gossip.
pub(crate) struct TestNode {
    pub(crate) kernel: Kernel,
    pub(crate) gossip: Gossip,
    pub(crate) door: Arc<Door>,
}

/// Hands gossip's messages to gossip, from when that has started until the door is shut.
#[derive(Default)]
pub(crate) struct Door(Mutex<Option<Gossip>>);

impl Door {
    /// Lets go of its handle, which the kernel would keep for as long as gossip keeps the kernel.
    pub(crate) fn shut(&self) {
        self.0.lock().unwrap().take();
    }
}

impl Dispatch for Door {
    fn cast(&self, from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        self.0.lock().unwrap().as_ref().ok_or(Refusal::NoProc)?.deliver(from, body)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn ring(name: &str) -> RingName {
    RingName::new(name).unwrap()
}

pub(crate) async fn kernel(network: &MemoryNetwork, name: &str) -> Kernel {
    let cookie = "0".repeat(64).parse().unwrap();
    let config = netkernel::Config::builder(id(name), Noise::new(&cookie));
    let config = config.transport(network.host(name)).listen(Address::new(name, 7_022).unwrap());
    // As rare as in full clusters, where gossip sees to it that dead sessions are found.
    let config = config.heartbeat(60 * SECOND, 2 * SECOND, 5 * SECOND);
    Kernel::bind(config.build().unwrap()).await.unwrap()
}

/// Starts a node with this configuration and store.
pub(crate) async fn start_with(
    network: &MemoryNetwork,
    name: &str,
    config: Config,
    store: Arc<dyn Store>,
) -> TestNode {
    let kernel = kernel(network, name).await;
    let gossip = Gossip::start(Arc::new(kernel.clone()), config, store).await.unwrap();
    let door = Arc::new(Door(Mutex::new(Some(gossip.clone()))));
    kernel.serve(Arc::clone(&door) as Arc<dyn Dispatch>);
    TestNode { kernel, gossip, door }
}

/// Starts a node that founds this ring.
pub(crate) async fn start(network: &MemoryNetwork, name: &str, ring_name: &str) -> TestNode {
    let config = Config::builder().ring(ring(ring_name)).build().unwrap();
    start_with(network, name, config, Arc::new(MemoryStore::new())).await
}

impl TestNode {
    pub(crate) fn id(&self) -> NodeId {
        self.kernel.local().id
    }

    pub(crate) fn address(&self) -> Address {
        self.kernel.local().address
    }

    /// Waits for a view that fulfils the condition.
    pub(crate) async fn until(&self, condition: impl FnMut(&View) -> bool) -> Arc<View> {
        let mut views = self.gossip.watch();
        let found = tokio::time::timeout(30 * SECOND, views.until(condition)).await;
        found.unwrap_or_else(|_| panic!("{:?} stays at {:#?}", self.id(), self.gossip.view())).unwrap()
    }

    pub(crate) async fn knows(&self, members: usize) {
        self.until(|view| view.ring().len() == members).await;
    }

    pub(crate) async fn stop(self) {
        self.gossip.shutdown(5 * SECOND).await.unwrap();
        self.kernel.shutdown(5 * SECOND).await;
    }
}

/// The next event that is wanted.
pub(crate) async fn next(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = tokio::time::timeout(30 * SECOND, events.recv()).await.expect("no such event");
        let event = event.unwrap().expect("gossip still runs");
        if wanted(&event) {
            return event;
        }
    }
}
