//! The nodes, their disks and the order of all that happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use bytes::Bytes;
use netkernel::{Address, NodeId};

use crate::event::Event;
use crate::message::Frame;
use crate::proto::{
    Action, Affiliation, Command, DialError, DialId, Image, ImageId, Input, Machine, Now, Outcome, Random,
    Settings, Token,
};

use super::network::{Ix, Network};
use super::oracle::Oracle;
use super::report::Report;

/// A simulated cluster.
pub(super) struct World {
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
    pub(super) trace: bool,
}

/// A simulated node.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) settings: Settings,
    pub(super) machine: Option<Machine>,
    disk: Option<Image>,
    /// The state before the one on disk.
    older: Option<Image>,
    /// Counts its starts, so that what was meant for an earlier one finds nobody.
    boot: u64,
    skew_ms: i64,
    wished: BTreeMap<Ix, Address>,
    paused_until: u64,
    inbox: VecDeque<Input>,
    wake_at: Option<u64>,
    is_out: bool,
    pub(super) events: Vec<Event>,
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

/// How a node comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Kept,
    RolledBack,
    Lost,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
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
            trace: false,
        }
    }

    /// Adds a node and starts it.
    pub(super) fn add(&mut self, tune: impl FnOnce(&mut Settings)) -> Result<Ix, String> {
        let ix = self.nodes.len();
        let id = NodeId::new(format!("n{ix}")).expect("a short name");
        let mut settings = Settings::new(id.clone(), address(ix));
        tune(&mut settings);
        let skew_ms = self.random.below(7_200_000) as i64 - 3_600_000;
        self.nodes.push(Node {
            id,
            settings,
            machine: None,
            disk: None,
            older: None,
            boot: 0,
            skew_ms,
            wished: BTreeMap::new(),
            paused_until: 0,
            inbox: VecDeque::new(),
            wake_at: None,
            is_out: true,
            events: Vec::new(),
        });
        self.start(ix)?;
        Ok(ix)
    }

    pub(super) fn start(&mut self, ix: Ix) -> Result<(), String> {
        self.tell(|| format!("{ix} starts"));
        let now = self.time(ix);
        let seed = self.random.bits();
        let node = &mut self.nodes[ix];
        node.boot += 1;
        let machine = Machine::new(node.settings.clone(), node.disk.clone(), seed, now);
        node.machine = Some(machine.map_err(|error| format!("node {ix} does not start: {error}"))?);
        self.oracle.restarted(ix);
        self.carry_out(ix)
    }

    /// Kills a node and all its sessions.
    pub(super) fn crash(&mut self, ix: Ix, disk: Disk) {
        self.tell(|| format!("{ix} crashes, disk {disk:?}"));
        let sessions = self.network.sessions().into_iter().filter(|(a, b)| *a == ix || *b == ix);
        for (a, b) in sessions.collect::<Vec<_>>() {
            self.reset(a, b);
        }
        let node = &mut self.nodes[ix];
        node.machine = None;
        if disk != Disk::Kept {
            // A write under way goes down with it.
            node.boot += 1;
        }
        node.wished.clear();
        node.inbox.clear();
        node.paused_until = 0;
        node.wake_at = None;
        match disk {
            Disk::Kept => {}
            Disk::RolledBack => {
                if node.older.is_some() {
                    node.disk = node.older.clone();
                }
            }
            Disk::Lost => (node.disk, node.older) = (None, None),
        }
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

    pub(super) fn pause(&mut self, ix: Ix, ms: u64) {
        self.nodes[ix].paused_until = self.now + ms;
        self.at(self.now + ms, Happening::Resume { node: ix });
    }

    pub(super) fn reset(&mut self, a: Ix, b: Ix) {
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

    /// Cuts these directions. Sessions across the cut break after a while, if it lasts.
    pub(super) fn cut(&mut self, directions: &BTreeSet<(Ix, Ix)>) {
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

    pub(super) fn heal(&mut self) {
        self.tell(|| "healed".to_owned());
        for (from, to, session, bytes, at) in self.network.heal(self.now, &mut self.random) {
            self.at(at, Happening::Deliver { from, to, session, bytes });
        }
    }

    pub(super) fn command(&mut self, ix: Ix, command: Command) -> Result<(), String> {
        self.tell(|| format!("{ix} is asked: {command:?}"));
        let token = Token(self.next_token);
        self.next_token += 1;
        self.input(ix, Input::Command { token, command })
    }

    /// Lets everything happen that happens until then.
    pub(super) fn run_until(&mut self, end: u64) -> Result<(), String> {
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, happening))) = self.queue.pop() else { break };
            self.happened = if at == self.now { self.happened + 1 } else { 0 };
            if self.happened > AT_ONCE_MAX {
                return Err(format!("it never stops at {at} ms: {happening:?}"));
            }
            self.now = at;
            self.happen(happening)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), String> {
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

    fn connect(&mut self, from: Ix, to: Ix, attempt: u32) -> Result<(), String> {
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

    fn link(&mut self, a: Ix, b: Ix) -> Result<(), String> {
        if self.network.establish(a, b).1 {
            let (id_a, id_b) = (self.nodes[a].id.clone(), self.nodes[b].id.clone());
            self.input(a, Input::Up { id: id_b })?;
            self.input(b, Input::Up { id: id_a })?;
        }
        Ok(())
    }

    fn dialed(&mut self, ix: Ix, boot: u64, dial: DialId, address: &Address) -> Result<(), String> {
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
    fn stored(&mut self, ix: Ix, boot: u64, at: usize) -> Result<(), String> {
        let (image, state) = self.writes.remove(&at).expect("each write ends once");
        if self.nodes[ix].boot != boot || self.nodes[ix].machine.is_none() {
            // The crash came in mid-write: the file was replaced, or was not.
            if self.nodes[ix].boot == boot && self.random.percent(50) {
                self.keep(ix, state);
            }
            return Ok(());
        }
        if self.random.percent(self.store_failures) {
            self.report.faults.failed_writes += 1;
            if self.random.percent(50) {
                self.keep(ix, state);
            }
            return self.input(ix, Input::Stored { image, result: Err("disk full".to_owned()) });
        }
        self.keep(ix, state.clone());
        self.input(ix, Input::Stored { image, result: Ok(()) })?;
        if !self.nodes[ix].is_out {
            self.oracle.stored(&state);
        }
        Ok(())
    }

    fn keep(&mut self, ix: Ix, state: Image) {
        let node = &mut self.nodes[ix];
        node.older = node.disk.replace(state);
    }

    /// Hands an input to a node, or into its inbox while it is paused.
    fn input(&mut self, ix: Ix, input: Input) -> Result<(), String> {
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

    fn carry_out(&mut self, ix: Ix) -> Result<(), String> {
        loop {
            let Some(machine) = &mut self.nodes[ix].machine else { break };
            let Some(action) = machine.poll_action() else { break };
            self.act(ix, action)?;
        }
        self.rouse(ix);
        let Some(machine) = &self.nodes[ix].machine else { return Ok(()) };
        self.oracle.check(ix, machine)?;
        let is_out = machine.affiliation().ring().is_none();
        if is_out != std::mem::replace(&mut self.nodes[ix].is_out, is_out) {
            self.count_losses();
        }
        Ok(())
    }

    fn act(&mut self, ix: Ix, action: Action) -> Result<(), String> {
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
                self.oracle.storing(&self.nodes[ix].id, &state)?;
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
        if self.trace {
            println!("{:>7} {}", self.now, what());
        }
    }

    pub(super) fn position(&self, id: &NodeId) -> Option<Ix> {
        self.nodes.iter().position(|node| node.id == *id)
    }

    fn time(&self, ix: Ix) -> Now {
        let wall = START_WALL_MS + self.now as i64 + self.nodes[ix].skew_ms;
        Now { mono_ms: self.now, wall_ms: u64::try_from(wall).unwrap_or(0) }
    }

    fn at(&mut self, at: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next, happening)));
    }
}

/// Where node `ix` listens.
pub(super) fn address(ix: Ix) -> Address {
    Address::new("10.0.0.1", 1_000 + ix as u16).expect("a well-formed address")
}

/// Frames a paused node takes before it turns others away.
const INBOX_MAX: usize = 64;

/// What a graceful close waits for.
const DRAIN_MS: u64 = 400;

/// The simulated year is 2026.
const START_WALL_MS: i64 = 1_780_000_000_000;

/// What may happen within one millisecond; more is a loop.
const AT_ONCE_MAX: u32 = 100_000;
