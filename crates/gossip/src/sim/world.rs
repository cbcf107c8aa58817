//! The nodes, their disks and the order of all that happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use netkernel::{Address, NodeId};

use crate::event::Event;
use crate::message::Frame;
use crate::proto::{
    Action, Affiliation, Command, DialError, DialId, Image, ImageId, Input, Machine, Now, Outcome, Random,
    Settings, Token,
};
use crate::view::Status;

use super::network::{Ix, Network};
use super::node::{Disk, Node};
use super::oracle::{Oracle, Violation};
use super::report::Report;

/// Takes what happens in a run, with the virtual time in milliseconds.
pub type Trace = fn(u64, &str);

/// A simulated cluster, for stories of one's own.
///
/// Nodes are named by their numbers, from 0. Methods that take one panic if there is no such node.
#[derive(Debug)]
pub struct World {
    seed: u64,
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    pub(super) report: Report,
    /// What operations came to, in order.
    pub(super) outcomes: Vec<(Ix, Outcome)>,
    /// In percent.
    pub(super) store_failures: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    /// Images on their way to disk.
    writes: BTreeMap<usize, (ImageId, Image)>,
    next: u64,
    next_token: u64,
    /// Things that happened at the present moment.
    happened: u32,
    /// Whether to print what happens.
    trace: Option<Trace>,
}

/// Something that happens at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
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
    /// An empty world, of which `seed` decides everything that is left to chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            random: Random::new(seed),
            nodes: Vec::new(),
            network: Network::default(),
            oracle: Oracle::default(),
            report: Report { runs: 1, ..Report::default() },
            outcomes: Vec::new(),
            store_failures: 0,
            queue: BinaryHeap::new(),
            writes: BTreeMap::new(),
            next: 0,
            next_token: 0,
            happened: 0,
            trace: None,
        }
    }

    /// Adds a node and starts it. Its clock is up to an hour off.
    ///
    /// # Errors
    ///
    /// [`Violation`], like all that moves the world.
    pub fn add(&mut self, tune: impl FnOnce(&mut Settings)) -> Result<Ix, Violation> {
        let ix = self.nodes.len();
        let id = NodeId::new(format!("n{ix}")).expect("a short name");
        let mut settings = Settings::new(id, address(ix));
        tune(&mut settings);
        let skew_ms = self.random.below(7_200_000) as i64 - 3_600_000;
        self.nodes.push(Node::new(settings, skew_ms));
        self.start(ix)?;
        Ok(ix)
    }

    /// Starts a node that crashed, with what its disk has and other settings if need be.
    ///
    /// # Errors
    ///
    /// [`Violation`]
    pub fn restart(&mut self, ix: Ix, tune: impl FnOnce(&mut Settings)) -> Result<(), Violation> {
        tune(&mut self.nodes[ix].settings);
        self.start(ix)
    }

    pub(super) fn start(&mut self, ix: Ix) -> Result<(), Violation> {
        self.tell(|| format!("{ix} starts"));
        let now = self.time(ix);
        let seed = self.random.bits();
        let node = &mut self.nodes[ix];
        node.boot += 1;
        match Machine::new(node.settings.clone(), node.disk.clone(), seed, now) {
            Ok(machine) => node.machine = Some(machine),
            Err(error) => return Err(self.violation(format!("node {ix} does not start: {error}"))),
        }
        self.oracle.restarted(ix);
        self.carry_out(ix)
    }

    /// Kills a node and all its sessions.
    pub fn crash(&mut self, ix: Ix, disk: Disk) {
        self.tell(|| format!("{ix} crashes, disk {disk:?}"));
        let sessions = self.network.sessions().into_iter().filter(|(a, b)| *a == ix || *b == ix);
        for (a, b) in sessions.collect::<Vec<_>>() {
            self.reset(a, b);
        }
        self.nodes[ix].crash(disk);
        self.count_losses();
    }

    /// What no node in the ring knows any more, and no disk of one that will be again, may be gone.
    fn count_losses(&mut self) {
        let is_in = |affiliation: &Affiliation| affiliation.ring().is_some();
        let known = self.nodes.iter().filter_map(|node| match &node.machine {
            Some(machine) => Some(machine.context()).filter(|_| is_in(machine.affiliation())),
            None => node.disk.as_ref().filter(|image| is_in(image.affiliation())).map(Image::context),
        });
        let known: Vec<_> = known.cloned().collect();
        self.oracle.lost(&known);
    }

    /// Freezes a node. Its inbox takes 64 frames meanwhile.
    pub fn pause(&mut self, ix: Ix, ms: u64) {
        self.nodes[ix].paused_until = self.now + ms;
        self.at(self.now + ms, Happening::Resume { node: ix });
    }

    /// Sets a node's wall clock off by so much.
    pub fn set_skew(&mut self, ix: Ix, ahead_ms: i64) {
        self.nodes[ix].skew_ms = ahead_ms;
    }

    /// Breaks the session of two nodes, if they have one, and loses what is on it.
    pub fn reset(&mut self, a: Ix, b: Ix) {
        if self.network.reset(a, b) {
            self.down(a, b);
            self.down(b, a);
        }
    }

    fn down(&mut self, ix: Ix, other: Ix) {
        let id = self.nodes[other].id.clone();
        self.input_later(ix, Input::Down { id });
        if self.nodes[ix].wished.contains_key(&other) {
            let delay = 20 + self.random.below(200);
            self.at(self.now + delay, Happening::Connect { from: ix, to: other, attempt: 0 });
        }
    }

    /// Separates some nodes from all others, in both directions or only in that away from them. Sessions across the
    /// cut stall, and break after a while.
    pub fn partition(&mut self, side: &BTreeSet<Ix>, one_way: bool) {
        let others = (0..self.nodes.len()).filter(|ix| !side.contains(ix));
        let pairs = others.flat_map(|other| side.iter().map(move |ix| (*ix, other)));
        let both = pairs.flat_map(|(a, b)| [Some((a, b)), (!one_way).then_some((b, a))]);
        let directions = both.flatten().collect();
        let faults = &mut self.report.faults;
        *(if one_way { &mut faults.one_way } else { &mut faults.partitions }) += 1;
        self.cut(&directions);
    }

    fn cut(&mut self, directions: &BTreeSet<(Ix, Ix)>) {
        self.tell(|| format!("cut: {directions:?}"));
        self.network.block(directions.iter().copied());
        for (a, b) in self.network.sessions() {
            if directions.contains(&(a, b)) || directions.contains(&(b, a)) {
                let session = self.network.session(a, b).unwrap_or(0);
                let delay = 1_000 + self.random.below(4_000);
                self.at(self.now + delay, Happening::Break { a, b, session });
            }
        }
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.tell(|| "healed".to_owned());
        for (from, to, session, bytes, at) in self.network.heal(self.now, &mut self.random) {
            self.at(at, Happening::Deliver { from, to, session, bytes });
        }
    }

    /// Asks a node for something. What comes of it is among the [`outcomes`](Self::outcomes).
    ///
    /// # Errors
    ///
    /// [`Violation`]
    pub fn command(&mut self, ix: Ix, command: Command) -> Result<(), Violation> {
        self.tell(|| format!("{ix} is asked: {command:?}"));
        let token = Token(self.next_token);
        self.next_token += 1;
        self.input(ix, Input::Command { token, command })
    }

    /// Lets everything happen that happens in the next `ms`.
    ///
    /// # Errors
    ///
    /// [`Violation`]
    pub fn run_for(&mut self, ms: u64) -> Result<(), Violation> {
        self.run_until(self.now + ms)
    }

    /// Runs until all nodes in the ring agree, and gives how long that took, in virtual milliseconds.
    ///
    /// # Errors
    ///
    /// [`Violation`], also if they do not within `within_ms`.
    pub fn settle(&mut self, within_ms: u64) -> Result<u64, Violation> {
        let start = self.now;
        while self.now < start + within_ms {
            self.run_for(25)?;
            if self.is_agreed() {
                return Ok(self.now - start);
            }
        }
        let states = self.running().map(|(ix, machine)| {
            let members = machine.members().map(|member| format!("{}:{:?}", member.id, member.status));
            format!(
                "\n  {ix} {:?} {:?} {:?}",
                machine.affiliation(),
                machine.hashes(),
                members.collect::<Vec<_>>()
            )
        });
        let states: Vec<_> = states.collect();
        Err(self.violation(format!("no agreement within {within_ms} ms:{}", states.concat())))
    }

    /// Whether all nodes in the ring have the same, and the members are exactly these nodes, all heard from.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        let in_ring: Vec<_> =
            self.running().filter(|(_, machine)| machine.affiliation().ring().is_some()).collect();
        let Some((_, any)) = in_ring.first() else { return true };
        let agree = in_ring.iter().all(|(_, machine)| machine.hashes() == any.hashes());
        let heard = any.members().all(|member| member.status != Status::Joining);
        let ids: BTreeSet<_> = in_ring.iter().map(|(ix, _)| self.nodes[*ix].id.clone()).collect();
        agree && heard && any.members().map(|member| member.id).collect::<BTreeSet<_>>() == ids
    }

    /// Checks that the nodes in the ring hold exactly what no later write replaced.
    ///
    /// # Errors
    ///
    /// [`Violation`]
    pub fn check(&self) -> Result<(), Violation> {
        self.oracle.check_end(self.running()).map_err(|what| self.violation(what))
    }

    /// The nodes that run, by number.
    pub fn running(&self) -> impl Iterator<Item = (Ix, &Machine)> + Clone {
        self.nodes.iter().enumerate().filter_map(|(ix, node)| Some((ix, node.machine.as_ref()?)))
    }

    /// A node's id.
    #[must_use]
    pub fn id(&self, ix: Ix) -> &NodeId {
        &self.nodes[ix].id
    }

    /// What a node told its application, in order.
    #[must_use]
    pub fn events(&self, ix: Ix) -> &[Event] {
        &self.nodes[ix].events
    }

    /// What came of commands, in order, with the nodes that were asked.
    #[must_use]
    pub fn outcomes(&self) -> &[(Ix, Outcome)] {
        &self.outcomes
    }

    /// What was counted so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.report;
        report.events = self.oracle.events();
        report.divergences = self.running().map(|(_, machine)| machine.stats().divergences).sum();
        report
    }

    pub(super) fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, what }
    }

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

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
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
                    self.input(node, input)?;
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

    fn connect(&mut self, from: Ix, to: Ix, attempt: u32) -> Result<(), Violation> {
        let Some(wished) = self.nodes[from].wished.get(&to) else { return Ok(()) };
        if self.nodes[from].machine.is_none() || self.network.session(from, to).is_some() {
            return Ok(());
        }
        if *wished == self.nodes[to].settings.address && self.can_meet(from, to) {
            return self.link(from, to);
        }
        let delay = (100 << attempt.min(5)) + self.random.below(100);
        self.at(self.now + delay, Happening::Connect { from, to, attempt: attempt + 1 });
        Ok(())
    }

    fn can_meet(&self, a: Ix, b: Ix) -> bool {
        let is_live = |ix: Ix| self.nodes[ix].machine.is_some();
        is_live(a) && is_live(b) && self.network.can_connect(a, b)
    }

    fn link(&mut self, a: Ix, b: Ix) -> Result<(), Violation> {
        if self.network.establish(a, b).1 {
            let (id_a, id_b) = (self.nodes[a].id.clone(), self.nodes[b].id.clone());
            self.input(a, Input::Up { id: id_b })?;
            self.input(b, Input::Up { id: id_a })?;
        }
        Ok(())
    }

    fn dialed(&mut self, ix: Ix, boot: u64, dial: DialId, address: &Address) -> Result<(), Violation> {
        if self.nodes[ix].boot != boot || self.nodes[ix].machine.is_none() {
            return Ok(());
        }
        let there = self.nodes.iter().position(|node| node.settings.address == *address);
        let failed = || DialError::Failed { reason: "nobody answers".to_owned() };
        let result = match there {
            Some(other) if other == ix => Err(DialError::Myself),
            Some(other) if self.nodes[other].id == self.nodes[ix].id => Err(DialError::Duplicate),
            Some(other) if self.can_meet(ix, other) => {
                self.link(ix, other)?;
                Ok(self.nodes[other].id.clone())
            }
            _ => Err(failed()),
        };
        self.input(ix, Input::Dialed { dial, result })
    }

    /// An image has reached the disk, or half way.
    fn stored(&mut self, ix: Ix, boot: u64, at: usize) -> Result<(), Violation> {
        let (image, state) = self.writes.remove(&at).expect("each write ends once");
        if self.nodes[ix].boot != boot || self.nodes[ix].machine.is_none() {
            // The crash came in mid-write: the file was replaced, or was not.
            if self.nodes[ix].boot == boot && self.random.percent(50) {
                self.nodes[ix].keep(state);
            }
            return Ok(());
        }
        if self.random.percent(self.store_failures) {
            self.report.faults.failed_writes += 1;
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

    /// Hands an input to a node, or into its inbox while it is paused.
    fn input(&mut self, ix: Ix, input: Input) -> Result<(), Violation> {
        let now = self.time(ix);
        let node = &mut self.nodes[ix];
        let Some(machine) = &mut node.machine else { return Ok(()) };
        if node.paused_until > now.mono_ms {
            if matches!(input, Input::Frame { .. }) && node.inbox.len() >= INBOX_MAX {
                self.report.faults.overflows += 1;
            } else {
                node.inbox.push_back(input);
            }
            return Ok(());
        }
        machine.handle(input, now);
        self.carry_out(ix)
    }

    /// The same for inputs that come of another's doing, in the middle of something.
    fn input_later(&mut self, ix: Ix, input: Input) {
        let node = &mut self.nodes[ix];
        if node.machine.is_some() {
            node.inbox.push_back(input);
            let at = self.now.max(node.paused_until);
            self.at(at, Happening::Resume { node: ix });
        }
    }

    fn carry_out(&mut self, ix: Ix) -> Result<(), Violation> {
        while let Some(action) = self.nodes[ix].machine.as_mut().and_then(Machine::poll_action) {
            self.act(ix, action)?;
        }
        self.rouse(ix);
        let Some(machine) = &self.nodes[ix].machine else { return Ok(()) };
        let checked = self.oracle.check(ix, machine);
        let is_out = machine.affiliation().ring().is_none();
        checked.map_err(|what| self.violation(what))?;
        if is_out != std::mem::replace(&mut self.nodes[ix].is_out, is_out) {
            self.count_losses();
        }
        Ok(())
    }

    fn act(&mut self, ix: Ix, action: Action) -> Result<(), Violation> {
        match action {
            Action::Send { to, bytes } => {
                let Some(to) = self.position(&to) else { return Ok(()) };
                self.report.frames += 1;
                self.report.bytes += bytes.len() as u64;
                if let Some((at, session)) = self.network.send(ix, to, &bytes, self.now, &mut self.random) {
                    self.at(at, Happening::Deliver { from: ix, to, session, bytes });
                }
            }
            Action::Connect { id, address } => {
                if let Some(to) = self.position(&id) {
                    self.nodes[ix].wished.insert(to, address);
                    let delay = 1 + self.random.below(10);
                    self.at(self.now + delay, Happening::Connect { from: ix, to, attempt: 0 });
                }
            }
            Action::Disconnect { id, .. } => {
                if let Some(to) = self.position(&id) {
                    self.nodes[ix].wished.remove(&to);
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
                written.map_err(|what| self.violation(what))?;
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
                self.tell(|| format!("{ix} answers: {outcome:?}"));
                self.outcomes.push((ix, outcome));
            }
            Action::Stopped | Action::SetIncarnation(_) | Action::Publish(_) => {}
        }
        Ok(())
    }

    /// Ends a session once what is on it has arrived.
    fn drain(&mut self, a: Ix, b: Ix) {
        if let Some(session) = self.network.session(a, b) {
            self.at(self.now + DRAIN_MS, Happening::Close { a, b, session });
        }
    }

    /// Sees to it that a node is woken when it wants to be.
    fn rouse(&mut self, ix: Ix) {
        let node = &mut self.nodes[ix];
        let Some(due) = node.machine.as_ref().and_then(Machine::deadline_ms) else { return };
        let at = due.max(self.now + 1).max(node.paused_until);
        if node.wake_at.is_none_or(|wake_at| at < wake_at) {
            node.wake_at = Some(at);
            self.at(at, Happening::Wake { node: ix });
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(self.now, &what());
        }
    }

    /// Tells everything that happens from now on.
    pub fn trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    fn position(&self, id: &NodeId) -> Option<Ix> {
        self.nodes.iter().position(|node| node.id == *id)
    }

    fn time(&self, ix: Ix) -> Now {
        self.nodes[ix].time(self.now)
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next, happening)));
    }
}

/// Where node `ix` listens, unless told otherwise.
#[must_use]
pub fn address(ix: Ix) -> Address {
    Address::new("10.0.0.1", 1_000 + ix as u16).expect("a well-formed address")
}

/// Frames a paused node takes before it turns others away.
const INBOX_MAX: usize = 64;

/// What a graceful close waits for.
const DRAIN_MS: u64 = 400;

/// What may happen within one millisecond; more is a loop.
const AT_ONCE_MAX: u32 = 100_000;
