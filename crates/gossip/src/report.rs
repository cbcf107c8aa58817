//! What a node counts, for operators.

use crate::proto::{Overdue, Stats};

/// What a node has counted since it started, and what it waits for, as of the last comparison: while it is in a ring, no
/// older than `sync_every`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// What happened, among it what never should.
    pub stats: Stats,
    /// Tombstones that could be collected, and the members that hold them back.
    pub overdue: Overdue,
}
