//! One small message and nothing else to send: then its sender writes it, and spares the turn of the session's
//! writer, which is a good part of what a call takes on a short way. Where more waits, or is likely to come, the writer
//! gathers it: a system call costs more than a message.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Link, State};
use crate::proto::hello::SessionId;
use crate::session::SharedOutlet;
use crate::sync::MutexGuard;

/// Who writes the next message.
#[derive(Default)]
pub(super) struct Direct {
    /// The session that sends, with its outlet, while its writer rests.
    resting: Option<(SessionId, SharedOutlet)>,
    /// The session whose connection did not take a whole message at once: its writer sees to the rest.
    unwritten: Option<SessionId>,
    /// The reader is acting on a record of the peer that holds calls: more than one reply may come of it.
    in_record: bool,
}

impl Direct {
    /// A session's writer has nothing to do.
    pub(super) fn rest(&mut self, session: SessionId, outlet: &SharedOutlet) {
        if self.resting.as_ref().is_none_or(|(resting, _)| *resting != session) {
            self.resting = Some((session, Arc::clone(outlet)));
        }
    }

    /// A session's writer looks for work. True if something is left to be written.
    pub(super) fn leave(&mut self, session: SessionId) -> bool {
        self.resting.take_if(|(resting, _)| *resting == session);
        self.unwritten.take_if(|unwritten| *unwritten == session).is_some()
    }

    /// A session is over. Its connection is closed with what this gives.
    #[must_use]
    pub(super) fn end(&mut self, session: SessionId) -> Option<(SessionId, SharedOutlet)> {
        self.in_record = false;
        self.unwritten.take_if(|unwritten| *unwritten == session);
        self.resting.take_if(|(resting, _)| *resting == session)
    }

    /// A record holds a call.
    pub(super) fn record_begins(&mut self) {
        self.in_record = true;
    }
}

impl Link {
    /// Sees to it that the one message just queued is sent: at once if nothing else is to be sent, nor, as far as the
    /// caller knows, will be soon.
    pub(super) fn send(&self, state: MutexGuard<'_, State>, lonely: bool) {
        if !lonely || !state.idle || !state.lanes.holds_one_small() {
            self.wake_writers(state);
        } else if !state.direct.in_record {
            self.write_now(state);
        }
    }

    /// The reader has come to the end of a record that held calls, or is about to wait: a reply that came of it is
    /// sent.
    pub(crate) fn record_ends(&self) {
        let mut state = self.state();
        state.direct.in_record = false;
        if state.idle && state.lanes.holds_one_small() {
            self.write_now(state);
        } else if state.lanes.is_ready() {
            self.wake_writers(state);
        }
    }

    /// Writes what waits, if the writer rests; wakes it otherwise, or if the connection does not take it all.
    fn write_now(&self, mut state: MutexGuard<'_, State>) {
        let State { sessions, lanes, direct, .. } = &mut *state;
        let resting = direct.resting.as_ref().filter(|(session, _)| sessions.is_sending(*session)).cloned();
        let Some((session, outlet)) = resting else { return self.wake_writers(state) };
        let Ok(mut outlet) = outlet.try_lock() else { return self.wake_writers(state) };
        let now = Instant::now();
        lanes.take(&mut outlet.batch, session, &self.calls, now);
        self.tell_senders(state);
        if outlet.write_now(&self.counters, now) {
            return;
        }
        drop(outlet);
        let mut state = self.state();
        // Otherwise the session is over, or its writer waits for the outlet already and writes what is in it.
        if state.direct.resting.take_if(|(resting, _)| *resting == session).is_some() {
            state.direct.unwritten = Some(session);
        }
        self.wake_writers(state);
    }
}
