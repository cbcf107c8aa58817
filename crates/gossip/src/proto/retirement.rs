//! Actors that have come to their end: which they are, who says so, and how they are taken out of everything.
//!
//! A boot writes under an actor of its own, so contexts and records would grow with every restart. One node answers for
//! each actor: the one that wrote under it, for a run of which the disk was lost the run after it, and for a node that
//! was removed the least of the members. Once that node finds nothing of the actor in its roster and every member has
//! acknowledged that very state from its disk, it names the actor in its own record:
//!
//! ```text
//!   used ──(replaced, floor expired)──▶ unused ──(all acknowledge)──▶ named in the own record ──▶ retired everywhere
//!    a version or floor is of it          waits                         spreads as any news        no context counts it
//! ```
//!
//! Only one decides, because members that have collected at different times differ about what is left. All of its events
//! pass for seen from then on, so that what an old disk still has of it does not come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use netkernel::NodeId;

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

    /// Of these actors, those of which all events up to the last were seen, with that.
    pub(crate) fn whole(&self, actors: &[Actor]) -> Vec<Ended> {
        let ended = |actor: &Actor| Some(Ended { actor: *actor, last: self.seen.last_of(*actor)? });
        actors.iter().filter_map(ended).collect()
    }

    /// Of these actors, those of which also nothing is left.
    pub(crate) fn unused(&self, actors: &[Actor]) -> Vec<Ended> {
        let mut whole = self.whole(actors);
        if !whole.is_empty() {
            let versions = self.entries.values().flat_map(|entry| entry.versions().siblings());
            let floors = self.floors.values().flat_map(|floor| &floor.dots);
            let used: BTreeSet<_> =
                versions.map(|(dot, _)| dot.actor).chain(floors.map(|dot| dot.actor)).collect();
            whole.retain(|ended| !used.contains(&ended.actor));
        }
        whole
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
        until.map_or(self.settings.floor_ms, |until| until.saturating_sub(now.mono_ms))
    }

    pub(super) fn keep_retired(&mut self, actor: Actor, for_ms: u64, now: Now) {
        self.stability.retired.insert(actor, now.mono_ms.saturating_add(for_ms));
    }

    /// Wants what earlier runs of this node said of it replaced, if it stands beside what this one said: a node that
    /// loses its disk at each start would add a version each time.
    pub(super) fn gather(&mut self) {
        let is_free = self.leaving.is_none() && self.probe.is_none() && !self.writer.is_gathering();
        if is_free && self.own_standing().is_some() && self.keeps(Rule::RunsAreGathered) {
            self.writer.push(Intent::Gather);
        }
    }

    /// Actors that this node answers for begin to wait once nothing is left of them, and no longer if something is.
    pub(super) fn watch_actors(&mut self, now: Now) {
        if self.agreed.len() == self.others().len() && self.writer.is_settled() {
            let context = self.roster.context();
            self.identity.disown(|actor| context.latest(actor) == 0);
        }
        let earlier = self.identity.earlier_actors();
        let unused = match self.keeps(Rule::UnusedIsRetired) {
            true => self.roster.unused(&earlier),
            false => self.roster.whole(&earlier),
        };
        self.stability.waiting.retain(|stale, _| match stale {
            Stale::Actor(ended) => unused.contains(ended),
            Stale::Tombstone(_) => true,
        });
        for stale in unused.into_iter().map(Stale::Actor) {
            if !self.stability.waiting.contains_key(&stale) {
                self.stability.begin(stale, now);
            }
        }
    }

    /// Actors were retired, here or elsewhere.
    pub(super) fn retire(&mut self, from: &NodeId, ended: &[Ended], now: Now) {
        let news: Vec<_> = ended.iter().filter(|ended| !self.roster.is_retired(**ended)).collect();
        if news.is_empty() {
            return;
        }
        let before = self.roster.clone();
        for ended in news {
            let concerned = self.roster.retire(&self.settings.id, *ended);
            self.stats.retired += 1;
            self.identity.forget_actor(ended.actor);
            self.keep_retired(ended.actor, self.settings.floor_ms, now);
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
