//! What a node tells its application about the ring.

use hashring::HashRing;
use netkernel::{Address, Incarnation, NodeId};

use crate::message::{FrameError, InviteRefusal};
use crate::proto::Standing;
use crate::ring_name::RingName;
use crate::view::RingMember;

/// Something that happened to the ring or to this node's place in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Keys have other owners now. The difference of the two rings says which.
    RingChanged {
        /// The ring before.
        old: HashRing<RingMember>,
        /// The ring now.
        new: HashRing<RingMember>,
        /// What brought it about.
        cause: Cause,
    },
    /// A member was heard from: for the first time, after a restart, or after it was down.
    MemberUp {
        /// The member.
        id: NodeId,
        /// Where it is reached.
        address: Address,
        /// Its present run.
        incarnation: Incarnation,
    },
    /// A member does not answer. It still counts as up, and has some seconds to say that it is there.
    Suspect {
        /// The member.
        id: NodeId,
    },
    /// A member that was suspected is there.
    Trusted {
        /// The member.
        id: NodeId,
    },
    /// A member is not there. It stays a member and its keys stay its own, unless the
    /// [removal policy](crate::Builder::removal) says otherwise; callers pass it over.
    Down {
        /// The member.
        id: NodeId,
    },
    /// Half of the ring as it stood before the outage, or more, is down as seen from here. This side still accepts
    /// changes; an application that must not can stop itself now.
    MinorityPartition {
        /// How many of the members are not down, this node included.
        reachable: usize,
        /// How many members there were.
        members: usize,
    },
    /// The greater part of the ring can be reached again.
    MajorityReachable {
        /// How many of the members are not down, this node included.
        reachable: usize,
        /// How many members there were when the outage began; none if it is over.
        members: usize,
    },
    /// A member left of itself.
    Left {
        /// Who left.
        id: NodeId,
    },
    /// A member was removed.
    Removed {
        /// Who was removed.
        id: NodeId,
        /// Who removed it.
        by: NodeId,
    },
    /// This node was removed: it is in no ring now.
    Evicted {
        /// The ring it was in.
        ring: RingName,
    },
    /// A member stops for a while.
    Goodbye {
        /// The member.
        id: NodeId,
    },
    /// Concurrent writes say different things of a node. One was chosen, the same everywhere; the others stay
    /// until a later write replaces them all.
    Conflict {
        /// The node.
        id: NodeId,
        /// What was written, and by whom.
        siblings: Vec<(NodeId, Standing)>,
        /// Which of the siblings counts.
        chosen: usize,
    },
    /// An inserted node does not come; its record was removed.
    InviteRefused {
        /// The node.
        id: NodeId,
        /// What it said.
        reason: InviteRefusal,
    },
    /// A node of another ring, or of none, spoke to this one. Nothing was exchanged.
    ForeignRing {
        /// Who spoke.
        id: NodeId,
        /// Its ring.
        ring: Option<RingName>,
    },
    /// A node whose settings place keys differently spoke to this one. Nothing was exchanged.
    ConfigMismatch {
        /// Who spoke.
        id: NodeId,
    },
    /// Two live nodes have one id. If it is this node's own, this node keeps silent from now on.
    DuplicateId {
        /// The id.
        id: NodeId,
    },
    /// A writer's clock is far ahead. Nothing is lost by it; its writes win where they are concurrent with others.
    Skew {
        /// The writer.
        id: NodeId,
        /// How far its clock is ahead of this node's, in milliseconds.
        ahead_ms: u64,
    },
    /// Every other member has told this node that it has seen and has the same.
    Converged {
        /// How many members agree, this node included.
        members: usize,
    },
    /// A node sent something that is no gossip frame, or more than there is room for. It was dropped.
    BadFrame {
        /// The sender.
        id: NodeId,
        /// What was wrong.
        error: FrameError,
    },
    /// The state could not be stored. What others wrote stays in memory and is stored later; what this node
    /// wanted to write was not written.
    NotStored {
        /// What the store said.
        reason: String,
    },
    /// The members' weights come to more points than a ring holds, which no single operation lets happen: each counts for
    /// its part of [`POINTS_MAX`](hashring::POINTS_MAX), on every node alike.
    RingCrowded {
        /// How many points the members ask for.
        points: u64,
    },
    /// The roster says more than a ring can hold (too many nodes), so the ring stays as it was.
    RingRefused {
        /// Why.
        error: hashring::RingError,
    },
}

/// What changed a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// An operation on this node.
    Local,
    /// Something another node said.
    Peer(NodeId),
}
