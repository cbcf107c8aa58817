//! How the world turns: what happens in its order, and what the nodes do about it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bytes::Bytes;
use netkernel::{Address, NodeId};

use crate::error::LeaveError;
use crate::event::Event;
use crate::message::{Frame, Message};
use crate::proto::{Action, DialError, DialId, Input, Machine, Now, Outcome};

use super::network::Ix;
use super::oracle::Violation;
use super::report::Fault;
use super::world::World;

/// Something that happens at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    Deliver { from: Ix, to: Ix, session: u64, bytes: Bytes },
    Wake { node: Ix },
    Resume { node: Ix },
    Connect { from: Ix, to: Ix, attempt: u32 },
    Break { a: Ix, b: Ix, session: u64 },
    Close { a: Ix, b: Ix, session: u64 },
    Stored { node: Ix, boot: u64, at: usize },
    Dialed { node: Ix, boot: u64, dial: DialId, address: Address },
}

impl World {
    pub(super) fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.happened = if at == self.now { self.happened + 1 } else { 0 };
            if self.happened > AT_ONCE_MAX {
                return Err(self.violation(format!("it never stops at {at} ms: {happening:?}")));
            }
            self.now = at;
            self.happen(happening)?;
        }
        self.now = end;
        Ok(())
    }

    pub(super) fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Deliver { from, to, session, bytes } => {
                if self.network.session(from, to) != Some(session) {
                    return Ok(());
                }
                self.tell(|| {
                    format!("{from} -> {to}: {:?}", Frame::decode(&bytes).map(|frame| frame.message))
                });
                let from = self.nodes[from].id.clone();
                self.input(to, Input::Frame { from, bytes })
            }
            Happening::Wake { node } => {
                let now = self.time(node);
                let target = &mut self.nodes[node];
                if target.wake_at.take_if(|at| *at <= now.mono_ms).is_none()
                    || target.paused_until > now.mono_ms
                {
                    return Ok(());
                }
                let Some(machine) = &mut target.machine else { return Ok(()) };
                machine.wake(now);
                self.carry_out(node)
            }
            Happening::Resume { node } if self.nodes[node].paused_until > self.now => Ok(()),
            Happening::Resume { node } => {
                while let Some(input) = self.nodes[node].inbox.pop_front() {
                    self.take(node, input)?;
                }
                self.rouse(node);
                Ok(())
            }
            Happening::Connect { from, to, attempt } => self.connect(from, to, attempt),
            Happening::Break { a, b, session } => {
                if self.network.session(a, b) == Some(session) && !self.network.can_connect(a, b) {
                    self.reset(a, b);
                }
                Ok(())
            }
            Happening::Close { a, b, session } => {
                if self.network.session(a, b) == Some(session) && !self.nodes[a].wished.contains_key(&b) {
                    self.reset(a, b);
                }
                Ok(())
            }
            Happening::Stored { node, boot, at } => self.stored(node, boot, at),
            Happening::Dialed { node, boot, dial, address } => self.dialed(node, boot, dial, &address),
        }
    }

    pub(super) fn connect(&mut self, from: Ix, to: Ix, attempt: u32) -> Result<(), Violation> {
        let Some(wished) = self.nodes[from].wished.get(&to) else { return Ok(()) };
        if self.nodes[from].machine.is_none() || self.network.session(from, to).is_some() {
            return Ok(());
        }
        if *wished == self.nodes[to].settings.address && self.can_meet(from, to) {
            self.link(from, to)?;
            if self.network.session(from, to).is_some() {
                return Ok(());
            }
        }
        let delay = (100 << attempt.min(5)) + self.random.below(100);
        self.at(self.now + delay, Happening::Connect { from, to, attempt: attempt + 1 });
        Ok(())
    }

    pub(super) fn can_meet(&self, a: Ix, b: Ix) -> bool {
        let is_live = |ix: Ix| self.nodes[ix].machine.is_some();
        is_live(a) && is_live(b) && self.network.can_connect(a, b)
    }

    pub(super) fn link(&mut self, a: Ix, b: Ix) -> Result<(), Violation> {
        if !(self.admits(a, b)? && self.admits(b, a)?) {
            return Ok(());
        }
        if self.network.establish(a, b).1 {
            let (id_a, id_b) = (self.nodes[a].id.clone(), self.nodes[b].id.clone());
            self.input(a, Input::Up { id: id_b })?;
            self.input(b, Input::Up { id: id_a })?;
        }
        Ok(())
    }

    /// Whether a node takes a session with another: of two of one id, it keeps the one that still answers, and tells
    /// the other.
    fn admits(&mut self, ix: Ix, newcomer: Ix) -> Result<bool, Violation> {
        let id = &self.nodes[newcomer].id;
        let is_twin = |other: &Ix| *other != newcomer && self.nodes[*other].id == *id;
        let Some(incumbent) = self
            .twins
            .iter()
            .copied()
            .find(|other| is_twin(other) && self.network.session(ix, *other).is_some())
        else {
            return Ok(true);
        };
        if !self.can_meet(ix, incumbent) {
            self.reset(ix, incumbent);
            return Ok(true);
        }
        if let Some(machine) = &self.nodes[incumbent].machine {
            let incumbent = machine.incarnation();
            self.input(newcomer, Input::RefusedAsDuplicate { incumbent })?;
        }
        Ok(false)
    }

    pub(super) fn dialed(
        &mut self,
        ix: Ix,
        boot: u64,
        dial: DialId,
        address: &Address,
    ) -> Result<(), Violation> {
        if self.nodes[ix].boot != boot || self.nodes[ix].machine.is_none() {
            return Ok(());
        }
        let there = self.nodes.iter().position(|node| node.settings.address == *address);
        let failed = || DialError::Failed { reason: "nobody answers".to_owned() };
        let result = match there {
            Some(other) if other == ix => Err(DialError::Myself),
            Some(other) if !self.can_meet(ix, other) => Err(failed()),
            Some(other) if self.nodes[other].id == self.nodes[ix].id => Err(DialError::Duplicate),
            Some(other) => {
                self.link(ix, other)?;
                match self.network.session(ix, other) {
                    Some(_) => Ok(self.nodes[other].id.clone()),
                    None => Err(failed()),
                }
            }
            None => Err(failed()),
        };
        self.input(ix, Input::Dialed { dial, result })
    }

    /// An image has reached the disk, or half way.
    pub(super) fn stored(&mut self, ix: Ix, boot: u64, at: usize) -> Result<(), Violation> {
        let (image, state) = self.writes.remove(&at).expect("each write ends once");
        if self.nodes[ix].boot != boot || self.nodes[ix].machine.is_none() {
            // The crash came in mid-write: the file was replaced, or was not.
            if self.nodes[ix].boot == boot && self.random.percent(50) {
                self.nodes[ix].keep(state);
                self.nodes[ix].is_out = !self.nodes[ix].is_in_by_disk();
                self.count_losses();
            }
            return Ok(());
        }
        if self.random.percent(self.store_failures) {
            self.report.faults.count(Fault::FailedWrite);
            if self.random.percent(50) {
                self.nodes[ix].keep(state);
            }
            return self.input(ix, Input::Stored { image, result: Err("disk full".to_owned()) });
        }
        self.nodes[ix].keep(state.clone());
        self.input(ix, Input::Stored { image, result: Ok(()) })?;
        if !self.nodes[ix].is_out {
            self.oracle.stored(&state);
        }
        Ok(())
    }

    /// Hands an input to a node, or into its inbox while it is paused or others wait there.
    pub(super) fn input(&mut self, ix: Ix, input: Input) -> Result<(), Violation> {
        let node = &mut self.nodes[ix];
        if node.machine.is_none() {
            return Ok(());
        }
        let is_paused = node.paused_until > self.now;
        if is_paused && matches!(input, Input::Frame { .. }) && node.inbox.len() >= INBOX_MAX {
            self.report.overflows += 1;
        } else if is_paused || !node.inbox.is_empty() {
            node.inbox.push_back(input);
        } else {
            return self.take(ix, input);
        }
        Ok(())
    }

    /// The same for inputs that come of another's doing, in the middle of something.
    pub(super) fn input_later(&mut self, ix: Ix, input: Input) {
        let node = &mut self.nodes[ix];
        if node.machine.is_some() {
            node.inbox.push_back(input);
            let at = self.now.max(node.paused_until);
            self.at(at, Happening::Resume { node: ix });
        }
    }

    fn take(&mut self, ix: Ix, input: Input) -> Result<(), Violation> {
        let now = self.time(ix);
        let node = &mut self.nodes[ix];
        match &input {
            Input::Up { id } => node.up.insert(id.clone()),
            Input::Down { id } => node.up.remove(id),
            _ => false,
        };
        let Some(machine) = &mut node.machine else { return Ok(()) };
        machine.handle(input, now);
        self.carry_out(ix)
    }

    /// Sees to it that every session a node wishes for is being kept, and tells it of those that came or went unnoticed:
    /// of two nodes of one id, one may have a session while that of the other ends.
    fn reconcile(&mut self, ix: Ix) {
        let Some(machine) = &self.nodes[ix].machine else { return };
        let wishes: Vec<_> =
            machine.wished_links().map(|(id, address)| (id.clone(), address.clone())).collect();
        for (id, address) in wishes {
            self.wish(ix, &id, address);
        }
        let up: BTreeSet<_> = self.network.linked(ix).map(|other| self.nodes[other].id.clone()).collect();
        let told = self.nodes[ix].up.clone();
        told.difference(&up).for_each(|id| self.input_later(ix, Input::Down { id: id.clone() }));
        up.difference(&told).for_each(|id| self.input_later(ix, Input::Up { id: id.clone() }));
    }

    fn wish(&mut self, ix: Ix, id: &NodeId, address: Address) {
        let Some(to) = self.located(id, &address) else { return };
        if self.nodes[ix].wished.get(&to) != Some(&address) {
            self.unwish(ix, id);
            self.nodes[ix].wished.insert(to, address);
            let delay = 1 + self.random.below(10);
            self.at(self.now + delay, Happening::Connect { from: ix, to, attempt: 0 });
        }
    }

    pub(super) fn carry_out(&mut self, ix: Ix) -> Result<(), Violation> {
        while let Some(action) = self.nodes[ix].machine.as_mut().and_then(Machine::poll_action) {
            self.act(ix, action)?;
        }
        self.rouse(ix);
        let Some(machine) = &self.nodes[ix].machine else { return Ok(()) };
        let checked = self.oracle.check(ix, &self.nodes[ix].id, machine, self.had_twins);
        let is_out = machine.affiliation().ring().is_none();
        checked.map_err(|what| self.violation(what))?;
        if is_out != std::mem::replace(&mut self.nodes[ix].is_out, is_out) {
            self.count_losses();
        }
        Ok(())
    }

    pub(super) fn act(&mut self, ix: Ix, action: Action) -> Result<(), Violation> {
        match action {
            Action::Send { to, bytes, .. } => {
                let Some(to) = self.linked(ix, &to) else { return Ok(()) };
                self.report.frames += 1;
                if self.counts_rumours {
                    self.report.rumours += u64::from(is_rumour(&bytes));
                }
                self.report.bytes += bytes.len() as u64;
                let most = self.nodes[ix].settings.frame_bytes_max + FRAME_REST_BYTES;
                if bytes.len() > most {
                    return Err(
                        self.violation(format!("a frame of {} bytes, of {most} at most", bytes.len()))
                    );
                }
                if let Some((at, session)) = self.network.send(ix, to, &bytes, self.now, &mut self.random) {
                    self.at(at, Happening::Deliver { from: ix, to, session, bytes });
                }
            }
            Action::Connect { id, address } => self.wish(ix, &id, address),
            Action::Reconcile => self.reconcile(ix),
            Action::Disconnect { id, .. } => {
                self.unwish(ix, &id);
                if let Some(to) = self.linked(ix, &id) {
                    self.drain(ix, to);
                }
            }
            Action::Dial { dial, address, .. } => {
                let delay = 2 + self.random.below(30);
                let boot = self.nodes[ix].boot;
                self.at(self.now + delay, Happening::Dialed { node: ix, boot, dial, address });
            }
            Action::Store { image, state } => {
                let written = self.oracle.storing(&self.nodes[ix].id, &state);
                if written.map_err(|what| self.violation(what))? {
                    self.report.faults.count(Fault::ReturnAfterCollection);
                }
                let delay = 1 + self.random.below(20);
                let (boot, at) = (self.nodes[ix].boot, self.next as usize);
                self.writes.insert(at, (image, state));
                self.at(self.now + delay, Happening::Stored { node: ix, boot, at });
            }
            Action::Emit(event) => {
                self.report.conflicts += u64::from(matches!(event, Event::Conflict { .. }));
                self.tell(|| format!("{ix} tells: {event:?}"));
                self.nodes[ix].events.push(event);
            }
            Action::Complete { outcome, .. } => {
                if matches!(outcome, Outcome::Leave(Err(LeaveError::NotAcknowledged { .. }))) {
                    self.report.faults.count(Fault::LeaveUndone);
                }
                self.tell(|| format!("{ix} answers: {outcome:?}"));
                self.outcomes.push((ix, outcome));
            }
            // Sessions here are dead or alive at both ends at once, and need no doubt.
            Action::Doubt { .. } | Action::Stopped | Action::SetIncarnation(_) | Action::Publish(_) => {}
        }
        Ok(())
    }

    /// Ends a session once what is on it has arrived.
    pub(super) fn drain(&mut self, a: Ix, b: Ix) {
        if let Some(session) = self.network.session(a, b) {
            self.at(self.now + DRAIN_MS, Happening::Close { a, b, session });
        }
    }

    /// Sees to it that a node is woken when it wants to be.
    pub(super) fn rouse(&mut self, ix: Ix) {
        let node = &mut self.nodes[ix];
        let Some(due) = node.machine.as_ref().and_then(Machine::deadline_ms) else { return };
        let at = due.max(self.now + 1).max(node.paused_until);
        if node.wake_at.is_none_or(|wake_at| at < wake_at) {
            node.wake_at = Some(at);
            self.at(at, Happening::Wake { node: ix });
        }
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(self.now, &what());
        }
    }

    /// The node of this id that another has a session with.
    fn linked(&self, ix: Ix, id: &NodeId) -> Option<Ix> {
        let first = *self.positions.get(id)?;
        let is_it = |other: &Ix| self.nodes[*other].id == *id && self.network.session(ix, *other).is_some();
        let twin = || self.twins.iter().copied().find(is_it);
        Some(first).filter(is_it).or_else(twin).or(Some(first))
    }

    /// The node of this id that listens at the address, or was there first.
    fn located(&self, id: &NodeId, address: &Address) -> Option<Ix> {
        let first = *self.positions.get(id)?;
        let is_it = |other: &Ix| {
            let node = &self.nodes[*other];
            node.id == *id && node.settings.address == *address
        };
        Some(self.twins.iter().copied().find(is_it).unwrap_or(first))
    }

    fn unwish(&mut self, ix: Ix, id: &NodeId) {
        let nodes = &self.nodes;
        let others: Vec<_> =
            nodes[ix].wished.keys().copied().filter(|other| nodes[*other].id == *id).collect();
        for other in others {
            self.nodes[ix].wished.remove(&other);
        }
    }

    pub(super) fn time(&self, ix: Ix) -> Now {
        self.nodes[ix].time(self.now)
    }

    pub(super) fn at(&mut self, at: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next, happening)));
    }
}

fn is_rumour(bytes: &Bytes) -> bool {
    Frame::decode(bytes).is_ok_and(|frame| matches!(frame.message, Message::Rumor { .. }))
}

/// What a frame holds beside the records that its limit is for: the header, contexts and rumours of one moment.
const FRAME_REST_BYTES: usize = 64 * 1024;

/// Frames a paused node takes before it turns others away.
const INBOX_MAX: usize = 64;

/// What a graceful close waits for.
const DRAIN_MS: u64 = 400;

/// What may happen within one millisecond; more is a loop.
const AT_ONCE_MAX: u32 = 100_000;
