//! A storm: every operation and every fault, at random.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::liveness::Detector;
use crate::proto::{Command, Protocols, Settings};

use super::network::Ix;
use super::node::Disk;
use super::operator;
use super::oracle::Violation;
use super::report::Fault;
use super::scenario::{form, insert, meet, other_ring, ring};
use super::world::{HOUR_MS, World};

/// Lets a ring form, hurts it for so long, and sees to it that it can heal.
pub(super) fn rage(world: &mut World, nodes: usize, for_ms: u64) -> Result<(), Violation> {
    let cast = Cast::draw(world, nodes);
    cast.form(world)?;
    cast.add_bystanders(world)?;
    world.store_failures = [0, 0, 0, 10][world.random.below(4) as usize];
    world.outlives_tombstones = for_ms > TOMBSTONE_MS;
    let end = world.now + for_ms;
    while world.now < end {
        let pause = world.random.below(600);
        world.run_for(pause)?;
        match world.random.below(100) {
            0..55 => operate(world)?,
            55..90 => hurt(world)?,
            _ => mislead(world)?,
        }
    }
    world.heal();
    world.network.loss = 0;
    world.store_failures = 0;
    operator::tidy(world)
}

/// Who takes part in a run, and how they come together.
struct Cast {
    nodes: usize,
    old: usize,
    /// Which node in eight speaks a later protocol version.
    later: usize,
    frame_bytes_max: Option<usize>,
    has_foreign: bool,
    /// Whether they find out who is alive.
    detects: bool,
    start: Start,
}

/// How a ring begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Each node meets the one before it.
    Chain,
    /// All meet some other at the same moment.
    AtOnce,
    /// Two rings of one name that know nothing of each other, until some node of either happens to meet one.
    Apart,
}

impl Cast {
    fn draw(world: &mut World, nodes: usize) -> Self {
        let later = world.random.below(8) as usize;
        let frame_bytes_max = world.random.percent(30).then(|| 1_500 + world.random.below(3_000) as usize);
        let has_foreign = world.random.percent(40);
        let detects = world.random.percent(30);
        let start = match world.random.below(100) {
            0..50 => Start::Chain,
            50..75 => Start::AtOnce,
            _ => Start::Apart,
        };
        let faults = &mut world.report.faults;
        let counted = [
            (Fault::LaterVersion, later < nodes),
            (Fault::SmallFrames, frame_bytes_max.is_some()),
            (Fault::ForeignRing, has_foreign),
            (Fault::ConcurrentMeets, start == Start::AtOnce),
            (Fault::TwoRings, start == Start::Apart),
        ];
        counted.iter().filter(|(_, is_there)| *is_there).for_each(|(fault, _)| faults.count(*fault));
        Self { nodes, old: (nodes * 2 / 3).max(4), later, frame_bytes_max, has_foreign, detects, start }
    }

    fn tune(&self, ix: usize, settings: &mut Settings) {
        settings.tombstone_ms = TOMBSTONE_MS;
        settings.floor_ms = FLOOR_MS;
        if let Some(most) = self.frame_bytes_max {
            settings.frame_bytes_max = most;
        }
        if self.detects {
            settings.detector = Detector::default();
        }
        if ix % 8 == self.later {
            settings.protocols = Protocols { oldest: 1, newest: 2 };
            settings.extension = Bytes::from_static(b"of version 2");
        }
    }

    fn form(&self, world: &mut World) -> Result<(), Violation> {
        let tune = |ix: usize, settings: &mut Settings| {
            settings.ring = Some(ring());
            self.tune(ix, settings);
        };
        match self.start {
            Start::Chain => form(world, self.old, tune),
            Start::AtOnce => {
                for ix in 0..self.old {
                    world.add(|settings| tune(ix, settings))?;
                }
                world.run_for(100)?;
                for ix in 1..self.old {
                    let before = world.random.below(ix as u64) as usize;
                    meet(world, ix, before)?;
                }
                world.settle(FORM_MS).map(drop)
            }
            Start::Apart => {
                for ix in 0..self.old {
                    world.add(|settings| tune(ix, settings))?;
                    world.run_for(50)?;
                    if ix != 0 && ix != self.old / 2 {
                        meet(world, ix, ix - 1)?;
                    }
                }
                world.run_for(2_000)
            }
        }
    }

    /// Founders and loners of the same ring's name, and perhaps a ring of another name.
    fn add_bystanders(&self, world: &mut World) -> Result<(), Violation> {
        for ix in self.old..self.nodes {
            let inside = world.random.percent(60);
            world.add(|settings| {
                settings.ring = inside.then(ring);
                self.tune(ix, settings);
            })?;
        }
        if self.has_foreign {
            let tune = |ix: usize, settings: &mut Settings| {
                settings.ring = Some(other_ring());
                self.tune(ix, settings);
            };
            let (first, second) = (
                world.add(|settings| tune(self.nodes, settings))?,
                world.add(|settings| tune(self.nodes + 1, settings))?,
            );
            world.run_for(100)?;
            meet(world, second, first)?;
        }
        Ok(())
    }
}

/// One random operation by one random node.
fn operate(world: &mut World) -> Result<(), Violation> {
    let up: Vec<_> = world.running().map(|(ix, _)| ix).collect();
    let Some(by) = world.random.pick(&up).copied() else { return Ok(()) };
    let any = any(world);
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
            let name = if world.random.percent(10) { other_ring() } else { ring() };
            world.command(by, Command::Join { ring: name })?;
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

/// One random fault of the network, a clock, a process or a disk, or the end of one.
fn hurt(world: &mut World) -> Result<(), Violation> {
    let ix = any(world);
    match world.random.below(100) {
        0..14 => {
            let (side, one_way) = (side(world), world.random.percent(40));
            world.partition(&side, one_way);
        }
        14..20 => {
            let side = side(world);
            world.report.faults.count(Fault::Flapping);
            for _ in 0..3 {
                world.partition(&side, false);
                let (down, up) = (world.random.below(700), world.random.below(400));
                world.run_for(down)?;
                world.heal();
                world.run_for(up)?;
            }
        }
        20..38 => world.heal(),
        38..50 => {
            let sessions = world.network.sessions();
            if let Some((a, b)) = world.random.pick(&sessions).copied() {
                world.report.faults.count(Fault::Reset);
                world.reset(a, b);
            }
        }
        50..58 => {
            let ms = 500 + world.random.below(5_000);
            world.report.faults.count(Fault::Pause);
            world.pause(ix, ms);
        }
        58..64 => {
            world.report.faults.count(Fault::ClockJump);
            world.nodes[ix].skew_ms = world.random_skew_ms();
        }
        64..82 if world.nodes[ix].machine.is_some() => crash(world, ix),
        _ => return revive(world, ix),
    }
    Ok(())
}

/// Kills a node and does something to its disk.
fn crash(world: &mut World, ix: Ix) {
    let (fault, disk) = match world.random.below(10) {
        0 | 1 => (Fault::Rollback, Disk::RolledBack),
        2 => (Fault::StaleDisk, Disk::Stale),
        3 => (Fault::CorruptDisk, if world.random.percent(70) { Disk::RolledBack } else { Disk::Lost }),
        4 => (Fault::LostDisk, Disk::Lost),
        _ => (Fault::Crash, Disk::Kept),
    };
    world.report.faults.count(fault);
    world.crash(ix, disk);
    if fault == Fault::LostDisk {
        world.nodes[ix].skew_ms = -HOUR_MS;
    }
}

fn revive(world: &mut World, ix: Ix) -> Result<(), Violation> {
    if world.nodes[ix].machine.is_none() { world.start(ix) } else { Ok(()) }
}

/// One of the situations in which a first model of such a protocol breaks.
fn mislead(world: &mut World) -> Result<(), Violation> {
    let (ix, other) = (any(world), any(world));
    if ix == other || world.nodes[ix].machine.is_none() || world.nodes[other].machine.is_none() {
        return Ok(());
    }
    let ids = [ix, other].map(|ix| world.nodes[ix].id.clone());
    match world.random.below(7) {
        0 if world.twins.is_empty() => {
            let with_disk = world.random.percent(60);
            world.report.faults.count(if with_disk { Fault::Clone } else { Fault::DuplicateId });
            let twin = world.add_twin(ix, with_disk)?;
            if world.random.percent(50) {
                meet(world, twin, other)?;
            }
        }
        0 | 1 => {
            world.report.faults.count(Fault::UnheardLeave);
            world.partition(&[ix].into(), false);
            world.run_for(50)?;
            world.command(ix, Command::Leave { force: true })?;
            world.run_for(50)?;
            if world.random.percent(50) {
                world.crash(ix, Disk::Kept);
            }
        }
        2 | 3 => {
            world.report.faults.count(Fault::MutualRemoval);
            world.partition(&[ix].into(), false);
            world.run_for(50)?;
            let [mine, theirs] = ids;
            world.command(ix, Command::Remove { ids: vec![theirs], force: false })?;
            world.command(other, Command::Remove { ids: vec![mine], force: false })?;
        }
        4 => {
            world.report.faults.count(Fault::DyingInserter);
            let newcomer = any(world);
            insert(world, ix, newcomer)?;
            let ms = world.random.below(60);
            world.run_for(ms)?;
            let disk = if world.random.percent(70) { Disk::Kept } else { Disk::Lost };
            world.crash(ix, disk);
        }
        _ => {
            // The stale seed is out of reach while another removes a node that is down.
            let seed = any(world);
            if seed != ix && seed != other && world.nodes[seed].machine.is_some() {
                world.report.faults.count(Fault::StaleSeed);
                world.partition(&[seed, ix].into(), false);
                world.crash(ix, Disk::Kept);
                let [mine, _] = ids;
                world.command(other, Command::Remove { ids: vec![mine], force: false })?;
                world.run_for(200)?;
                world.start(ix)?;
                world.run_for(100)?;
                meet(world, ix, seed)?;
            }
        }
    }
    Ok(())
}

fn any(world: &mut World) -> Ix {
    world.random.below(world.nodes.len() as u64) as usize
}

/// Some of the nodes, but not all.
fn side(world: &mut World) -> BTreeSet<Ix> {
    let all: Vec<Ix> = (0..world.nodes.len()).collect();
    let count = 1 + world.random.below(all.len() as u64 - 1) as usize;
    world.random.sample(all, count).into_iter().collect()
}

/// How long a ring may take to form.
const FORM_MS: u64 = 60_000;

/// Longer than any node here is down or cut off, so that floors are left behind while a run goes on.
const FLOOR_MS: u64 = 240_000;

/// Longer than any message is under way here: a stall, the longest retransmission and a pause.
const TOMBSTONE_MS: u64 = 20_000;
