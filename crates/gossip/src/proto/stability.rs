//! What every member is known to have on disk, and what may be forgotten because of that.
//!
//! Causal stability after Baquero, Almeida and Shoker, *Making Operation-Based CRDTs Operation-Based* (2014): an event
//! is stable once everyone has it, for then nothing concurrent with it is still to come. Here a member tells what it
//! has on disk as one hash, and that counts if this node was, at some time it remembers, in that very state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use netkernel::NodeId;

use super::drafts::Intent;
use super::entry::Entry;
use super::hash::Hash;
use super::machine::Machine;
use super::record::{Actor, Ended};
use super::rules::Rule;
use super::stored::Stored;
use super::time::Now;

/// What waits to be forgotten, and who is known to have it on disk.
#[derive(Debug, Default)]
pub(super) struct Stability {
    pub(super) waiting: BTreeMap<Stale, Wait>,
    /// States this node was in, and how many waits had begun by then.
    states: VecDeque<(Hash, u64)>,
    begun: u64,
    /// Until when each floor is kept.
    floors: BTreeMap<NodeId, u64>,
    /// Until when each retired actor is remembered.
    pub(super) retired: BTreeMap<Actor, u64>,
    /// Who has the present state on disk, as members tell each other.
    pub(super) stored: Stored,
}

/// Something to forget once it is stable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stale {
    /// A removed node's record.
    Tombstone(NodeId),
    /// An actor of which nothing is left.
    Actor(Ended),
}

#[derive(Debug)]
pub(super) struct Wait {
    since_ms: u64,
    number: u64,
    acknowledged: BTreeSet<NodeId>,
}

/// Tombstones that are old enough to be collected and wait for members that have not acknowledged them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overdue {
    /// How many tombstones wait.
    pub tombstones: usize,
    /// For whom: members that are down, or whose disk takes nothing.
    pub members: BTreeSet<NodeId>,
}

impl Stability {
    pub(super) fn begin(&mut self, stale: Stale, now: Now) {
        self.begun += 1;
        let wait = Wait { since_ms: now.mono_ms, number: self.begun, acknowledged: BTreeSet::new() };
        self.waiting.insert(stale, wait);
    }

    /// Remembers that this node is in this state.
    fn note(&mut self, state: Hash) {
        if self.states.back().is_some_and(|last| *last == (state, self.begun)) {
            return;
        }
        self.states.push_back((state, self.begun));
        if self.states.len() > STATES_MAX {
            self.states.pop_front();
        }
    }

    /// `member` has this state on disk.
    fn acknowledge(&mut self, member: &NodeId, state: Hash) {
        let Some((_, begun)) = self.states.iter().rev().find(|(known, _)| *known == state) else { return };
        for wait in self.waiting.values_mut().filter(|wait| wait.number <= *begun) {
            wait.acknowledged.insert(member.clone());
        }
    }
}

impl Machine {
    /// A record changed: a tombstone begins to wait, or waits anew, or does not any more.
    pub(super) fn mark_stale(&mut self, id: &NodeId, now: Now) {
        let stale = Stale::Tombstone(id.clone());
        if self.roster.get(id).is_some_and(|entry| entry.removal().is_some()) {
            self.stability.begin(stale, now);
        } else {
            self.stability.waiting.remove(&stale);
        }
    }

    /// Begins to wait for everything there is to forget, after a start.
    pub(super) fn mark_all_stale(&mut self, now: Now) {
        let ids: Vec<_> = self.roster.iter().map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.mark_stale(id, now));
    }

    /// A member has told what it has on disk.
    pub(super) fn heard_durable(&mut self, member: &NodeId, state: Hash) {
        self.stability.note(self.roster.seen_hash());
        self.stability.acknowledge(member, state);
        if !self.stability.waiting.is_empty() && state == self.roster.seen_hash() {
            self.note_stored(Some((member, state)));
        }
    }

    /// How long this node still keeps a floor, in milliseconds.
    pub(super) fn floor_left_ms(&self, id: &NodeId, now: Now) -> u64 {
        let until = self.stability.floors.get(id);
        until.map_or(self.settings.floor_ms, |until| until.saturating_sub(now.mono_ms))
    }

    pub(super) fn keep_floor(&mut self, id: NodeId, for_ms: u64, now: Now) {
        self.stability.floors.insert(id, now.mono_ms.saturating_add(for_ms));
    }

    /// Forgets what is stable and old enough, and floors whose time is up.
    pub(super) fn collect_garbage(&mut self, now: Now) {
        if self.ring().is_none() {
            return;
        }
        self.stability.note(self.roster.seen_hash());
        let durable = self.writer.durable();
        let local = self.settings.id.clone();
        self.stability.acknowledge(&local, durable);
        self.gather();
        self.watch_actors(now);
        if self.has_overdue(now) {
            self.note_stored(None);
            self.collect_stable(now);
        }
        self.forget_expired(now);
    }

    fn collect_stable(&mut self, now: Now) {
        let members = self.must_acknowledge();
        let stored = self.stability.stored.of(self.state_of(&members));
        let ready = |wait: &&Wait| {
            self.is_old_enough(wait, now)
                && (!self.keeps(Rule::AllAcknowledge) || missing(wait, &members, stored).next().is_none())
        };
        let waiting = self.stability.waiting.iter();
        let ready: Vec<_> = waiting.filter(|(_, wait)| ready(wait)).map(|(stale, _)| stale.clone()).collect();
        let mut ended = Vec::new();
        for stale in ready {
            self.stability.waiting.remove(&stale);
            match stale {
                Stale::Tombstone(id) => self.collect(id, now),
                Stale::Actor(actor) => ended.push(actor),
            }
        }
        if !ended.is_empty() {
            self.identity.end(ended);
            self.writer.push(Intent::Announce);
        }
    }

    /// Leaves of a removed node only a floor.
    fn collect(&mut self, id: NodeId, now: Now) {
        self.roster.collect(&id);
        self.unaware.remove(&id);
        self.keep_floor(id, self.settings.floor_ms, now);
        self.stats.collected += 1;
        self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
    }

    fn forget_expired(&mut self, now: Now) {
        let expired = self.stability.floors.iter().filter(|(_, until)| now.mono_ms >= **until);
        for id in expired.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.stability.floors.remove(&id);
            self.roster.forget_floor(&id);
            self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
        }
        let expired = self.stability.retired.iter().filter(|(_, until)| now.mono_ms >= **until);
        for actor in expired.map(|(actor, _)| *actor).collect::<Vec<_>>() {
            self.stability.retired.remove(&actor);
            self.roster.forget_retired(actor);
            self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
        }
    }

    /// Whether something is old enough to be forgotten and waits for members.
    pub(super) fn has_overdue(&self, now: Now) -> bool {
        self.stability.waiting.values().any(|wait| self.is_old_enough(wait, now))
    }

    fn is_old_enough(&self, wait: &Wait, now: Now) -> bool {
        let age_ms =
            if self.settings.rules.keep(Rule::TombstoneAges) { self.settings.tombstone_ms } else { 0 };
        now.mono_ms >= wait.since_ms.saturating_add(age_ms)
    }

    /// Everyone who was ever heard from and is a member, this node included. One that is yet to come starts from what
    /// it is told then.
    pub(super) fn must_acknowledge(&self) -> Vec<NodeId> {
        self.heard_members().cloned().collect()
    }

    /// The same, by id.
    pub(super) fn heard_members(&self) -> impl Iterator<Item = &NodeId> {
        let heard = |(_, entry): &(&NodeId, &Entry)| entry.own().is_some();
        self.roster.members().filter(heard).map(|(id, _)| id)
    }

    /// The tombstones that are held back, and by whom.
    #[must_use]
    pub fn overdue(&self, now: Now) -> Overdue {
        let mut overdue = Overdue::default();
        if !self.has_overdue(now) {
            return overdue;
        }
        let members = self.must_acknowledge();
        let stored = self.stability.stored.of(self.state_of(&members));
        for (stale, wait) in &self.stability.waiting {
            if matches!(stale, Stale::Tombstone(_)) && self.is_old_enough(wait, now) {
                overdue.tombstones += 1;
                overdue.members.extend(missing(wait, &members, stored).cloned());
            }
        }
        overdue
    }
}

/// Which members have not acknowledged it, neither to this node nor to one that told of the present state.
fn missing<'a>(
    wait: &'a Wait,
    members: &'a [NodeId],
    stored: Option<&'a Stored>,
) -> impl Iterator<Item = &'a NodeId> {
    let acknowledged = move |(at, id): &(usize, &NodeId)| {
        wait.acknowledged.contains(*id) || stored.is_some_and(|stored| stored.contains(*at))
    };
    members.iter().enumerate().filter(move |member| !acknowledged(member)).map(|(_, id)| id)
}

/// States remembered, so that a member that is a few changes behind still acknowledges what is older.
const STATES_MAX: usize = 64;
