//! What the end of a session means for the others, for the link, and for the peer that has to learn of it.

use super::part::{Ended, Live, Over, Part};
use super::sessions::Sessions;
use crate::net::DownReason;
use crate::proto::hello::{self, SessionId};
use crate::proto::mark::{PREDECESSORS_MAX, Predecessor};

impl Sessions {
    /// A session ended in good order.
    pub(super) fn closed(&mut self, session: SessionId, promised: bool) {
        if self.closed.len() == CLOSED_MAX {
            self.closed.remove(0);
        }
        self.closed.push(session);
        if promised {
            self.ending.promises();
        }
    }

    /// A session broke. True if this node had sent by it.
    pub(super) fn broke(&mut self, session: SessionId, over: Over) -> bool {
        let mut sent_by = false;
        for before in self.before.iter_mut().filter(|before| before.session == session) {
            before.lost = true;
            sent_by = true;
        }
        self.lost.push(session);
        if self.lost.len() > LOST_MAX {
            self.lost.remove(0);
        }
        if over.carried {
            // What passed from them to this one fails with it.
            self.closed.clear();
        }
        if over.said_goaway {
            if self.untold.len() == LOST_MAX {
                self.untold.remove(0);
            }
            self.untold.push(session);
            self.mark_again();
        }
        sent_by
    }

    /// What the MARK of a session says: by which others this node has sent, and which broke unbeknown to the peer.
    pub(super) fn mark(&self, session: SessionId) -> Vec<Predecessor> {
        let mut before = self.before.clone();
        before.retain(|before| before.session != session && !self.untold.contains(&before.session));
        let lost = self.untold.iter().map(|&session| Predecessor { session, lost: true });
        before.extend(lost.take(PREDECESSORS_MAX - before.len()));
        before
    }

    /// Sees to it that the peer is told of what broke by the present session, if there is one.
    pub(super) fn mark_again(&mut self) {
        let Some(owner) = self.owner else { return };
        let again = self.mark(owner);
        if let Some(Live { part: Part::Sending { mark }, .. }) = self.live.get_mut(&owner) {
            *mark = Some(again);
        }
    }

    /// What the end of a session that is removed means for the link; one that `broke` did so for this reason.
    pub(super) fn left(&mut self, over: Over, broke: Option<DownReason>) -> Ended {
        if self.sending() || !self.is_announced() {
            return Ended::Continues;
        }
        if let Some(reason) = broke.filter(|_| over.was_made) {
            let reason = self.ending.breaks(reason);
            // What they would still bring is lost with the link, whose end is not to wait for it.
            self.live.values().filter(|live| live.is_made()).for_each(|live| live.kill.now(reason));
        }
        match (self.live.values().any(Live::is_made), self.awaits_heir()) {
            (true, _) => Ended::Continues,
            (false, true) => Ended::Awaits,
            (false, false) => Ended::Last,
        }
    }

    /// Whether no session sends, but one is being made that the peer may send by already.
    pub(super) fn awaits_heir(&self) -> bool {
        !self.sending() && self.ending.has_hope() && self.live.values().any(|live| !live.is_made())
    }

    /// Whether a session that another has taken over from has not ended yet.
    pub(super) fn awaits_a_predecessor(&self) -> bool {
        let sent_by = |id: &SessionId| self.before.iter().any(|before| before.session == *id);
        self.live.keys().any(|id| self.owner != Some(*id) && sent_by(id))
    }
}

/// Broken sessions remembered for the peer: as many as it takes in.
const LOST_MAX: usize = hello::LOST_MAX;
/// Many more than a pair has at one time.
const CLOSED_MAX: usize = 16;
