//! Actors that have come to their end: which they are, who says so, and how they are taken out of everything.
//!
//! A boot writes under an actor of its own, so contexts and records would grow with every restart. An actor that no
//! member names as the one it writes under, and of which nothing is left, is retired:
//!
//! ```text
//!   used ──(replaced, floor expired)──▶ unused ──(all acknowledge)──▶ named in the own record ──▶ retired everywhere
//!    a version or floor is of it          waits                         spreads as any news        no context counts it
//! ```
//!
//! The first of the members decides, and only what is so in its own roster counts: members that have collected at
//! different times differ about what is left. Should two take themselves for the first for a while, both are right.
//! An actor is retired up to its last event, if all before it were seen: one that only a lost disk had may come back with
//! a copy, so its actor stays. All of these pass for seen from then on, so that what an old disk still has of it does not
//! come back; should its writer be alive after all, what it writes next counts as ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use netkernel::NodeId;
use vclock::DotRange;

use super::drafts::Intent;
use super::entry::Entry;
use super::machine::Machine;
use super::record::{Actor, Context, Ended, Record, Versions};
use super::roster::Roster;
use super::rules::Rule;
use super::stability::Stale;
use super::time::Now;

impl Roster {
    /// The actors that are out of the context, with their last events.
    pub(crate) fn retired(&self) -> impl Iterator<Item = Ended> + '_ {
        self.seen.retired()
    }

    pub(crate) fn is_retired(&self, ended: Ended) -> bool {
        self.seen.is_retired(ended.actor, ended.last)
    }

    /// The actors that no node names as its own, with their last events; with `only_unused`, only those of which nothing
    /// is left.
    pub(crate) fn abandoned(&self, only_unused: bool) -> Vec<Ended> {
        let named = self.entries.values().filter_map(|entry| entry.record().own.as_ref()?.actor);
        let mut kept: BTreeSet<_> = named.collect();
        if only_unused {
            let versions = self.entries.values().flat_map(|entry| entry.versions().siblings());
            let floors = self.floors.values().flat_map(|floor| &floor.dots);
            kept.extend(versions.map(|(dot, _)| dot.actor).chain(floors.map(|dot| dot.actor)));
        }
        let ended = self.seen.ends().filter(|ended| !kept.contains(&ended.actor));
        ended.collect()
    }

    /// Whether all of the actor's events were seen, and no node is a member by one of them.
    fn is_spent(&self, ended: Ended) -> bool {
        let is_of_it = |entry: &Entry| entry.versions().siblings().any(|(dot, _)| dot.actor == ended.actor);
        let all = DotRange::new(ended.actor, 1, ended.last).into_iter().collect();
        self.seen.covers_all(&all) && !self.members().any(|(_, entry)| is_of_it(entry))
    }

    /// The retired actors that a node with this context still counts.
    pub(crate) fn retired_for<'a>(&'a self, context: &'a Context) -> impl Iterator<Item = Ended> + 'a {
        let is_told = self.rules.keep(Rule::RetiredIsTold);
        self.seen.retired_in(context).filter(move |_| is_told)
    }

    /// Takes an actor out of everything: all of its events were replaced wherever they were. Returns the nodes whose
    /// records lost something by it: had this node not fallen back, none would. Its own record stays even so, for it
    /// has to answer with it.
    pub(crate) fn retire(&mut self, local: &NodeId, ended: Ended) -> Vec<NodeId> {
        if !self.seen.retire(ended) {
            return Vec::new();
        }
        let mut concerned = Vec::new();
        for (id, entry) in self.entries.clone() {
            if entry.versions().context().get(&ended.actor) == 0 {
                continue;
            }
            let (past, siblings) = entry.versions().clone().into_parts();
            let count = siblings.len();
            let left: Vec<_> = siblings
                .into_iter()
                .filter(|(dot, _)| !self.seen.is_retired(dot.actor, dot.counter()))
                .collect();
            if left.is_empty() && id == *local {
                continue;
            }
            if left.len() < count {
                concerned.push(id.clone());
            }
            if left.is_empty() {
                self.take(&id);
            } else {
                let versions = Versions::from_parts(past, left).expect("some of the siblings of a valid set");
                self.put(Entry::new(Record { versions, ..entry.record().clone() }));
            }
        }
        for floor in self.floors.values_mut().filter(|floor| floor.past.get(&ended.actor) > 0) {
            Arc::make_mut(floor).forget(&self.seen);
        }
        concerned
    }

    /// Forgets that an actor was retired, for whoever might still know its events is a member no longer.
    pub(crate) fn forget_retired(&mut self, actor: Actor) {
        self.seen.forget_retired(actor);
    }
}

impl Machine {
    /// How long this node still remembers that an actor was retired, in milliseconds.
    pub(super) fn retired_left_ms(&self, actor: Actor, now: Now) -> u64 {
        let until = self.stability.retired.get(&actor);
        until.map_or(self.settings.retired_ms(), |until| until.saturating_sub(now.mono_ms))
    }

    pub(super) fn keep_retired(&mut self, actor: Actor, for_ms: u64, now: Now) {
        self.stability.retired.insert(actor, now.mono_ms.saturating_add(for_ms));
    }

    /// Wants what earlier runs of this node said of it replaced, if it stands beside what this one said: a node that
    /// loses its disk at each start would add a version each time.
    pub(super) fn gather(&mut self) {
        let is_free = self.leaving.is_none() && self.probe.is_none() && !self.writer.is_gathering();
        if is_free && self.scattered().is_some() && self.keeps(Rule::RunsAreGathered) {
            self.writer.push(Intent::Gather);
        }
    }

    /// On the first of the members, actors begin to wait once nothing is left of them, and no longer if something is.
    pub(super) fn watch_actors(&mut self, now: Now) {
        let first = self.heard_members().next();
        let abandoned = match first == Some(&self.settings.id) {
            true => self.roster.abandoned(self.keeps(Rule::UnusedIsRetired)),
            false => Vec::new(),
        };
        self.stability.waiting.retain(|stale, _| match stale {
            Stale::Actor(ended) => abandoned.binary_search(ended).is_ok(),
            Stale::Tombstone(_) => true,
        });
        for stale in abandoned.into_iter().map(Stale::Actor) {
            if !self.stability.waiting.contains_key(&stale) {
                self.stability.begin(stale, now);
            }
        }
    }

    /// `from` has retired actors. What this node holds of them was replaced by something that it may not have heard of,
    /// unless it heard all that `from` has: until then a member stays by what there is, and what was not seen is not taken
    /// for seen.
    pub(super) fn retire(&mut self, from: &NodeId, ended: &[Ended], is_all_here: bool, now: Now) {
        let is_due = |ended: &&Ended| {
            !self.roster.is_retired(**ended) && (is_all_here || self.roster.is_spent(**ended))
        };
        let news: Vec<_> = ended.iter().filter(is_due).collect();
        if news.is_empty() {
            return;
        }
        let before = self.roster.clone();
        for ended in news {
            let concerned = self.roster.retire(&self.settings.id, *ended);
            self.stats.retired += 1;
            self.keep_retired(ended.actor, self.settings.retired_ms(), now);
            self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
            for id in concerned {
                self.shrank(before.get(&id), &id, None, from, now);
            }
        }
        if *from == self.settings.id {
            // What others acknowledge from now on includes this, so the next may take its place.
            self.stability.waiting.retain(|stale, _| matches!(stale, Stale::Tombstone(_)));
        }
    }
}
