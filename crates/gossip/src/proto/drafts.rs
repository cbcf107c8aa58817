//! What each local write means, decided when its turn comes: an operation or an upkeep becomes records.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};

use crate::error::{
    AnnounceError, InsertError, JoinError, LeaveError, RemoveError, Unavailable, UpdateError,
};
use crate::message::InviteRefusal;
use crate::ring_name::RingName;

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::machine::Machine;
use super::operations::{Command, Insertion, Operation, Outcome, Token};
use super::record::{Membership, OwnRecord, Record, Standing, TAG_BYTES_MAX, Version, tag_bytes};
use super::roster::Roster;
use super::rules::Rule;
use super::time::Now;

/// A local write that is wanted.
#[derive(Debug, Clone)]
pub(super) enum Intent {
    /// Of an operation: if it cannot be stored, whoever asked is told.
    Operation(Token, Command),
    /// Be in the ring that the configuration names, at the first start.
    Found(RingName),
    /// Write the own record of this incarnation.
    Announce,
    /// The same, as a new run of this node.
    Mint,
    /// Take back a leave that too few heard.
    Return(Token, LeaveError),
    /// Come back into the ring that removed this node and invites it again.
    Accept { record: Box<Record>, from: NodeId },
    /// Say once what several runs of this node said of it.
    Gather,
    /// Take the weight this node was inserted with.
    Adopt { weight: u32 },
    /// Outside, become a run above all that others know of, and then say that this node does not come, or is gone.
    Outgrow { to: NodeId, refusal: Option<InviteRefusal> },
    /// Remove a node that does not come.
    Uninvite { id: NodeId, incarnation: Incarnation, reason: InviteRefusal },
}

impl Intent {
    /// Whether both are the same thing nobody asked for, so that one of them is enough.
    pub(super) fn is_same_upkeep(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Announce, Self::Announce)
            | (Self::Mint, Self::Mint)
            | (Self::Gather, Self::Gather)
            | (Self::Accept { .. }, Self::Accept { .. })
            | (Self::Adopt { .. }, Self::Adopt { .. })
            | (Self::Outgrow { .. }, Self::Outgrow { .. }) => true,
            (Self::Uninvite { id, .. }, Self::Uninvite { id: other, .. }) => id == other,
            _ => false,
        }
    }
}

/// What a write changes, until it is on disk.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) records: BTreeMap<NodeId, Record>,
    pub(super) affiliation: Option<Affiliation>,
    /// Start from an empty roster: the ring is another one.
    pub(super) fresh: bool,
    pub(super) then: Then,
}

impl Draft {
    /// Whether only a member writes this.
    pub(super) fn is_of_members(&self) -> bool {
        self.affiliation.is_none() && !matches!(self.then, Then::Refuse(..))
    }
}

/// What follows once a write is on disk.
#[derive(Debug, Default)]
pub(super) enum Then {
    #[default]
    Nothing,
    Complete(Token, fn(Result<Operation, Unavailable>) -> Outcome),
    Cut {
        token: Token,
        ids: BTreeSet<NodeId>,
        force: bool,
    },
    Leave {
        token: Token,
        force: bool,
    },
    Returned(Token, LeaveError),
    Greet(NodeId),
    Uninvited(NodeId, InviteRefusal),
    Refuse(NodeId, Option<InviteRefusal>),
}

impl Machine {
    /// The write that is wanted, with what to try again should it not be stored. `None` when there is nothing to
    /// write any more, and whoever waited was told.
    pub(super) fn draft(&mut self, intent: Intent, now: Now) -> Option<(Draft, Option<Intent>)> {
        let (mut draft, again) = self.wanted(intent, now)?;
        self.own_up(&mut draft);
        Some((draft, again))
    }

    fn wanted(&mut self, intent: Intent, now: Now) -> Option<(Draft, Option<Intent>)> {
        match intent {
            Intent::Operation(token, command) => match self.operation(token, command, now) {
                Ok(draft) => Some((draft, None)),
                Err(outcome) => {
                    self.complete(token, outcome);
                    None
                }
            },
            Intent::Found(ref ring) => {
                let draft = self.found(ring, now).ok()?;
                Some((draft, Some(intent)))
            }
            intent => {
                let again = if matches!(intent, Intent::Mint) { Intent::Announce } else { intent.clone() };
                let draft = self.upkeep(intent, now)?;
                Some((draft, Some(again)))
            }
        }
    }

    fn operation(&mut self, token: Token, command: Command, now: Now) -> Result<Draft, Outcome> {
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

    /// The writes nobody asked for.
    fn upkeep(&mut self, intent: Intent, now: Now) -> Option<Draft> {
        let local = self.settings.id.clone();
        let mut draft = Draft::default();
        let is_of_members = !matches!(intent, Intent::Accept { .. } | Intent::Outgrow { .. });
        if is_of_members && self.ring().is_none() {
            return None;
        }
        match intent {
            Intent::Announce => self.write_own(&mut draft),
            Intent::Mint => {
                // It may have become one above all it was told of since this was wanted; each new run ends all sessions.
                if self.identity.is_outrun() {
                    self.identity.mint(now.wall_ms, &mut self.random);
                }
                self.write_own(&mut draft);
            }
            Intent::Return(token, error) => {
                self.identity.mint(now.wall_ms, &mut self.random);
                self.write_membership(&mut draft, now);
                draft.then = Then::Returned(token, error);
            }
            Intent::Accept { record, from } => {
                let Affiliation::Evicted(ring) = &self.affiliation else { return None };
                let (entry, _) = self.roster.trial(&record).ok()?;
                let entry = entry?;
                // An invitation from before the removal changes nothing.
                let membership = entry.membership()?;
                self.identity.told(membership.incarnation);
                draft.affiliation = Some(Affiliation::In(ring.clone()));
                draft.records.insert(local, Record { own: None, ..entry.record().clone() });
                draft.then = Then::Greet(from);
                self.identity.mint(now.wall_ms, &mut self.random);
                self.write_own(&mut draft);
            }
            Intent::Outgrow { to, refusal } => {
                if self.ring().is_some() {
                    return None;
                }
                if self.identity.is_outrun() {
                    self.identity.mint(now.wall_ms, &mut self.random);
                }
                draft.then = Then::Refuse(to, refusal);
            }
            Intent::Gather => {
                let chosen = self.scattered()?;
                let by = local.clone();
                let is_gathered = |version: &Version| version.by == by || *version == chosen;
                self.write_over(&mut draft, &local, &chosen.standing, now, is_gathered);
            }
            Intent::Adopt { weight } => {
                let membership = self.roster.get(&local)?.membership()?;
                if membership.weight == weight {
                    return None;
                }
                let standing = Standing::Member(Membership { weight, ..membership.clone() });
                self.write(&mut draft, &local, &standing, now);
            }
            Intent::Uninvite { id, incarnation: refused, reason } => {
                let entry = self.roster.get(&id).filter(|entry| entry.membership().is_some())?;
                if entry.own().is_some_and(|own| own.incarnation > refused) {
                    return None;
                }
                let incarnation = self.roster.incarnation_of(&id);
                self.write(&mut draft, &id, &Standing::Removed { incarnation }, now);
                draft.then = Then::Uninvited(id, reason);
            }
            Intent::Operation(..) | Intent::Found(_) => return None,
        }
        Some(draft)
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

    fn found(&mut self, ring: &RingName, now: Now) -> Result<Draft, JoinError> {
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

    /// Writes this node into the roster, under its present incarnation, and its own record.
    fn write_membership(&mut self, draft: &mut Draft, now: Now) {
        let membership = Membership {
            incarnation: self.identity.incarnation(),
            weight: self.settings.weight,
            address: self.settings.address.clone(),
            zone: self.settings.zone.clone(),
        };
        self.write(draft, &self.settings.id.clone(), &Standing::Member(membership), now);
        self.write_own(draft);
    }

    /// Writes the roster record of a node, replacing every version there is.
    fn write(&mut self, draft: &mut Draft, id: &NodeId, standing: &Standing, now: Now) {
        self.write_over(draft, id, standing, now, |_| true);
    }

    /// The same, replacing only these versions.
    fn write_over(
        &mut self,
        draft: &mut Draft,
        id: &NodeId,
        standing: &Standing,
        now: Now,
        replaces: impl Fn(&Version) -> bool,
    ) {
        let empty = Roster::default();
        for _ in 0..ACTORS_TRIED {
            let version = Version {
                standing: standing.clone(),
                stamp: self.stamps.tick(now.wall_ms),
                by: self.settings.id.clone(),
                extension: self.settings.extension.clone(),
            };
            let dot = self.identity.next_dot(&mut self.random);
            let roster = if draft.fresh { &empty } else { &self.roster };
            if let Some(record) = roster.written(id, dot, version, &replaces) {
                draft.records.insert(id.clone(), record);
                return;
            }
            // Someone claims to have seen this event before it happened. A fresh actor has no past.
            self.identity.leave_actor();
        }
    }

    /// What counts of this node's place in the ring, if runs of it wrote it beside each other: each that had no disk did
    /// so without knowing of the last.
    pub(super) fn scattered(&self) -> Option<Version> {
        let entry = self.roster.get(&self.settings.id).filter(|entry| entry.membership().is_some())?;
        let mut own = entry.versions().values().filter(|version| version.by == self.settings.id);
        own.nth(1).and(entry.chosen()).map(|(_, chosen)| chosen.clone())
    }

    /// Says under which actor this node writes, before anyone sees what it wrote.
    fn own_up(&mut self, draft: &mut Draft) {
        let is_out = matches!(draft.then, Then::Leave { .. } | Then::Refuse(..));
        let known = self.roster.get(&self.settings.id).map(Entry::record);
        let own = draft.records.get(&self.settings.id).or(known).and_then(|record| record.own.as_ref());
        if !is_out && own.is_some_and(|own| own.actor != self.identity.actor()) {
            self.write_own(draft);
        }
    }

    /// Writes what this node says of itself.
    fn write_own(&mut self, draft: &mut Draft) {
        let local = &self.settings.id;
        let known = self.roster.get(local).map(Entry::record);
        let Some(record) = draft.records.get(local).or(known) else { return };
        let own = OwnRecord {
            incarnation: self.identity.incarnation(),
            version: self.identity.next_own_version(),
            address: self.settings.address.clone(),
            protocols: self.settings.protocols,
            draining: self.draining,
            tags: self.tags.clone(),
            actor: self.identity.actor(),
            ended: self.identity.ended().to_vec(),
            extension: self.settings.extension.clone(),
        };
        let record = Record { own: Some(own), ..record.clone() };
        draft.records.insert(record.id.clone(), record);
    }
}

/// Actors tried for one write. A random one that is taken already does not happen twice.
const ACTORS_TRIED: usize = 4;
