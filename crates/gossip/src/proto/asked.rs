//! What each operation writes, decided when its turn comes.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};

use crate::error::{AnnounceError, InsertError, JoinError, LeaveError, RemoveError, UpdateError};
use crate::ring_name::RingName;

use super::affiliation::Affiliation;
use super::drafts::{Draft, Then};
use super::entry::Entry;
use super::machine::Machine;
use super::operations::{Command, Insertion, Outcome, Token};
use super::record::{Membership, Standing, TAG_BYTES_MAX, tag_bytes};
use super::rules::Rule;
use super::time::Now;

impl Machine {
    pub(super) fn operation(&mut self, token: Token, command: Command, now: Now) -> Result<Draft, Outcome> {
        let done = |result: Result<Draft, _>, outcome| {
            result.map(|draft| Draft { then: Then::Complete(token, outcome), ..draft })
        };
        match command {
            Command::Insert { nodes, force } => {
                let draft = self.insert(nodes, force, now).map_err(|error| Outcome::Insert(Err(error)));
                done(draft, |result| Outcome::Insert(result.map_err(Into::into)))
            }
            Command::Update { id, weight } => {
                let draft = self.update(&id, weight, now).map_err(|error| Outcome::Update(Err(error)));
                done(draft, |result| Outcome::Update(result.map_err(Into::into)))
            }
            Command::Join { ring } => {
                let draft = self.rejoin(&ring, now).map_err(|error| Outcome::Join(Err(error)));
                done(draft, |result| Outcome::Join(result.map_err(Into::into)))
            }
            Command::Announce { draining, tags } => {
                let draft = self.describe(draining, tags).map_err(|error| Outcome::Announce(Err(error)));
                done(draft, |result| Outcome::Announce(result.map_err(Into::into)))
            }
            Command::Remove { ids, force } => {
                let ids: BTreeSet<_> = ids.into_iter().collect();
                let draft = self.remove(&ids, now).map_err(|error| Outcome::Remove(Err(error)))?;
                Ok(Draft { then: Then::Cut { token, ids, force }, ..draft })
            }
            Command::Leave { force } => {
                let draft = self.depart(now).map_err(|error| Outcome::Leave(Err(error)))?;
                Ok(Draft { then: Then::Leave { token, force }, ..draft })
            }
            Command::Meet { .. } | Command::Propagated { .. } | Command::Stop => Err(Outcome::Stop),
        }
    }

    fn insert(&mut self, nodes: Vec<Insertion>, force: bool, now: Now) -> Result<Draft, InsertError> {
        if !self.is_staying() {
            return Err(InsertError::NotInRing);
        }
        // Each node is written once, as it is named last.
        let nodes: BTreeMap<_, _> = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        for (id, node) in &nodes {
            if self.is_member(id) && !force {
                return Err(InsertError::AlreadyMember { id: id.clone() });
            }
            if let Some(weight) = node.weight.filter(|weight| *weight > hashring::WEIGHT_MAX) {
                return Err(InsertError::WeightTooLarge { weight });
            }
        }
        let newcomers = nodes.keys().filter(|id| !self.is_member(id)).count();
        if self.roster.members().count() + newcomers > self.settings.members_max {
            return Err(InsertError::TooManyMembers { max: self.settings.members_max });
        }
        let mut draft = Draft::default();
        for (id, Insertion { address, weight, zone, .. }) in nodes {
            let present = self.roster.get(&id).and_then(Entry::membership);
            let membership = Membership {
                incarnation: match present {
                    Some(present) => present.incarnation,
                    // Above the removal, or it would not count where that is still unknown.
                    None if self.roster.knows(&id) && self.keeps(Rule::InsertIsAboveRemoval) => {
                        Incarnation(self.roster.incarnation_of(&id).0.saturating_add(1))
                    }
                    None => Incarnation::default(),
                },
                weight: weight.or(present.map(|present| present.weight)).unwrap_or(self.settings.weight),
                address,
                zone: zone.or(present.and_then(|present| present.zone.clone())),
            };
            self.write(&mut draft, &id, &Standing::Member(membership), now);
        }
        let points = self.points_with(&draft);
        if points > hashring::POINTS_MAX as u64 {
            return Err(InsertError::TooManyPoints { points });
        }
        Ok(draft)
    }

    fn update(&mut self, id: &NodeId, weight: u32, now: Now) -> Result<Draft, UpdateError> {
        if !self.is_staying() {
            return Err(UpdateError::NotInRing);
        }
        if weight > hashring::WEIGHT_MAX {
            return Err(UpdateError::WeightTooLarge { weight });
        }
        let membership = self.roster.get(id).and_then(Entry::membership);
        let membership = membership.ok_or_else(|| UpdateError::UnknownMember { id: id.clone() })?;
        // The incarnation stays, so that a change of weight never undoes a concurrent removal.
        let incarnation = match self.keeps(Rule::UpdateKeepsIncarnation) {
            true => membership.incarnation,
            false => Incarnation(self.roster.incarnation_of(id).0 + 1),
        };
        let standing = Standing::Member(Membership { weight, incarnation, ..membership.clone() });
        let mut draft = Draft::default();
        let less = weight <= membership.weight;
        self.write(&mut draft, id, &standing, now);
        let points = self.points_with(&draft);
        if points > hashring::POINTS_MAX as u64 && !less {
            return Err(UpdateError::TooManyPoints { points });
        }
        Ok(draft)
    }

    /// How many points the ring would have with this written, joining members included.
    fn points_with(&self, draft: &Draft) -> u64 {
        let weight = |entry: &Entry| entry.membership().map_or(0, |membership| u64::from(membership.weight));
        let present = self.roster.members().filter(|(id, _)| !draft.records.contains_key(*id));
        let written = draft.records.values().map(|record| weight(&Entry::new(record.clone())));
        present.map(|(_, entry)| weight(entry)).chain(written).sum()
    }

    fn remove(&mut self, ids: &BTreeSet<NodeId>, now: Now) -> Result<Draft, RemoveError> {
        if !self.is_staying() {
            return Err(RemoveError::NotInRing);
        }
        for id in ids {
            if *id == self.settings.id {
                return Err(RemoveError::Myself { id: id.clone() });
            }
            if !self.is_member(id) {
                return Err(RemoveError::UnknownMember { id: id.clone() });
            }
        }
        let mut draft = Draft::default();
        for id in ids {
            let incarnation = match self.keeps(Rule::RemovalBearsHighest) {
                true => self.roster.incarnation_of(id),
                false => Incarnation::default(),
            };
            self.write(&mut draft, id, &Standing::Removed { incarnation }, now);
        }
        Ok(draft)
    }

    fn depart(&mut self, now: Now) -> Result<Draft, LeaveError> {
        if !self.is_staying() {
            return Err(LeaveError::NotInRing);
        }
        let mut draft = Draft::default();
        let incarnation = self.identity.incarnation().max(self.roster.incarnation_of(&self.settings.id));
        self.write(&mut draft, &self.settings.id.clone(), &Standing::Removed { incarnation }, now);
        Ok(draft)
    }

    /// Whether this node is in a ring and not about to leave it.
    fn is_staying(&self) -> bool {
        self.ring().is_some() && self.leaving.is_none()
    }

    /// Joins as a new run, so that what was said of the last one does not count for this.
    fn rejoin(&mut self, ring: &RingName, now: Now) -> Result<Draft, JoinError> {
        if self.ring().is_none() {
            self.identity.told(self.roster.incarnation_of(&self.settings.id));
            self.identity.mint(now.wall_ms, &mut self.random);
        }
        self.found(ring, now)
    }

    pub(super) fn found(&mut self, ring: &RingName, now: Now) -> Result<Draft, JoinError> {
        if let Some(ring) = self.ring() {
            return Err(JoinError::AlreadyIn { ring: ring.clone() });
        }
        let fresh = self.affiliation.last_ring() != Some(ring);
        if fresh {
            self.identity.forget_ring();
        }
        let mut draft = Draft { fresh, affiliation: Some(Affiliation::In(ring.clone())), ..Draft::default() };
        self.write_membership(&mut draft, now);
        Ok(draft)
    }

    fn describe(
        &mut self,
        draining: Option<bool>,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Draft, AnnounceError> {
        if !self.is_staying() {
            return Err(AnnounceError::NotInRing);
        }
        if let Some(bytes) = tags.as_ref().map(tag_bytes).filter(|bytes| *bytes > TAG_BYTES_MAX) {
            return Err(AnnounceError::TagsTooLarge { bytes, max: TAG_BYTES_MAX });
        }
        self.draining = draining.unwrap_or(self.draining);
        self.tags = tags.unwrap_or_else(|| std::mem::take(&mut self.tags));
        let mut draft = Draft::default();
        self.write_own(&mut draft);
        Ok(draft)
    }
}
