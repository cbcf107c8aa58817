//! Stories to simulate, each from one seed.

use std::collections::BTreeSet;

use crate::proto::{Affiliation, Command, Insertion, Machine, Outcome};
use crate::ring_name::RingName;

use super::network::Ix;
use super::node::Disk;
use super::oracle::Violation;
use super::report::Report;
use super::world::{Trace, World, address};

/// What happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Story {
    /// Two members insert two different nodes at the same moment.
    ConcurrentInserts,
    /// Each node meets the one before it.
    ChainedMeets,
    /// Every node meets a random other at the same moment, so that all are connected.
    SimultaneousMeets,
    /// Inserts on both sides of a partition that heals.
    Partition,
    /// Every operation and every fault, at random.
    Storm,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ConcurrentInserts, Self::ChainedMeets, Self::SimultaneousMeets, Self::Partition, Self::Storm];
}

/// A story, so many nodes, a seed.
#[derive(Debug, Clone, Copy)]
#[must_use = "a scenario does nothing until it runs"]
pub struct Scenario {
    story: Story,
    nodes: usize,
    seed: u64,
    trace: Option<Trace>,
}

impl Scenario {
    /// A run of at least four nodes.
    pub fn new(story: Story, nodes: usize, seed: u64) -> Self {
        Self { story, nodes: nodes.max(4), seed, trace: None }
    }

    /// Tells everything that happens.
    pub fn traced(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// [`Violation`]: the first thing that no run may show, with the seed that shows it again.
    pub fn run(self) -> Result<Report, Violation> {
        let mut world = World::new(self.seed);
        if let Some(trace) = self.trace {
            world.trace(trace);
        }
        world.network.loss = world.random.below(4);
        match self.story {
            Story::ConcurrentInserts => self.concurrent_inserts(&mut world)?,
            Story::ChainedMeets => self.meets(&mut world, false)?,
            Story::SimultaneousMeets => self.meets(&mut world, true)?,
            Story::Partition => self.partition(&mut world)?,
            Story::Storm => self.storm(&mut world)?,
        }
        let settled_ms = world.settle(LIVENESS_MS)?;
        world.check()?;
        if world.running().any(|(_, machine)| machine.stats().reused_dots > 0) {
            return Err(world.violation("an event was used twice".to_owned()));
        }
        let refused = world.outcomes().iter().filter(|(_, outcome)| is_refusal(outcome)).count() as u64;
        Ok(Report { settled_ms, refused, ..world.report() })
    }

    /// Starts `count` nodes in the ring that meet in a chain, and lets them agree.
    fn form(self, world: &mut World, count: usize) -> Result<(), Violation> {
        for ix in 0..count {
            world.add(|settings| settings.ring = Some(ring()))?;
            if ix > 0 {
                world.run_for(50)?;
                meet(world, ix, ix - 1)?;
            }
        }
        world.settle(LIVENESS_MS)?;
        Ok(())
    }

    fn concurrent_inserts(self, world: &mut World) -> Result<(), Violation> {
        let old = self.nodes - 2;
        self.form(world, old)?;
        for _ in old..self.nodes {
            world.add(|settings| settings.ring = Some(ring()))?;
        }
        world.run_for(100)?;
        for (by, newcomer) in [(0, old), (1, old + 1)] {
            insert(world, by, newcomer)?;
        }
        Ok(())
    }

    fn meets(self, world: &mut World, at_once: bool) -> Result<(), Violation> {
        for _ in 0..self.nodes {
            world.add(|settings| settings.ring = Some(ring()))?;
        }
        world.run_for(100)?;
        let order = world.random.sample((0..self.nodes).collect(), self.nodes);
        for at in 1..order.len() {
            let before = if at_once { world.random.below(at as u64) as usize } else { at - 1 };
            meet(world, order[at], order[before])?;
            if !at_once {
                let pause = world.random.below(40);
                world.run_for(pause)?;
            }
        }
        Ok(())
    }

    /// Fault 4 of the original: a partition with inserts on each side.
    fn partition(self, world: &mut World) -> Result<(), Violation> {
        let old = self.nodes.div_ceil(2).max(4);
        self.form(world, old)?;
        let spares = old..old + 4;
        for _ in spares.clone() {
            world.add(|settings| settings.ring = Some(ring()))?;
        }
        // Every other newcomer can be reached from the first side only.
        let of_first = |ix: &Ix| if *ix < old { *ix < old / 2 } else { ix.is_multiple_of(2) };
        let side = (0..spares.end).filter(of_first).collect();
        world.partition(&side, false);
        world.run_for(6_000)?;
        for spare in spares {
            let pause = world.random.below(400);
            world.run_for(pause)?;
            insert(world, if spare % 2 == 0 { 0 } else { old - 1 }, spare)?;
        }
        let lasts = 500 + world.random.below(6_000);
        world.run_for(lasts)?;
        world.heal();
        Ok(())
    }

    fn storm(self, world: &mut World) -> Result<(), Violation> {
        let old = (self.nodes * 2 / 3).max(3);
        self.form(world, old)?;
        for _ in old..self.nodes {
            let inside = world.random.percent(60);
            world.add(|settings| settings.ring = inside.then(ring))?;
        }
        world.store_failures = [0, 0, 0, 10][world.random.below(4) as usize];
        let end = world.now + STORM_MS;
        while world.now < end {
            let pause = world.random.below(600);
            world.run_for(pause)?;
            if world.random.percent(60) { operate(world)? } else { hurt(world)? }
        }
        world.heal();
        world.network.loss = 0;
        world.store_failures = 0;
        for ix in 0..world.nodes.len() {
            if world.nodes[ix].machine.is_none() {
                world.start(ix)?;
            }
        }
        // Operations that are under way have their deadlines. Then an operator sees to nodes that lost their disk
        // and do not know that they are members, and to those that do not know each other.
        world.run_for(8_000)?;
        let members: BTreeSet<_> =
            world.running().flat_map(|(_, machine)| machine.members()).map(|member| member.id).collect();
        let strays = world.running().filter(|(_, machine)| *machine.affiliation() == Affiliation::Outside);
        let strays: Vec<_> =
            strays.map(|(ix, _)| ix).filter(|ix| members.contains(&world.nodes[*ix].id)).collect();
        for ix in strays {
            world.command(ix, Command::Join { ring: ring() })?;
        }
        world.run_for(1_000)?;
        introduce(world)?;
        Ok(())
    }
}

/// Lets every node in the ring meet the first, unless they know each other.
fn introduce(world: &mut World) -> Result<(), Violation> {
    let in_ring: Vec<Ix> =
        world.running().filter(|(_, machine)| is_in_ring(machine)).map(|(ix, _)| ix).collect();
    let knows = |by: Ix, other: Ix| {
        let id = &world.nodes[other].id;
        world.nodes[by]
            .machine
            .as_ref()
            .is_some_and(|machine| machine.members().any(|member| member.id == *id))
    };
    let Some(first) = in_ring.first().copied() else { return Ok(()) };
    let strangers: Vec<_> =
        in_ring.into_iter().filter(|ix| !(knows(*ix, first) && knows(first, *ix))).collect();
    strangers.into_iter().try_for_each(|ix| meet(world, ix, first))
}

/// One random operation by one random node.
fn operate(world: &mut World) -> Result<(), Violation> {
    let up: Vec<_> = world.running().map(|(ix, _)| ix).collect();
    let Some(by) = world.random.pick(&up).copied() else { return Ok(()) };
    let any = world.random.below(world.nodes.len() as u64) as usize;
    let id = world.nodes[any].id.clone();
    match world.random.below(100) {
        0..25 => insert(world, by, any),
        25..50 => {
            let weight = world.random.below(300) as u32;
            world.command(by, Command::Update { id, weight })
        }
        50..62 => {
            let force = world.random.percent(30);
            world.command(by, Command::Remove { ids: vec![id], force })
        }
        62..70 => {
            let force = world.random.percent(30);
            world.command(by, Command::Leave { force })
        }
        70..85 => {
            world.command(by, Command::Join { ring: ring() })?;
            world.run_for(60)?;
            meet(world, by, any)
        }
        85..92 => {
            let draining = Some(world.random.percent(50));
            world.command(by, Command::Announce { draining, tags: None })
        }
        _ => meet(world, by, any),
    }
}

/// One random fault, or the end of one.
fn hurt(world: &mut World) -> Result<(), Violation> {
    let ix = world.random.below(world.nodes.len() as u64) as usize;
    match world.random.below(100) {
        0..20 => {
            let all: Vec<Ix> = (0..world.nodes.len()).collect();
            let count = 1 + world.random.below(all.len() as u64 - 1) as usize;
            let side = world.random.sample(all, count).into_iter().collect();
            let one_way = world.random.percent(30);
            world.partition(&side, one_way);
        }
        20..45 => world.heal(),
        45..65 => {
            let sessions = world.network.sessions();
            if let Some((a, b)) = world.random.pick(&sessions).copied() {
                world.report.faults.resets += 1;
                world.reset(a, b);
            }
        }
        65..75 => {
            let ms = 500 + world.random.below(5_000);
            world.report.faults.pauses += 1;
            world.pause(ix, ms);
        }
        75..90 if world.nodes[ix].machine.is_some() => {
            let disk = match world.random.below(10) {
                0 => Disk::RolledBack,
                1 => Disk::Lost,
                _ => Disk::Kept,
            };
            match disk {
                Disk::Kept => world.report.faults.crashes += 1,
                Disk::RolledBack => world.report.faults.rollbacks += 1,
                Disk::Lost => world.report.faults.disk_losses += 1,
            }
            world.crash(ix, disk);
        }
        _ => {
            if world.nodes[ix].machine.is_none() {
                world.start(ix)?;
            }
        }
    }
    Ok(())
}

fn meet(world: &mut World, by: Ix, other: Ix) -> Result<(), Violation> {
    world.command(by, Command::Meet { address: address(other), expected: None })
}

fn insert(world: &mut World, by: Ix, newcomer: Ix) -> Result<(), Violation> {
    let insertion = Insertion::new(world.nodes[newcomer].id.clone(), address(newcomer));
    world.command(by, Command::Insert { nodes: vec![insertion], force: false })
}

fn is_in_ring(machine: &Machine) -> bool {
    machine.affiliation().ring().is_some()
}

fn is_refusal(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Meet(result) => result.is_err(),
        Outcome::Insert(result) => result.is_err(),
        Outcome::Update(result) => result.is_err(),
        Outcome::Remove(result) => result.is_err(),
        Outcome::Leave(result) => result.is_err(),
        Outcome::Join(result) => result.is_err(),
        Outcome::Announce(result) => result.is_err(),
        Outcome::Propagated(result) => result.is_err(),
        Outcome::Stop => false,
    }
}

fn ring() -> RingName {
    RingName::new("ring").expect("a short name")
}

/// How long nodes may take to agree once the faults have ended.
const LIVENESS_MS: u64 = 60_000;

/// How long a storm lasts.
const STORM_MS: u64 = 12_000;
