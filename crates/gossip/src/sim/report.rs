//! What a run counted.

use std::fmt;
use std::ops::AddAssign;

/// Faults of each kind that a run contained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Partitions of the nodes into two sides.
    pub partitions: u64,
    /// Partitions in one direction only.
    pub one_way: u64,
    /// Connections reset.
    pub resets: u64,
    /// Nodes killed and started again from their disk.
    pub crashes: u64,
    /// Nodes started again from the state before their last.
    pub rollbacks: u64,
    /// Nodes started again from an empty disk.
    pub disk_losses: u64,
    /// Nodes frozen for a while, with a bounded inbox.
    pub pauses: u64,
    /// Writes that failed, stored or not.
    pub failed_writes: u64,
    /// Frames turned away by a full inbox.
    pub overflows: u64,
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
    /// Conflicts that were raised.
    pub conflicts: u64,
    /// Snapshots that explained what deltas could not. Expected to stay 0.
    pub divergences: u64,
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
        self.conflicts += other.conflicts;
        self.divergences += other.divergences;
        self.settled_ms = self.settled_ms.max(other.settled_ms);
        self.faults += other.faults;
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.partitions += other.partitions;
        self.one_way += other.one_way;
        self.resets += other.resets;
        self.crashes += other.crashes;
        self.rollbacks += other.rollbacks;
        self.disk_losses += other.disk_losses;
        self.pauses += other.pauses;
        self.failed_writes += other.failed_writes;
        self.overflows += other.overflows;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, events, refused, frames, bytes, conflicts, divergences, settled_ms, faults } = self;
        writeln!(
            formatter,
            "{runs} runs, {events} roster events, {refused} operations refused, {conflicts} conflicts"
        )?;
        writeln!(formatter, "{frames} frames, {bytes} bytes, {divergences} divergences")?;
        writeln!(formatter, "longest way to agreement {settled_ms} ms (virtual)")?;
        let Faults { partitions, one_way, resets, crashes, rollbacks, .. } = faults;
        writeln!(
            formatter,
            "faults: {partitions} partitions, {one_way} one-way, {resets} resets, {crashes} crashes, {rollbacks} rollbacks,"
        )?;
        let Faults { disk_losses, pauses, failed_writes, overflows, .. } = faults;
        write!(
            formatter,
            "        {disk_losses} disk losses, {pauses} pauses, {failed_writes} failed writes, {overflows} frames overflowed"
        )
    }
}
