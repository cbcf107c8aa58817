//! How a machine comes into a ring and goes out of it: meets, invitations, leaves, evictions, duplicates.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use netkernel::{Address, Incarnation, NodeId};

use crate::error::{LeaveError, MeetError, PropagationError};
use crate::event::{Cause, Event};
use crate::message::{Header, InviteRefusal, Message};

use super::affiliation::Affiliation;
use super::drafts::Intent;
use super::entry::Entry;
use super::machine::Machine;
use super::operations::{Operation, Outcome, Reach, Token};
use super::ports::{Action, DialError, DialId};
use super::record::{Dot, Fact, Record};
use super::time::Now;

/// The meets under way.
#[derive(Debug, Default)]
pub(super) struct Meets {
    next: u64,
    pending: BTreeMap<DialId, Meet>,
}

#[derive(Debug)]
struct Meet {
    /// Who waits for it; nobody, when this node tries it of itself.
    token: Option<Token>,
    address: Address,
    expected: Option<NodeId>,
    /// Who answered the dial.
    peer: Option<NodeId>,
    /// Why the last dial failed.
    failure: Option<String>,
    deadline_ms: u64,
    retry_ms: u64,
    dialing: bool,
}

/// A dial of an address under which this node may be running a second time.
#[derive(Debug)]
pub(super) struct Probe {
    dial: DialId,
    told: Incarnation,
}

/// A leave that waits to be acknowledged.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) token: Token,
    pub(super) operation: Operation,
}

impl Meets {
    fn next(&mut self) -> DialId {
        self.next += 1;
        DialId(self.next)
    }

    /// Where a node that is being met is, so that its session is kept until that is over.
    pub(super) fn wishes_for(&self, id: &NodeId) -> Option<Address> {
        self.pending.values().find(|meet| meet.peer.as_ref() == Some(id)).map(|meet| meet.address.clone())
    }

    /// Whether this very node is being met.
    fn is_meeting(&self, id: &NodeId) -> bool {
        self.pending.values().any(|meet| meet.expected.as_ref() == Some(id))
    }

    /// When something here wants attention next.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let due =
            |meet: &Meet| if meet.dialing { meet.deadline_ms } else { meet.deadline_ms.min(meet.retry_ms) };
        self.pending.values().map(due).min()
    }
}

// Meets.
impl Machine {
    pub(super) fn start_meet(
        &mut self,
        token: Option<Token>,
        address: Address,
        expected: Option<NodeId>,
        now: Now,
    ) {
        let dial = self.meets.next();
        let (deadline_ms, retry_ms) = (now.mono_ms + self.settings.meet_ms, now.mono_ms);
        let meet = Meet {
            token,
            address,
            expected,
            peer: None,
            failure: None,
            deadline_ms,
            retry_ms,
            dialing: false,
        };
        self.meets.pending.insert(dial, meet);
    }

    /// Dials, sends and ends the meets for which it is time.
    pub(super) fn settle_meets(&mut self, now: Now) {
        let mut dials = Vec::new();
        let mut greetings = Vec::new();
        let mut late = Vec::new();
        for (dial, meet) in &mut self.meets.pending {
            if now.mono_ms >= meet.deadline_ms {
                late.push(*dial);
            } else if now.mono_ms >= meet.retry_ms && !meet.dialing {
                meet.retry_ms = now.mono_ms + MEET_RETRY_MS;
                match &meet.peer {
                    Some(peer) => greetings.push(peer.clone()),
                    None => {
                        meet.dialing = true;
                        dials.push(Action::Dial {
                            dial: *dial,
                            address: meet.address.clone(),
                            expected: meet.expected.clone(),
                            within_ms: meet.deadline_ms - now.mono_ms,
                        });
                    }
                }
            }
        }
        dials.into_iter().for_each(|dial| self.act(dial));
        for peer in greetings {
            let everything = self.snapshot();
            self.send(&peer, &Message::Meet(everything));
        }
        for dial in late {
            self.end_meet(dial, |meet| match (&meet.peer, &meet.failure) {
                (None, Some(reason)) => {
                    Err(MeetError::Unreachable { address: meet.address.clone(), reason: reason.clone() })
                }
                _ => Err(MeetError::NoAnswer { address: meet.address.clone() }),
            });
        }
    }

    pub(super) fn on_dialed(&mut self, dial: DialId, result: Result<NodeId, DialError>, now: Now) {
        if self.probe.as_ref().is_some_and(|probe| probe.dial == dial) {
            return self.probed(result);
        }
        if let Some((id, _)) = self.notices.remove(&dial) {
            if result.is_ok() {
                self.notify(&id);
            }
            return;
        }
        let Some(meet) = self.meets.pending.get_mut(&dial) else { return };
        meet.dialing = false;
        match result {
            Err(DialError::Myself) => self.end_meet(dial, |_| Ok(())),
            Ok(id) if id == self.settings.id => self.end_meet(dial, |_| Ok(())),
            Ok(id) => {
                meet.peer = Some(id.clone());
                meet.retry_ms = now.mono_ms;
                self.touch(&id);
                // The link is wished for before the first frame goes out on it.
                self.settle_links();
                self.settle_meets(now);
            }
            Err(DialError::Duplicate) => {
                meet.failure = Some("a live node of this node's id answers".to_owned());
            }
            Err(DialError::Failed { reason }) => meet.failure = Some(reason),
        }
    }

    /// `peer` has answered a meet.
    pub(super) fn met(&mut self, peer: &NodeId) {
        self.end_meets_with(peer, |_| Ok(()));
    }

    fn end_meets_with(&mut self, peer: &NodeId, result: impl Fn(&Address) -> Result<(), MeetError>) {
        let with_peer = |(dial, meet): (&DialId, &Meet)| (meet.peer.as_ref() == Some(peer)).then_some(*dial);
        let ended: Vec<_> = self.meets.pending.iter().filter_map(with_peer).collect();
        for dial in ended {
            self.end_meet(dial, |meet| result(&meet.address));
        }
    }

    fn end_meet(&mut self, dial: DialId, result: impl Fn(&Meet) -> Result<(), MeetError>) {
        let Some(meet) = self.meets.pending.remove(&dial) else { return };
        let result = result(&meet);
        if let Some(peer) = &meet.peer {
            self.touch(peer);
        }
        if let Some(token) = meet.token {
            let own = self.roster.get(&self.settings.id);
            let facts = own.map(|entry| entry.record().facts().collect()).unwrap_or_default();
            let result = result.map(|()| self.operations.begin(facts));
            self.complete(token, Outcome::Meet(result));
        }
    }

    pub(super) fn on_stranger(&mut self, from: &NodeId, header: &Header) {
        let ring = self.ring().cloned();
        self.end_meets_with(from, |address| {
            let address = address.clone();
            Err(match &header.ring {
                Some(theirs) if Some(theirs) != ring.as_ref() => {
                    MeetError::ForeignRing { address, ring: theirs.clone() }
                }
                Some(_) => MeetError::ConfigMismatch { address },
                None => MeetError::PeerNotInRing { address },
            })
        });
    }
}

// Invitations.
impl Machine {
    pub(super) fn on_up(&mut self, id: &NodeId, now: Now) {
        self.links.set_up(id.clone());
        match self.roster.get(id).filter(|entry| entry.membership().is_some()) {
            _ if self.ring().is_none() => {}
            Some(entry) if entry.own().is_none() => self.invite(id),
            Some(_) => self.greet(id, now),
            None => {}
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
            return self.send(from, &Message::InviteRefused(refusal));
        }
        if let Affiliation::Evicted(_) = self.affiliation {
            let mut entry = self.roster.get(&self.settings.id).cloned();
            let readmitted = entry
                .as_mut()
                .is_none_or(|entry| entry.merge(&record).is_some() && entry.membership().is_some());
            return match readmitted {
                true => self.writer.push(Intent::Accept { record: Box::new(record), from: from.clone() }),
                // The inserter did not know of the removal, which beats what it wrote. Now it learns of it.
                false => self.send_gone(from),
            };
        }
        // A founder alone in its ring takes the weight it is inserted with: its own is only a default.
        let is_alone = self.roster.members().all(|(id, _)| *id == self.settings.id);
        let offered = Entry::new(record.clone()).membership().map(|membership| membership.weight);
        self.absorb(from, &[record], now);
        if let Some(weight) = offered.filter(|_| is_alone) {
            self.writer.push(Intent::Adopt { weight });
        }
        self.pull(from);
    }

    pub(super) fn on_invite_refused(&mut self, from: &NodeId, header: &Header, reason: InviteRefusal) {
        let entry = self.roster.get(from).filter(|_| self.affiliation.ring().is_some());
        // A refusal that was overtaken by a join is of an older run than the one known here.
        let is_present = |entry: &Entry| entry.own().is_none_or(|own| own.incarnation <= header.incarnation);
        if entry.is_some_and(|entry| entry.membership().is_some() && is_present(entry)) {
            self.writer.push(Intent::Uninvite { id: from.clone(), incarnation: header.incarnation, reason });
        }
    }
}

// Leaving and being removed.
impl Machine {
    /// Tells a removed node, now and then, that it was removed, until it is known to have heard. All members share
    /// the work, so the more there are the seldomer each tries.
    pub(super) fn notify_removed(&mut self, now: Now) {
        let members = self.roster.members().count() as u64;
        if self.unaware.is_empty() || self.random.below(members) > 0 {
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

    fn notify(&mut self, id: &NodeId) {
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
        if is_answer {
            return;
        }
        let is_removed = |entry: &Entry| entry.removal().is_some();
        match self.roster.get(&self.settings.id).map(is_removed).filter(|_| was_here) {
            Some(true) => return self.send_gone(from),
            // Someone inserted it while it was leaving: it takes that for an invitation, and does not come.
            Some(false) => return self.send(from, &Message::InviteRefused(InviteRefusal::NotInRing)),
            None => {}
        }
        let header = Header { ring: None, ..self.header() };
        self.send_as(from, &header, &Message::Stranger);
    }

    fn send_gone(&mut self, to: &NodeId) {
        let Some(entry) = self.roster.get(&self.settings.id) else { return };
        let record = Box::new(entry.record().clone());
        let known = self.roster.members().filter(|(id, _)| *id != to);
        let known = known.filter_map(|(id, entry)| Some((id.clone(), entry.address()?.clone())));
        let members = self.random.sample(known.collect(), GONE_MEMBERS);
        self.send(to, &Message::Gone { record, members });
    }

    pub(super) fn on_gone(&mut self, from: &NodeId, record: Record, members: &[(NodeId, Address)], now: Now) {
        if record.id != *from {
            return;
        }
        self.absorb(from, &[record], now);
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

    pub(super) fn on_removed(&mut self, from: &NodeId, record: Option<&Record>, covered: &[Dot], now: Now) {
        if let Some(record) = record.filter(|record| record.id == self.settings.id) {
            self.absorb(from, std::slice::from_ref(record), now);
        }
        let own = self.roster.get(&self.settings.id);
        let is_covered = |entry: &Entry| {
            let mut dots = entry.versions().siblings().map(|(dot, _)| dot);
            dots.all(|dot| covered.contains(dot))
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
        let Some(entry) = self.roster.get(&self.settings.id) else { return };
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
        self.writer.cancel_announcements();
        for (token, result) in self.operations.abandon() {
            self.complete(token, Outcome::Propagated(result));
        }
        let meets: Vec<_> = self.meets.pending.keys().copied().collect();
        meets.into_iter().for_each(|dial| self.end_meet(dial, |_| Err(MeetError::Evicted)));
    }

    /// The tombstone of a leave is on disk: tell the others, and wait for them unless forced.
    pub(super) fn left(&mut self, token: Token, force: bool, facts: &[Fact], now: Now) {
        if self.ring().is_none() {
            return self.complete(token, Outcome::Leave(Err(LeaveError::NotInRing)));
        }
        let others = self.others();
        let operation = self.operations.begin(facts.to_vec());
        if force || others.is_empty() {
            for to in self.random.sample(self.partners(), LEAVE_ACKNOWLEDGED_BY) {
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

// Two runs of one node.
impl Machine {
    /// A record of this node's own that it did not write: an older run under a clock that was ahead, or a
    /// duplicate that is alive.
    pub(super) fn heed_own_record(&mut self, record: &Record) {
        let Some(theirs) = &record.own else { return };
        let mine = self.roster.get(&self.settings.id).and_then(|entry| entry.record().own.as_ref());
        let foreign = match theirs.age().cmp(&self.identity.age()) {
            Ordering::Less => false,
            Ordering::Equal => mine != Some(theirs),
            Ordering::Greater => true,
        };
        if foreign {
            self.told(theirs.incarnation, theirs.address.clone());
        }
    }

    fn told(&mut self, incarnation: Incarnation, address: Address) {
        self.identity.told(incarnation);
        if address == self.settings.address {
            // Nobody else can listen here.
            self.writer.push(Intent::Mint);
        } else {
            self.probe_own_address(address, incarnation);
        }
    }

    /// Asks whether a second run of this node answers at the address.
    pub(super) fn probe_own_address(&mut self, address: Address, told: Incarnation) {
        if self.probe.is_none() {
            let dial = self.meets.next();
            self.probe = Some(Probe { dial, told });
            let expected = Some(self.settings.id.clone());
            self.act(Action::Dial { dial, address, expected, within_ms: PROBE_MS });
        }
    }

    fn probed(&mut self, result: Result<NodeId, DialError>) {
        let Some(Probe { told, .. }) = self.probe.take() else { return };
        match result {
            Ok(id) if id == self.settings.id => self.withdraw(),
            Err(DialError::Duplicate) => self.withdraw(),
            Ok(_) | Err(_) => {
                let is_above = self.incarnation > told;
                self.writer.push(if is_above { Intent::Announce } else { Intent::Mint });
            }
        }
    }

    pub(super) fn on_refused_as_duplicate(&mut self, incumbent: Incarnation) {
        if incumbent > self.identity.incarnation() {
            // Whoever refused had not asked the incumbent whether it lives: a newer run would have been asked for.
            self.identity.told(incumbent);
            self.writer.push(Intent::Mint);
        } else if incumbent < self.identity.first() {
            self.withdraw();
        }
    }

    fn withdraw(&mut self) {
        if let Some(ring) = self.ring().cloned() {
            self.go(Affiliation::Withdrawn(ring));
        }
        self.emit(Event::DuplicateId { id: self.settings.id.clone() });
    }
}

impl Machine {
    /// Takes in what others would have learnt by now, after a local write.
    pub(super) fn wrote(&mut self, record: &Record, now: Now) -> Vec<Fact> {
        let news = self.merge(record, &Cause::Local, now).unwrap_or_default();
        news.iter().for_each(|fact| self.rumours.add(fact.clone(), None));
        news
    }
}

/// The pause between attempts of a meet.
const MEET_RETRY_MS: u64 = 500;

/// How long a second run of this node is waited for to answer.
const PROBE_MS: u64 = 1_000;

/// Members that must know of a leave before the leaver trusts it to spread.
const LEAVE_ACKNOWLEDGED_BY: usize = 3;

/// Members a node outside names to one that has not heard it went.
const GONE_MEMBERS: usize = 16;

/// How many of these the receiver tries.
const GONE_MEETS: usize = 3;

/// How long a removed node is waited for to answer.
const NOTICE_MS: u64 = 1_000;
