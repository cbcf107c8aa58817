//! The nodes, their links, and how their time passes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use netkernel::{Address, NodeId};

use super::{Spread, Traffic};
use crate::event::Event;
use crate::liveness::{Never, RemovalPolicy};
use crate::proto::{
    Action, Calm, Command, DialError, DialId, ImageId, Input, Insertion, Machine, Now, Random, Settings,
    Token,
};
use crate::ring_name::RingName;
use crate::sim::liveness::links::{Fate, Links};
use crate::view::{Member, Status};

/// So many nodes, each with a machine of its own.
#[derive(Debug)]
pub struct Fleet {
    pub(super) nodes: Vec<Node>,
    /// Which node is where, by port.
    ports: BTreeMap<u16, usize>,
    pub(super) links: Links,
    pub(super) random: Random,
    pub(super) now_us: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    next: u64,
    traffic: Traffic,
    /// The node that everyone is to hear of, and when each has.
    awaited: Option<(NodeId, BTreeSet<usize>)>,
    /// The one side of a partition; empty if there is none.
    pub(super) apart: BTreeSet<usize>,
    /// Those that run no more.
    pub(super) dead: BTreeSet<usize>,
    removed: BTreeSet<NodeId>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) machine: Machine,
    pub(super) wished: BTreeSet<usize>,
    /// When the machine is woken.
    pub(super) wake_ms: Option<u64>,
    /// Until when its network card is busy with what it sent.
    sending_until_us: u64,
    /// What waits until it runs again, while it stands still.
    pub(super) waiting: Option<VecDeque<Input>>,
}

/// Something that happens at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Arrive { from: usize, to: usize, connection: u32, bytes: Bytes },
    Wake { node: usize },
    Break { a: usize, b: usize, connection: u32 },
    Connect { from: usize, to: usize },
    Dialed { node: usize, dial: DialId, to: Option<usize> },
    Stored { node: usize, image: ImageId },
    Resume { node: usize },
}

/// An entry of the queue, ordered by time and then by when it was put there.
#[derive(Debug, PartialEq, Eq)]
struct Entry(u64, u64, Happening);

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

// What can be done with it.
impl Fleet {
    /// Nodes of one ring that all know each other and have a session with each other. `loss` is in percent of packets.
    #[must_use]
    pub fn settled(nodes: usize, loss: u64, seed: u64) -> Self {
        Self::settled_under(&(Arc::new(Never) as Arc<dyn RemovalPolicy>), nodes, loss, seed)
    }

    /// The same, under this removal policy.
    #[must_use]
    pub fn settled_under(policy: &Arc<dyn RemovalPolicy>, nodes: usize, loss: u64, seed: u64) -> Self {
        let settings = |ix| Settings { removal: Arc::clone(policy), ..settings(ix) };
        let settings: Vec<_> = (0..nodes).map(settings).collect();
        let calm = Calm::new(ring(), &settings, time(0));
        let mut fleet = Self::new(Links::new(nodes, loss, DELAY_MS), seed);
        for settings in settings {
            let machine = Machine::settled(settings.clone(), &calm, fleet.random.bits(), time(0));
            fleet.add(settings, machine);
        }
        for node in 0..nodes {
            fleet.nodes[node].wished.extend((0..nodes).filter(|other| *other != node));
            fleet.carry_out(node);
        }
        fleet
    }

    /// Nodes that have just been started and know nobody: each founds the ring.
    #[must_use]
    pub fn strangers(nodes: usize, loss: u64, seed: u64) -> Self {
        let mut fleet = Self::new(Links::new(nodes, loss, DELAY_MS), seed);
        for settings in (0..nodes).map(settings) {
            let settings = Settings { ring: Some(ring()), ..settings };
            let machine = Machine::new(settings.clone(), None, fleet.random.bits(), time(0));
            fleet.add(settings, machine.expect("a node without a state starts"));
        }
        for a in 0..nodes {
            for b in a + 1..nodes {
                fleet.links.set(a, b, false);
            }
            fleet.carry_out(a);
        }
        fleet.run_for(FOUNDING_MS);
        fleet
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, ms: u64) {
        let end_us = self.now_us + ms * 1_000;
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.0 <= end_us) {
            let Some(Reverse(Entry(at_us, _, happening))) = self.queue.pop() else { break };
            self.now_us = at_us;
            self.happen(happening);
        }
        self.now_us = end_us;
    }

    /// Lets a node insert a new member, which nobody can reach, and waits until every node has it. `None` if one has
    /// not within a minute.
    pub fn insert(&mut self, by: usize) -> Option<Spread> {
        let before = self.traffic;
        let began_us = self.now_us;
        self.next += 1;
        let id = NodeId::new(format!("x{}", self.next)).expect("a short name");
        let insertion = Insertion::new(id.clone(), Address::new("10.9.9.9", 9).expect("a host and a port"));
        self.awaited = Some((id, (0..self.nodes.len()).collect()));
        self.command(by, Command::Insert { nodes: vec![insertion], force: false });
        let all_ms =
            self.wait(began_us, |fleet| fleet.awaited.as_ref().is_some_and(|(_, left)| left.is_empty()))?;
        self.awaited = None;
        self.run_for(AFTERMATH_MS);
        Some(Spread { all_ms, traffic: self.traffic - before })
    }

    /// Lets every node meet the first at the same moment, and waits until all know all and have heard from all. `None` if
    /// they do not within a minute.
    pub fn bootstrap(&mut self) -> Option<Spread> {
        let before = self.traffic;
        let began_us = self.now_us;
        for node in 1..self.nodes.len() {
            self.command(node, Command::Meet { address: address(0), expected: None });
        }
        let all_ms = self.wait(began_us, Self::is_whole)?;
        Some(Spread { all_ms, traffic: self.traffic - before })
    }

    /// What was sent so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The members that some node saw removed.
    #[must_use]
    pub fn removed(&self) -> &BTreeSet<NodeId> {
        &self.removed
    }

    /// Whether every node that runs has heard from all such, and all have the same.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let living = || self.nodes.iter().enumerate().filter(|(ix, _)| !self.dead.contains(ix));
        let Some(first) = living().map(|(_, node)| &node.machine).next() else { return true };
        let was_heard = |member: &Member| member.status != Status::Joining;
        living().all(|(_, node)| node.machine.hashes() == first.hashes())
            && first.members().filter(was_heard).count() == living().count()
    }
}

// How its time passes.
impl Fleet {
    fn new(links: Links, seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            ports: BTreeMap::new(),
            links,
            random: Random::new(seed),
            now_us: 0,
            queue: BinaryHeap::new(),
            next: 0,
            traffic: Traffic::default(),
            awaited: None,
            apart: BTreeSet::new(),
            dead: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    fn add(&mut self, settings: Settings, machine: Machine) {
        self.ports.insert(settings.address.port(), self.nodes.len());
        let (wished, wake_ms, sending_until_us, waiting) = Default::default();
        self.nodes.push(Node { id: settings.id, machine, wished, wake_ms, sending_until_us, waiting });
    }

    fn wait(&mut self, began_us: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        while self.now_us < began_us + PATIENCE_US {
            self.run_for(LOOK_MS);
            if holds(self) {
                return Some((self.now_us - began_us) / 1_000);
            }
        }
        None
    }

    pub(super) fn at(&mut self, at_us: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse(Entry(at_us, self.next, happening)));
    }

    pub(super) fn time(&self) -> Now {
        time(self.now_us / 1_000)
    }

    fn command(&mut self, node: usize, command: Command) {
        self.next += 1;
        let token = Token(self.next);
        self.give(node, Input::Command { token, command });
    }

    pub(super) fn give(&mut self, node: usize, input: Input) {
        let now = self.time();
        if self.dead.contains(&node) {
            return;
        }
        if let Some(waiting) = &mut self.nodes[node].waiting {
            return waiting.push_back(input);
        }
        self.nodes[node].machine.handle(input, now);
        self.carry_out(node);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { from, to, connection, bytes } => {
                if self.links.connection(from, to) == Some(connection) {
                    let from = self.nodes[from].id.clone();
                    self.give(to, Input::Frame { from, bytes });
                }
            }
            Happening::Wake { node } => {
                let now = self.time();
                let runs = self.nodes[node].waiting.is_none() && !self.dead.contains(&node);
                if runs && self.nodes[node].wake_ms.take_if(|at| *at <= now.mono_ms).is_some() {
                    self.nodes[node].machine.wake(now);
                    self.carry_out(node);
                }
            }
            Happening::Break { a, b, connection } => {
                if self.links.connection(a, b) == Some(connection) && self.links.set(a, b, false) {
                    let (of_a, of_b) = (self.nodes[a].id.clone(), self.nodes[b].id.clone());
                    self.give(a, Input::Down { id: of_b });
                    self.give(b, Input::Down { id: of_a });
                    self.connect(a, b);
                }
            }
            Happening::Connect { from, to } => self.redial(from, to),
            Happening::Dialed { node, dial, to } => {
                let result = match to {
                    Some(to) if to == node => Err(DialError::Myself),
                    Some(to) => {
                        self.link(node, to);
                        Ok(self.nodes[to].id.clone())
                    }
                    None => Err(DialError::Failed { reason: "nobody answers".to_owned() }),
                };
                self.give(node, Input::Dialed { dial, result });
            }
            Happening::Stored { node, image } => self.give(node, Input::Stored { image, result: Ok(()) }),
            Happening::Resume { node } => self.resume(node),
        }
    }

    pub(super) fn connect(&mut self, from: usize, to: usize) {
        let took_us = self.links.connect_us(&mut self.random);
        self.at(self.now_us + took_us, Happening::Connect { from, to });
    }

    pub(super) fn link(&mut self, a: usize, b: usize) {
        if self.links.set(a, b, true) {
            let (of_a, of_b) = (self.nodes[a].id.clone(), self.nodes[b].id.clone());
            self.give(a, Input::Up { id: of_b });
            self.give(b, Input::Up { id: of_a });
        }
    }

    /// Sees to it that a node is woken when it wants to be.
    pub(super) fn rouse(&mut self, node: usize) {
        let Some(due_ms) = self.nodes[node].machine.deadline_ms() else { return };
        let at_ms = due_ms.max(self.now_us / 1_000 + 1);
        if self.nodes[node].wake_ms.is_none_or(|wake_ms| at_ms < wake_ms) {
            self.nodes[node].wake_ms = Some(at_ms);
            self.at(at_ms * 1_000, Happening::Wake { node });
        }
    }

    pub(super) fn carry_out(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].machine.poll_action() {
            self.act(node, action);
        }
        self.rouse(node);
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { to, bytes, .. } => {
                if let Some(to) = self.index(&to) {
                    self.send(node, to, bytes);
                }
            }
            Action::Connect { address, .. } => {
                if let Some(to) = self.ports.get(&address.port()).copied() {
                    self.nodes[node].wished.insert(to);
                    if self.links.connection(node, to).is_none() {
                        self.connect(node, to);
                    }
                }
            }
            Action::Dial { dial, address, .. } => {
                let took_us = self.links.connect_us(&mut self.random);
                let to = self.ports.get(&address.port()).copied();
                self.at(self.now_us + took_us, Happening::Dialed { node, dial, to });
            }
            Action::Store { image, .. } => {
                let took_us = 1_000 + self.random.below(STORE_SPREAD_US);
                self.at(self.now_us + took_us, Happening::Stored { node, image });
            }
            Action::Disconnect { id, .. } => {
                if let Some(to) = self.index(&id) {
                    self.nodes[node].wished.remove(&to);
                }
            }
            Action::Emit(Event::Removed { id, .. }) => drop(self.removed.insert(id)),
            Action::Publish(_) => {
                if let Some((id, left)) = &mut self.awaited
                    && self.nodes[node].machine.is_member(id)
                {
                    left.remove(&node);
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Bytes) {
        if self.links.connection(from, to).is_none() {
            return;
        }
        self.traffic.count(&bytes);
        if self.is_cut(from, to) {
            return;
        }
        let sender = &mut self.nodes[from];
        sender.sending_until_us = sender.sending_until_us.max(self.now_us) + bytes.len() as u64 / BYTES_A_US;
        match self.links.send(from, to, sender.sending_until_us, &mut self.random) {
            Fate::Arrives { at_us, connection } => {
                self.at(at_us, Happening::Arrive { from, to, connection, bytes });
            }
            Fate::Breaks { at_us } => {
                let connection = self.links.connection(from, to).unwrap_or(0);
                self.at(at_us, Happening::Break { a: from, b: to, connection });
            }
            Fate::Lost => {}
        }
    }

    fn index(&self, id: &NodeId) -> Option<usize> {
        id.as_str().strip_prefix('n')?.parse().ok()
    }
}

fn settings(ix: usize) -> Settings {
    let settings = Settings::new(NodeId::new(format!("n{ix}")).expect("a short name"), address(ix));
    // As long on the wire as a real fingerprint.
    Settings { layout: u64::MAX / 3, ..settings }
}

/// Where a node listens.
fn address(ix: usize) -> Address {
    let port = u16::try_from(1_000 + ix).expect("fewer nodes than ports");
    Address::new("10.0.0.1", port).expect("a host and a port")
}

fn ring() -> RingName {
    RingName::new("clusterluck").expect("a short name")
}

fn time(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: START_WALL_MS + mono_ms }
}

/// The simulated year is 2026.
const START_WALL_MS: u64 = 1_780_000_000_000;

/// How long nodes that were just started are left alone.
const FOUNDING_MS: u64 = 100;

/// How long a change may take to spread.
const PATIENCE_US: u64 = 60_000_000;

/// How often it is looked for.
const LOOK_MS: u64 = 1;

/// How long what is left of a change is counted: rumours die down within a second.
const AFTERMATH_MS: u64 = 1_000;

/// A write takes 1 to 10 ms.
const STORE_SPREAD_US: u64 = 9_000;

/// What a network card of 1 Gbit/s sends in a microsecond.
const BYTES_A_US: u64 = 125;

/// What a packet takes through a data centre, from and to.
const DELAY_MS: (u64, u64) = (0, 15);
