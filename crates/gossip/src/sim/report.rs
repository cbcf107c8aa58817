//! What a run counted.

use std::fmt;
use std::ops::AddAssign;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A partition of the nodes into two sides.
    Partition,
    /// A partition in one direction only.
    OneWay,
    /// A partition that comes and goes.
    Flapping,
    /// A connection reset.
    Reset,
    /// A node frozen for a while, with a bounded inbox.
    Pause,
    /// A wall clock that jumps by up to an hour.
    ClockJump,
    /// A node killed and started again from its disk.
    Crash,
    /// A node started again from the state before its last.
    Rollback,
    /// A node started again from a state of long ago.
    StaleDisk,
    /// A node whose disk is damaged: it starts from the older generation, or an operator gives it an empty disk.
    CorruptDisk,
    /// A node started again from an empty disk, its clock behind.
    LostDisk,
    /// A node started a second time elsewhere from a copy of its disk.
    Clone,
    /// A node started a second time elsewhere without a disk.
    DuplicateId,
    /// A write that failed, stored or not.
    FailedWrite,
    /// A forced leave that nobody heard.
    UnheardLeave,
    /// Two nodes that remove each other across a partition.
    MutualRemoval,
    /// An inserter that dies at once.
    DyingInserter,
    /// A node removed while it was down, that comes back by a node that has not heard of the removal.
    StaleSeed,
    /// A node that speaks a later version of the protocol.
    LaterVersion,
    /// Nodes that all meet at the same moment.
    ConcurrentMeets,
    /// Two rings of one name, each with a history of its own.
    TwoRings,
    /// Nodes of another ring within reach, which are met and inserted.
    ForeignRing,
    /// Frames so small that what a node lacks takes several.
    SmallFrames,
    /// A leave that was not acknowledged and is taken back.
    LeaveUndone,
    /// A node that comes back once its tombstone was collected. Only long runs have any.
    ReturnAfterCollection,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Partition,
        Self::OneWay,
        Self::Flapping,
        Self::Reset,
        Self::Pause,
        Self::ClockJump,
        Self::Crash,
        Self::Rollback,
        Self::StaleDisk,
        Self::CorruptDisk,
        Self::LostDisk,
        Self::Clone,
        Self::DuplicateId,
        Self::FailedWrite,
        Self::UnheardLeave,
        Self::MutualRemoval,
        Self::DyingInserter,
        Self::StaleSeed,
        Self::LaterVersion,
        Self::ConcurrentMeets,
        Self::TwoRings,
        Self::ForeignRing,
        Self::SmallFrames,
        Self::LeaveUndone,
        Self::ReturnAfterCollection,
    ];
}

/// Faults by kind: how many there were, and how many runs had any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
    runs: [u64; Fault::ALL.len()],
}

impl Faults {
    pub(super) fn count(&mut self, fault: Fault) {
        self.counts[fault as usize] += 1;
        self.runs[fault as usize] = 1;
    }

    /// How many of this kind there were.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// How many runs had one of this kind.
    #[must_use]
    pub fn runs_with(&self, fault: Fault) -> u64 {
        self.runs[fault as usize]
    }
}

/// What a run, or many together, did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Runs.
    pub runs: u64,
    /// Roster events written.
    pub events: u64,
    /// Operations that failed, by the design of the run or of the faults.
    pub refused: u64,
    /// Frames sent.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that carry rumours.
    pub rumours: u64,
    /// Conflicts that were raised.
    pub conflicts: u64,
    /// Frames turned away by a full inbox.
    pub overflows: u64,
    /// Snapshots that explained what deltas could not. Expected to stay 0.
    pub divergences: u64,
    /// Tombstones collected.
    pub collected: u64,
    /// Actors forgotten.
    pub retired: u64,
    /// Actors that the largest context counts in the end; of many runs, the most.
    pub actors: u64,
    /// Answers to nodes that had not seen the tombstone of a floor.
    pub below_floor: u64,
    /// Virtual milliseconds from the last write or fault to agreement; of many runs, the longest.
    pub settled_ms: u64,
    /// The faults.
    pub faults: Faults,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.refused += other.refused;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.rumours += other.rumours;
        self.conflicts += other.conflicts;
        self.overflows += other.overflows;
        self.divergences += other.divergences;
        self.collected += other.collected;
        self.retired += other.retired;
        self.below_floor += other.below_floor;
        self.actors = self.actors.max(other.actors);
        self.settled_ms = self.settled_ms.max(other.settled_ms);
        self.faults += other.faults;
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        add(&mut self.counts, &other.counts);
        add(&mut self.runs, &other.runs);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, events, refused, frames, bytes, conflicts, divergences, settled_ms, .. } = self;
        let Self { collected, retired, actors, below_floor, overflows, .. } = self;
        writeln!(
            formatter,
            "{runs} runs, {events} roster events, {refused} operations refused, {conflicts} conflicts"
        )?;
        writeln!(
            formatter,
            "{frames} frames, {bytes} bytes, {overflows} turned away, {divergences} divergences"
        )?;
        writeln!(
            formatter,
            "{collected} tombstones collected, {retired} actors retired, at most {actors} left, \
             {below_floor} answers from below a floor"
        )?;
        write!(formatter, "longest way to agreement {settled_ms} ms (virtual)")?;
        for fault in Fault::ALL.into_iter().filter(|fault| self.faults.of(*fault) > 0) {
            let (count, with) = (self.faults.of(fault), self.faults.runs_with(fault));
            let percent = with * 100 / (*runs).max(1);
            write!(formatter, "\n  {:<22}{count:>8} in {percent:>3} % of runs", format!("{fault:?}"))?;
        }
        Ok(())
    }
}
