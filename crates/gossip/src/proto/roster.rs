//! The causal member map: every record, which events of it were seen, and how two replicas become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use netkernel::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::hash::Hash;
use super::record::{Context, Dot, Fact, OwnVersion, Record, Version, Versions, What};

/// A replica of the roster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    entries: BTreeMap<NodeId, Arc<Entry>>,
    context: Context,
    /// Of all records, kept up with each change.
    live: Hash,
    /// Of the own versions seen, kept up with each change. With the roster context it makes the digest's hash.
    owns: Hash,
}

/// What a roster has seen: enough for another to work out what it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The roster events.
    pub context: Context,
    /// The newest own record seen of each node, by id.
    pub owns: BTreeMap<NodeId, OwnVersion>,
}

impl Roster {
    /// The roster of these entries.
    pub(crate) fn restored(context: Context, entries: impl IntoIterator<Item = Arc<Entry>>) -> Self {
        let mut roster = Self { context, ..Self::default() };
        entries.into_iter().for_each(|entry| roster.put(entry));
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

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// What is hashed of what was seen: two rosters with one digest hash have seen the same.
    pub(crate) fn seen_hash(&self) -> Hash {
        let mut seen = Hash::of(&self.context);
        seen ^= self.owns;
        seen
    }

    /// What is hashed of what is there: equal wherever the digest hash is equal, or something is wrong.
    pub(crate) fn live_hash(&self) -> Hash {
        self.live
    }

    pub(crate) fn digest(&self) -> Digest {
        let owns = self.iter().filter_map(|(id, entry)| Some((id.clone(), entry.own_age()?))).collect();
        Digest { context: self.context.clone(), owns }
    }

    /// Whether the fact was seen, be it that something replaced it since.
    pub(crate) fn covers(&self, fact: &Fact) -> bool {
        let ring_wide = matches!(&fact.what, What::Roster(dot) if self.context.contains(dot));
        ring_wide || self.get(&fact.id).is_some_and(|entry| entry.covers(fact))
    }

    /// Whether a node with this digest lacks something that is here.
    pub(crate) fn has_news_for(&self, digest: &Digest) -> bool {
        !digest.context.covers(&self.context) || self.iter().any(|(_, entry)| lacks_own(digest, entry))
    }

    /// Whether a node with this digest has something that is missing here.
    pub(crate) fn lacks(&self, digest: &Digest) -> bool {
        let missing = |(id, age): (&NodeId, &OwnVersion)| {
            let fact = Fact { id: id.clone(), what: What::Own(*age) };
            self.get(id).is_none_or(|entry| !entry.covers(&fact))
        };
        !self.context.covers(&digest.context) || digest.owns.iter().any(missing)
    }

    /// The records of which a node with this digest has not seen everything, by id.
    pub(crate) fn records_for<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Record> {
        let is_news = |entry: &&Entry| {
            let unseen = |(dot, _): (&Dot, &Version)| !digest.context.contains(dot);
            entry.versions().siblings().any(unseen) || lacks_own(digest, entry)
        };
        self.iter().map(|(_, entry)| entry).filter(move |entry| is_news(entry)).map(Entry::record)
    }

    /// Takes in a record from elsewhere and returns the facts that were new.
    ///
    /// # Errors
    ///
    /// [`Reused`] when one event wrote two different versions; nothing changed.
    pub(crate) fn merge(&mut self, record: &Record) -> Result<Vec<Fact>, Reused> {
        let (entry, news) = match self.entries.get(&record.id) {
            Some(entry) if entry.record() == record => return Ok(Vec::new()),
            Some(entry) => {
                let mut entry = Entry::clone(entry);
                let news = entry.merge(record).ok_or(Reused)?;
                (entry, news)
            }
            // A version whose event was seen and that is not here was replaced, and its successor collected.
            None => {
                let unseen = record.versions.siblings().filter(|(dot, _)| !self.context.contains(dot));
                let unseen: Vec<_> = unseen.map(|(dot, version)| (*dot, version.clone())).collect();
                if unseen.is_empty() {
                    return Ok(Vec::new());
                }
                let versions = Versions::from_parts(record.versions.context().clone(), unseen)
                    .expect("some of the siblings of a valid set are one, under its context");
                let entry = Entry::new(Record { versions, ..record.clone() });
                let news = entry.record().facts().collect();
                (entry, news)
            }
        };
        for (dot, _) in record.versions.siblings() {
            self.context.insert(*dot);
        }
        self.put(Arc::new(entry));
        Ok(news)
    }

    /// Counts everything in `upto` as seen. Only right once all of it was merged, or covered by what was.
    pub(crate) fn join(&mut self, upto: &Context) {
        self.context.merge(upto);
    }

    /// The record that a write here would make: it replaces every version there is. `None` if the event was used.
    pub(crate) fn written(&self, id: &NodeId, dot: Dot, version: Version) -> Option<Record> {
        if self.context.contains(&dot) {
            return None;
        }
        let entry = self.get(id);
        let mut versions = entry.map(|entry| entry.versions().clone()).unwrap_or_default();
        versions.write_at(&versions.context().clone(), version, dot).ok()?;
        Some(Record { id: id.clone(), versions, own: entry.and_then(|entry| entry.record().own.clone()) })
    }

    /// What a new membership or removal of the node has to be above, so that nothing older undoes it.
    pub(crate) fn incarnation_of(&self, id: &NodeId) -> Incarnation {
        self.get(id).map(Entry::incarnation).unwrap_or_default()
    }

    fn put(&mut self, entry: Arc<Entry>) {
        let id = entry.record().id.clone();
        let own_hash = |entry: &Entry| entry.own_age().map(|age| Hash::of(&(&id, age))).unwrap_or_default();
        self.live ^= entry.hash();
        self.owns ^= own_hash(&entry);
        if let Some(before) = self.entries.get(&id) {
            self.live ^= before.hash();
            self.owns ^= own_hash(before);
        }
        self.entries.insert(id, entry);
    }
}

/// One event wrote two different versions: an actor is not unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reused;

/// Whether the newest own record of this entry is newer than what the digest has.
fn lacks_own(digest: &Digest, entry: &Entry) -> bool {
    entry.own_age() > digest.owns.get(&entry.record().id).copied()
}
