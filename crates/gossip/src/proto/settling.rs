//! What follows from every event: writes begin, links follow the roster, rumours go out, waits end.

use std::collections::BTreeSet;

use netkernel::NodeId;

use crate::message::Message;

use super::entry::Entry;
use super::links::Change;
use super::liveness::Liveness;
use super::machine::Machine;
use super::operations::Outcome;
use super::ports::Action;
use super::record::Fact;
use super::time::Now;

impl Machine {
    /// Everything that follows from what just happened, in an order that lets each step see the one before.
    pub(super) fn finish(&mut self, now: Now) {
        self.check_own_membership();
        self.pump_writes(now);
        self.settle_links(now);
        self.pump_detector(now);
        self.spread(now);
        self.settle_operations(now);
        self.settle_meets(now);
        self.flush(now);
        if let Some(cause) = self.changed.take() {
            self.act(Action::Publish(cause));
        }
    }

    /// Sends the rumours that are due.
    fn spread(&mut self, now: Now) {
        let due = self.rumours.due_ms().is_some_and(|due| now.mono_ms >= due);
        if !due || self.is_quiet(now) || self.affiliation.ring().is_none() {
            return;
        }
        let roster = &self.roster;
        let stale = |fact: &Fact| {
            roster.get(&fact.id).is_none_or(|entry| !entry.record().facts().any(|f| f == *fact))
        };
        let batch = self.rumours.batch(now.mono_ms, self.circle.partners(), &mut self.random, stale);
        for (to, facts) in batch {
            self.send_rumour(&to, facts);
        }
    }

    pub(super) fn send_rumour(&mut self, to: &NodeId, facts: Vec<Fact>) {
        let ids: BTreeSet<_> = facts.iter().map(|fact| &fact.id).collect();
        let records = ids.into_iter().filter_map(|id| Some(self.roster.get(id)?.record().clone())).collect();
        self.send(to, &Message::Rumor { records, facts });
    }

    /// Tells who waits for an operation, and asks the members that have not been heard from about it.
    fn settle_operations(&mut self, now: Now) {
        if !self.operations.is_waited_for() {
            return;
        }
        let others = self.others();
        let is_up = |id: &&NodeId| self.detector.liveness(id) != Liveness::Down;
        let reachable: Vec<_> = others.iter().filter(is_up).cloned().collect();
        for (token, result) in self.operations.ended(now.mono_ms, &others, &reachable) {
            if self.leaving.as_ref().is_some_and(|leaving| leaving.token == token) {
                self.leave_answered(&result);
            } else {
                self.complete(token, Outcome::Propagated(result));
            }
        }
        for operation in self.operations.due(now.mono_ms) {
            let (unreached, facts) = self.operations.unreached(operation, &others);
            let up = unreached.into_iter().filter(|id| self.links.is_up(id)).collect();
            for to in self.random.sample(up, ASKED_AT_ONCE) {
                self.send_rumour(&to, facts.clone());
            }
        }
    }

    /// Brings the links of touched nodes in line with the roster.
    pub(super) fn settle_links(&mut self, now: Now) {
        let in_ring = self.affiliation.ring().is_some();
        for id in std::mem::take(&mut self.touched) {
            if id == self.settings.id {
                continue;
            }
            self.place(&id);
            self.watch(&id, now);
            let entry = self.roster.get(&id).filter(|_| in_ring);
            let wanted = entry.and_then(Entry::address).cloned().or_else(|| self.meets.wishes_for(&id));
            let is_joining = entry.is_some_and(|entry| entry.membership().is_some() && entry.own().is_none());
            match self.links.wish(&id, wanted.as_ref()) {
                Some(Change::Connect(address)) => self.act(Action::Connect { id: id.clone(), address }),
                Some(Change::Disconnect) => self.act(Action::Disconnect { id: id.clone(), drain: true }),
                None => {}
            }
            if is_joining && self.links.is_up(&id) {
                self.invite(&id);
            }
        }
    }
}

/// Members asked at once whether they have what someone waits for.
const ASKED_AT_ONCE: usize = 16;
