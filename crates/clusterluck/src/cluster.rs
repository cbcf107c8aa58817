//! A node's handle.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use genserver::{Addr, GenServer, LocalAddr, System};
use gossip::{Gossip, Operation, RingName, View};
use netkernel::{Address, Dispatch, Kernel, Net, Node, NodeId, Stopped};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::builder::Builder;
use crate::control;
use crate::events::Events;
use crate::journal::Journal;
use crate::metrics::{self, Metric};
use crate::router::Router;
use crate::seeds;

/// One node of a cluster. Clones are the same node; when the last is dropped the node is told to stop, without
/// the farewell that [`shutdown`](Cluster::shutdown) says.
#[derive(Clone)]
pub struct Cluster {
    kernel: Kernel,
    gossip: Gossip,
    servers: System,
    tasks: TaskTracker,
    stop: CancellationToken,
    started: Instant,
    _stop_on_drop: Arc<StopOnDrop>,
}

/// Ends everything once the last handle is gone. The layers hold each other, so nothing ends by itself.
struct StopOnDrop {
    kernel: Kernel,
    gossip: Gossip,
    servers: System,
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: tokio::runtime::Handle,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.stop.cancel();
        let (kernel, gossip, servers) = (self.kernel.clone(), self.gossip.clone(), self.servers.clone());
        let ending = async move {
            kernel.shutdown(Duration::ZERO).await;
            // Nobody is left to hear that there was no time for a farewell.
            let _hurried = gossip.shutdown(Duration::ZERO).await;
            servers.shutdown(Duration::ZERO).await;
        };
        self.tasks.spawn_on(ending, &self.runtime);
    }
}

/// What a cluster is put together from.
pub(crate) struct Parts {
    pub(crate) kernel: Kernel,
    pub(crate) gossip: Gossip,
    pub(crate) seeds: Vec<Address>,
}

/// Why a node was not met.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MeetError {
    /// The address is not one.
    #[error(transparent)]
    Address(#[from] netkernel::AddressError),
    /// The meeting failed.
    #[error(transparent)]
    Gossip(#[from] gossip::MeetError),
}

impl Cluster {
    /// Begins to set up a node of this id. Everything else has a default: listening on any free port of the loopback
    /// interface, the [user's own cookie](crate::user_cookie), the ring `clusterluck`, nothing stored.
    pub fn builder(id: impl Into<String>) -> Builder {
        Builder::new(id.into())
    }

    pub(crate) fn assemble(parts: Parts) -> Self {
        let Parts { kernel, gossip, seeds } = parts;
        let net: Arc<dyn Net> = Arc::new(kernel.clone());
        let servers = System::new(net, genserver::Config::default());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let started = Instant::now();
        let journal = Arc::new(Journal::new(kernel.local().incarnation.0));
        let (kept, events) = (Arc::clone(&journal), Events::new(gossip.events(), kernel.events()));
        tasks.spawn(until(stop.clone(), async move { kept.keep(events).await }));
        let control = control::Server::new(
            control::Operated {
                kernel: kernel.clone(),
                gossip: gossip.clone(),
                servers: servers.clone(),
                started,
                journal,
            },
            tasks.clone(),
            stop.clone(),
        );
        let router = Router { gossip: gossip.clone(), servers: servers.dispatch(), control };
        kernel.serve(Arc::new(router) as Arc<dyn Dispatch>);
        for seed in seeds {
            tasks.spawn(until(stop.clone(), seeds::meet(gossip.clone(), seed)));
        }
        let stop_on_drop = StopOnDrop {
            kernel: kernel.clone(),
            gossip: gossip.clone(),
            servers: servers.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        Self { kernel, gossip, servers, tasks, stop, started, _stop_on_drop: Arc::new(stop_on_drop) }
    }

    /// This node: its id, the address others reach it at, and its present incarnation.
    #[must_use]
    pub fn node(&self) -> Node {
        self.kernel.local()
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.node().id
    }

    /// Where others reach this node.
    #[must_use]
    pub fn address(&self) -> Address {
        self.node().address
    }

    /// The ring as this node sees it now: members, weights, and who owns which key. A snapshot: cheap to take, and
    /// it does not change under its reader.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.gossip.view()
    }

    /// What happens from now on, to the ring and to the links.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.gossip.events(), self.kernel.events())
    }

    /// The node's counters now, for whatever collects them.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        metrics::measure(&self.kernel, &self.gossip, &self.servers, self.started.elapsed())
    }

    /// Becomes one ring with the node at `address` (`host:port`) and all it knows.
    ///
    /// # Errors
    ///
    /// [`MeetError`] says what was tried, and whether anything changed.
    pub async fn meet(&self, address: impl AsRef<str>) -> Result<Operation, MeetError> {
        let address: Address = address.as_ref().parse()?;
        Ok(self.gossip.meet(&address).await?)
    }

    /// Is in this ring from now on, alone until it meets someone. Only for a node that is in none.
    ///
    /// # Errors
    ///
    /// [`gossip::JoinError`]
    pub async fn join(&self, ring: RingName) -> Result<Operation, gossip::JoinError> {
        self.gossip.join(ring).await
    }

    /// Leaves the ring for good: this node's keys pass to others. Waits until some members have acknowledged it,
    /// unless `force` is set.
    ///
    /// # Errors
    ///
    /// [`gossip::LeaveError`]; this node is still a member.
    pub async fn leave(&self, force: bool) -> Result<Operation, gossip::LeaveError> {
        self.gossip.leave(force).await
    }

    /// Starts a gen_server under a name that is unique on this node.
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

    /// The address of a gen_server on any node, this one included. Nothing is sent: whether it exists shows when
    /// it is called.
    #[must_use]
    pub fn addr<S: GenServer>(&self, node: &NodeId, name: &str) -> Addr<S> {
        self.servers.addr::<S>(node, name)
    }

    /// Membership in all its operations and events.
    pub fn gossip(&self) -> &Gossip {
        &self.gossip
    }

    /// The gen_servers of this node.
    #[must_use]
    pub fn servers(&self) -> &System {
        &self.servers
    }

    /// This node's end of the mesh.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Stops this node, all within `within`: tells the members that it is going for a while, stops the gen_servers,
    /// sends what waits, closes every session and ends every task. It stays a member, so no key moves for good; to
    /// go for good, [`leave`](Self::leave) first.
    pub async fn shutdown(&self, within: Duration) -> Stopped {
        let deadline = Instant::now() + within.min(SHUTDOWN_MAX);
        let left = || deadline.saturating_duration_since(Instant::now());
        self.stop.cancel();
        // Callers pass this node over from now on. With nobody to hear it, or no time, it just stops.
        let _told = tokio::time::timeout(left() / 4, self.gossip.set_draining(true)).await;
        let servers = self.servers.shutdown(left() / 2).await == genserver::Stopped::Drained;
        let gossip = self.gossip.shutdown(left() / 2).await.is_ok();
        self.tasks.close();
        let commands = tokio::time::timeout(left(), self.tasks.wait()).await.is_ok();
        match self.kernel.shutdown(left()).await {
            Stopped::Drained if servers && gossip && commands => Stopped::Drained,
            _ => Stopped::Forced,
        }
    }
}

/// Does the work, or ends it where it awaits when told to stop.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("node", &self.node()).finish_non_exhaustive()
    }
}

/// Longer than anyone waits; keeps the clock from overflowing.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
