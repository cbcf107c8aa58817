//! SWIM with Lifeguard: the machine that weighs reports.

use std::collections::{BTreeSet, VecDeque};

use netkernel::{Incarnation, NodeId};

use super::detector::{FailureDetector, Input, Liveness, Output};
use super::health::Health;
use super::news::News;
use super::pace::Pace;
use super::peers::{Peers, State};
use super::probing::Probes;
use super::refuting::is_next;
use super::rounds::Rounds;
use super::signal::{Claim, Report, Signal, Talk};
use super::suspicion::Suspicion;
use crate::proto::random::Random;

/// SWIM with what Lifeguard adds: [the module](super) draws it. `Pace` is all there is to choose.
#[derive(Debug)]
pub struct Swim {
    pub(super) pace: Pace,
    pub(super) me: NodeId,
    pub(super) incarnation: Incarnation,
    /// How often this run has refuted a claim.
    pub(super) counter: u64,
    pub(super) peers: Peers,
    pub(super) probes: Probes,
    pub(super) health: Health,
    pub(super) random: Random,
    pub(super) news: News,
    rounds: Rounds,
    pub(super) next_probe_ms: Option<u64>,
    /// When which suspicion ends.
    timers: BTreeSet<(u64, NodeId)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) stopping: bool,
}

impl Swim {
    /// The detector of node `me`. `seed` decides whom it asks.
    #[must_use]
    pub fn new(me: NodeId, pace: Pace, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            health: Health::new(pace.health_max),
            probes: Probes::starting_at(random.bits() as u32),
            pace,
            me,
            incarnation: Incarnation::default(),
            counter: 0,
            peers: Peers::default(),
            random,
            news: News::default(),
            rounds: Rounds::default(),
            next_probe_ms: None,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            stopping: false,
        }
    }

    fn watch(&mut self, id: NodeId, incarnation: Incarnation, now_ms: u64) {
        if id == self.me || self.peers.get(&id).is_some_and(|peer| peer.incarnation >= incarnation) {
            return;
        }
        self.forget_timer(&id);
        self.news.forget(&id);
        if self.liveness(&id) == Liveness::Suspect {
            // What was suspected was the run before.
            self.change(&id, State::Alive);
        }
        self.peers.insert(id, incarnation, &mut self.random);
        if self.next_probe_ms.is_none() {
            self.next_probe_ms = Some(now_ms + self.random.below(self.pace.interval_ms));
        }
    }

    fn unwatch(&mut self, id: &NodeId) {
        self.forget_timer(id);
        self.news.forget(id);
        self.probes.forget(id);
        self.peers.remove(id);
        if self.peers.is_empty() {
            self.next_probe_ms = None;
            self.news.clear();
        }
    }

    fn on_up(&mut self, id: &NodeId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        (peer.linked, peer.was_linked) = (true, true);
        if peer.liveness() != Liveness::Alive {
            // The question carries what is thought of it, which it will refute.
            let seq = self.probes.next_seq();
            self.send(id, Talk::Ping { seq });
        }
    }

    fn on_down(&mut self, id: &NodeId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.linked = false;
            self.probes.hurry(id.clone());
            self.check_refusals(id);
        }
    }

    /// Nobody listens at the address of a member whose session was lost: its process has ended.
    fn on_refused(&mut self, id: &NodeId, now_ms: u64) {
        let Some(peer) = self.peers.get(id) else { return };
        if self.pace.lifeguard && peer.was_linked && !peer.linked && !peer.is_down() {
            let claim = Claim::Suspect { by: self.me.clone(), refused: true };
            let report =
                Report { id: id.clone(), incarnation: peer.incarnation, counter: peer.counter, claim };
            self.weigh(report, now_ms);
        }
    }

    fn on_goodbye(&mut self, id: &NodeId, now_ms: u64) {
        if let Some(peer) = self.peers.get(id) {
            let claim = Claim::Down { by: id.clone() };
            let report =
                Report { id: id.clone(), incarnation: peer.incarnation, counter: peer.counter, claim };
            self.weigh(report, now_ms);
        }
    }

    fn on_signal(&mut self, from: &NodeId, signal: Signal, now_ms: u64) {
        if self.stopping {
            return;
        }
        let mut is_accused = false;
        let corrections = self.corrections(&signal);
        for report in signal.news.into_iter().take(REPORTS_TAKEN_MAX) {
            is_accused |= report.id == self.me && report.claim != Claim::Alive;
            self.weigh(report, now_ms);
        }
        let is_tell = signal.talk == Talk::Tell;
        match signal.talk {
            // Others pass a refutation on while it is news. Whoever still holds the claim is told by the accused.
            Talk::Ping { seq } if is_accused => self.answer_accused(from, Talk::Ack { seq }),
            talk => {
                self.on_talk(from, talk, now_ms);
                if is_accused && self.pace.lifeguard {
                    self.answer_accused(from, Talk::Tell);
                }
            }
        }
        if !corrections.is_empty() {
            let signal = Signal { talk: Talk::Tell, news: corrections };
            self.outputs.push_back(Output::Send { to: from.clone(), signal });
        }
        // Answering tellings by tellings, a slow node that is suspected would never get to the end of its inbox.
        if !is_tell {
            self.remind(from, now_ms);
        }
    }

    /// A member that speaks though it is under suspicion should know of it.
    fn remind(&mut self, id: &NodeId, now_ms: u64) {
        let pause_ms = self.pace.interval_ms / 2;
        let Some(peer) = self.peers.get_mut(id).filter(|_| self.pace.lifeguard) else { return };
        let is_due = peer.reminded_ms.is_none_or(|at| now_ms >= at + pause_ms);
        if peer.liveness() != Liveness::Alive && is_due {
            peer.reminded_ms = Some(now_ms);
            self.send(id, Talk::Tell);
        }
    }

    /// This node does not find an answer from a member.
    pub(super) fn accuse(&mut self, id: &NodeId, now_ms: u64) {
        if let Some(peer) = self.peers.get(id) {
            let claim = Claim::Suspect { by: self.me.clone(), refused: false };
            let report =
                Report { id: id.clone(), incarnation: peer.incarnation, counter: peer.counter, claim };
            self.weigh(report, now_ms);
        }
    }

    /// Takes in what is said of a node, and passes it on if it counts.
    fn weigh(&mut self, report: Report, now_ms: u64) {
        if report.id == self.me {
            return self.refute(&report);
        }
        let Some(peer) = self.peers.get_mut(&report.id) else { return };
        if report.incarnation != peer.incarnation || !is_next(peer.counter, report.counter) {
            return;
        }
        let is_newer = report.counter > peer.counter;
        match &report.claim {
            Claim::Alive if is_newer => {
                peer.counter = report.counter;
                // It is there though this node has no session with it: what refuses that stands between the two.
                peer.was_linked &= peer.linked;
                self.change(&report.id, State::Alive);
                self.news.add(report);
            }
            // What says goodbye is believed: it will not answer.
            Claim::Down { by }
                if self.pace.lifeguard
                    && *by != report.id
                    && peer.is_trusted(self.pace.timeout_ms, now_ms) =>
            {
                let (id, by) = (report.id.clone(), by.clone());
                peer.counter = report.counter;
                self.verify(&id, by, now_ms);
            }
            // Being verified.
            Claim::Down { by } if !is_newer && *by != report.id && peer.is_verified() => {}
            Claim::Down { by } if is_newer || !peer.is_down() => {
                peer.counter = report.counter;
                let state = State::Down { by: by.clone() };
                self.change(&report.id, state);
                self.news.add(report);
            }
            Claim::Alive | Claim::Down { .. } => {}
            Claim::Suspect { .. } if peer.is_down() && !is_newer => {}
            Claim::Suspect { by, refused } => {
                let (id, by, refused) = (report.id.clone(), by.clone(), *refused && self.pace.lifeguard);
                peer.counter = report.counter;
                if self.suspect(&id, &by, refused, is_newer, now_ms) {
                    self.news.add(report);
                }
                self.check_refusals(&id);
            }
        }
    }

    /// Starts or shares a suspicion. Returns whether others should know.
    fn suspect(&mut self, id: &NodeId, by: &NodeId, refused: bool, afresh: bool, now_ms: u64) -> bool {
        let members = self.peers.members();
        self.forget_timer(id);
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let mut worth_telling = match &mut peer.state {
            State::Suspect(suspicion) if !afresh => suspicion.confirm(by),
            _ => {
                let suspicion = Suspicion::new(by.clone(), members, &self.pace, now_ms);
                self.change(id, State::Suspect(Box::new(suspicion)));
                true
            }
        };
        if let Some(State::Suspect(suspicion)) = self.peers.get_mut(id).map(|peer| &mut peer.state) {
            worth_telling |= refused && suspicion.refuse(by);
            self.timers.insert((suspicion.ends_ms(), id.clone()));
        }
        worth_telling
    }

    /// Another holds a member for down that this node has a session with and no reason to doubt. It is asked, and if it does
    /// not answer in the time for an answer, it is down.
    fn verify(&mut self, id: &NodeId, by: NodeId, now_ms: u64) {
        self.forget_timer(id);
        let suspicion = Suspicion::brief(by.clone(), self.health.stretch(self.pace.timeout_ms), now_ms);
        let (ends_ms, claim) = (suspicion.ends_ms(), Claim::Suspect { by, refused: false });
        self.change(id, State::Suspect(Box::new(suspicion)));
        self.timers.insert((ends_ms, id.clone()));
        if let Some(peer) = self.peers.get(id) {
            let (incarnation, counter) = (peer.incarnation, peer.counter);
            self.news.add(Report { id: id.clone(), incarnation, counter, claim });
        }
        self.ask(id);
    }

    /// Two who saw a session close and the address refuse are enough, or this node alone where there is no other.
    fn check_refusals(&mut self, id: &NodeId) {
        let needed = if self.peers.members() == 2 { 1 } else { 2 };
        let Some(peer) = self.peers.get(id) else { return };
        if let State::Suspect(suspicion) = &peer.state
            && suspicion.refusals() >= needed
            && !peer.linked
        {
            self.give_up(id);
        }
    }

    /// A suspicion was not refuted.
    fn give_up(&mut self, id: &NodeId) {
        if let Some(peer) = self.peers.get(id) {
            let claim = Claim::Down { by: self.me.clone() };
            let report =
                Report { id: id.clone(), incarnation: peer.incarnation, counter: peer.counter, claim };
            self.change(id, State::Down { by: self.me.clone() });
            self.news.add(report);
        }
    }

    fn change(&mut self, id: &NodeId, state: State) {
        self.forget_timer(id);
        let Some(was) = self.peers.set(id, state) else { return };
        let now = self.liveness(id);
        if was != now {
            self.outputs.push_back(Output::Changed { id: id.clone(), was, now });
        }
    }

    /// Others hear a member that this node, which has a session with it, does not.
    pub(super) fn unheard(&mut self, id: NodeId) {
        self.outputs.push_back(Output::Unheard { id });
    }

    fn forget_timer(&mut self, id: &NodeId) {
        if let Some(State::Suspect(suspicion)) = self.peers.get(id).map(|peer| &peer.state) {
            self.timers.remove(&(suspicion.ends_ms(), id.clone()));
        }
    }

    /// Says something to a member, and with it what it should know: first what is held against it.
    pub(super) fn send(&mut self, to: &NodeId, talk: Talk) {
        let mut news = self.news.take(to, self.peers.members());
        let accusation =
            self.peers.get(to).filter(|_| self.pace.lifeguard).and_then(|peer| peer.accusation(to));
        if let Some(accusation) = accusation.filter(|_| !news.iter().any(|report| report.id == *to)) {
            news.insert(0, accusation);
        }
        if matches!(talk, Talk::Ping { .. }) {
            self.repeat_one(to, &mut news);
        }
        self.outputs.push_back(Output::Send { to: to.clone(), signal: Signal { talk, news } });
    }

    fn tell(&mut self, now_ms: u64) {
        if self.news.is_empty() || !self.rounds.take(now_ms) {
            return;
        }
        for to in self.peers.sample(TOLD_AT_ONCE, None, &mut self.random) {
            self.send(&to, Talk::Tell);
        }
    }

    fn end_suspicions(&mut self, now_ms: u64) {
        while let Some((at, id)) = self.timers.pop_first() {
            if at > now_ms {
                self.timers.insert((at, id));
                return;
            }
            self.give_up(&id);
        }
    }

    /// Every suspicion may be refuted for so much longer.
    pub(super) fn shift_suspicions(&mut self, ms: u64) {
        for peer in self.peers.values_mut() {
            if let State::Suspect(suspicion) = &mut peer.state {
                suspicion.shift(ms);
            }
        }
        self.timers = std::mem::take(&mut self.timers).into_iter().map(|(at, id)| (at + ms, id)).collect();
    }
}

impl FailureDetector for Swim {
    fn handle(&mut self, input: Input, now_ms: u64) {
        match input {
            Input::Local { incarnation } if incarnation > self.incarnation => {
                (self.incarnation, self.counter) = (incarnation, 0);
                self.news.forget(&self.me);
            }
            Input::Local { .. } => {}
            Input::Member { id, incarnation } => self.watch(id, incarnation, now_ms),
            Input::Gone { id } => self.unwatch(&id),
            Input::Up { id } => self.on_up(&id),
            Input::Down { id } => self.on_down(&id),
            Input::Refused { id } => self.on_refused(&id, now_ms),
            Input::Signal { from, signal } => self.on_signal(&from, signal, now_ms),
            Input::Goodbye { id } => self.on_goodbye(&id, now_ms),
            Input::Stopping => {
                self.stopping = true;
                self.news.clear();
            }
        }
        self.tell(now_ms);
    }

    fn wake(&mut self, now_ms: u64) {
        self.forgive(self.deadline_ms(), now_ms);
        self.end_suspicions(now_ms);
        self.probe(now_ms);
        self.tell(now_ms);
    }

    fn deadline_ms(&self) -> Option<u64> {
        if self.stopping || self.peers.is_empty() {
            return None;
        }
        let tell = (!self.news.is_empty()).then_some(self.rounds.next_ms());
        let suspicion = self.timers.first().map(|(at, _)| *at);
        [self.next_probe_ms, self.probes.due_ms(), tell, suspicion].into_iter().flatten().min()
    }

    fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn liveness(&self, id: &NodeId) -> Liveness {
        self.peers.get(id).map_or(Liveness::Alive, super::peers::Peer::liveness)
    }

    fn has_stopped(&self, id: &NodeId) -> bool {
        self.peers.get(id).is_some_and(|peer| matches!(&peer.state, State::Down { by } if by == id))
    }

    fn settled_ms(&self, members: usize) -> u64 {
        self.pace.suspicion_max_ms(members).saturating_add(2 * self.pace.interval_ms)
    }
}

/// Members told in one round.
const TOLD_AT_ONCE: usize = 3;

/// Reports of one message that are looked at: a peer of this version sends far fewer.
pub(super) const REPORTS_TAKEN_MAX: usize = 1_024;
