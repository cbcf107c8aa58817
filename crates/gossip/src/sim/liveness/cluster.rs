//! The nodes, and how their time passes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use netkernel::{Incarnation, NodeId};

use super::links::{Fate, Links};
use super::{Measured, Trial};
use crate::liveness::{FailureDetector, Input, Liveness, Output, Signal, Swim};
use crate::message::{Frame, Header, Message};
use crate::proto::liveness::Outages;
use crate::proto::{Actor, Dot, Random};
use crate::ring_name::RingName;

/// A simulated node.
#[derive(Debug)]
struct Node {
    detector: Swim,
    outages: Outages,
    inbox: VecDeque<Input>,
    /// What one message costs it.
    service_us: u64,
    is_slow: bool,
    busy_until_us: u64,
    /// Until when it stands still; `u64::MAX` when it is frozen.
    still_until_us: u64,
    turn_us: Option<u64>,
    /// How many suspect it, and how many hold it for down.
    suspected_by: usize,
    down_by: usize,
}

/// Something that happens at a time.
#[derive(Debug, PartialEq, Eq)]
enum Happening {
    Arrive { from: usize, to: usize, connection: u32, signal: Signal },
    Turn { node: usize },
    Break { a: usize, b: usize, connection: u32 },
    Connect { a: usize, b: usize },
    Pause,
    Consider,
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

/// All of it.
#[derive(Debug)]
pub(super) struct Cluster {
    trial: Trial,
    ids: Vec<NodeId>,
    nodes: Vec<Node>,
    links: Links,
    random: Random,
    now_us: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    next: u64,
    is_calm: bool,
    header_bytes: u64,
    pub(super) measured: Measured,
}

impl Cluster {
    /// Nodes that all know each other and are connected.
    pub(super) fn new(trial: Trial, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let ids: Vec<_> =
            (0..trial.nodes).map(|ix| NodeId::new(format!("n{ix}")).expect("a short name")).collect();
        let slow_nodes = trial.nodes * trial.slow as usize / 100;
        let mut nodes: Vec<_> =
            (0..trial.nodes).map(|ix| Node::new(&ids, ix, &trial, ix < slow_nodes, random.bits())).collect();
        nodes.iter_mut().for_each(|node| while node.detector.poll().is_some() {});
        let mut cluster = Self {
            links: Links::new(trial.nodes, trial.loss, trial.delay_ms),
            ids,
            nodes,
            random,
            now_us: 0,
            queue: BinaryHeap::new(),
            next: 0,
            is_calm: false,
            header_bytes: header_bytes(),
            measured: Measured::default(),
            trial,
        };
        (0..cluster.nodes.len()).for_each(|ix| cluster.rouse(ix));
        if cluster.trial.pause_every_ms > 0 {
            cluster.at(0, Happening::Pause);
        }
        if cluster.trial.policy.is_some() {
            cluster.at(0, Happening::Consider);
        }
        cluster
    }

    /// Lets time pass in which nobody is frozen.
    pub(super) fn calm(&mut self, ms: u64) {
        self.is_calm = true;
        self.run_until(self.now_us + ms * 1_000);
        self.measured.calm_ms += ms;
        self.is_calm = false;
    }

    /// Freezes a node until all know, thaws it and waits until all know that.
    pub(super) fn freeze_one(&mut self) {
        let victim = self.random.below(self.nodes.len() as u64) as usize;
        let others = self.nodes.len() - 1;
        self.nodes[victim].still_until_us = u64::MAX;
        match self.wait(|cluster| cluster.nodes[victim].down_by == others) {
            Some(ms) => self.measured.known_ms.push(ms),
            None => self.measured.missed += 1,
        }
        self.run_until(self.now_us + 5_000_000);
        self.nodes[victim].still_until_us = 0;
        self.rouse(victim);
        let is_back = |cluster: &Self| {
            let node = &cluster.nodes[victim];
            node.down_by == 0 && node.suspected_by == 0
        };
        match self.wait(is_back) {
            Some(ms) => self.measured.back_ms.push(ms),
            None => self.measured.missed += 1,
        }
        // What is still told of it dies down.
        self.run_until(self.now_us + 10_000_000);
    }

    fn wait(&mut self, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let start_us = self.now_us;
        while self.now_us < start_us + PATIENCE_US {
            if holds(self) {
                return Some((self.now_us - start_us) / 1_000);
            }
            self.run_until(self.now_us + LOOK_US);
        }
        None
    }

    fn run_until(&mut self, end_us: u64) {
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.0 <= end_us) {
            let Some(Reverse(Entry(at_us, _, happening))) = self.queue.pop() else { break };
            self.now_us = at_us;
            self.happen(happening);
        }
        self.now_us = end_us;
    }

    fn at(&mut self, at_us: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse(Entry(at_us, self.next, happening)));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { from, to, connection, signal } => {
                if self.links.connection(from, to) == Some(connection) {
                    let from = self.ids[from].clone();
                    self.put(to, Input::Signal { from, signal });
                }
            }
            Happening::Turn { node } => self.turn(node),
            Happening::Break { a, b, connection } => {
                if self.links.connection(a, b) == Some(connection) && self.links.set(a, b, false) {
                    self.measured.resets += 1;
                    self.tell_both(a, b, |id| Input::Down { id });
                    let took_us = self.links.connect_us(&mut self.random);
                    self.at(self.now_us + took_us, Happening::Connect { a, b });
                }
            }
            Happening::Connect { a, b } => {
                if self.links.set(a, b, true) {
                    self.tell_both(a, b, |id| Input::Up { id });
                }
            }
            Happening::Pause => self.pause_one(),
            Happening::Consider => self.consider(),
        }
    }

    fn tell_both(&mut self, a: usize, b: usize, input: fn(NodeId) -> Input) {
        let (of_a, of_b) = (self.ids[a].clone(), self.ids[b].clone());
        self.put(a, input(of_b));
        self.put(b, input(of_a));
    }

    /// Puts something into a node's inbox. Sessions that come or go always fit.
    fn put(&mut self, ix: usize, input: Input) {
        let node = &mut self.nodes[ix];
        if node.inbox.len() >= INBOX_MAX && matches!(input, Input::Signal { .. }) {
            self.measured.overflows += 1;
            return;
        }
        node.inbox.push_back(input);
        self.rouse(ix);
    }

    /// Sees to it that a node gets its turn.
    fn rouse(&mut self, ix: usize) {
        let node = &self.nodes[ix];
        if node.still_until_us == u64::MAX {
            return;
        }
        let timer_us = node.detector.deadline_ms().map(|ms| ms * 1_000);
        let wanted_us = if node.inbox.is_empty() { timer_us } else { Some(self.now_us) };
        let Some(wanted_us) = wanted_us else { return };
        let at_us = wanted_us.max(node.busy_until_us).max(node.still_until_us).max(self.now_us);
        if node.turn_us.is_none_or(|turn_us| at_us < turn_us) {
            self.nodes[ix].turn_us = Some(at_us);
            self.at(at_us, Happening::Turn { node: ix });
        }
    }

    /// A node does one thing: what is due, or else what waits.
    fn turn(&mut self, ix: usize) {
        let (now_us, now_ms) = (self.now_us, self.now_us / 1_000);
        let node = &mut self.nodes[ix];
        if node.turn_us != Some(now_us) {
            return;
        }
        node.turn_us = None;
        if node.still_until_us <= now_us && node.busy_until_us <= now_us {
            node.busy_until_us = now_us + node.service_us;
            if node.detector.deadline_ms().is_some_and(|due| due <= now_ms) {
                node.detector.wake(now_ms);
            } else if let Some(input) = node.inbox.pop_front() {
                node.detector.handle(input, now_ms);
            }
            self.carry_out(ix);
        }
        self.rouse(ix);
    }

    fn carry_out(&mut self, ix: usize) {
        while let Some(output) = self.nodes[ix].detector.poll() {
            match output {
                Output::Send { to, signal } => self.send(ix, index(&to), signal),
                Output::Changed { id, was, now } => self.changed(ix, index(&id), was, now),
                // Sessions here are dead or alive at both ends at once.
                Output::Unheard { .. } => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, signal: Signal) {
        if self.is_calm {
            self.measured.messages += 1;
            let size = postcard::experimental::serialized_size(&signal).unwrap_or(0) as u64;
            self.measured.bytes += self.header_bytes + size;
        }
        match self.links.send(from, to, self.now_us, &mut self.random) {
            Fate::Arrives { at_us, connection } => {
                self.at(at_us, Happening::Arrive { from, to, connection, signal });
            }
            Fate::Breaks { at_us } => {
                let connection = self.links.connection(from, to).unwrap_or(0);
                self.at(at_us, Happening::Break { a: from, b: to, connection });
            }
            Fate::Lost => {}
        }
    }

    fn changed(&mut self, by: usize, of: usize, was: Liveness, now: Liveness) {
        let is_running = self.nodes[of].still_until_us <= self.now_us;
        let subject = &mut self.nodes[of];
        match was {
            Liveness::Suspect => subject.suspected_by -= 1,
            Liveness::Down => subject.down_by -= 1,
            Liveness::Alive => {}
        }
        let is_first = subject.suspected_by + subject.down_by == 0;
        let is_first_down = subject.down_by == 0;
        match now {
            Liveness::Suspect => subject.suspected_by += 1,
            Liveness::Down => subject.down_by += 1,
            Liveness::Alive => {}
        }
        let is_slow = u64::from(subject.is_slow);
        if self.is_calm && now == Liveness::Suspect && is_first && is_running {
            self.measured.false_suspicions += 1;
        }
        if self.is_calm && now == Liveness::Down && is_first_down {
            self.measured.false_downs += u64::from(is_running);
            self.measured.false_downs_of_slow += u64::from(is_running) * is_slow;
            self.measured.downs_in_pauses += u64::from(!is_running);
        }
        let id = self.ids[of].clone();
        match now {
            Liveness::Down => self.nodes[by].outages.went_down(&id, self.ids.iter().cloned()),
            _ if was == Liveness::Down => self.nodes[by].outages.came_back(&id),
            _ => {}
        }
    }

    fn pause_one(&mut self) {
        let ix = self.random.below(self.nodes.len() as u64) as usize;
        let pause_us = 1_000_000 + self.random.below(9_000_000);
        if self.is_calm && self.now_us > 0 && self.nodes[ix].still_until_us <= self.now_us {
            self.nodes[ix].still_until_us = self.now_us + pause_us;
            // Its turn is looked for anew when it runs again.
            self.nodes[ix].turn_us = None;
            self.measured.pauses += 1;
            self.rouse(ix);
        }
        let every_us = self.trial.pause_every_ms * 1_000;
        let wait_us = every_us / 2 + self.random.below(every_us + 1);
        self.at(self.now_us + wait_us, Happening::Pause);
    }

    /// Once a second every node asks its policy, while it holds anyone for down.
    fn consider(&mut self) {
        let now_ms = self.now_us / 1_000;
        let Some(policy) = self.trial.policy.clone() else { return };
        for ix in 0..self.nodes.len() {
            let node = &mut self.nodes[ix];
            if node.still_until_us > self.now_us {
                continue;
            }
            node.outages.count(now_ms, GAP_MS, 0);
            if !node.outages.is_over() {
                let outage = node.outages.outage(0, |_| false, Duration::ZERO);
                self.measured.removals += policy.remove(&outage).len() as u64;
            }
        }
        self.at(self.now_us + 1_000_000, Happening::Consider);
    }
}

impl Node {
    fn new(ids: &[NodeId], ix: usize, trial: &Trial, is_slow: bool, seed: u64) -> Self {
        let mut detector = Swim::new(ids[ix].clone(), trial.pace.clone(), seed);
        detector.handle(Input::Local { incarnation: Incarnation(1) }, 0);
        for id in ids.iter().filter(|id| **id != ids[ix]) {
            detector.handle(Input::Member { id: id.clone(), incarnation: Incarnation(1) }, 0);
            detector.handle(Input::Up { id: id.clone() }, 0);
        }
        Self {
            detector,
            outages: Outages::default(),
            inbox: VecDeque::new(),
            service_us: if is_slow { SLOW_US } else { SERVICE_US },
            is_slow,
            busy_until_us: 0,
            still_until_us: 0,
            turn_us: None,
            suspected_by: 0,
            down_by: 0,
        }
    }
}

fn index(id: &NodeId) -> usize {
    id.as_str()[1..].parse().expect("nodes are named by their numbers")
}

/// What a frame says beside the signal: some forty bytes.
fn header_bytes() -> u64 {
    let own = Dot::new(Actor(u64::MAX / 3), 3).into_iter().collect();
    let incarnation = Incarnation(1_780_000_000_000);
    let header = Header { ring: RingName::new("clusterluck").ok(), layout: u64::MAX / 3, incarnation, own };
    Frame::encode(&header, &Message::Goodbye).len() as u64
}

/// How long a freeze or a thaw is waited for.
const PATIENCE_US: u64 = 120_000_000;

/// How often that is looked for.
const LOOK_US: u64 = 10_000;

/// What waits for one node at most: ten seconds' work of a slow one.
const INBOX_MAX: usize = 256;

/// One message of a healthy node: ten thousand a second.
const SERVICE_US: u64 = 100;

/// One message of a slow node: twenty-five a second, where a quiet ring sends it three to five.
const SLOW_US: u64 = 40_000;

/// A node that was not asked for so long stood still.
const GAP_MS: u64 = 10_000;
