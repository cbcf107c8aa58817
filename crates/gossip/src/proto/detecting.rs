//! How a machine uses its failure detector: it tells it who the members are, carries its messages, and draws the
//! consequences that the removal policy wants.

use std::time::Duration;

use netkernel::NodeId;

use crate::event::{Cause, Event};
use crate::message::Message;

use super::drafts::Intent;
use super::entry::Entry;
use super::liveness::{Input, Liveness, Output, Signal, Talk};
use super::machine::Machine;
use super::operations::{Command, Token};
use super::ports::Action;
use super::time::Now;

impl Machine {
    pub(super) fn detect(&mut self, input: Input, now: Now) {
        self.detector.handle(input, now.mono_ms);
    }

    pub(super) fn on_signal(&mut self, from: &NodeId, signal: Signal, now: Now) {
        self.detect(Input::Signal { from: from.clone(), signal }, now);
    }

    /// Watches the node if it is a member that was heard from, and no longer if it is not.
    pub(super) fn watch(&mut self, id: &NodeId, now: Now) {
        if *id == self.settings.id {
            return;
        }
        let in_ring = self.affiliation.ring().is_some();
        let run = self.roster.get(id).filter(|_| in_ring).and_then(Entry::own).map(|own| own.incarnation);
        match run {
            Some(incarnation) => {
                self.detect(Input::Member { id: id.clone(), incarnation }, now);
                if self.detector.liveness(id) != Liveness::Down {
                    // A later run is there, whatever was thought of the one before.
                    self.outages.came_back(id);
                }
                if self.links.is_up(id) {
                    self.detect(Input::Up { id: id.clone() }, now);
                }
            }
            None => {
                self.detect(Input::Gone { id: id.clone() }, now);
                self.outages.gone(id);
                if self.roster.get(id).and_then(Entry::removal).is_some_and(|(by, _)| by != id) {
                    self.outages.removed(id, now.mono_ms);
                }
            }
        }
    }

    /// Carries out what the detector wants, and gives the member that it asked first whether it is there.
    pub(super) fn pump_detector(&mut self, now: Now) -> Option<NodeId> {
        let mut asked = None;
        let incarnation = self.incarnation;
        if self.detected_as != Some(incarnation) {
            self.detected_as = Some(incarnation);
            self.detect(Input::Local { incarnation }, now);
        }
        while let Some(output) = self.detector.poll() {
            match output {
                Output::Send { to, signal } => {
                    let asks = matches!(signal.talk, Talk::Ping { .. });
                    self.send(&to, &Message::Liveness(signal));
                    asked = asked.or(asks.then_some(to));
                }
                Output::Changed { id, was, now } => self.liveness_changed(id, was, now),
                Output::Unheard { id } => self.act(Action::Doubt { id }),
            }
        }
        if self.affiliation.ring().is_none() {
            self.outages.clear();
        }
        if let Some(crossing) = self.outages.crossing() {
            let (reachable, members) = (crossing.reachable, crossing.members);
            self.emit(match crossing.into_minority {
                true => Event::MinorityPartition { reachable, members },
                false => Event::MajorityReachable { reachable, members },
            });
        }
        asked
    }

    fn liveness_changed(&mut self, id: NodeId, was: Liveness, now: Liveness) {
        let Some(entry) = self.roster.get(&id) else { return };
        let (address, run) = (entry.address().cloned(), entry.own().map(|own| own.incarnation));
        if was == Liveness::Down {
            self.outages.came_back(&id);
        }
        self.changed.get_or_insert(Cause::Local);
        match (now, address, run) {
            (Liveness::Suspect, ..) => self.emit(Event::Suspect { id }),
            (Liveness::Down, ..) => {
                let members: Vec<_> = self.heard_members().cloned().collect();
                self.outages.went_down(&id, members.into_iter());
                if !self.detector.has_stopped(&id) {
                    self.act(Action::Doubt { id: id.clone() });
                }
                self.emit(Event::Down { id });
            }
            (Liveness::Alive, Some(address), Some(incarnation)) if was == Liveness::Down => {
                self.emit(Event::MemberUp { id, address, incarnation });
            }
            (Liveness::Alive, ..) => self.emit(Event::Trusted { id }),
        }
    }

    /// Whether a member that is down has said that it stops: the detector heard its goodbye, or, where this node has started
    /// since, its record says that it was about to.
    fn has_stopped(&self, id: &NodeId) -> bool {
        let is_draining = self.roster.get(id).and_then(Entry::own).is_some_and(|own| own.draining);
        is_draining || self.detector.has_stopped(id)
    }

    /// Asks the policy, while there is a reason to.
    pub(super) fn consider_removals(&mut self, now: Now) {
        let settled_ms = self.detector.settled_ms(self.heard_members().count());
        self.outages.count(now.mono_ms, self.settings.sync_ms.saturating_mul(3).max(GAP_MS), settled_ms);
        if self.outages.is_over() || !self.writer.is_settled() || self.stopping.is_some() {
            return;
        }
        let heard: Vec<_> = self.heard_members().cloned().collect();
        let is_before =
            |id: &&NodeId| **id < self.settings.id && self.detector.liveness(id) != Liveness::Down;
        let rank = heard.iter().filter(is_before).count();
        self.outages.heard(heard.into_iter());
        let settled = Duration::from_millis(settled_ms);
        let outage = self.outages.outage(rank, |id| self.has_stopped(id), settled);
        let mut ids = self.settings.removal.remove(&outage);
        ids.retain(|id| self.detector.liveness(id) == Liveness::Down && self.is_member(id));
        if !ids.is_empty() {
            tracing::warn!(
                ?ids,
                reachable = outage.reachable,
                members = outage.members,
                "removing members that are down"
            );
            self.writer.push(Intent::Operation(Token::NOBODY, Command::Remove { ids, force: false }));
        }
    }
}

/// Members are looked at about once a second: a longer pause means that this node stood still.
const GAP_MS: u64 = 10_000;
