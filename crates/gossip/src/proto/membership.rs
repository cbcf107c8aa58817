//! How a machine comes into a ring by invitation and goes out of it: leaves, evictions, and being told of either.

use netkernel::{Address, NodeId};

use crate::error::{LeaveError, MeetError, PropagationError};
use crate::event::Event;
use crate::message::{Header, InviteRefusal, Message};

use super::affiliation::Affiliation;
use super::drafts::Intent;
use super::entry::Entry;
use super::floor::Floor;
use super::liveness::Input as Detected;
use super::machine::Machine;
use super::operations::{Operation, Outcome, Reach, Token};
use super::ports::Action;
use super::record::{Dot, Fact, Record};
use super::rules::Rule;
use super::time::Now;

/// A leave that waits to be acknowledged.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) token: Token,
    pub(super) operation: Operation,
}

// Invitations.
impl Machine {
    pub(super) fn on_up(&mut self, id: &NodeId, now: Now) {
        self.links.set_up(id.clone());
        self.place(id);
        self.detect(Detected::Up { id: id.clone() }, now);
        match self.roster.get(id).filter(|entry| entry.membership().is_some()) {
            _ if self.ring().is_none() => {}
            Some(entry) if entry.own().is_none() => self.invite(id),
            Some(_) if self.greetings.take(now.mono_ms) => self.greet(id, now),
            Some(_) | None => {}
        }
    }

    pub(super) fn invite(&mut self, id: &NodeId) {
        if let Some(entry) = self.roster.get(id) {
            let record = Box::new(entry.record().clone());
            self.send(id, &Message::Invite(record));
        }
    }

    pub(super) fn on_invite(&mut self, from: &NodeId, header: &Header, record: Record, now: Now) {
        if record.id != self.settings.id {
            return;
        }
        let refusal = match (&self.affiliation, &header.ring) {
            (_, Some(_)) if header.layout != self.settings.layout => Some(InviteRefusal::Layout),
            (Affiliation::In(mine) | Affiliation::Evicted(mine), Some(theirs)) if mine == theirs => None,
            (Affiliation::In(mine), _) => Some(InviteRefusal::OtherRing { ring: mine.clone() }),
            _ => Some(InviteRefusal::NotInRing),
        };
        if let Some(refusal) = refusal {
            return match self.is_outgrown_by(&record) {
                true => self.outgrow(&record, from, Some(refusal)),
                false => self.send(from, &Message::InviteRefused(refusal)),
            };
        }
        if self.ring().is_some() && self.turns_away(from, header, &Message::Invite(Box::new(record.clone())))
        {
            return;
        }
        if let Affiliation::Evicted(_) = self.affiliation {
            return match self.readmits(&record) {
                true => self.writer.push(Intent::Accept { record: Box::new(record), from: from.clone() }),
                // The inserter did not know of the removal, which beats what it wrote. Now it learns of it.
                false => self.send_gone(from),
            };
        }
        // A founder alone in its ring takes the weight it is inserted with: its own is only a default.
        let is_alone = self.is_alone();
        let offered = Entry::new(record.clone()).membership().map(|membership| membership.weight);
        self.absorb(from, &[record], now);
        if let Some(weight) = offered.filter(|_| is_alone) {
            self.writer.push(Intent::Adopt { weight });
        }
        self.pull(from);
    }

    /// Whether an invitation counts, with all that is known here.
    fn readmits(&self, record: &Record) -> bool {
        let trial = self.roster.trial(record).ok().and_then(|(entry, _)| entry);
        trial.is_some_and(|entry| entry.membership().is_some())
    }

    /// Whether a node that stays outside started from an older state than others know of.
    fn is_outgrown_by(&self, record: &Record) -> bool {
        self.ring().is_none() && record.own.as_ref().is_some_and(|own| own.incarnation > self.incarnation)
    }

    /// To be believed, a node that stays outside becomes a run above all that others know of, and answers once that is on
    /// disk. Not if the run they know of listens elsewhere: that may be alive, and answers for itself.
    fn outgrow(&mut self, record: &Record, to: &NodeId, refusal: Option<InviteRefusal>) {
        if record.own.as_ref().is_some_and(|own| own.address == self.settings.address) {
            self.identity.told(Entry::new(record.clone()).incarnation());
            self.writer.push(Intent::Outgrow { to: to.clone(), refusal });
        } else if let Some(refusal) = refusal {
            self.send(to, &Message::InviteRefused(refusal));
        }
    }

    /// Says to a member of the ring this node was in that it does not come, or is gone.
    pub(super) fn refuse(&mut self, to: &NodeId, refusal: Option<InviteRefusal>) {
        // Someone inserted it while it was leaving: it takes that for an invitation, and does not come.
        let is_invited = self.is_member(&self.settings.id).then_some(InviteRefusal::NotInRing);
        match refusal.or(is_invited) {
            Some(refusal) => self.send(to, &Message::InviteRefused(refusal)),
            None => self.send_gone(to),
        }
    }

    pub(super) fn on_invite_refused(&mut self, from: &NodeId, header: &Header, reason: InviteRefusal) {
        let entry = self.roster.get(from).filter(|_| self.affiliation.ring().is_some());
        // A refusal that was overtaken by a join is of an older run than the one known here.
        let is_present = |entry: &Entry| entry.own().is_none_or(|own| own.incarnation <= header.incarnation);
        match entry.filter(|entry| entry.membership().is_some()).map(is_present) {
            Some(true) => {
                let incarnation = header.incarnation;
                self.writer.push(Intent::Uninvite { id: from.clone(), incarnation, reason });
            }
            // Or it fell back behind what is known of it, and has to say it again as a run above that.
            Some(false) => self.tell_of_itself(from, header),
            None => {}
        }
    }
}

// Leaving and being removed.
impl Machine {
    /// Tells a removed node, now and then, that it was removed, until it is known to have heard. All members share
    /// the work, so the more there are the seldomer each tries.
    pub(super) fn notify_removed(&mut self, now: Now) {
        if self.unaware.is_empty() || !self.keeps(Rule::RemovedIsTold) {
            return;
        }
        let members = self.roster.members().count() as u64;
        if self.random.below(members) > 0 {
            return;
        }
        let unaware: Vec<_> =
            self.unaware.iter().map(|(id, address)| (id.clone(), address.clone())).collect();
        if let Some((id, address)) = self.random.pick(&unaware).cloned() {
            let dial = self.meets.next();
            self.notices.insert(dial, (id.clone(), now.mono_ms + NOTICE_MS));
            self.notices.retain(|_, (_, until_ms)| *until_ms >= now.mono_ms);
            self.act(Action::Dial { dial, address, expected: Some(id), within_ms: NOTICE_MS });
        }
    }

    pub(super) fn notify(&mut self, id: &NodeId) {
        if let Some(entry) = self.roster.get(id).filter(|entry| entry.removal().is_some()) {
            let facts = entry.record().facts().collect();
            self.send_rumour(id, facts);
        }
    }

    /// A frame of the ring this node was in is told so; any other, that it does not concern this node.
    pub(super) fn answer_from_outside(&mut self, from: &NodeId, header: &Header, message: &Message) {
        let is_answer = matches!(
            message,
            Message::Gone { .. } | Message::YouAreRemoved { .. } | Message::Goodbye | Message::Known { .. }
        );
        let was_here = header.ring.is_some() && header.ring.as_ref() == self.affiliation.last_ring();
        if is_answer || !self.keeps(Rule::GoneIsAnswered) {
            return;
        }
        if let Message::Rumor { records, facts } = message
            && facts.is_empty()
            && let Some(record) = records.iter().find(|record| record.id == self.settings.id)
        {
            // It is told what is known of itself.
            if self.is_outgrown_by(record) {
                return self.outgrow(record, from, None);
            }
        }
        if was_here {
            return self.refuse(from, None);
        }
        let header = Header { ring: None, ..self.header() };
        self.send_as(from, &header, &Message::Stranger);
    }

    fn send_gone(&mut self, to: &NodeId) {
        let record = self.roster.get(&self.settings.id).map(|entry| Box::new(entry.record().clone()));
        let floor = self.roster.floor(&self.settings.id).map(|floor| Box::new(floor.clone()));
        let known = self.roster.members().filter(|(id, _)| *id != to);
        let known = known.filter_map(|(id, entry)| Some((id.clone(), entry.address()?.clone())));
        let members = self.random.sample(known.collect(), GONE_MEMBERS);
        self.send(to, &Message::Gone { record, floor, members });
    }

    pub(super) fn on_gone(
        &mut self,
        from: &NodeId,
        record: Option<&Record>,
        floor: Option<&Floor>,
        members: &[(NodeId, Address)],
        now: Now,
    ) {
        if record.is_some_and(|record| record.id != *from) || floor.is_some_and(|floor| floor.id != *from) {
            return;
        }
        if let Some(floor) = floor {
            self.sink(from, std::slice::from_ref(floor), now);
        }
        if let Some(record) = record {
            self.absorb(from, std::slice::from_ref(record), now);
        }
        self.end_meets_with(from, |address| Err(MeetError::PeerNotInRing { address: address.clone() }));
        self.unaware.remove(from);
        if self.is_member(from) {
            // It came back later than it remembers, from a state older than that. It decides whether to stay.
            self.invite(from);
        }
        // Only a node that knows nobody else needs to be shown the way, and only to nodes it never heard of: two
        // that were left alone would send each other round in circles.
        if self.others().is_empty() {
            let is_new = |id: &NodeId| self.roster.get(id).is_none() && !self.meets.is_meeting(id);
            let unknown: Vec<_> =
                members.iter().filter(|(id, _)| is_new(id)).take(GONE_MEETS).cloned().collect();
            for (id, address) in unknown {
                self.start_meet(None, address, Some(id), now);
            }
        }
    }

    pub(super) fn on_removed(
        &mut self,
        from: &NodeId,
        record: Option<&Record>,
        covered: &[Dot],
        floor: Option<&Floor>,
        now: Now,
    ) {
        if let Some(floor) = floor.filter(|floor| floor.id == self.settings.id) {
            self.sink(from, std::slice::from_ref(floor), now);
        }
        if let Some(record) = record.filter(|record| record.id == self.settings.id) {
            self.absorb(from, std::slice::from_ref(record), now);
        }
        let own = self.roster.get(&self.settings.id);
        let is_covered = |entry: &Entry| {
            let mut dots = entry.versions().siblings().map(|(dot, _)| dot);
            dots.all(|dot| covered.contains(dot)) || !self.keeps(Rule::RemovalCoversOwn)
        };
        if record.is_none() && own.is_some_and(|own| own.membership().is_some() && is_covered(own)) {
            self.evict();
        }
    }

    /// A tombstone of its own that this node did not write puts it out of the ring.
    pub(super) fn check_own_membership(&mut self) {
        if self.ring().is_none()
            || self.leaving.is_some()
            || self.writer.is_announcing()
            || self.probe.is_some()
        {
            return;
        }
        let Some(entry) = self.roster.get(&self.settings.id) else { return self.evict() };
        if entry.removal().is_some() {
            self.evict();
        } else if entry.own().is_none() {
            // Removed and inserted again before it heard of either: only a newer run is admitted.
            self.identity.told(entry.incarnation());
            self.writer.push(Intent::Mint);
        }
    }

    fn evict(&mut self) {
        if let Some(ring) = self.ring().cloned() {
            self.identity.told(self.roster.incarnation_of(&self.settings.id));
            self.go(Affiliation::Evicted(ring.clone()));
            self.emit(Event::Evicted { ring });
        }
    }

    /// Is in no ring from now on.
    pub(super) fn go(&mut self, affiliation: Affiliation) {
        self.affiliation = affiliation;
        self.affiliation_changed();
        if let Some(Leaving { token, .. }) = self.leaving.take() {
            self.operations.forget(token);
            self.complete(token, Outcome::Leave(Err(LeaveError::NotInRing)));
        }
        self.rumours.clear();
        self.unaware.clear();
        self.notices.clear();
        self.probe = None;
        // Nobody claims this one's actor for it any more, so it may be retired.
        self.identity.leave_actor();
        self.writer.cancel_announcements();
        for (token, result) in self.operations.abandon() {
            self.complete(token, Outcome::Propagated(result));
        }
        self.end_meets();
    }

    /// The tombstone of a leave is on disk: tell the others, and wait for them unless forced.
    pub(super) fn left(&mut self, token: Token, force: bool, facts: &[Fact], now: Now) {
        if self.ring().is_none() {
            return self.complete(token, Outcome::Leave(Err(LeaveError::NotInRing)));
        }
        let others = self.others();
        let operation = self.operations.begin(facts.to_vec());
        if force || others.is_empty() {
            for to in self.random.choose(self.circle.partners(), LEAVE_ACKNOWLEDGED_BY) {
                self.send_rumour(&to, facts.to_vec());
            }
            return self.leave_done(token, operation);
        }
        let reach = Reach::Members(LEAVE_ACKNOWLEDGED_BY);
        self.operations.wait(token, operation, reach, now.mono_ms + self.settings.leave_ms);
        self.leaving = Some(Leaving { token, operation });
    }

    pub(super) fn leave_answered(&mut self, result: &Result<(), PropagationError>) {
        let Some(Leaving { token, operation }) = self.leaving.take() else { return };
        match result {
            Ok(()) => self.leave_done(token, operation),
            &Err(PropagationError::Deadline { acknowledged, needed }) => {
                let error = LeaveError::NotAcknowledged { acknowledged, needed };
                self.writer.push(Intent::Return(token, error));
            }
            Err(_) => self.complete(token, Outcome::Leave(Err(LeaveError::NotInRing))),
        }
    }

    fn leave_done(&mut self, token: Token, operation: Operation) {
        if let Some(ring) = self.ring().cloned() {
            self.go(Affiliation::Left(ring));
            self.emit(Event::Left { id: self.settings.id.clone() });
            self.complete(token, Outcome::Leave(Ok(operation)));
        }
    }
}

/// Members that must know of a leave before the leaver trusts it to spread.
const LEAVE_ACKNOWLEDGED_BY: usize = 3;

/// Members a node outside names to one that has not heard it went.
const GONE_MEMBERS: usize = 16;

/// How many of these the receiver tries.
const GONE_MEETS: usize = 3;

/// How long a removed node is waited for to answer.
const NOTICE_MS: u64 = 1_000;
