//! What each local write means, decided when its turn comes: an operation or an upkeep becomes records.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};

use crate::error::{LeaveError, Unavailable};
use crate::message::InviteRefusal;
use crate::ring_name::RingName;

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::machine::Machine;
use super::operations::{Command, Operation, Outcome, Token};
use super::record::{Membership, OwnRecord, Record, Standing, Version};
use super::roster::Roster;
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

    /// Writes this node into the roster, under its present incarnation, and its own record.
    pub(super) fn write_membership(&mut self, draft: &mut Draft, now: Now) {
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
    pub(super) fn write(&mut self, draft: &mut Draft, id: &NodeId, standing: &Standing, now: Now) {
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
    pub(super) fn write_own(&mut self, draft: &mut Draft) {
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
