//! Sessions closed because their peers broke the protocol: told in the log a few at a time, for one may come again and
//! again.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::node::NodeId;
use crate::proto::throttle::Throttle;

/// What one kernel tells of them.
pub(crate) struct Violations {
    start: Instant,
    log: Mutex<Throttle>,
}

impl Violations {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), log: Mutex::default() }
    }

    /// A session was closed.
    pub(super) fn tell(&self, peer: &NodeId, violation: &dyn Error) {
        let line = self.log.lock().unwrap_or_else(PoisonError::into_inner).event(self.start.elapsed());
        if let Some(more) = line {
            tracing::warn!(%peer, %violation, more, "session closed: the peer broke the protocol");
        }
    }

    /// Tells of a flood that has ended.
    pub(crate) fn tell_overdue(&self) {
        let overdue = self.log.lock().unwrap_or_else(PoisonError::into_inner).overdue(self.start.elapsed());
        if let Some(more) = overdue {
            tracing::warn!(more, "sessions closed: their peers broke the protocol");
        }
    }
}
