//! The way of a link to its end, from the first sign that its sessions end for good until the layers above are told.

use crate::net::DownReason;

/// Why a link is about to end, as far as it is.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// One of the two ends closes the link.
    closing: Option<DownReason>,
    /// The session that sent broke, and no other sends.
    broke: Option<DownReason>,
    /// The peer has ended a session in favour of another, which may not be made on this side yet.
    promised: bool,
}

impl Ending {
    /// An end of the link closes it. The first one that did counts.
    pub(super) fn closes(&mut self, reason: DownReason) {
        self.closing.get_or_insert(reason);
    }

    /// A session broke while none sends. The first reason counts, and is given.
    pub(super) fn breaks(&mut self, reason: DownReason) -> DownReason {
        *self.broke.get_or_insert(reason)
    }

    /// The peer goes on by another session.
    pub(super) fn promises(&mut self) {
        self.promised = true;
    }

    /// Another session has taken over: the promise is kept.
    pub(super) fn goes_on(&mut self) {
        self.promised = false;
    }

    /// Whether the link ends. Nothing undoes that: it is told, and nothing follows before.
    pub(super) fn is_certain(&self) -> bool {
        self.reason().is_some()
    }

    /// Why, if it ends.
    pub(super) fn reason(&self) -> Option<DownReason> {
        self.closing.or(self.broke)
    }

    /// Whether another session may yet take over.
    pub(super) fn has_hope(&self) -> bool {
        self.promised && !self.is_certain()
    }
}
