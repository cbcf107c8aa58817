//! What can be read off a machine: its members, what it has seen, and what it counted.

use netkernel::{Address, Incarnation, NodeId};

use crate::view::{Member, Status};

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::hash::Hash;
use super::liveness::Liveness;
use super::machine::Machine;
use super::ports::Stats;
use super::record::Record;

impl Machine {
    /// How this node stands to its ring.
    #[must_use]
    pub fn affiliation(&self) -> &Affiliation {
        &self.affiliation
    }

    /// This node's present run, as others may know it.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Counts of what should be rare.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Hashes of what was seen and of what is there. Equal first halves mean equal second halves.
    #[must_use]
    pub fn hashes(&self) -> (Hash, Hash) {
        (self.roster.seen_hash(), self.roster.live_hash())
    }

    /// The roster events this node has seen.
    #[must_use]
    pub fn context(&self) -> &super::Context {
        self.roster.context()
    }

    /// The members by id; none while this node is in no ring.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        let in_ring = self.affiliation.ring().is_some();
        let members = self.roster.members().filter(move |_| in_ring);
        members
            .filter_map(|(id, entry)| Some(Member { liveness: self.detector.liveness(id), ..member(entry)? }))
    }

    /// Whom this node keeps sessions with, and where.
    pub(crate) fn wished_links(&self) -> impl Iterator<Item = (&NodeId, &Address)> {
        self.links.wishes()
    }

    /// Every record, removed nodes' included, by id.
    pub fn records(&self) -> impl Iterator<Item = &Record> + '_ {
        self.roster.iter().map(|(_, entry)| entry.record())
    }

    /// The actors that are retired, with their last events.
    pub fn retired(&self) -> impl Iterator<Item = super::Ended> + '_ {
        self.roster.retired()
    }

    /// Up to which incarnation a removed node is dead here, its tombstone being collected.
    #[cfg(feature = "sim")]
    pub(crate) fn dead_upto(&self, id: &NodeId) -> Option<Incarnation> {
        self.roster.floor(id).map(|floor| floor.incarnation)
    }

    /// The members of which concurrent writes say different things.
    pub fn conflicts(&self) -> impl Iterator<Item = &NodeId> + '_ {
        let in_ring = self.affiliation.ring().is_some();
        let conflicting = self.roster.iter().filter(|(_, entry)| entry.is_conflicting());
        conflicting.filter(move |_| in_ring).map(|(id, _)| id)
    }
}

/// What the roster makes of a record.
fn member(entry: &Entry) -> Option<Member> {
    let membership = entry.membership()?;
    let own = entry.own();
    Some(Member {
        id: entry.record().id.clone(),
        address: entry.address()?.clone(),
        weight: membership.weight,
        zone: membership.zone.as_deref().map(hashring::Zone::new),
        status: match own {
            None => Status::Joining,
            Some(own) if own.draining => Status::Draining,
            Some(_) => Status::Member,
        },
        incarnation: own.map_or(membership.incarnation, |own| own.incarnation),
        liveness: Liveness::Alive,
        protocols: own.map(|own| own.protocols),
        tags: own.map(|own| own.tags.clone().into()).unwrap_or_default(),
    })
}
