//! What the layers above send: casts as credit and queues allow, and calls.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::lanes::WHOLE_BYTES_MAX;
use super::message::{Control, Message, Subject};
use super::place::Place;
use super::{Link, State, count};
use crate::call::{CallId, ReplySlot, deadline_after};
use crate::config::OfflinePolicy;
use crate::error::{CallError, SendError, Stage};
use crate::node::ServerName;
use crate::proto::credit::{Grant, Load};

impl Link {
    /// Queues a cast, or hands its body back.
    pub(crate) fn try_cast(&self, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        self.queue_cast(server, body, None)
    }

    /// Queues a small cast ahead of all that waits, or hands its body back.
    pub(crate) fn try_cast_ahead(&self, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        let mut state = self.state();
        let ordinary = body.len() > WHOLE_BYTES_MAX.min(state.message_bytes_max);
        if state.closed || !state.is_online() || ordinary {
            drop(state);
            return self.try_cast(server, body);
        }
        if !state.lanes.has_room_ahead(body.len()) {
            return Err(SendError::Busy { node: self.id.clone(), body });
        }
        state.credit.overspend(server, body.len());
        state.lanes.push_ahead(Message::new(Subject::Cast { server: server.clone() }, body));
        self.wake_writers(state);
        Ok(())
    }

    /// Queues a cast, or hands its body back; then it waits at its place, if it has one.
    fn queue_cast(
        &self,
        server: &ServerName,
        body: Bytes,
        mut place: Option<&mut Place<'_>>,
    ) -> Result<(), SendError> {
        let mut state = self.state();
        if state.shuts_down {
            return Err(SendError::ShuttingDown { body });
        }
        if state.closed {
            return Err(SendError::NotConnected { node: self.id.clone(), body });
        }
        if body.len() > state.message_bytes_max {
            return Err(SendError::TooLarge { bytes: body.len(), max: state.message_bytes_max, body });
        }
        let is_next = match &place {
            Some(place) => place.is_next(&state),
            None => !state.waiters.are_before(server),
        };
        let admitted = is_next
            && match self.room_bytes(&state) {
                Some(room_bytes) => room_bytes > 0 && state.credit.spend(server, body.len()),
                None => self.admit_cast_offline(&mut state, server, body.len()),
            };
        if !admitted {
            if let Some(place) = place {
                place.wait(&mut state, body.len());
            }
            return Err(SendError::Busy { node: self.id.clone(), body });
        }
        if let Some(place) = &mut place {
            place.is_used();
        }
        let message = Message::new(Subject::Cast { server: server.clone() }, body);
        let online = state.is_online();
        state.lanes.push(if online { message } else { message.waiting_since(Instant::now()) });
        self.wake_writers(state);
        Ok(())
    }

    /// Whether a cast may wait for the next session, after making room as the policy says. While the peer is connected its
    /// window counts, for what it was sent counts, too.
    fn admit_cast_offline(&self, state: &mut State, server: &ServerName, bytes: usize) -> bool {
        let open = !state.sessions.is_announced() || state.credit.is_open(server);
        let admitted = open && self.admit_offline(state, bytes);
        if admitted {
            state.credit.overspend(server, bytes);
        }
        admitted
    }

    /// Whether one more message may wait for a session, after making room as the policy says: for itself, be there more
    /// than may wait from when there was one.
    fn admit_offline(&self, state: &mut State, bytes: usize) -> bool {
        let (mut messages_max, mut bytes_max) =
            (self.limits.offline_messages_max, self.limits.offline_bytes_max);
        if self.limits.offline_policy == OfflinePolicy::DropOldest {
            messages_max = messages_max.max(state.lanes.messages());
            bytes_max = bytes_max.max(state.lanes.bytes());
        }
        loop {
            if state.lanes.messages() < messages_max && state.lanes.bytes() + bytes <= bytes_max {
                return true;
            }
            if self.forget_abandoned(state) {
                continue;
            }
            if self.limits.offline_policy == OfflinePolicy::FailNew {
                return false;
            }
            let Some(dropped) = state.lanes.drop_oldest_cast() else { return false };
            if let Some(server) = dropped.server() {
                state.credit.unspend(server, Load::cast(dropped.body.len()));
            }
            count(&self.counters.dropped_full, 1);
            self.draw_attention();
        }
    }

    /// Queues a cast, waiting so long for room.
    pub(crate) async fn cast(
        &self,
        server: &ServerName,
        mut body: Bytes,
        timeout: Duration,
    ) -> Result<(), SendError> {
        let mut place = Place::new(self, server);
        let mut deadline = None;
        loop {
            body = match self.queue_cast(server, body, Some(&mut place)) {
                Err(SendError::Busy { body, .. }) => body,
                done => return done,
            };
            let deadline = *deadline.get_or_insert_with(|| deadline_after(timeout));
            if tokio::time::timeout_at(deadline, place.turn()).await.is_err() {
                return Err(SendError::Busy { node: self.id.clone(), body });
            }
        }
    }

    /// The peer's mailboxes have taken casts.
    pub(crate) fn granted(&self, grant: &Grant) {
        let mut state = self.state();
        let given = state.credit.refund(&grant.server, grant.load);
        self.tell_senders(state);
        // As many as were sent, whatever the peer says.
        let refused = usize::try_from(grant.refused.min(given.messages)).unwrap_or(usize::MAX);
        if refused > 0 {
            count(&self.counters.casts_refused_by_peer, refused);
            tracing::debug!(peer = %self.id, server = %grant.server, refused, "the peer refused casts");
        }
    }

    /// Queues a call whose outcome goes into `slot`; one that is by itself is written at once.
    pub(crate) fn call(
        &self,
        id: CallId,
        server: &ServerName,
        body: Bytes,
        (slot, deadline): (ReplySlot, Instant),
        by_itself: bool,
    ) -> Result<(), CallError> {
        let busy = || CallError::Busy { node: self.id.clone() };
        let mut state = self.state();
        if state.shuts_down {
            return Err(CallError::ShuttingDown);
        }
        if state.closed {
            return Err(CallError::NotConnected { node: self.id.clone() });
        }
        if body.len() > state.message_bytes_max {
            return Err(CallError::TooLarge { bytes: body.len(), max: state.message_bytes_max });
        }
        let online = state.is_online();
        let admitted = if online {
            state.lanes.bytes() + body.len() <= self.limits.queue_bytes_max
        } else {
            self.admit_offline(&mut state, body.len())
        };
        if !admitted {
            return Err(busy());
        }
        self.calls.insert(id, slot).map_err(|_slot| busy())?;
        self.draw_attention();
        let message = Message::new(Subject::Call { id, server: server.clone(), deadline }, body);
        state.lanes.push(if online { message } else { message.waiting_since(Instant::now()) });
        let lonely = online && by_itself && self.calls.len() == 1;
        self.send(state, lonely);
        Ok(())
    }

    /// Asks for a sign of life; the slot is filled when it comes. A `probe` is asked however many calls are under way.
    pub(crate) fn ping(&self, id: CallId, slot: ReplySlot, probe: bool) -> Result<(), CallError> {
        let mut state = self.state();
        let Some(session) = state.sessions.owner() else {
            return Err(CallError::NotConnected { node: self.id.clone() });
        };
        let busy = |_slot| CallError::Busy { node: self.id.clone() };
        self.calls.insert_ping(id, slot, session, probe).map_err(busy)?;
        self.draw_attention();
        state.lanes.control(Control::Ping(id.0));
        self.wake_writers(state);
        Ok(())
    }

    /// Nobody waits for this sign of life any more.
    pub(crate) fn abandon_ping(&self, id: CallId) -> Stage {
        self.calls.remove(id);
        if self.state().lanes.take_back(id.0) { Stage::Queued } else { Stage::Sent }
    }

    /// The caller no longer waits.
    pub(crate) fn abandon(&self, id: CallId) -> Stage {
        let Some(stage) = self.calls.remove(id) else { return Stage::Sent };
        match stage {
            Stage::Sent => drop(self.control(Control::Cancel(id.0))),
            Stage::Queued => self.state().abandoned += 1,
        }
        stage
    }
}
