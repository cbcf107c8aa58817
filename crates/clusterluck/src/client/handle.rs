//! A client's handle.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use genserver::{Addr, GenServer, LocalAddr, System};
use gossip::{RingMember, RingName};
use hashring::HashRing;
use netkernel::{
    Accepted, Address, Dispatch, Kernel, Net, NodeId, Peer, Refusal, Responder, ServerName, Stopped,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::builder::{Builder, ConnectError};
use super::follower::{FollowError, Follower};
use super::known::{Known, Links};

/// A client of a cluster. Clones are the same client; when the last is dropped it is told to stop.
#[derive(Clone)]
pub struct Client {
    kernel: Kernel,
    servers: System,
    links: Arc<Links>,
    known: watch::Receiver<Option<Arc<Known>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: Arc<StopOnDrop>,
}

/// Ends everything once the last handle is gone. The layers hold each other, so nothing ends by itself.
struct StopOnDrop {
    kernel: Kernel,
    servers: System,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stop.cancel();
        let (kernel, servers) = (self.kernel.clone(), self.servers.clone());
        let ending = async move {
            kernel.shutdown(Duration::ZERO).await;
            servers.shutdown(Duration::ZERO).await;
        };
        self.tasks.spawn_on(ending, &self.runtime);
    }
}

/// What a client is put together from.
pub(super) struct Parts {
    pub(super) kernel: Kernel,
    pub(super) seeds: Vec<Address>,
    pub(super) ring: Option<RingName>,
    pub(super) start: usize,
}

impl Client {
    /// Begins to set up a client. A cookie and a node to ask are needed.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) async fn connect(parts: Parts, within: Duration) -> Result<Self, ConnectError> {
        let Parts { kernel, seeds, ring, start } = parts;
        let servers = System::new(Arc::new(kernel.clone()) as Arc<dyn Net>, genserver::Config::default());
        kernel.serve(Arc::new(Servers(servers.dispatch())));
        let links = Arc::new(Links::new(kernel.clone()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let stop_on_drop = StopOnDrop {
            kernel: kernel.clone(),
            servers: servers.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let known = links.known();
        let client = Self {
            kernel: kernel.clone(),
            servers,
            links: Arc::clone(&links),
            known,
            tasks: tasks.clone(),
            stop: stop.clone(),
            _stop_on_drop: Arc::new(stop_on_drop),
        };
        let failed = watch::Sender::new(None::<Arc<FollowError>>);
        let last = failed.subscribe();
        let follower = Follower { kernel, seeds, ring, start, links, failed };
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follower.run() => {}
            }
        });
        let mut first = client.known.clone();
        match tokio::time::timeout(within, first.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => {}
            _ => return Err(ConnectError::NobodyAnswered { within, source: last.borrow().clone() }),
        }
        Ok(client)
    }

    /// This client's id: random, and of no meaning to the ring.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.kernel.local().id
    }

    /// The ring as the member that is followed sees it now: who owns which key. A snapshot, and cheap to take.
    #[must_use]
    pub fn ring(&self) -> HashRing<RingMember> {
        self.known().ring.clone()
    }

    /// The ring's name.
    #[must_use]
    pub fn ring_name(&self) -> String {
        self.known().name.clone()
    }

    /// Waits until the ring fulfils the condition, and gives it; `None` if the client is stopped first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, nothing is lost.
    pub async fn until(
        &self,
        mut condition: impl FnMut(&HashRing<RingMember>) -> bool,
    ) -> Option<HashRing<RingMember>> {
        let mut known = self.known.clone();
        let fulfils = |known: &Option<Arc<Known>>| known.as_ref().is_some_and(|known| condition(&known.ring));
        tokio::select! {
            () = self.stop.cancelled() => None,
            known = known.wait_for(fulfils) => known.ok()?.as_ref().map(|known| known.ring.clone()),
        }
    }

    /// The address of a gen_server on a node of the ring, with which a session is kept from now on. Nothing is sent:
    /// whether the server exists shows when it is called.
    #[must_use]
    pub fn addr<S: GenServer>(&self, node: &NodeId, name: &str) -> Addr<S> {
        self.links.wish(node);
        self.servers.addr::<S>(node, name)
    }

    /// Whether there is a session with this node now.
    #[must_use]
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.kernel.peers().iter().any(|peer| peer.id == *node && peer.connected)
    }

    /// Starts a gen_server of this client's own, for nodes it has a session with to answer to.
    ///
    /// # Errors
    ///
    /// [`genserver::StartError`]; nothing of the server is left.
    pub async fn spawn<S: GenServer>(
        &self,
        name: &str,
        server: S,
    ) -> Result<LocalAddr<S>, genserver::StartError> {
        self.servers.spawn(name, server).await
    }

    /// This client's end of the mesh.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Stops this client, all within `within`: stops its gen_servers, sends what waits and closes every session.
    pub async fn shutdown(&self, within: Duration) -> Stopped {
        let deadline = tokio::time::Instant::now() + within;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let servers = self.servers.shutdown(within / 2).await;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match self.kernel.shutdown(left).await {
            Stopped::Drained if servers == genserver::Stopped::Drained => Stopped::Drained,
            _ => Stopped::Forced,
        }
    }

    fn known(&self) -> Arc<Known> {
        self.known.borrow().clone().expect("a client is handed out once it knows the ring")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What arrives at a client is for its gen_servers.
struct Servers(Arc<dyn Dispatch>);

impl Dispatch for Servers {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if server.is_system() { Err(Refusal::NoProc) } else { self.0.cast(from, server, body) }
    }

    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        if server.is_system() {
            return Accepted::of_each(server, bodies, |_| Err(Refusal::NoProc));
        }
        self.0.casts(from, server, bodies)
    }

    fn wake_with_room(&self, server: &ServerName, next: &Bytes, waker: &Waker) {
        if !server.is_system() {
            self.0.wake_with_room(server, next, waker);
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        if server.is_system() {
            responder.refuse(Refusal::NoProc);
        } else {
            self.0.call(from, server, body, responder);
        }
    }
}

#[cfg(test)]
mod tests {
    use genserver::Config;
    use genserver::testing::Gated;
    use netkernel::testing::{self, LocalMesh, Recorder};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_in_for_a_client_is_a_dispatch() {
        let net = LocalMesh::new().node(NodeId::new("a").unwrap(), Arc::new(Recorder::default()));
        let from = net.local();
        let system = System::new(Arc::new(net), Config::default().mailbox_messages(40));
        let mut gated = Gated::start(&system, "gated").await.unwrap();
        let absent = ServerName::new("absent").unwrap();
        testing::dispatch(&Servers(system.dispatch()), &from, &absent, &mut gated).await;
    }
}
