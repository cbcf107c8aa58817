//! Who waits for whom: how a call that would wait for itself is found before anyone blocks.
//!
//! A server that calls from within a handler waits for the answer, and so does whoever called it. Each call
//! carries the servers that now wait for it, oldest first; a call *to* one of them could never be answered and is
//! refused. Calls that cross (A calls B while B calls A) share no chain and end by their deadlines.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::pid::Pid;

/// The servers that wait for one call.
pub(crate) struct Chain {
    links: Arc<[Pid]>,
    answered: AtomicBool,
}

impl Chain {
    pub(crate) fn new(links: Arc<[Pid]>) -> Self {
        Self { links, answered: AtomicBool::new(false) }
    }

    /// Nobody waits for the call any more.
    pub(crate) fn answer(&self) {
        self.answered.store(true, Ordering::Release);
    }

    /// Those who wait, none once the call is answered.
    pub(crate) fn waiting(&self) -> &[Pid] {
        if self.answered.load(Ordering::Acquire) { &[] } else { &self.links }
    }

    /// The circle a call to `target` would close.
    pub(crate) fn circle(&self, target: &Pid) -> Option<Path> {
        circle(&self.links, target)
    }
}

/// The circle that a call to `target` would close for the servers that wait for it.
pub(crate) fn circle(waiting: &[Pid], target: &Pid) -> Option<Path> {
    let start = waiting.iter().position(|link| link == target)?;
    let mut path = waiting[start..].to_vec();
    path.push(target.clone());
    Some(Path(path))
}

/// The servers a call would have gone round, the first and the last the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(pub(crate) Vec<Pid>);

impl Path {
    /// The servers, in the order of their calls.
    #[must_use]
    pub fn servers(&self) -> &[Pid] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, server) in self.0.iter().enumerate() {
            let arrow = if position == 0 { "" } else { " → " };
            write!(formatter, "{arrow}{server}")?;
        }
        Ok(())
    }
}

/// The longest chain that is carried; of a longer one the oldest are forgotten, and a circle through them is
/// ended by its deadline.
pub(crate) const LINKS_MAX: usize = 32;
