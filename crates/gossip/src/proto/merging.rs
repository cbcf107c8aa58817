//! What a machine does with records: it merges them and draws the consequences.

use netkernel::NodeId;

use crate::event::{Cause, Event};

use super::entry::Entry;
use super::floor::Floor;
use super::machine::Machine;
use super::record::{Context, Fact, Record};
use super::roster::Unmerged;
use super::rumour::HOT_MAX;
use super::time::Now;

impl Machine {
    /// Takes in what others would have learnt by now, after a local write.
    pub(super) fn wrote(&mut self, record: &Record, now: Now) -> Vec<Fact> {
        let news = self.merge(record, &Cause::Local, now).unwrap_or_default();
        news.iter().for_each(|fact| self.rumours.add(fact.clone(), None));
        news
    }

    /// Merges records that `from` brought. Returns whether anything was new, and whether all could be merged.
    pub(super) fn absorb(&mut self, from: &NodeId, records: &[Record], now: Now) -> (bool, bool) {
        let was_alone = self.is_alone();
        let (mut news, mut whole) = (Vec::new(), true);
        for record in records {
            if record.id == self.settings.id {
                self.heed_own_record(record);
                // Nobody else writes this node's own record; a newer one is an older run's, or a duplicate's.
                let record = Record { own: None, ..record.clone() };
                let leaves_nothing = |entry: Entry| entry.versions().is_empty();
                if self.roster.trial(&record).is_ok_and(|(entry, _)| entry.is_some_and(leaves_nothing)) {
                    // It answers with its own record until a tombstone or a floor tells it that it was removed.
                    continue;
                }
                match self.merge(&record, &Cause::Peer(from.clone()), now) {
                    Some(facts) => news.extend(facts),
                    None => whole = false,
                }
                continue;
            }
            match self.merge(record, &Cause::Peer(from.clone()), now) {
                Some(facts) => news.extend(facts),
                None => whole = false,
            }
        }
        if was_alone && !self.is_alone() {
            // Killed now, it would know nobody to come back to.
            self.writer.mark_dirty(None);
        }
        let any = !news.is_empty();
        self.pass_on(from, news, now);
        (any, whole)
    }

    /// Spreads what `from` told: as rumours, or, when it is much, by comparing with others at once.
    fn pass_on(&mut self, from: &NodeId, news: Vec<Fact>, now: Now) {
        if news.len() <= HOT_MAX / 4 {
            return news.into_iter().for_each(|fact| self.rumours.add(fact, Some(from)));
        }
        let partners = self.random.choose(self.circle.partners(), BULK_FAN_OUT + 1).into_iter();
        for partner in partners.filter(|id| id != from).take(BULK_FAN_OUT).collect::<Vec<_>>() {
            self.greet(&partner, now);
        }
    }

    /// Merges one record and draws the consequences. `None` if one of its events had written something else.
    pub(super) fn merge(&mut self, record: &Record, cause: &Cause, now: Now) -> Option<Vec<Fact>> {
        let before = self.roster.get(&record.id).cloned();
        let news = match self.roster.merge(record) {
            Ok(news) => news,
            Err(unmerged) => {
                self.count_unmerged(record, unmerged);
                return None;
            }
        };
        let after = self.roster.get(&record.id).cloned();
        if before.as_ref().map(Entry::record) != after.as_ref().map(Entry::record) {
            self.record_changed(&record.id, cause.clone(), now);
            for (_, version) in record.versions.siblings() {
                self.stamps.observe(version.stamp);
                let ahead_ms = version.stamp.wall_ms().saturating_sub(now.wall_ms);
                if ahead_ms > self.settings.skew_ms && *cause != Cause::Local {
                    self.emit(Event::Skew { id: version.by.clone(), ahead_ms });
                }
            }
            if let Some(after) = after {
                self.announce(before.as_ref(), &after);
                let is_said_here = record.id == self.settings.id;
                self.retire(&record.id, after.ended(), is_said_here, now);
            } else if let Cause::Peer(from) = cause {
                self.vanished(before.as_ref(), &record.id, None, from);
            }
        }
        Some(news)
    }

    pub(super) fn count_unmerged(&mut self, record: &Record, unmerged: Unmerged) {
        match unmerged {
            Unmerged::Reused => {
                self.stats.reused_dots += 1;
                tracing::error!(node = %record.id, "two writes bear one event: the record was not merged");
            }
            Unmerged::TooLarge => {
                self.stats.large_records += 1;
                tracing::error!(node = %record.id, "too much was written of the node: the record was not merged");
            }
        }
    }

    /// Takes in what stayed of removed nodes. Returns whether anything was new.
    pub(super) fn sink(&mut self, from: &NodeId, floors: &[Floor], now: Now) -> bool {
        let mut any = false;
        for floor in floors {
            let before = self.roster.get(&floor.id).cloned();
            if self.roster.sink(floor) {
                any = true;
                self.keep_floor(floor.id.clone(), self.settings.floor_ms, now);
                self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
                self.shrank(before.as_ref(), &floor.id, Some(&floor.by), from, now);
            }
        }
        any
    }

    /// Drops what `from` has seen and has not any more, given all that it has.
    pub(super) fn drop_replaced(&mut self, from: &NodeId, theirs: &[Record], context: &Context, now: Now) {
        let before = self.roster.clone();
        for id in self.roster.drop_replaced(&self.settings.id, theirs, context) {
            self.shrank(before.get(&id), &id, None, from, now);
        }
    }

    /// A record lost versions that were replaced elsewhere.
    pub(super) fn shrank(
        &mut self,
        before: Option<&Entry>,
        id: &NodeId,
        by: Option<&NodeId>,
        from: &NodeId,
        now: Now,
    ) {
        let after = self.roster.get(id).cloned();
        let standing =
            |entry: Option<&Entry>| entry.map(|entry| (entry.record().clone(), entry.removal().is_some()));
        if standing(before) == standing(after.as_ref()) {
            return;
        }
        self.record_changed(id, Cause::Peer(from.clone()), now);
        match after {
            Some(after) => self.announce(before, &after),
            None => self.vanished(before, id, by, from),
        }
    }

    /// Of a record nothing is left here: it was removed by whoever the floor names, or `from` knows.
    fn vanished(&mut self, before: Option<&Entry>, id: &NodeId, by: Option<&NodeId>, from: &NodeId) {
        if before.is_some_and(|before| before.membership().is_some()) {
            let by = by.or_else(|| self.roster.floor(id).map(|floor| &floor.by)).unwrap_or(from).clone();
            self.emit(Event::Removed { id: id.clone(), by });
        }
    }

    /// Raises the events of one record's change.
    fn announce(&mut self, before: Option<&Entry>, after: &Entry) {
        let id = after.record().id.clone();
        let was_member = before.is_some_and(|entry| entry.membership().is_some());
        match (before.and_then(Entry::address), after.removal()) {
            (Some(address), Some((by, _))) if *by != id => {
                self.unaware.insert(id.clone(), address.clone());
            }
            (_, None) => {
                self.unaware.remove(&id);
            }
            _ => {}
        }
        match (after.removal(), after.own(), after.address()) {
            // That this node left it says itself, once enough have heard of it.
            (Some((by, _)), ..) if *by == id && id == self.settings.id => {}
            (Some((by, _)), ..) if was_member && *by == id => self.emit(Event::Left { id: id.clone() }),
            (Some((by, _)), ..) if was_member => {
                self.emit(Event::Removed { id: id.clone(), by: by.clone() });
            }
            (_, Some(own), Some(address)) => {
                let known = before.and_then(Entry::own).map(|own| own.incarnation);
                if known < Some(own.incarnation) {
                    let (address, incarnation) = (address.clone(), own.incarnation);
                    self.emit(Event::MemberUp { id: id.clone(), address, incarnation });
                }
            }
            _ => {}
        }
        let siblings = |entry: &Entry| entry.versions().siblings().map(|(dot, _)| *dot).collect::<Vec<_>>();
        if after.is_conflicting() && before.map(siblings) != Some(siblings(after)) {
            let chosen = after.chosen().map(|(dot, _)| *dot);
            let chosen = after.versions().siblings().position(|(dot, _)| Some(*dot) == chosen).unwrap_or(0);
            let written = after.versions().values();
            let siblings = written.map(|version| (version.by.clone(), version.standing.clone())).collect();
            self.emit(Event::Conflict { id, siblings, chosen });
        }
    }
}

/// Members compared with at once after much came in.
const BULK_FAN_OUT: usize = 3;
