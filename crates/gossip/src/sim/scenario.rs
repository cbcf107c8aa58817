//! Stories to simulate, each from one seed.

use std::collections::BTreeSet;

use crate::proto::{Command, Insertion, Machine, Outcome, Rule, Settings};
use crate::ring_name::RingName;

use super::network::Ix;
use super::operator;
use super::oracle::Violation;
use super::report::Report;
use super::storm;
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
    /// The same for longer than tombstones are kept.
    LongStorm,
    /// Two rings of one name, each with a history of its own, that meet.
    TwoRings,
}

impl Story {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ConcurrentInserts,
        Self::ChainedMeets,
        Self::SimultaneousMeets,
        Self::Partition,
        Self::Storm,
        Self::LongStorm,
        Self::TwoRings,
    ];
}

/// A story, so many nodes, a seed.
#[derive(Debug, Clone, Copy)]
#[must_use = "a scenario does nothing until it runs"]
pub struct Scenario {
    story: Story,
    nodes: usize,
    seed: u64,
    trace: Option<Trace>,
    without: Option<Rule>,
}

impl Scenario {
    /// A run of at least four nodes.
    pub fn new(story: Story, nodes: usize, seed: u64) -> Self {
        Self { story, nodes: nodes.max(4), seed, trace: None, without: None }
    }

    /// Tells everything that happens.
    pub fn traced(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Lets no node keep the rule, to see what comes of that.
    pub fn without(mut self, rule: Rule) -> Self {
        self.without = Some(rule);
        self
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// [`Violation`]: the first thing that no run may show, with the seed that shows it again.
    pub fn run(self) -> Result<Report, Violation> {
        let mut world = World::new(self.seed);
        world.without = self.without;
        if let Some(trace) = self.trace {
            world.trace(trace);
        }
        world.network.loss = world.random.below(4);
        match self.story {
            Story::ConcurrentInserts => self.concurrent_inserts(&mut world)?,
            Story::ChainedMeets => self.meets(&mut world, false)?,
            Story::SimultaneousMeets => self.meets(&mut world, true)?,
            Story::Partition => self.partition(&mut world)?,
            Story::Storm => storm::rage(&mut world, self.nodes, SHORT_MS)?,
            Story::LongStorm => storm::rage(&mut world, self.nodes, LONG_MS)?,
            Story::TwoRings => self.two_rings(&mut world)?,
        }
        let settled_ms = world.settle(LIVENESS_MS)?;
        world.check()?;
        if world.running().any(|(_, machine)| machine.stats().reused_dots > 0) {
            return Err(world.violation("an event was used twice".to_owned()));
        }
        if world.outlives_tombstones {
            settle_for_good(&mut world)?;
        }
        let refused = world.outcomes().iter().filter(|(_, outcome)| is_refusal(outcome)).count() as u64;
        Ok(Report { settled_ms, refused, ..world.report() })
    }

    /// Starts `count` nodes in the ring that meet in a chain, and lets them agree.
    fn form(self, world: &mut World, count: usize) -> Result<(), Violation> {
        form(world, count, |_, settings| settings.ring = Some(ring()))
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

    /// Nodes of the first half know each other and nobody else, and so do those of the second. Either half writes of
    /// its own members and of those of the other, as long as it knows nothing of them.
    fn two_rings(self, world: &mut World) -> Result<(), Violation> {
        let count = self.nodes.max(4);
        for ix in 0..count {
            world.add(|settings| settings.ring = Some(ring()))?;
            world.run_for(50)?;
            if ix != 0 && ix != count / 2 {
                meet(world, ix, ix - 1)?;
            }
        }
        world.run_for(3_000)?;
        for _ in 0..6 {
            let by = world.random.below(count as u64) as usize;
            let any = world.random.below(count as u64) as usize;
            let id = world.nodes[any].id.clone();
            let weight = world.random.below(300) as u32;
            match world.random.below(3) {
                0 => world.command(by, Command::Update { id, weight })?,
                1 => world.command(by, Command::Remove { ids: vec![id], force: false })?,
                _ => {
                    world.command(any, Command::Leave { force: true })?;
                    world.run_for(50)?;
                    world.command(any, Command::Join { ring: ring() })?;
                }
            }
            let pause = world.random.below(300);
            world.run_for(pause)?;
        }
        let (of_first, of_second) = (
            world.random.below(count as u64 / 2) as usize,
            count / 2 + world.random.below((count - count / 2) as u64) as usize,
        );
        meet(world, of_first, of_second)?;
        operator::tidy(world)
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
}

/// Starts `count` nodes that meet in a chain, and lets them agree.
pub(super) fn form(
    world: &mut World,
    count: usize,
    tune: impl Fn(usize, &mut Settings),
) -> Result<(), Violation> {
    for ix in 0..count {
        world.add(|settings| tune(ix, settings))?;
        if ix > 0 {
            world.run_for(50)?;
            meet(world, ix, ix - 1)?;
        }
    }
    world.settle(LIVENESS_MS)?;
    Ok(())
}

/// Waits until every tombstone is collected, which must change nothing.
fn settle_for_good(world: &mut World) -> Result<(), Violation> {
    let start = world.now;
    let is_done = |world: &World| {
        let in_ring = world.running().filter(|(_, machine)| machine.affiliation().ring().is_some());
        in_ring.clone().all(|(ix, machine)| {
            let overdue = machine.overdue(world.time(ix));
            let removed = machine.records().count() - machine.members().count();
            overdue.tombstones == 0 && removed == 0
        })
    };
    while !is_done(world) {
        if world.now > start + 4 * LIVENESS_MS {
            let in_ring = world.running().filter(|(_, machine)| is_in_ring(machine));
            let left = in_ring.map(|(ix, machine)| {
                let members: BTreeSet<_> = machine.members().map(|member| member.id).collect();
                let removed = machine.records().filter(|record| !members.contains(&record.id)).cloned();
                (ix, machine.overdue(world.time(ix)), removed.collect::<Vec<_>>())
            });
            let left = left.filter(|(_, overdue, removed)| overdue.tombstones + removed.len() > 0);
            let left = left.collect::<Vec<_>>();
            return Err(world.violation(format!("tombstones are not collected: {left:?}")));
        }
        world.run_for(1_000)?;
    }
    // Actors may be retired at this very moment.
    world.settle(LIVENESS_MS)?;
    world.check()
}

pub(super) fn meet(world: &mut World, by: Ix, other: Ix) -> Result<(), Violation> {
    world.command(by, Command::Meet { address: address(other), expected: None })
}

pub(super) fn insert(world: &mut World, by: Ix, newcomer: Ix) -> Result<(), Violation> {
    let insertion = Insertion::new(world.nodes[newcomer].id.clone(), address(newcomer));
    world.command(by, Command::Insert { nodes: vec![insertion], force: false })
}

pub(super) fn is_in_ring(machine: &Machine) -> bool {
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

/// A ring that must have nothing to do with [`ring`].
pub(super) fn other_ring() -> RingName {
    RingName::new("other").expect("a short name")
}

pub(super) fn ring() -> RingName {
    RingName::new("ring").expect("a short name")
}

/// How long nodes may take to agree once the faults have ended.
const LIVENESS_MS: u64 = 60_000;

/// How long a storm lasts.
const SHORT_MS: u64 = 12_000;

/// How long one lasts in which tombstones are collected.
const LONG_MS: u64 = 60_000;
