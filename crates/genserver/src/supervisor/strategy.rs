//! Which children are started again, and when.

use std::ops::Range;

/// Which children a supervisor starts again when one has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// That one: for children that do not depend on each other.
    OneForOne,
    /// All, after stopping the others: for children that are of no use without each other.
    OneForAll,
    /// That one and those started after it, after stopping those: for children that depend on earlier ones.
    RestForOne,
}

impl Strategy {
    /// The positions of the children that are started again after the one at `position` has ended.
    pub(super) fn affected(self, position: usize, children: usize) -> Range<usize> {
        match self {
            Self::OneForOne => position..position + 1,
            Self::OneForAll => 0..children,
            Self::RestForOne => position..children,
        }
    }
}

/// When a child that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// If it [failed](crate::Exit::is_failure): it panicked, failed or was killed.
    Transient,
    /// Never: it is forgotten when it ends.
    Temporary,
}
