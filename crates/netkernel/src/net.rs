//! The two traits the layers above see of the network: [`Net`] sends, [`Dispatch`] receives.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use crate::call::{Call, Responder};
use crate::error::{CallError, ConnectError, Refusal, SendError};
use crate::events::PeerEvents;
use crate::node::{Address, Incarnation, Node, NodeId, Role, ServerName};

/// A boxed future, so that [`Net`] can be used as `Arc<dyn Net>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a layer above can do with the mesh. Implemented by [`Kernel`](crate::Kernel).
///
/// Messages are delivered at most once, in order for each pair of source and destination server, and are lost
/// only with the link. A message to the local node's own id goes straight to the local [`Dispatch`].
pub trait Net: Send + Sync + fmt::Debug + 'static {
    /// This node, with its present incarnation.
    fn local(&self) -> Node;

    /// Makes this node a new instance of itself: sessions with nodes under the old incarnation are closed in good order
    /// and made again. Those of clients and command lines, which know no incarnations, go on. Incarnations only grow; a
    /// lower one is ignored.
    fn set_incarnation(&self, incarnation: Incarnation);

    /// Queues a message, or hands it back at once.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent.
    fn try_cast(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError>;

    /// Queues a small message ahead of everything that waits for its node, or hands it back at once: for protocols
    /// that take a message's delay for its sender's death. It keeps no order with other messages, and at most 64 KiB
    /// wait so for one node. It waits for no credit either: casts that a full server has yet to take are not held there
    /// beyond twice what credit allows, but refused and counted. A network without such a way sends it as [`try_cast`](Net::try_cast) does.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent.
    fn try_cast_ahead(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        self.try_cast(to, server, body)
    }

    /// Queues a message, waiting up to `timeout` for room.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has sent nothing.
    fn cast<'a>(
        &'a self,
        to: &'a NodeId,
        server: &'a ServerName,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(), SendError>>;

    /// Sends a request and gives the future of its reply. The request is queued before this returns.
    ///
    /// Dropping the future tells the peer that nobody waits any more.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, whose clock ends the call.
    fn call(&self, to: &NodeId, server: &ServerName, body: Bytes, timeout: Duration) -> Call;

    /// Queues one message for several nodes, sharing its bytes, and says for each whether it was accepted.
    fn abcast(
        &self,
        to: &[NodeId],
        server: &ServerName,
        body: &Bytes,
    ) -> Vec<(NodeId, Result<(), SendError>)> {
        to.iter().map(|node| (node.clone(), self.try_cast(node, server, body.clone()))).collect()
    }

    /// Sends one request to several nodes, sharing its bytes, and gives each one's reply or error: a failure of
    /// one says nothing of the others. All requests are queued before this returns.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it takes back the calls that have not ended.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, as [`call`](Net::call) does.
    fn multicall<'a>(
        &self,
        to: &[NodeId],
        server: &ServerName,
        body: &Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<(NodeId, Result<Bytes, CallError>)>> {
        let calls: Vec<(NodeId, Call)> =
            to.iter().map(|node| (node.clone(), self.call(node, server, body.clone(), timeout))).collect();
        Box::pin(outcomes(calls))
    }

    /// The time a probe takes to the kernel of `to` and back.
    ///
    /// # Errors
    ///
    /// [`CallError`]
    fn ping<'a>(&'a self, to: &'a NodeId, timeout: Duration) -> BoxFuture<'a, Result<Duration, CallError>>;

    /// Keeps a session to this node from now on, dialing again with backoff whenever it is lost. Naming a known
    /// node again changes the address it is dialed at.
    fn connect(&self, id: &NodeId, address: &Address);

    /// Makes sure of a session to whoever answers at `address` and says who that is. With `expected`, another
    /// node there is an error. The session is kept only while in use unless [`connect`](Net::connect) is called too.
    ///
    /// A node that is bound but does not serve yet lets connections wait: dialing it takes until it serves, and ends
    /// with a timeout if that comes first, or the time that a handshake may take at all
    /// ([`Config::handshake_time`](crate::Builder::handshake_time)).
    ///
    /// # Errors
    ///
    /// [`ConnectError`]
    fn dial<'a>(
        &'a self,
        address: &'a Address,
        expected: Option<&'a NodeId>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Node, ConnectError>>;

    /// Stops keeping a session to this node and ends the one there is. What waits is sent first when `drain` is set, else
    /// it is dropped and counted. What is sent to the node after that waits for another session, or is dropped and
    /// counted with the link.
    fn disconnect(&self, id: &NodeId, drain: bool);

    /// The peers with a session or a wish for one, ordered by id.
    fn peers(&self) -> Vec<PeerStatus>;

    /// Changes of sessions from now on, until this node's end of the mesh has shut down.
    fn events(&self) -> PeerEvents;
}

/// What comes of calls that are all under way: the slowest decides how long it takes.
pub(crate) async fn outcomes(calls: Vec<(NodeId, Call)>) -> Vec<(NodeId, Result<Bytes, CallError>)> {
    let mut outcomes = Vec::with_capacity(calls.len());
    for (node, call) in calls {
        outcomes.push((node, call.await));
    }
    outcomes
}

/// Receives what arrives. All methods run on the session's reader: they hand the message on and return, and
/// never block or decode a body. They may use the [`Net`] meanwhile: none of its locks is held. One that panics ends the
/// session, which is then made again.
pub trait Dispatch: Send + Sync + 'static {
    /// A message for a server.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] is counted and reported to the sender's node, and the cast is dropped. Only
    /// [`Refusal::Overloaded`] is not final: the cast is offered again until the server has room, and its sender
    /// waits for credit meanwhile.
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal>;

    /// Messages for one server that came together, in their order: takes as many as it can, from the front.
    ///
    /// What is left is offered again, as after [`Refusal::Overloaded`], when
    /// [`wake_with_room`](Self::wake_with_room) says so, and every now and then. By default each is given to
    /// [`cast`](Self::cast); a layer with mailboxes may take them all under one lock, and wake its server once.
    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        Accepted::of_each(server, bodies, |body| self.cast(from, server, body))
    }

    /// Asks to be told, once, when there is room for a cast that was not taken: at once, if there is by now, or if the
    /// server has ended. `next` is what will be offered first; its server is the one that matters.
    ///
    /// However many wait for a server, and however often they ask, it is with one waker: a layer that keeps none twice, by
    /// [`Waker::will_wake`], keeps no more than one for each full server.
    ///
    /// By default nobody is told, and the cast is offered again after some milliseconds, which bounds the rate at which a
    /// server with a small mailbox is given casts.
    fn wake_with_room(&self, server: &ServerName, next: &Bytes, waker: &Waker) {
        let _ = (server, next, waker);
    }

    /// A request for a server, with what answers it. Dropping the responder answers `NoReply`.
    ///
    /// It comes after the casts of the same peer to that server, and is refused as [`Refusal::Overloaded`] where those fill
    /// it: unlike a cast it is not offered again.
    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder);
}

/// How many of the casts that came together were dealt with, from the front.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Those that were taken, and those that were refused for good.
    pub messages: usize,
    /// Those of them that were refused for good: counted, and reported to the sender's node.
    pub refused: usize,
}

impl Accepted {
    /// Gives each to `cast` in turn, until one is refused as [`Refusal::Overloaded`].
    pub fn of_each(
        server: &ServerName,
        bodies: &[Bytes],
        mut cast: impl FnMut(Bytes) -> Result<(), Refusal>,
    ) -> Self {
        let mut accepted = Self::default();
        for body in bodies {
            match cast(body.clone()) {
                Ok(()) => accepted.took(1),
                Err(Refusal::Overloaded) => break,
                Err(refusal) => accepted.refuse(server, &refusal),
            }
        }
        accepted
    }

    /// The next so many were taken.
    pub fn took(&mut self, messages: usize) {
        self.messages += messages;
    }

    /// The next is refused for good.
    pub fn refuse(&mut self, server: &ServerName, refusal: &Refusal) {
        tracing::debug!(%server, %refusal, "cast refused");
        self.messages += 1;
        self.refused += 1;
    }
}

/// The other end of a session, as its handshake proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Id, address and incarnation.
    pub node: Node,
    /// What it says it is.
    pub role: Role,
}

/// What this node knows of one peer's link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The peer's id.
    pub id: NodeId,
    /// Where it is dialed, or where it said it listens.
    pub address: Option<Address>,
    /// Its role, once a session was made.
    pub role: Option<Role>,
    /// Its incarnation, while a session is up.
    pub incarnation: Option<Incarnation>,
    /// How the link stands.
    pub state: PeerState,
    /// Whether a session is up: the state is [`PeerState::Connected`].
    pub connected: bool,
    /// Sessions that exist, those that are being made or ended included.
    pub sessions: usize,
    /// The last round trip measured: by [`Net::ping`], or by a [heartbeat](crate::Builder::heartbeat), of which a session that is
    /// never silent is sent one soon after it began and then one each four times `idle`. None until the first is answered.
    pub round_trip: Option<Duration>,
    /// Messages waiting to be written.
    pub queued_messages: usize,
    /// Bytes waiting to be written.
    pub queued_bytes: usize,
    /// Control frames waiting to be written.
    pub queued_control: usize,
    /// What waits in the lane of small messages.
    pub queued_normal: Queued,
    /// What waits in the lane of messages over 16 KiB.
    pub queued_bulk: Queued,
    /// Casts sent or queued that the peer's servers have not taken yet: credit in use.
    pub casts_unacknowledged: Queued,
    /// Casts of the peer that are held here because their servers' mailboxes are full.
    pub casts_held: Queued,
    /// Calls made to the peer that have not ended.
    pub calls_pending: usize,
    /// Calls of the peer that are being executed here.
    pub calls_executing: usize,
    /// Messages and bytes over this link since it was first made.
    pub traffic: Traffic,
}

/// How a peer's link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerState {
    /// A session carries messages.
    Connected,
    /// A session is being made or ended, and none carries messages.
    Changing,
    /// There is no session, and one is wished for: the peer is dialed, or will be after a pause.
    Away,
    /// There is no session and no wish for one: the link is about to be forgotten.
    Unwanted,
}

/// A number of messages, and of bytes they take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// Messages.
    pub messages: usize,
    /// Bytes, those of queued messages with what keeping them costs.
    pub bytes: usize,
}

/// Messages that this node gave up, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Dropped for newer ones while there was no session ([`OfflinePolicy::DropOldest`](crate::OfflinePolicy)).
    pub queue_full: u64,
    /// They waited too long for a session, or were calls that their callers left.
    pub expired: u64,
    /// Partly sent, or replies, when their session was lost.
    pub link_lost: u64,
    /// Their link was closed: the peer was disconnected from, or this node shut down.
    pub closed: u64,
    /// Replies over a limit; their callers were told.
    pub replies: u64,
    /// Casts that waited for the peer, and were larger than it turned out to take.
    pub too_large: u64,
    /// Answers to a flooding peer that there was no room for; not counted as messages.
    pub control_frames: u64,
}

impl Dropped {
    /// All of them, control frames not counted.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.queue_full + self.expired + self.link_lost + self.closed + self.replies + self.too_large
    }
}

/// Counts of one link, since it was first made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Casts, calls and replies written.
    pub messages_sent: u64,
    /// Casts, calls and replies received.
    pub messages_received: u64,
    /// Bytes written, headers and tags included.
    pub bytes_sent: u64,
    /// Bytes read, headers and tags included.
    pub bytes_received: u64,
    /// Casts that a full or missing mailbox here turned away.
    pub casts_refused: u64,
    /// Casts that the peer's servers turned away, as it reported.
    pub casts_refused_by_peer: u64,
    /// Casts written to a session that broke, which the peer's servers had not been reported to have taken: at most so
    /// many did not arrive.
    pub casts_unconfirmed: u64,
    /// Messages given up on this side, before they were sent whole.
    pub messages_dropped: u64,
    /// The same, by reason.
    pub dropped: Dropped,
    /// Sessions made, those included that replaced another while it was up.
    pub sessions: u64,
    /// Sessions made after there had been none for a while: how often the link was lost and came back.
    pub reconnects: u64,
}

/// A change of a peer's session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// A first session to this instance of the node is up.
    Up {
        /// The peer.
        peer: Arc<Peer>,
    },
    /// The node has no session any more. Everything it sent has been dispatched.
    Down {
        /// The peer.
        peer: Arc<Peer>,
        /// Why.
        reason: DownReason,
    },
    /// A live node was refused because another live node answers to the same id. Told every ten seconds at most for one id,
    /// however often one comes.
    Duplicate {
        /// The id both use.
        id: NodeId,
        /// The incarnation of the node that was refused.
        refused: Incarnation,
    },
    /// A node refused this node because another live node answers to this node's id.
    RefusedAsDuplicate {
        /// The address that refused.
        address: Address,
        /// The incarnation of the instance that is already known there.
        incumbent: Incarnation,
    },
    /// Messages that waited for a node were given up, since the last such event.
    Dropped {
        /// The node.
        id: NodeId,
        /// How many.
        messages: u64,
    },
    /// A session broke while another of the pair goes on: so many casts written to it, at most, did not arrive. Where the
    /// link is lost with its session, [`Down`](Self::Down) says so.
    Unconfirmed {
        /// The node.
        id: NodeId,
        /// How many were written and not reported as taken, since the last such event.
        casts: u64,
    },
    /// No session could be made to the node: nobody answered at its address, or whoever did would not make one or is
    /// another (the log says which, as [`ConnectError`] does to those who dial). It will be tried again.
    Unreachable {
        /// The node.
        id: NodeId,
        /// The attempt, counted from 1 since the link was last up for a while.
        attempt: u32,
        /// Whether the host is there and says that nobody listens at the address.
        refused: bool,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownReason {
    /// The peer said so: it is shutting down or has no more use for the session.
    Closed,
    /// This node closed it.
    Disconnected,
    /// The connection broke or the peer ended it without a word.
    LinkLost,
    /// Nothing was heard for too long.
    Silent,
    /// The peer did not read for too long.
    Stalled,
    /// The peer broke the protocol.
    Protocol,
    /// A newer instance of the node took its place.
    Restarted,
}
