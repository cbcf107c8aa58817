//! What an operation can fail with: one enum each, saying what happened to the state.

use netkernel::{Address, NodeId};
use thiserror::Error;

use crate::proto::ImageError;
use crate::ring_name::RingName;
use crate::store::StoreError;

/// What any operation can fail with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The state could not be stored, so nothing was told to anyone. Whether the disk kept the change is not
    /// known: should this node restart from it, it may appear.
    #[error("the state could not be stored, nothing was published: {reason}")]
    NotStored {
        /// What the store said.
        reason: String,
    },
    /// This node was removed from its ring while the change was on its way to disk; nothing was published.
    #[error("this node was removed from the ring, nothing was published")]
    Evicted,
    /// Too many operations wait already; nothing was done.
    #[error("too many operations are waiting")]
    Busy,
    /// This node's gossip has stopped; nothing was done.
    #[error("gossip has stopped on this node")]
    Stopped,
}

/// Why a meet came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MeetError {
    /// This node is in no ring: join one first.
    #[error("this node is in no ring")]
    NotInRing,
    /// Nobody could be reached at the address. Nothing changed.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// The address tried.
        address: Address,
        /// What the last attempt failed with.
        reason: String,
    },
    /// Another node than the one named answers at the address. Nothing changed.
    #[error("the node at {address} is `{found}`: give its own id, or the address of the node meant")]
    OtherNode {
        /// The address tried.
        address: Address,
        /// Who answers there.
        found: NodeId,
    },
    /// The node there did not answer. It may have merged this node's state.
    #[error("no answer from {address} before the deadline")]
    NoAnswer {
        /// The address tried.
        address: Address,
    },
    /// The node there is in another ring. Nothing changed.
    #[error("the node at {address} is in ring `{ring}`")]
    ForeignRing {
        /// The address tried.
        address: Address,
        /// Its ring.
        ring: RingName,
    },
    /// The node there is in no ring. Nothing changed.
    #[error("the node at {address} is in no ring")]
    PeerNotInRing {
        /// The address tried.
        address: Address,
    },
    /// The node there places keys differently: the seed must match on all nodes. Nothing changed.
    #[error("the node at {address} is configured with another ring layout")]
    ConfigMismatch {
        /// The address tried.
        address: Address,
    },
    /// The ring has removed this node, which learnt it now and is in no ring.
    #[error("this node was removed from the ring")]
    Evicted,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was inserted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// This node is in no ring: join one first.
    #[error("this node is in no ring")]
    NotInRing,
    /// The node is a member already; `force` writes its record anew.
    #[error("`{id}` is a member already: update it, or remove it first")]
    AlreadyMember {
        /// The node.
        id: NodeId,
    },
    /// The weight is over the limit of the ring.
    #[error("weight {weight} is over the limit of {}", hashring::WEIGHT_MAX)]
    WeightTooLarge {
        /// The weight asked for.
        weight: u32,
    },
    /// The members' weights would come to more points than a ring holds.
    #[error("the ring would have {points} points, more than {}", hashring::POINTS_MAX)]
    TooManyPoints {
        /// How many there would be.
        points: u64,
    },
    /// The ring would have more members than this node is configured to insert.
    #[error("the ring would have more than {max} members")]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nothing was updated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// This node is in no ring: join one first.
    #[error("this node is in no ring")]
    NotInRing,
    /// No member has this id.
    #[error("`{id}` is no member")]
    UnknownMember {
        /// The id.
        id: NodeId,
    },
    /// The weight is over the limit of the ring.
    #[error("weight {weight} is over the limit of {}", hashring::WEIGHT_MAX)]
    WeightTooLarge {
        /// The weight asked for.
        weight: u32,
    },
    /// The members' weights would come to more points than a ring holds.
    #[error("the ring would have {points} points, more than {}", hashring::POINTS_MAX)]
    TooManyPoints {
        /// How many there would be.
        points: u64,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why nobody was removed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// This node is in no ring: join one first.
    #[error("this node is in no ring")]
    NotInRing,
    /// No member has this id.
    #[error("`{id}` is no member")]
    UnknownMember {
        /// The id.
        id: NodeId,
    },
    /// The id is this node's own, which goes by `leave`.
    #[error("`{id}` is this node itself: use leave")]
    Myself {
        /// The id.
        id: NodeId,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why the node did not leave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaveError {
    /// This node is in no ring.
    #[error("this node is in no ring")]
    NotInRing,
    /// Too few members acknowledged it in time, so this node has written itself back and is still a member.
    #[error("only {acknowledged} of {needed} members acknowledged in time: still a member")]
    NotAcknowledged {
        /// How many did.
        acknowledged: usize,
        /// How many are needed: three, or all others if they are fewer.
        needed: usize,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why the node did not join.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// This node is in a ring: leave it first.
    #[error("this node is in ring `{ring}` already: leave it first")]
    AlreadyIn {
        /// That ring.
        ring: RingName,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why this node's own record was not rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// This node is in no ring: join one first.
    #[error("this node is in no ring")]
    NotInRing,
    /// The tags are too much to be carried along with every change.
    #[error("tags of {bytes} bytes are over the limit of {max}")]
    TagsTooLarge {
        /// Their keys and values together.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why it cannot be said that a change has spread.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PropagationError {
    /// Too few members had acknowledged it by the deadline. It spreads on.
    #[error("{acknowledged} of {needed} members acknowledged before the deadline")]
    Deadline {
        /// How many had.
        acknowledged: usize,
        /// How many were asked for.
        needed: usize,
    },
    /// The operation is too long ago to be remembered.
    #[error("the operation is not remembered any more")]
    Forgotten,
    /// This node is in no ring any more.
    #[error("this node is in no ring")]
    NotInRing,
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why gossip did not start. Nothing was told to anyone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state could not be read, or a first write of it failed.
    #[error("the stored state cannot be used")]
    Store(#[from] StoreError),
    /// The stored bytes are intact but no state of this version.
    #[error("the stored state cannot be used")]
    Image(#[from] ImageError),
    /// The stored state is another node's.
    #[error("the stored state belongs to node `{stored}`, this is `{local}`")]
    OtherNode {
        /// Whose state it is.
        stored: NodeId,
        /// This node.
        local: NodeId,
    },
    /// The stored state is of another ring than the one configured: leave that ring first, or start without
    /// naming a ring.
    #[error("the stored state is of ring `{stored}`, the configuration names `{configured}`")]
    OtherRing {
        /// The ring of the state.
        stored: RingName,
        /// The ring asked for.
        configured: RingName,
    },
    /// The operating system gave no random numbers.
    #[error("no random numbers: {reason}")]
    Randomness {
        /// What it said.
        reason: String,
    },
}
