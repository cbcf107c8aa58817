//! What is told of peers' sessions as they change.

use std::fmt;
use std::sync::Arc;

use crate::net::Peer;
use crate::node::{Address, Incarnation, NodeId};

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
    /// another (the log says which, as [`ConnectError`](crate::ConnectError) does to those who dial). It will be tried again.
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

impl fmt::Display for DownReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "closed by the peer",
            Self::Disconnected => "closed by this node",
            Self::LinkLost => "connection lost",
            Self::Silent => "silent for too long",
            Self::Stalled => "did not read for too long",
            Self::Protocol => "broke the protocol",
            Self::Restarted => "restarted",
        })
    }
}
