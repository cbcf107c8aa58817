//! The world as a story sees it: nodes to start, ask and hurt, and what is to be seen of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use netkernel::{Address, NodeId};

use crate::event::Event;
use crate::liveness::Detector;
use crate::proto::{
    Affiliation, Command, Image, ImageId, Input, Machine, Outcome, Random, Rule, Settings, Stats, Token,
};
use crate::ring_name::RingName;
use crate::view::Status;

use super::network::{Ix, Network};
use super::node::{Disk, Node};
use super::oracle::{Knowledge, Oracle, Violation};
use super::report::{Fault, Report};
use super::turning::Happening;

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
    /// The first node of each id.
    pub(super) positions: BTreeMap<NodeId, Ix>,
    /// Nodes that share their id with another.
    pub(super) twins: Vec<Ix>,
    /// Whether there ever were any.
    pub(super) had_twins: bool,
    pub(super) network: Network,
    pub(super) oracle: Oracle,
    pub(super) report: Report,
    /// What operations came to, in order.
    pub(super) outcomes: Vec<(Ix, Outcome)>,
    /// In percent.
    pub(super) store_failures: u64,
    pub(super) queue: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    /// Images on their way to disk.
    pub(super) writes: BTreeMap<usize, (ImageId, Image)>,
    pub(super) next: u64,
    pub(super) next_token: u64,
    /// Things that happened at the present moment.
    pub(super) happened: u32,
    /// Whether the run goes on until every tombstone is collected.
    pub(super) outlives_tombstones: bool,
    /// Whether to look into frames for rumours, which costs time.
    pub(super) counts_rumours: bool,
    /// Whether to print what happens.
    pub(super) trace: Option<Trace>,
    /// A rule that no node keeps.
    pub(super) without: Option<Rule>,
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
            positions: BTreeMap::new(),
            twins: Vec::new(),
            had_twins: false,
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
            outlives_tombstones: false,
            counts_rumours: false,
            trace: None,
            without: None,
        }
    }

    /// Tells everything that happens from now on.
    pub fn trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
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
        settings.detector = Detector::none();
        tune(&mut settings);
        if let Some(rule) = self.without {
            settings = settings.without(rule);
        }
        let skew_ms = self.random_skew_ms();
        self.positions.insert(settings.id.clone(), ix);
        self.nodes.push(Node::new(settings, skew_ms));
        self.start(ix)?;
        Ok(ix)
    }

    /// Starts a node a second time, at an address of its own, from a copy of its disk or from none.
    ///
    /// # Errors
    ///
    /// [`Violation`]
    pub fn add_twin(&mut self, of: Ix, with_disk: bool) -> Result<Ix, Violation> {
        let ix = self.nodes.len();
        let mut twin = Node::new(self.nodes[of].settings.clone(), self.random_skew_ms());
        twin.settings.address = address(ix);
        if with_disk {
            twin.disk.clone_from(&self.nodes[of].disk);
        }
        self.nodes.push(twin);
        self.twins.extend([of, ix]);
        self.had_twins = true;
        self.twins.sort_unstable();
        self.twins.dedup();
        self.start(ix)?;
        Ok(ix)
    }

    /// Up to an hour ahead or behind.
    pub(super) fn random_skew_ms(&mut self) -> i64 {
        self.random.below(2 * HOUR_MS as u64) as i64 - HOUR_MS
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
        let stored = node.disk.as_ref().and_then(|disk| disk.affiliation().last_ring());
        // An operator who let it join another ring configures it so.
        if let (Some(stored), Some(configured)) = (stored, &mut node.settings.ring) {
            configured.clone_from(stored);
        }
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
        for other in self.network.linked(ix).collect::<Vec<_>>() {
            self.reset(ix, other);
        }
        self.nodes[ix].crash(disk);
        self.count_losses();
    }

    /// What no node in the ring knows any more, and no disk of one that will be again, may be gone.
    pub(super) fn count_losses(&mut self) {
        let is_in = |affiliation: &Affiliation| affiliation.ring().is_some();
        let known = self.nodes.iter().filter_map(|node| match &node.machine {
            Some(machine) => Some(Knowledge::of(machine.context(), machine.retired()))
                .filter(|_| is_in(machine.affiliation())),
            None => {
                let image = node.disk.as_ref().filter(|image| is_in(image.affiliation()))?;
                Some(Knowledge::of(image.context(), image.retired()))
            }
        });
        let known: Vec<_> = known.collect();
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

    pub(super) fn down(&mut self, ix: Ix, other: Ix) {
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
        self.report.faults.count(if one_way { Fault::OneWay } else { Fault::Partition });
        self.cut(&directions);
    }

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

    /// Whether all nodes of each ring have the same, and its members are exactly these nodes, all heard from.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        let rings: BTreeSet<_> =
            self.running().filter_map(|(_, machine)| machine.affiliation().ring()).collect();
        rings.into_iter().all(|ring| self.is_agreed_in(ring))
    }

    fn is_agreed_in(&self, ring: &RingName) -> bool {
        let in_ring: Vec<_> =
            self.running().filter(|(_, machine)| machine.affiliation().ring() == Some(ring)).collect();
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
        self.oracle.check_end(&self.running()).map_err(|what| self.violation(what))
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
        let sum = |of: fn(&Stats) -> u64| self.running().map(|(_, machine)| of(&machine.stats())).sum();
        report.divergences = sum(|stats| stats.divergences);
        report.collected = sum(|stats| stats.collected);
        report.retired = sum(|stats| stats.retired);
        report.below_floor = sum(|stats| stats.below_floor);
        let actors = self.running().map(|(_, machine)| machine.context().clock().len() as u64);
        report.actors = actors.max().unwrap_or(0);
        report
    }

    pub(super) fn violation(&self, what: String) -> Violation {
        Violation { seed: self.seed, what }
    }
}

/// Where node `ix` listens, unless told otherwise.
#[must_use]
pub fn address(ix: Ix) -> Address {
    Address::new("10.0.0.1", 1_000 + ix as u16).expect("a well-formed address")
}

pub(super) const HOUR_MS: i64 = 3_600_000;
