//! The two traits the layers above see of the network: [`Net`] sends, [`Dispatch`] receives.

mod event;
mod status;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

pub use event::{DownReason, PeerEvent};
pub use status::{Dropped, PeerState, PeerStatus, Queued, Traffic};

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

    /// Queues a message, or hands it back at once, also while others wait for room before it.
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

    /// Queues a message, waiting up to `timeout` for room. Those that wait for one server have it in the order they came.
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

    /// Sends a request and gives the future of its reply. The request is queued before this returns. As with
    /// [`Dispatch`], a reply shares memory with what was read along with it.
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
    /// node there is an error. The session stays until either end disconnects or it is lost; after that the node is dialed
    /// again only where [`connect`](Net::connect) was called too.
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
    /// it is dropped and counted, and calls among it end with [`CallError::NotConnected`]. A peer that does not get on with the end
    /// of its session is waited for up to five minutes, or ten seconds where nothing is sent first (by default: thirty times
    /// and once [`write_stall`](crate::Builder::write_stall)). What is sent to the node after that waits for another session, or is dropped and
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

/// Receives what arrives. All methods run on tasks that have more to do: mostly a session's reader, at a link's end the task
/// that ends it, and for a node's messages to itself the task that sends them. They hand the message on and return, and never
/// block or decode a body. They may use the [`Net`] meanwhile: none of its locks is held. One that panics on a session's
/// reader ends that session, which is then made again.
///
/// A body shares memory with what was read along with it, up to some 200 kB, which stays for as long as any of it is kept: who
/// keeps many small bodies for long copies them.
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
