//! The causal member map: every record, which events of it were seen, and how two replicas become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use netkernel::{Address, Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::floor::Floor;
use super::hash::Hash;
use super::record::{Context, Dot, Ended, Fact, OwnVersion, Record, Version, Versions, What};
use super::rules::{Rule, Rules};
use super::seen::Seen;

/// A replica of the roster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    pub(super) entries: BTreeMap<NodeId, Arc<Entry>>,
    pub(super) floors: BTreeMap<NodeId, Arc<Floor>>,
    pub(super) seen: Seen,
    /// Of all members' records, kept up with each change. A tombstone counts for nothing here, so that it may be
    /// collected here and there at different times.
    live: Hash,
    /// Of the own versions of all members, kept up with each change. With the context it makes the digest's hash.
    owns: Hash,
    pub(super) rules: Rules,
}

/// What a roster has seen: enough for another to work out what it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The roster events.
    pub context: Context,
    /// The newest own record seen of each node, by id.
    pub owns: BTreeMap<NodeId, OwnVersion>,
}

// What is there.
impl Roster {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// The roster of these parts.
    pub(crate) fn restored(
        rules: Rules,
        context: &Context,
        entries: impl IntoIterator<Item = Arc<Entry>>,
        floors: impl IntoIterator<Item = Arc<Floor>>,
        retired: impl IntoIterator<Item = Ended>,
    ) -> Self {
        let mut roster = Self::new(rules);
        retired.into_iter().for_each(|ended| {
            roster.seen.retire(ended);
        });
        roster.seen.join(context);
        floors.into_iter().for_each(|floor| roster.lay(floor));
        entries.into_iter().for_each(|entry| roster.put(Arc::unwrap_or_clone(entry)));
        roster
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(crate) fn get(&self, id: &NodeId) -> Option<&Entry> {
        self.entries.get(id).map(Arc::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (id, entry.as_ref()))
    }

    /// The nodes that belong to the ring, by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.iter().filter(|(_, entry)| entry.membership().is_some())
    }

    pub(crate) fn floor(&self, id: &NodeId) -> Option<&Floor> {
        self.floors.get(id).map(Arc::as_ref)
    }

    pub(crate) fn floors(&self) -> impl Iterator<Item = &Arc<Floor>> {
        self.floors.values()
    }

    pub(crate) fn context(&self) -> &Context {
        self.seen.context()
    }

    /// What is hashed of what was seen: two rosters with one digest hash have seen the same.
    pub(crate) fn seen_hash(&self) -> Hash {
        let mut seen = self.seen.hash();
        seen ^= self.owns;
        seen
    }

    /// What is hashed of the members: equal wherever the digest hash is equal, or something is wrong.
    pub(crate) fn live_hash(&self) -> Hash {
        self.live
    }

    /// What a new membership or removal of the node has to be above, so that nothing older undoes it.
    pub(crate) fn incarnation_of(&self, id: &NodeId) -> Incarnation {
        let floor = self.floor(id).map(|floor| floor.incarnation);
        self.get(id).map(Entry::incarnation).max(floor).unwrap_or_default()
    }

    /// The nodes that others removed, and where they said last that they listen.
    pub(crate) fn removed_by_others(&self) -> impl Iterator<Item = (NodeId, Address)> + '_ {
        self.iter().filter_map(|(id, entry)| {
            let (by, _) = entry.removal()?;
            let own = entry.record().own.as_ref().filter(|_| by != id)?;
            Some((id.clone(), own.address.clone()))
        })
    }

    /// Whether anything is known of the node, be it that it was removed.
    pub(crate) fn knows(&self, id: &NodeId) -> bool {
        self.entries.contains_key(id) || self.floors.contains_key(id)
    }

    /// Whether all of these events were seen, be it that something replaced them since.
    pub(crate) fn has_seen(&self, events: &Context) -> bool {
        self.seen.covers_all(events)
    }

    /// Whether the event was seen.
    pub(crate) fn has_seen_dot(&self, dot: &Dot) -> bool {
        self.seen.covers(dot)
    }
}

// What another lacks.
impl Roster {
    pub(crate) fn digest(&self) -> Digest {
        let owns = self.iter().filter_map(|(id, entry)| Some((id.clone(), entry.own_age()?))).collect();
        Digest { context: self.context().clone(), owns }
    }

    /// Whether the fact was seen, be it that something replaced it since.
    pub(crate) fn covers(&self, fact: &Fact) -> bool {
        let ring_wide = matches!(&fact.what, What::Roster(dot) if self.seen.covers(dot));
        ring_wide || self.get(&fact.id).is_some_and(|entry| entry.covers(fact))
    }

    /// Whether a node with this digest lacks something that is here.
    pub(crate) fn has_news_for(&self, digest: &Digest) -> bool {
        !digest.context.covers(self.context())
            || self.members().any(|(_, entry)| lacks_own(digest, entry))
            || self.retired_for(&digest.context).next().is_some()
    }

    /// Whether a node with this digest has something that is missing here, but for the own record of one node.
    pub(crate) fn lacks(&self, digest: &Digest, but: Option<&NodeId>) -> bool {
        let missing = |(id, age): (&NodeId, &OwnVersion)| {
            if Some(id) == but {
                return false;
            }
            let fact = Fact { id: id.clone(), what: What::Own(*age) };
            // Of a node that is removed here no own record is missed.
            !self.get(id).is_some_and(|entry| entry.covers(&fact)) && !self.is_removed(id)
        };
        !self.has_seen(&digest.context) || digest.owns.iter().any(missing)
    }

    fn is_removed(&self, id: &NodeId) -> bool {
        match self.get(id) {
            Some(entry) => entry.membership().is_none(),
            None => self.floors.contains_key(id),
        }
    }

    /// The records of which a node with this digest has not seen everything, by id.
    pub(crate) fn records_for<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Record> {
        let is_news = move |entry: &&Entry| {
            let unseen = move |(dot, _): (&Dot, &Version)| !digest.context.contains(dot);
            entry.versions().siblings().any(unseen) || lacks_own(digest, entry)
        };
        let entries = || self.iter().map(|(_, entry)| entry);
        let owes = move |entry: &&Entry| entry.owed().iter().any(|dot| !digest.context.contains(dot));
        // These stay news until all was told, so they must not take the place of what is wholly new.
        let owing = entries().filter(move |entry| !is_news(entry) && owes(entry));
        entries().filter(move |entry| is_news(entry)).chain(owing).map(Entry::record)
    }

    /// The floors whose tombstones a node with this context has not seen.
    pub(crate) fn floors_for(&self, context: &Context) -> impl Iterator<Item = &Floor> {
        let is_told = self.rules.keep(Rule::FloorIsTold);
        let is_below = move |floor: &&Floor| floor.dots.iter().any(|dot| !context.contains(dot));
        self.floors.values().map(Arc::as_ref).filter(move |floor| is_told && is_below(floor))
    }
}

// What changes it.
impl Roster {
    /// Takes in a record from elsewhere and returns the facts that were new.
    ///
    /// # Errors
    ///
    /// [`Unmerged`]; nothing changed.
    pub(crate) fn merge(&mut self, record: &Record) -> Result<Vec<Fact>, Unmerged> {
        if self.get(&record.id).is_some_and(|entry| entry.record() == record) {
            return Ok(Vec::new());
        }
        let (entry, news) = self.trial(record)?;
        if entry.is_none() && news.is_empty() {
            return Ok(news);
        }
        if entry.as_ref().is_some_and(|entry| !entry.record().is_bearable()) {
            return Err(Unmerged::TooLarge);
        }
        record.versions.siblings().for_each(|(dot, _)| self.seen.insert(*dot));
        match entry.map(|entry| self.owing(entry)) {
            // What it had was replaced by something that was seen and is gone: by a removal that was collected.
            Some(entry) if entry.versions().is_empty() => self.take(&record.id),
            Some(entry) => self.put(entry),
            None => {}
        }
        Ok(news)
    }

    /// The entry with the removals of which it is the only trace here. The record that replaced one may owe that to a floor
    /// elsewhere; whoever has its versions, and has not seen the removal, would hear of it from nobody here.
    fn owing(&self, mut entry: Entry) -> Entry {
        if let Some(before) = self.get(&entry.record().id) {
            entry.owe_what_replaced(before);
        }
        entry
    }

    /// What merging the record would make of its entry, `None` if nothing of it counts, and what would be new.
    ///
    /// # Errors
    ///
    /// [`Unmerged::Reused`]
    pub(crate) fn trial(&self, record: &Record) -> Result<(Option<Entry>, Vec<Fact>), Unmerged> {
        let here = self.get(&record.id);
        // A version whose event was seen and that is not here was replaced, and its successor may be collected.
        let ignores = self.rules.keep(Rule::CoveredIsIgnored);
        let is_here = |dot: &Dot| here.is_some_and(|entry| entry.versions().get(dot).is_some());
        let counts = |(dot, _): &(&Dot, &Version)| !(ignores && self.seen.covers(dot)) || is_here(dot);
        let left = record.versions.siblings().filter(counts);
        let left: Vec<_> = left.map(|(dot, version)| (*dot, version.clone())).collect();
        if left.is_empty() && here.is_none() {
            return Ok((None, Vec::new()));
        }
        let mut versions = Versions::from_parts(record.versions.context().clone(), left)
            .expect("some of the siblings of a valid set are one, under its context");
        let seen = Record { versions: versions.clone(), ..record.clone() };
        if let Some(entry) = here {
            let mut entry = entry.clone();
            let news = entry.merge(&seen).ok_or(Unmerged::Reused)?;
            return Ok((Some(entry), news));
        }
        if let Some(past) = self.past_of(&record.id) {
            versions.sync(&past).map_err(|_| Unmerged::Reused)?;
        }
        let floor = self.floors.get(&record.id).cloned();
        let is_left = !versions.is_empty();
        let entry = Entry::new(Record { versions, ..record.clone() }).under(floor, self.rules);
        Ok((is_left.then_some(entry), seen.facts().collect()))
    }

    /// Counts everything in `upto` as seen. Only right once all of it was merged, or covered by what was.
    pub(crate) fn join(&mut self, upto: &Context) {
        self.seen.join(upto);
    }

    /// Takes in another's floor, and returns whether that changed anything.
    pub(crate) fn sink(&mut self, floor: &Floor) -> bool {
        let mut floor = floor.clone();
        floor.forget(&self.seen);
        let merged = match self.floor(&floor.id) {
            Some(mine) => {
                let mut merged = mine.clone();
                if !merged.merge(&floor) || !merged.is_bearable() {
                    return false;
                }
                merged
            }
            None => floor.clone(),
        };
        merged.dots.iter().for_each(|dot| self.seen.insert(*dot));
        let replaced = merged.versions();
        self.lay(Arc::new(merged));
        if let Some(entry) = self.entries.get(&floor.id).cloned() {
            let mut record = entry.record().clone();
            match record.versions.sync(&replaced) {
                Ok(_) if !record.versions.is_empty() => self.put(Entry::new(record)),
                _ => self.take(&floor.id),
            }
        }
        true
    }

    /// Leaves of a removed node's record only a floor.
    pub(crate) fn collect(&mut self, id: &NodeId) {
        let Some(entry) = self.get(id) else { return };
        let Some((by, incarnation)) = entry.removal() else { return };
        // Of the removal alone. What the node said of itself since may be known elsewhere only, where a membership above the
        // removal and below that is one; and of an earlier removal stays what the earlier floor says.
        let mut floor = Floor {
            id: id.clone(),
            incarnation,
            by: by.clone(),
            dots: entry.versions().siblings().map(|(dot, _)| *dot).collect(),
            past: entry.versions().context().clone(),
        };
        if let Some(earlier) = self.floor(id) {
            floor.merge(earlier);
        }
        self.take(id);
        self.lay(Arc::new(floor));
    }

    /// Forgets a floor whose time is up.
    pub(crate) fn forget_floor(&mut self, id: &NodeId) {
        if self.floors.remove(id).is_some()
            && let Some(entry) = self.entries.get(id).cloned()
        {
            self.put(Arc::unwrap_or_clone(entry));
        }
    }

    fn lay(&mut self, floor: Arc<Floor>) {
        self.floors.insert(floor.id.clone(), floor);
    }

    /// Drops what another has seen and has not any more, given all that it has. Returns the nodes concerned. This
    /// node's own record stays, for it has to answer with it: should that have been removed, it will be told.
    pub(crate) fn drop_replaced(
        &mut self,
        local: &NodeId,
        theirs: &[Record],
        context: &Context,
    ) -> Vec<NodeId> {
        let there: BTreeMap<_, _> = theirs.iter().map(|record| (&record.id, record)).collect();
        let is_replaced = |id: &NodeId, dot: &Dot| {
            let is_there = there.get(id).is_some_and(|record| record.versions.get(dot).is_some());
            !is_there && context.contains(dot)
        };
        let mut concerned = Vec::new();
        for (id, entry) in self.entries.clone() {
            let (past, siblings) = entry.versions().clone().into_parts();
            let count = siblings.len();
            let left: Vec<_> = siblings.into_iter().filter(|(dot, _)| !is_replaced(&id, dot)).collect();
            if left.len() == count || id == *local {
                continue;
            }
            if left.is_empty() {
                self.take(&id);
            } else {
                let versions = Versions::from_parts(past, left).expect("some of the siblings of a valid set");
                self.put(Entry::new(Record { versions, ..entry.record().clone() }));
            }
            concerned.push(id);
        }
        concerned
    }

    /// The record that a write here would make, which replaces these versions and leaves the others beside it. `None` if
    /// the event was used.
    pub(crate) fn written(
        &self,
        id: &NodeId,
        dot: Dot,
        version: Version,
        replaces: impl Fn(&Version) -> bool,
    ) -> Option<Record> {
        if self.seen.covers(&dot) {
            return None;
        }
        let entry = self.get(id);
        let mut versions = match entry {
            Some(entry) => entry.versions().clone(),
            None => self.past_of(id).unwrap_or_default(),
        };
        let replaced = match versions.values().all(&replaces) {
            true => versions.context().clone(),
            false => {
                let replaced = versions.siblings().filter(|(_, version)| replaces(version));
                replaced.map(|(dot, _)| (dot.actor, dot.counter())).collect()
            }
        };
        versions.write_at(&replaced, version, dot).ok()?;
        Some(Record { id: id.clone(), versions, own: entry.and_then(|entry| entry.record().own.clone()) })
    }

    /// What a record that was collected had seen.
    fn past_of(&self, id: &NodeId) -> Option<Versions> {
        self.floor(id).filter(|_| self.rules.keep(Rule::WriteStartsFromFloor)).map(Floor::versions)
    }

    pub(super) fn put(&mut self, mut entry: Entry) {
        entry.forget(&self.seen);
        let id = entry.record().id.clone();
        let floor = self.floors.get(&id).cloned();
        let entry = entry.under(floor.clone(), self.rules);
        self.take(&id);
        if let Some(mut floor) = floor.filter(|_| entry.is_dead()) {
            // Passed on without the floor it would be taken for a member by whoever never had that.
            Arc::make_mut(&mut floor).cover(entry.versions());
            return self.lay(floor);
        }
        self.live ^= entry.live_hash();
        self.owns ^= own_hash(&entry);
        self.entries.insert(id, Arc::new(entry));
    }

    pub(super) fn take(&mut self, id: &NodeId) {
        if let Some(before) = self.entries.remove(id) {
            self.live ^= before.live_hash();
            self.owns ^= own_hash(&before);
        }
    }
}

/// Why a record was not merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmerged {
    /// One event wrote two different versions: an actor is not unique.
    Reused,
    /// What it would become is over the limits within which others read it.
    TooLarge,
}

/// Whether the newest own record of this entry is newer than what the digest has.
fn lacks_own(digest: &Digest, entry: &Entry) -> bool {
    entry.own_age() > digest.owns.get(&entry.record().id).copied()
}

fn own_hash(entry: &Entry) -> Hash {
    let age = entry.own_age().filter(|_| entry.membership().is_some());
    age.map(|age| Hash::of(&(&entry.record().id, age))).unwrap_or_default()
}
