//! A [`Net`] without a network: nodes of one process that hand each other messages directly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::under_way::UnderWay;
use crate::call::{Call, Responder, deadline_after};
use crate::error::{CallError, ConnectError, Refusal, SendError, Stage};
use crate::events::{EventLog, PeerEvents};
use crate::net::{
    BoxFuture, Dispatch, DownReason, Net, Peer, PeerEvent, PeerState, PeerStatus, Queued, Traffic,
};
use crate::node::{Address, Incarnation, Node, NodeId, Role, ServerName};

/// Nodes that reach each other without sockets, sessions or security, for tests of what stands on a [`Net`].
///
/// A message is handed to its [`Dispatch`] before `try_cast` or `call` returns. Nothing waits for a node that is away:
/// there are no queues. For faults of a network take a [`Kernel`](crate::Kernel) over a
/// [`MemoryNetwork`](crate::MemoryNetwork).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use netkernel::testing::{LocalMesh, Recorder};
/// use netkernel::{Net, NodeId, ServerName};
///
/// let mesh = LocalMesh::new();
/// let at_b = Arc::new(Recorder::default());
/// let a = mesh.node(NodeId::new("a")?, Arc::new(Recorder::default()));
/// let b = mesh.node(NodeId::new("b")?, at_b.clone());
/// a.connect(&b.local().id, &b.local().address);
/// a.try_cast(&b.local().id, &ServerName::new("sink")?, "hello".into())?;
/// assert_eq!(at_b.casts(1).await[0].1, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct LocalMesh {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<NodeId, Entry>,
    /// Pairs that are connected, the lower id first.
    connected: BTreeSet<(NodeId, NodeId)>,
    /// Calls between two nodes that may not have ended.
    calls: Vec<((NodeId, NodeId), UnderWay)>,
}

struct Entry {
    node: Node,
    dispatch: Arc<dyn Dispatch>,
    events: EventLog,
    wishes: BTreeMap<NodeId, Address>,
}

/// One node of a [`LocalMesh`]. Dropped, it is gone.
pub struct LocalNet {
    id: NodeId,
    mesh: LocalMesh,
}

impl LocalMesh {
    /// A mesh without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, at the address of its name.
    ///
    /// # Panics
    ///
    /// If there is a node of this id, or the id cannot be the name of a host, as one with a space in it.
    #[must_use]
    pub fn node(&self, id: NodeId, dispatch: Arc<dyn Dispatch>) -> LocalNet {
        let address = Address::new(id.as_str(), 1).expect("an id of a test names a host");
        let node = Node { id: id.clone(), address, incarnation: Incarnation::default() };
        let mut inner = self.inner();
        let entry = Entry { node, dispatch, events: EventLog::new(), wishes: BTreeMap::new() };
        let known = inner.nodes.insert(id.clone(), entry);
        assert!(known.is_none(), "there is a node `{id}` already");
        let wishing: Vec<NodeId> = inner
            .nodes
            .iter()
            .filter(|(_, entry)| entry.wishes.contains_key(&id))
            .map(|(id, _)| id.clone())
            .collect();
        for other in wishing {
            inner.join(&other, &id);
        }
        drop(inner);
        LocalNet { id, mesh: self.clone() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn are_connected(&self, one: &NodeId, other: &NodeId) -> bool {
        one == other || self.connected.contains(&pair(one, other))
    }

    fn peer(&self, id: &NodeId) -> Arc<Peer> {
        Arc::new(Peer { node: self.nodes[id].node.clone(), role: Role::Node })
    }

    fn tell(&self, node: &NodeId, event: PeerEvent) {
        if let Some(entry) = self.nodes.get(node) {
            entry.events.send(event);
        }
    }

    fn join(&mut self, one: &NodeId, other: &NodeId) {
        if one != other && self.connected.insert(pair(one, other)) {
            self.tell(one, PeerEvent::Up { peer: self.peer(other) });
            self.tell(other, PeerEvent::Up { peer: self.peer(one) });
        }
    }

    fn part(&mut self, one: &NodeId, other: &NodeId, reason: DownReason) {
        let pair = pair(one, other);
        if self.connected.remove(&pair) {
            self.calls.extract_if(.., |(between, _)| *between == pair).for_each(|(_, call)| call.link_down());
            self.tell(one, PeerEvent::Down { peer: self.peer(other), reason });
            self.tell(other, PeerEvent::Down { peer: self.peer(one), reason: DownReason::Closed });
        }
    }

    /// A call begins, of one node to another.
    fn begin(&mut self, from: &NodeId, to: &NodeId, call: &UnderWay) {
        if self.calls.len() == self.calls.capacity() {
            self.calls.retain(|(_, call)| !call.is_over());
        }
        self.calls.push((pair(from, to), call.clone()));
    }

    /// Those connected to a node.
    fn peers_of(&self, id: &NodeId) -> Vec<NodeId> {
        self.nodes.keys().filter(|other| *other != id && self.are_connected(id, other)).cloned().collect()
    }
}

fn pair(one: &NodeId, other: &NodeId) -> (NodeId, NodeId) {
    if one <= other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}

impl LocalNet {
    /// Who sends, and where it goes.
    fn route(&self, to: &NodeId) -> Option<(Arc<Peer>, Arc<dyn Dispatch>)> {
        self.route_in(&self.mesh.inner(), to)
    }

    /// The same, for a call that begins.
    fn begin(&self, to: &NodeId, call: &UnderWay) -> Option<(Arc<Peer>, Arc<dyn Dispatch>)> {
        let mut inner = self.mesh.inner();
        let route = self.route_in(&inner, to)?;
        inner.begin(&self.id, to, call);
        Some(route)
    }

    fn route_in(&self, inner: &Inner, to: &NodeId) -> Option<(Arc<Peer>, Arc<dyn Dispatch>)> {
        let entry = inner.nodes.get(to).filter(|_| inner.are_connected(&self.id, to))?;
        Some((inner.peer(&self.id), Arc::clone(&entry.dispatch)))
    }
}

impl Net for LocalNet {
    fn local(&self) -> Node {
        self.mesh.inner().nodes[&self.id].node.clone()
    }

    fn set_incarnation(&self, incarnation: Incarnation) {
        let mut inner = self.mesh.inner();
        if incarnation <= inner.nodes[&self.id].node.incarnation {
            return;
        }
        let peers = inner.peers_of(&self.id);
        for peer in &peers {
            inner.part(&self.id, peer, DownReason::Disconnected);
        }
        if let Some(entry) = inner.nodes.get_mut(&self.id) {
            entry.node.incarnation = incarnation;
        }
        for peer in &peers {
            inner.join(&self.id, peer);
        }
    }

    fn try_cast(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: body.len(), max: MESSAGE_BYTES_MAX, body });
        }
        let Some((from, dispatch)) = self.route(to) else {
            return Err(SendError::NotConnected { node: to.clone(), body });
        };
        match dispatch.cast(&from, server, body.clone()) {
            Err(Refusal::Overloaded) => Err(SendError::Busy { node: to.clone(), body }),
            Err(refusal) if *to == self.id => Err(SendError::Refused { refusal, body }),
            _accepted_or_refused_there => Ok(()),
        }
    }

    fn cast<'a>(
        &'a self,
        to: &'a NodeId,
        server: &'a ServerName,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let deadline = deadline_after(timeout);
            let mut body = body;
            loop {
                body = match self.try_cast(to, server, body) {
                    Err(SendError::Busy { body, .. }) if tokio::time::Instant::now() < deadline => body,
                    done => return done,
                };
                tokio::time::sleep(RETRY).await;
            }
        })
    }

    fn call(&self, to: &NodeId, server: &ServerName, body: Bytes, timeout: Duration) -> Call {
        Call::start(timeout, |slot, deadline| {
            if body.len() > MESSAGE_BYTES_MAX {
                return Err(CallError::TooLarge { bytes: body.len(), max: MESSAGE_BYTES_MAX });
            }
            let call = UnderWay::new(slot, deadline);
            let (from, dispatch) =
                self.begin(to, &call).ok_or_else(|| CallError::NotConnected { node: to.clone() })?;
            let inbound = call.inbound;
            dispatch.call(&from, server, body, Responder::new(Arc::clone(&inbound)));
            Ok(Box::new(move || {
                inbound.cancel();
                Stage::Sent
            }))
        })
    }

    fn ping<'a>(&'a self, to: &'a NodeId, _timeout: Duration) -> BoxFuture<'a, Result<Duration, CallError>> {
        let there = self.route(to).map(|_| Duration::ZERO);
        Box::pin(std::future::ready(there.ok_or_else(|| CallError::NotConnected { node: to.clone() })))
    }

    fn connect(&self, id: &NodeId, address: &Address) {
        let mut inner = self.mesh.inner();
        if let Some(entry) = inner.nodes.get_mut(&self.id) {
            entry.wishes.insert(id.clone(), address.clone());
        }
        if inner.nodes.get(id).is_some_and(|entry| entry.node.address == *address) {
            inner.join(&self.id, id);
        }
    }

    fn dial<'a>(
        &'a self,
        address: &'a Address,
        expected: Option<&'a NodeId>,
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Node, ConnectError>> {
        let mut inner = self.mesh.inner();
        let found =
            inner.nodes.values().map(|entry| &entry.node).find(|node| node.address == *address).cloned();
        let address = address.clone();
        let dialed = match found {
            None => Err(ConnectError::Unreachable {
                address,
                source: std::io::ErrorKind::ConnectionRefused.into(),
            }),
            Some(node) if node.id == self.id => Err(ConnectError::Myself { address }),
            Some(node) if expected.is_some_and(|expected| *expected != node.id) => {
                let expected = expected.cloned().unwrap_or_else(|| node.id.clone());
                Err(ConnectError::WrongNode { address, expected, found: node.id })
            }
            Some(node) => {
                inner.join(&self.id, &node.id);
                Ok(node)
            }
        };
        Box::pin(std::future::ready(dialed))
    }

    fn disconnect(&self, id: &NodeId, _drain: bool) {
        let mut inner = self.mesh.inner();
        if let Some(entry) = inner.nodes.get_mut(&self.id) {
            entry.wishes.remove(id);
        }
        inner.part(&self.id, id, DownReason::Disconnected);
    }

    fn peers(&self) -> Vec<PeerStatus> {
        let inner = self.mesh.inner();
        let wishes = &inner.nodes[&self.id].wishes;
        let mut ids: BTreeSet<NodeId> = wishes.keys().cloned().collect();
        ids.extend(inner.peers_of(&self.id));
        let status = |id: NodeId| {
            let node = inner.nodes.get(&id).map(|entry| &entry.node);
            let connected = node.is_some() && inner.are_connected(&self.id, &id);
            status(id.clone(), node.filter(|_| connected), wishes.get(&id))
        };
        ids.into_iter().map(status).collect()
    }

    fn events(&self) -> PeerEvents {
        self.mesh.inner().nodes[&self.id].events.subscribe()
    }
}

/// What is known of a peer, connected where its node is given.
fn status(id: NodeId, node: Option<&Node>, wish: Option<&Address>) -> PeerStatus {
    let connected = node.is_some();
    PeerStatus {
        id,
        address: wish.cloned().or_else(|| node.map(|node| node.address.clone())),
        role: node.map(|_| Role::Node),
        incarnation: node.map(|node| node.incarnation),
        state: if connected { PeerState::Connected } else { PeerState::Away },
        connected,
        sessions: usize::from(connected),
        round_trip: node.map(|_| Duration::ZERO),
        queued_messages: 0,
        queued_bytes: 0,
        queued_control: 0,
        queued_normal: Queued::default(),
        queued_bulk: Queued::default(),
        casts_unacknowledged: Queued::default(),
        casts_held: Queued::default(),
        calls_pending: 0,
        calls_executing: 0,
        traffic: Traffic::default(),
    }
}

impl Drop for LocalNet {
    fn drop(&mut self) {
        let mut inner = self.mesh.inner();
        for peer in inner.peers_of(&self.id) {
            inner.part(&self.id, &peer, DownReason::Disconnected);
        }
        inner.nodes.remove(&self.id);
    }
}

impl fmt::Debug for LocalNet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalNet").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").field("connected", &self.connected).finish_non_exhaustive()
    }
}

/// The default of a kernel's largest message.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// How soon a full mailbox is offered a cast again.
const RETRY: Duration = Duration::from_millis(1);
