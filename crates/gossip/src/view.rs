//! The ring as a node sees it at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashring::{HashRing, RingNode, Zone};
use netkernel::{Address, Incarnation, NodeId};

use crate::proto::liveness::Liveness;
use crate::proto::{Affiliation, Protocols};
use crate::ring_name::RingName;

/// An immutable snapshot of the ring, shared by all who read it.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) affiliation: Affiliation,
    pub(crate) ring: HashRing<RingMember>,
    pub(crate) members: Arc<[Member]>,
    pub(crate) conflicts: Arc<[NodeId]>,
}

impl View {
    /// The name of the ring this node is in.
    #[must_use]
    pub fn ring_name(&self) -> Option<&RingName> {
        self.affiliation.ring()
    }

    /// How this node stands to its ring.
    #[must_use]
    pub fn affiliation(&self) -> &Affiliation {
        &self.affiliation
    }

    /// Who owns which key: all members but those that are [joining](Status::Joining). Empty while this node is
    /// in no ring. Its [fingerprint](HashRing::fingerprint) tells whether two nodes place keys alike.
    #[must_use]
    pub fn ring(&self) -> &HashRing<RingMember> {
        &self.ring
    }

    /// The members that hold a key, the owner first, each with whether it is up. A member that is down keeps its place:
    /// a caller passes it over, and nothing moves for it.
    pub fn preference(&self, key: &[u8], replicas: usize) -> impl Iterator<Item = Preference<'_>> {
        let members = self.ring.replicas(key, replicas).filter_map(|node| self.member(&node.id));
        members.map(|member| Preference { member, up: member.is_up() })
    }

    /// The members by id, this node included. Empty while this node is in no ring.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of this id.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| member.id.cmp(id)).ok()?;
        self.members.get(at)
    }

    /// The nodes of which concurrent writes say different things; see [`Event::Conflict`](crate::Event::Conflict).
    #[must_use]
    pub fn conflicts(&self) -> &[NodeId] {
        &self.conflicts
    }
}

/// A node that belongs to the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where it is reached.
    pub address: Address,
    /// Its points on the ring; 0 is a member that owns nothing.
    pub weight: u32,
    /// Its failure domain.
    pub zone: Option<Zone>,
    /// What it is doing.
    pub status: Status,
    /// Its present run, as far as it is known here.
    pub incarnation: Incarnation,
    /// Whether it is there, as far as can be told from here. Other nodes may see it differently for some seconds.
    pub liveness: Liveness,
    /// The gossip protocol versions it speaks, once it was heard from.
    pub protocols: Option<Protocols>,
    /// What its application says of it.
    pub tags: Arc<BTreeMap<String, String>>,
}

impl Member {
    /// Whether to ask it for anything: it takes part, is not about to stop, and is not down.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.status == Status::Member && self.liveness != Liveness::Down
    }
}

/// A replica in the order of preference for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preference<'a> {
    /// The member.
    pub member: &'a Member,
    /// Whether to ask it, or to pass it over for the next.
    pub up: bool,
}

/// What a member is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It was inserted and has not been heard from: it owns no keys yet.
    Joining,
    /// It takes part.
    Member,
    /// It will stop soon and asks to be passed over; its keys stay its own.
    Draining,
}

/// What a ring hands out for a key: who to ask, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingMember {
    /// The member's id, which decides its place on the ring.
    pub id: NodeId,
    /// Where it is reached.
    pub address: Address,
}

impl RingNode for RingMember {
    type Id<'a> = &'a [u8];

    fn ring_id(&self) -> &[u8] {
        self.id.as_str().as_bytes()
    }
}
