//! Connections that did not become sessions: counted each, told in the log a few at a time.

use std::fmt;

use crate::error::HandshakeError;
use crate::metrics::{Counter, Labels};
use crate::node::{Address, NodeId};
use crate::told::Rarely;

/// Why a connection that was accepted did not become a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RefusedReason {
    /// The cookies differ, or a first message was changed on its way.
    Authentication,
    /// The cookies agree, but a record was damaged or changed on its way.
    Damaged,
    /// The dialer speaks another version of the protocol, or uses another security.
    Version,
    /// What it sent is not of this protocol, or cannot be decoded.
    Malformed,
    /// It did not send its part in time.
    Timeout,
    /// It hung up or broke in mid-handshake.
    Closed,
    /// A live node has the dialer's id, or the dialer is this node.
    Duplicate,
    /// Too many connections were in mid-handshake.
    Crowded,
    /// This node is shutting down, or has as many sessions as it may.
    Unavailable,
    /// Its first message came before: it was recorded and played again.
    Replayed,
}

impl RefusedReason {
    const ALL: [Self; 10] = [
        Self::Authentication,
        Self::Damaged,
        Self::Version,
        Self::Malformed,
        Self::Timeout,
        Self::Closed,
        Self::Duplicate,
        Self::Crowded,
        Self::Unavailable,
        Self::Replayed,
    ];

    fn of(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Authentication => Self::Authentication,
            HandshakeError::Damaged => Self::Damaged,
            HandshakeError::Version { .. } | HandshakeError::Mode { .. } => Self::Version,
            HandshakeError::NotClusterluck | HandshakeError::Malformed => Self::Malformed,
            HandshakeError::Timeout => Self::Timeout,
            HandshakeError::Closed | HandshakeError::Io(_) => Self::Closed,
            HandshakeError::DuplicateNode { .. } | HandshakeError::Myself => Self::Duplicate,
            HandshakeError::Unavailable => Self::Unavailable,
            HandshakeError::Replayed => Self::Replayed,
        }
    }

    /// The reason in one word, as metrics and logs show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Damaged => "damaged",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Duplicate => "duplicate",
            Self::Crowded => "crowded",
            Self::Unavailable => "unavailable",
            Self::Replayed => "replayed",
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Counts of one kernel, by reason, and what of them has been logged.
pub(super) struct Refused {
    node: NodeId,
    reasons: [Reason; RefusedReason::ALL.len()],
}

struct Reason {
    count: Counter,
    log: Rarely,
}

impl Refused {
    pub(super) fn new(node: &NodeId) -> Self {
        let labels = Labels::of_node(node);
        let reason = |reason: RefusedReason| Reason {
            count: labels.counter("netkernel_handshakes_refused_total", &[("reason", reason.as_str())]),
            log: Rarely::new(),
        };
        Self { node: node.clone(), reasons: RefusedReason::ALL.map(reason) }
    }

    /// How many connections were refused, by reason; those that were not are left out.
    pub(super) fn counts(&self) -> Vec<(RefusedReason, u64)> {
        let all = RefusedReason::ALL.into_iter().zip(&self.reasons);
        all.map(|(reason, of)| (reason, of.count.value())).filter(|(_, count)| *count > 0).collect()
    }

    /// A handshake failed.
    pub(super) fn failed(&self, remote: &Address, error: &HandshakeError) {
        self.note(RefusedReason::of(error), remote, error);
    }

    /// A connection was not looked at, or was dropped for a newer one.
    pub(super) fn crowded(&self, remote: &Address) {
        self.note(RefusedReason::Crowded, remote, &"too many connections are in mid-handshake");
    }

    fn note(&self, reason: RefusedReason, remote: &Address, error: &dyn fmt::Display) {
        let Reason { count, log } = &self.reasons[reason as usize];
        count.add(1);
        let Some(more) = log.event() else { return };
        let node = &self.node;
        if reason == RefusedReason::Closed {
            // What it missed here is known at its end alone.
            tracing::debug!(%node, %remote, %reason, %error, more, "a connection was given up by its maker");
        } else {
            tracing::info!(%node, %remote, %reason, %error, more, "connection refused");
        }
    }

    /// Tells of floods that have ended.
    pub(super) fn tell_overdue(&self) {
        for (reason, of) in RefusedReason::ALL.into_iter().zip(&self.reasons) {
            if let Some(more) = of.log.overdue()
                && reason != RefusedReason::Closed
            {
                tracing::info!(node = %self.node, %reason, more, "connections refused");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_at_its_place() {
        for (index, reason) in RefusedReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
