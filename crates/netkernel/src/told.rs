//! What one kernel's log says of things that a peer can bring about as often as it likes: a few lines, which stand for all
//! of it.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::node::NodeId;
use crate::proto::throttle::Throttle;

/// One kind of event, which is worth a line every few seconds at most.
#[derive(Debug)]
pub(crate) struct Rarely {
    start: Instant,
    log: Mutex<Throttle>,
}

impl Rarely {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), log: Mutex::default() }
    }

    /// An event. `Some` if it is worth a line: how many before it were held back.
    pub(crate) fn event(&self) -> Option<u64> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).event(self.start.elapsed())
    }

    /// The events held back, once a flood of them has ended.
    pub(crate) fn overdue(&self) -> Option<u64> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).overdue(self.start.elapsed())
    }
}

/// The kinds of one kernel, over all its links.
#[derive(Debug)]
pub(crate) struct Told {
    violations: Rarely,
    replies: Rarely,
    held: Rarely,
    too_large: Rarely,
}

impl Told {
    pub(crate) fn new() -> Self {
        Self {
            violations: Rarely::new(),
            replies: Rarely::new(),
            held: Rarely::new(),
            too_large: Rarely::new(),
        }
    }

    /// A session was closed.
    pub(crate) fn violation(&self, peer: &NodeId, violation: &dyn Error) {
        if let Some(more) = self.violations.event() {
            tracing::warn!(%peer, %violation, more, "session closed: the peer broke the protocol");
        }
    }

    /// A reply was over a limit.
    pub(crate) fn reply_dropped(&self, peer: &NodeId, bytes: usize, too_large: bool) {
        if let Some(more) = self.replies.event() {
            tracing::warn!(%peer, bytes, too_large, more, "reply dropped, its caller is told");
        }
    }

    /// A link was lost before servers had room for so many casts of its peer.
    pub(crate) fn held_lost(&self, peer: &NodeId, casts: usize) {
        if let Some(more) = self.held.event() {
            tracing::warn!(%peer, casts, more, "casts lost with their link before their servers had room");
        }
    }

    /// A message that waited for a peer is larger than that turned out to take.
    pub(crate) fn too_large(&self, peer: &NodeId, bytes: usize, max: usize) {
        if let Some(more) = self.too_large.event() {
            tracing::warn!(%peer, bytes, max, more, "a message that waited is too large for the peer");
        }
    }

    /// Tells of floods that have ended.
    pub(crate) fn overdue(&self) {
        if let Some(more) = self.violations.overdue() {
            tracing::warn!(more, "sessions closed: their peers broke the protocol");
        }
        if let Some(more) = self.replies.overdue() {
            tracing::warn!(more, "replies dropped, their callers are told");
        }
        if let Some(more) = self.held.overdue() {
            tracing::warn!(more, "links lost with casts for which their servers had no room");
        }
        if let Some(more) = self.too_large.overdue() {
            tracing::warn!(more, "messages that waited are too large for their peers");
        }
    }
}
