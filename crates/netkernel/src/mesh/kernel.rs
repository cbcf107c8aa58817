//! The kernel: the handle users hold, and what its tasks share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{acceptor, establish, supervisor};
use crate::call::{Call, CallId, Inbound, ReplySink, ReplySlot, Responder};
use crate::config::Config;
use crate::error::{CallError, ConnectError, Refusal, SendError, Stage};
use crate::link::Link;
use crate::net::{BoxFuture, Dispatch, Net, Peer, PeerEvent, PeerEvents, PeerStatus};
use crate::node::{Address, Incarnation, Node, NodeId, Role, ServerName};
use crate::proto::hello::Hello;
use crate::transport::Listener;

/// A node's end of the mesh. Clones are the same kernel; when the last is dropped its tasks are told to stop.
///
/// See the [crate's front page](crate) for an example.
#[derive(Clone)]
pub struct Kernel {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// What the handle and all tasks share.
pub(super) struct Shared {
    pub(super) config: Config,
    node: Mutex<Node>,
    instance: u64,
    connections: AtomicU64,
    calls: AtomicU64,
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    pub(super) events: broadcast::Sender<PeerEvent>,
    dispatch: OnceLock<Arc<dyn Dispatch>>,
    pub(super) tasks: TaskTracker,
    /// No new sessions.
    pub(super) closing: CancellationToken,
    /// Everything ends now.
    pub(super) stop: CancellationToken,
    listener: Mutex<Option<Box<dyn Listener>>>,
}

/// Why a kernel could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address asked for.
        address: Address,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Randomness,
    /// The node listens everywhere, but an address everywhere cannot be dialed.
    #[error("listening at {address} needs an address to advertise, at which others reach this node")]
    Advertise {
        /// The address asked for.
        address: Address,
    },
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything queued was sent and every session was closed by both ends.
    Drained,
    /// The time was up; what remained was dropped.
    Forced,
}

impl Kernel {
    /// Listens, if the configuration says so. Nothing is accepted or dialed before [`serve`](Self::serve); messages
    /// for nodes named to [`connect`](Net::connect) wait until then.
    ///
    /// Has to be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BindError`]
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let listener = match &config.listen {
            None => None,
            Some(address) => {
                let bound = config.transport.bind(address).await;
                Some(bound.map_err(|source| BindError::Listen { address: address.clone(), source })?)
            }
        };
        let address = match (&config.advertise, &listener) {
            (Some(address), _) => address.clone(),
            (None, Some(listener)) => dialable(listener.local_address())?,
            (None, None) => Address::new("0.0.0.0", 0).expect("the address of nobody is well-formed"),
        };
        let node = Node { id: config.id.clone(), address, incarnation: config.incarnation };
        let stop = CancellationToken::new();
        let shared = Shared {
            node: Mutex::new(node),
            instance: random()?,
            connections: AtomicU64::new(0),
            // A random start, so that a reply to an earlier run of this node finds no call here. The upper bit
            // is left to other numbers.
            calls: AtomicU64::new(random()? >> 2),
            links: Mutex::new(BTreeMap::new()),
            events: broadcast::Sender::new(EVENTS_MAX),
            dispatch: OnceLock::new(),
            tasks: TaskTracker::new(),
            closing: stop.child_token(),
            stop: stop.clone(),
            listener: Mutex::new(listener),
            config,
        };
        Ok(Self { shared: Arc::new(shared), _stop: Arc::new(stop.drop_guard()) })
    }

    /// Starts to accept and to dial; what arrives goes to `dispatch`. Has an effect the first time only.
    pub fn serve(&self, dispatch: Arc<dyn Dispatch>) {
        if self.shared.dispatch.set(dispatch).is_err() {
            return;
        }
        let listener = self.shared.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            self.shared.spawn(acceptor::run(Arc::clone(&self.shared), listener));
        }
        let links: Vec<Arc<Link>> = self.shared.links().values().cloned().collect();
        for link in links {
            if let Some(wish) = link.wish() {
                self.shared.spawn(supervisor::run(Arc::clone(&self.shared), link, wish));
            }
        }
    }

    /// Stops accepting and dialing, sends what is queued, closes every session in good order and waits for every
    /// task, all within `within`; after that, what remains is dropped.
    pub async fn shutdown(&self, within: Duration) -> Stopped {
        let shared = &self.shared;
        shared.closing.cancel();
        shared.tasks.close();
        let links: Vec<Arc<Link>> = shared.links().values().cloned().collect();
        for link in &links {
            link.end_wish();
            link.end_sessions(true);
        }
        let drained = tokio::time::timeout(within, shared.tasks.wait()).await.is_ok();
        shared.stop.cancel();
        for link in &links {
            link.close();
        }
        shared.tasks.wait().await;
        shared.links().clear();
        if drained { Stopped::Drained } else { Stopped::Forced }
    }
}

impl Shared {
    /// Spawns a task of this kernel: counted, and ended with it.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn node(&self) -> Node {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dispatch(&self) -> Option<Arc<dyn Dispatch>> {
        self.dispatch.get().cloned()
    }

    fn link(&self, id: &NodeId) -> Option<Arc<Link>> {
        self.links().get(id).cloned()
    }

    /// The link to a node, made if there is none, and kept as long as the visit lasts.
    pub(super) fn visit(self: &Arc<Self>, id: &NodeId) -> Visit {
        let mut links = self.links();
        let limits = &self.config.limits;
        let link = links.entry(id.clone()).or_insert_with(|| Link::new(id.clone(), limits.clone()));
        link.visitors.fetch_add(1, Ordering::Relaxed);
        Visit { link: Arc::clone(link), shared: Arc::clone(self) }
    }

    /// Removes a link that nothing keeps.
    pub(super) fn forget_if_idle(&self, link: &Arc<Link>) {
        let mut links = self.links();
        if link.is_idle() && links.get(link.id()).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(link.id());
            drop(links);
            link.close();
        }
    }

    /// What this end says of itself in a handshake.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            node: self.node(),
            role: self.config.role,
            instance: self.instance,
            connection: self.connections.fetch_add(1, Ordering::Relaxed),
            features: 0,
        }
    }

    pub(super) fn is_self(&self, hello: &Hello) -> bool {
        hello.instance == self.instance
    }

    pub(super) fn emit(&self, event: PeerEvent) {
        tracing::debug!(node = %self.config.id, ?event, "peer event");
        // Nobody listening is fine: the state can be asked for.
        let _listeners = self.events.send(event);
    }

    pub(super) fn call_id(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn check_size(&self, body: &Bytes) -> Result<(), usize> {
        let max = self.config.limits.message_bytes_max;
        if body.len() > max { Err(max) } else { Ok(()) }
    }

    /// The link a message for `to` goes by, after the checks that cost nothing.
    fn outgoing(&self, to: &NodeId, body: Bytes) -> Result<(Arc<Link>, Bytes), SendError> {
        if self.closing.is_cancelled() {
            return Err(SendError::ShuttingDown { body });
        }
        if let Err(max) = self.check_size(&body) {
            return Err(SendError::TooLarge { bytes: body.len(), max, body });
        }
        match self.link(to) {
            Some(link) => Ok((link, body)),
            None => Err(SendError::NotConnected { node: to.clone(), body }),
        }
    }

    /// This node as a peer of itself.
    fn myself(&self) -> Arc<Peer> {
        Arc::new(Peer { node: self.node(), role: self.config.role })
    }

    fn cast_here(&self, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        let Some(dispatch) = self.dispatch.get() else {
            return Err(SendError::NotConnected { node: self.config.id.clone(), body });
        };
        dispatch.cast(&self.myself(), server, body).map_err(|refusal| SendError::Refused { refusal })
    }

    fn call_here(
        &self,
        server: &ServerName,
        body: Bytes,
        slot: ReplySlot,
        deadline: Instant,
    ) -> Result<Arc<Inbound>, CallError> {
        let Some(dispatch) = self.dispatch.get() else {
            return Err(CallError::NotConnected { node: self.config.id.clone() });
        };
        let inbound = Inbound::new(self.call_id(), deadline, Arc::new(ReplyHere(Mutex::new(Some(slot)))));
        dispatch.call(&self.myself(), server, body, Responder::new(Arc::clone(&inbound)));
        Ok(inbound)
    }
}

/// Keeps a link while a session or a wish may come of it, and leaves none behind if nothing does.
pub(super) struct Visit {
    pub(super) link: Arc<Link>,
    shared: Arc<Shared>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.link.visitors.fetch_sub(1, Ordering::Relaxed);
        self.shared.forget_if_idle(&self.link);
    }
}

/// Answers a call this node made to itself.
struct ReplyHere(Mutex<Option<ReplySlot>>);

impl ReplySink for ReplyHere {
    fn reply(&self, _id: CallId, outcome: Result<Bytes, Refusal>) {
        if let Some(slot) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone = slot.send(outcome.map_err(CallError::from));
        }
    }
}

impl Net for Kernel {
    fn local(&self) -> Node {
        self.shared.node()
    }

    fn set_incarnation(&self, incarnation: Incarnation) {
        {
            let mut node = self.shared.node.lock().unwrap_or_else(PoisonError::into_inner);
            if incarnation <= node.incarnation {
                return;
            }
            node.incarnation = incarnation;
        }
        let links: Vec<Arc<Link>> = self.shared.links().values().cloned().collect();
        for link in links.iter().filter(|link| link.carries(Role::Node)) {
            link.end_sessions(true);
        }
    }

    fn try_cast(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        if *to == self.shared.config.id {
            return self.shared.cast_here(server, body);
        }
        let (link, body) = self.shared.outgoing(to, body)?;
        link.try_cast(server, body)
    }

    fn cast<'a>(
        &'a self,
        to: &'a NodeId,
        server: &'a ServerName,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        let deadline = Instant::now() + timeout;
        Box::pin(async move {
            if *to == self.shared.config.id {
                return self.shared.cast_here(server, body);
            }
            let (link, body) = self.shared.outgoing(to, body)?;
            link.cast(server, body, deadline).await
        })
    }

    fn call(&self, to: &NodeId, server: &ServerName, body: Bytes, timeout: Duration) -> Call {
        Call::start(timeout, |slot, deadline| {
            if *to == self.shared.config.id {
                let inbound = self.shared.call_here(server, body, slot, deadline)?;
                return Ok(Box::new(move || {
                    inbound.cancel();
                    Stage::Sent
                }));
            }
            let (link, body) = self.shared.outgoing(to, body).map_err(unsent)?;
            let id = self.shared.call_id();
            link.call(id, server, body, slot, deadline)?;
            Ok(Box::new(move || link.abandon(id)))
        })
    }

    fn ping<'a>(&'a self, to: &'a NodeId, timeout: Duration) -> BoxFuture<'a, Result<Duration, CallError>> {
        Box::pin(async move {
            if *to == self.shared.config.id {
                return Ok(Duration::ZERO);
            }
            let (link, _body) = self.shared.outgoing(to, Bytes::new()).map_err(unsent)?;
            ping(&self.shared, &link, timeout).await
        })
    }

    fn connect(&self, id: &NodeId, address: &Address) {
        if *id == self.shared.config.id || self.shared.closing.is_cancelled() {
            return;
        }
        let visit = self.shared.visit(id);
        if let Some(wish) = visit.link.set_wish(address)
            && self.shared.dispatch.get().is_some()
        {
            let link = Arc::clone(&visit.link);
            self.shared.spawn(supervisor::run(Arc::clone(&self.shared), link, wish));
        }
    }

    fn dial<'a>(
        &'a self,
        address: &'a Address,
        expected: Option<&'a NodeId>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Node, ConnectError>> {
        Box::pin(async move {
            let dialing = establish::dial(&self.shared, address, expected);
            tokio::select! {
                () = self.shared.closing.cancelled() => Err(ConnectError::ShuttingDown),
                dialed = tokio::time::timeout(timeout, dialing) => {
                    dialed.unwrap_or_else(|_elapsed| Err(ConnectError::Timeout { address: address.clone() }))
                }
            }
        })
    }

    fn disconnect(&self, id: &NodeId, drain: bool) {
        let Some(link) = self.shared.link(id) else { return };
        link.end_wish();
        link.end_sessions(drain);
        self.shared.forget_if_idle(&link);
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let links: Vec<Arc<Link>> = self.shared.links().values().cloned().collect();
        links.iter().map(|link| link.status()).collect()
    }

    fn events(&self) -> PeerEvents {
        PeerEvents::new(self.shared.events.subscribe())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kernel").field("node", &self.shared.node()).finish_non_exhaustive()
    }
}

/// Asks a link's session for a sign of life and says how long it took.
pub(super) async fn ping(
    shared: &Shared,
    link: &Arc<Link>,
    timeout: Duration,
) -> Result<Duration, CallError> {
    let start = Instant::now();
    let pinged = Call::start(timeout, |slot, _deadline| {
        let id = shared.call_id();
        link.ping(id, slot)?;
        let link = Arc::clone(link);
        Ok(Box::new(move || link.abandon(id)))
    });
    pinged.await?;
    let round_trip = start.elapsed();
    link.set_round_trip(round_trip);
    Ok(round_trip)
}

/// A random number from the system.
pub(super) fn random() -> Result<u64, BindError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| BindError::Randomness)?;
    Ok(u64::from_le_bytes(bytes))
}

/// What a listener's own address tells others, unless it listens everywhere.
fn dialable(address: Address) -> Result<Address, BindError> {
    let everywhere = address.host().parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
    if everywhere { Err(BindError::Advertise { address }) } else { Ok(address) }
}

/// The same refusal, for a call.
fn unsent(error: SendError) -> CallError {
    match error {
        SendError::Busy { node, .. } => CallError::Busy { node },
        SendError::NotConnected { node, .. } => CallError::NotConnected { node },
        SendError::TooLarge { bytes, max, .. } => CallError::TooLarge { bytes, max },
        SendError::Refused { refusal } => CallError::Refused(refusal),
        SendError::ShuttingDown { .. } => CallError::ShuttingDown,
    }
}

/// Events a slow listener may be behind before it is told that it missed some.
const EVENTS_MAX: usize = 1_024;
