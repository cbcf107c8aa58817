//! Room for what is to be sent: who is told of it, and what is dropped to make some.

use std::sync::MutexGuard;

use tokio::time::Instant;

use super::{Link, State, count};
use crate::proto::credit::Load;

impl Link {
    /// Wakes those that wait for room, as far as there may be some.
    pub(super) fn tell_senders(&self, mut state: MutexGuard<'_, State>) {
        let awaited = std::mem::take(&mut state.awaited);
        let room_bytes = self.room_bytes(&state);
        let State { waiters, credit, .. } = &mut *state;
        let turns = waiters.turns(credit, room_bytes);
        drop(state);
        if awaited {
            self.credit_sent.notify_waiters();
        }
        turns.begin();
    }

    /// How much more may be queued for the present session before casts wait; `None` without one, when that is not what
    /// they wait for.
    pub(super) fn room_bytes(&self, state: &State) -> Option<u64> {
        let room = || self.limits.queue_bytes_soft.saturating_sub(state.lanes.bytes()) as u64;
        state.is_online().then(room)
    }

    /// Waits while credit for so many servers waits to be sent that the peer cannot be reading it: it has to, before more
    /// of what it sends is read. Cancel safe.
    pub(crate) async fn credit_room(&self) {
        loop {
            let sent = self.credit_sent.notified();
            tokio::pin!(sent);
            sent.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed || !state.lanes.is_crowded_with_credit() {
                    return;
                }
                state.awaited = true;
            }
            sent.await;
        }
    }

    /// Drops what has waited too long for a session.
    pub(crate) fn expire(&self) {
        let mut state = self.state();
        if !state.sessions.sending() && self.expire_waiting(&mut state) {
            self.tell_senders(state);
        }
    }

    /// Drops what has waited too long for a session, and says whether that was anything.
    pub(super) fn expire_waiting(&self, state: &mut State) -> bool {
        let dropped = state.lanes.expire(Instant::now(), self.limits.offline_age_max, &self.calls);
        state.abandoned = 0;
        for (server, bytes) in dropped.iter().flatten() {
            state.credit.unspend(server, Load::cast(*bytes));
        }
        self.dropped_waiting(dropped.len())
    }

    /// Calls whose callers have left make room. True if there were any.
    pub(super) fn forget_abandoned(&self, state: &mut State) -> bool {
        if std::mem::take(&mut state.abandoned) == 0 {
            return false;
        }
        let dropped = state.lanes.forget_abandoned(&self.calls);
        self.dropped_waiting(dropped)
    }

    fn dropped_waiting(&self, dropped: usize) -> bool {
        if dropped > 0 {
            count(&self.counters.dropped_expired, dropped);
            self.draw_attention();
        }
        dropped > 0
    }
}
