//! What a link does when its sessions change: under its lock the machine of `sessions` decides, and what follows of
//! it for queues, calls and the layers above is done here.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handle::SessionHandle;
use super::lanes::Batch;
use super::part::{Confirmation, Ended, Step, Waiting};
use super::{Link, State, count};
use crate::error::{CallError, HandshakeError};
use crate::net::{Dispatch, DownReason, Peer};
use crate::node::Role;
use crate::proto::arbiter::Confirmed;
use crate::proto::credit::Load;
use crate::proto::hello::{Goaway, Receives, SessionId};
use crate::proto::mark::Predecessor;
use crate::session::SharedOutlet;

/// What a writer finds when it asks for work.
pub(crate) enum Take {
    /// Nothing now.
    Nothing,
    /// The first frame of the session's direction.
    Mark(Vec<Predecessor>),
    /// What waits was put into its batch, at this time.
    Batch(Instant),
    /// Nothing new, but what was taken before has yet to be written.
    Unwritten,
    /// The last frame.
    Goaway(Goaway),
    /// The session is over.
    Gone,
}

impl Link {
    /// A session with this instance of the peer is being made: from now on the peer may name it. Refused if one of this
    /// id exists, or it may not follow on the sessions that there are.
    pub(crate) fn register(
        &self,
        id: SessionId,
        peer: &Arc<Peer>,
        instance: u64,
    ) -> Result<SessionHandle, HandshakeError> {
        let mut state = self.state();
        if state.sessions.is_ending() || !state.sessions.is_link_of(peer, instance) {
            return Err(HandshakeError::Unavailable);
        }
        state.sessions.register(id, peer, instance).ok_or(HandshakeError::Malformed)
    }

    /// A session that was being made will not be.
    pub(crate) fn unregister(&self, id: SessionId) {
        self.state().sessions.remove(id);
        self.work.notify_waiters();
    }

    /// Waits until the end of the link was told, if it is ending: no session follows before. Cancel safe.
    pub(crate) async fn end_is_told(&self) {
        self.until(|state| !state.sessions.is_ending()).await;
    }

    /// Waits until the session that the peer goes on by has taken over, or none is being made any more. Cancel safe.
    pub(crate) async fn heir_is_decided(&self) {
        self.until(|state| !state.sessions.awaits_heir()).await;
    }

    /// Waits until a change of the sessions makes something true.
    async fn until(&self, is_true: impl Fn(&State) -> bool) {
        loop {
            let changed = self.work.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_true(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Whether there is a session with a peer of this role, be it only in the making.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.state().sessions.has(role)
    }

    /// Whether a session carries messages now.
    pub(crate) fn is_sending(&self) -> bool {
        self.state().sessions.sending()
    }

    /// Whose link it is, while the layers above know that peer as connected, and which kernel that is.
    pub(crate) fn announced(&self) -> Option<(Arc<Peer>, u64)> {
        self.state().sessions.announced()
    }

    /// Waits until a session carries messages, or the peer was told as not connected. Cancel safe.
    pub(crate) async fn change_is_over(&self) {
        self.until(|state| state.sessions.sending() || !state.sessions.is_announced()).await;
    }

    /// Whether a session would lose against the present one if it were confirmed now.
    pub(crate) fn outranks(&self, newcomer: Confirmed) -> bool {
        self.state().sessions.outranks(newcomer)
    }

    /// The sessions that broke on this side, for the peer to give up as well.
    pub(crate) fn lost(&self) -> Vec<SessionId> {
        self.state().sessions.lost()
    }

    /// This instance of the peer was found dead: its link, if it has one, ends at once.
    pub(crate) fn is_dead(&self, instance: u64) {
        self.state().sessions.is_dead(instance);
        self.work.notify_waiters();
    }

    /// The peer has become a later run of itself: the link of the earlier ends in good order.
    pub(crate) fn is_over(&self) {
        self.state().sessions.is_over();
        self.work.notify_waiters();
    }

    /// Ends sessions that this instance of the peer has lost, and waits until they have ended here, and if they were the
    /// last, until that was told. Cancel safe.
    pub(crate) async fn give_up(&self, instance: u64, lost: &[SessionId]) {
        let ended = self.state().sessions.give_up(instance, lost);
        self.until(|state| !ended.iter().any(|&session| state.sessions.contains(session))).await;
        self.end_is_told().await;
    }

    /// What a receiver has to await before it goes on after a MARK.
    pub(crate) fn predecessors(&self, mark: &[Predecessor], own: SessionId) -> Vec<CancellationToken> {
        let mut state = self.state();
        state.sessions.marks(own);
        if mark.is_empty() {
            return state.sessions.forgotten(own);
        }
        let others = mark.iter().filter(|before| before.session != own);
        let await_end = others.filter_map(|before| {
            if before.lost {
                state.sessions.lost_at_peer(before.session)
            } else {
                state.sessions.drained(before.session)
            }
        });
        await_end.collect()
    }

    /// Held from the moment a change of the link is decided until the layers above are told of it and what belongs to
    /// the past is cleared away: else a link that comes back at the moment it is found lost is told as up and then as
    /// down, and loses what has begun to arrive.
    pub(crate) fn announcing(&self) -> MutexGuard<'_, ()> {
        self.announcing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session was confirmed at both ends, whose peer takes in so much: it takes over, or ends. The peer, if it was not
    /// connected before. The caller holds [`announcing`](Self::announcing).
    pub(crate) fn activate(&self, confirmed: Confirmed, receives: Receives) -> Option<Arc<Peer>> {
        let mut state = self.state();
        let known_offline = !state.sessions.sending();
        let (peer, is_new) = match state.sessions.confirmed(confirmed) {
            Confirmation::TakesOver { peer, is_new } => (peer, is_new),
            Confirmation::Unknown => return None,
            Confirmation::Loses => {
                drop(state);
                count(&self.counters.sessions, 1);
                self.work.notify_waiters();
                return None;
            }
        };
        let reconnects = is_new && self.counters.sessions.value() > 0;
        state.peer = Some(Arc::clone(&peer));
        self.keep_to(&mut state, receives);
        if known_offline {
            // What has waited too long is not sent late; what is left no longer waits.
            self.expire_waiting(&mut state);
            self.adopt(&mut state, confirmed.session);
        }
        if !known_offline || state.sessions.awaits_a_predecessor() {
            let State { credit, lanes, .. } = &mut *state;
            credit.handed_over(lanes.unbegun_casts());
            lanes.handed_over();
        }
        state.lanes.waits_no_more();
        // Those that found no room while there was no session may find some now.
        self.tell_senders(state);
        // The session before it ends.
        self.draw_attention();
        count(&self.counters.reconnects, usize::from(reconnects));
        count(&self.counters.sessions, 1);
        self.up.send_replace(true);
        self.work.notify_waiters();
        is_new.then_some(peer)
    }

    /// Work for a session's writer, which holds its outlet.
    pub(crate) fn take(&self, session: SessionId, batch: &mut Batch, outlet: &SharedOutlet) -> Take {
        let mut state = self.state();
        if state.closed {
            // Its outlet is not to rest here again: the connection would stay open for as long as the link is known.
            return Take::Gone;
        }
        if state.direct.leave(session) {
            return Take::Unwritten;
        }
        let State { sessions, lanes, idle, direct, .. } = &mut *state;
        let older = !sessions.drains() || lanes.hold_older();
        let waiting = match (lanes.is_ready(), lanes.is_empty()) {
            (true, _) if older => Waiting::Ready,
            (true, _) => Waiting::Newer,
            (false, false) if older => Waiting::HeldUp,
            (false, _) => Waiting::Nothing,
        };
        if waiting == Waiting::HeldUp {
            // For how long is what tells a slow peer from a stuck one.
            self.draw_attention();
        }
        match sessions.step(session, waiting) {
            Step::Nothing => {
                *idle = true;
                if sessions.owner() == Some(session) {
                    direct.rest(session, outlet);
                }
                Take::Nothing
            }
            Step::Messages => {
                let now = Instant::now();
                lanes.take(batch, session, &self.calls, now);
                self.tell_senders(state);
                Take::Batch(now)
            }
            Step::Mark(mark) => Take::Mark(mark),
            Step::Goaway(goaway) => Take::Goaway(goaway),
            Step::Gone => Take::Gone,
        }
    }

    /// The peer will send nothing more by this session: answer.
    pub(crate) fn peer_ends(&self, session: SessionId, goaway: Goaway) {
        let mut state = self.state();
        state.sessions.peer_ends(session, goaway);
        if state.sessions.owner() == Some(session) {
            state.lanes.peer_has_ended();
        }
        drop(state);
        self.draw_attention();
        self.work.notify_waiters();
    }

    /// Ends all sessions in good order, after what waits has been sent if `drain` is set. Else that is dropped and counted.
    pub(crate) fn end_sessions(&self, drain: bool) {
        let mut state = self.state();
        state.sessions.end_all(drain);
        if drain {
            drop(state);
        } else {
            self.drop_waiting(state);
        }
        self.draw_attention();
        self.work.notify_waiters();
    }

    /// Drops all that waits to be sent.
    fn drop_waiting(&self, mut state: MutexGuard<'_, State>) {
        let dropped = state.lanes.clear();
        state.abandoned = 0;
        for (server, bytes) in dropped.iter().flatten() {
            state.credit.unspend(server, Load::cast(*bytes));
        }
        self.tell_senders(state);
        count(&self.counters.dropped_closed, dropped.len());
        self.calls.fail_unsent(&CallError::NotConnected { node: self.id.clone() });
    }

    /// Ends all sessions after what waits has been sent. Who waits for room is told that none will come.
    pub(crate) fn shut_down(&self) {
        let mut state = self.state();
        state.shuts_down = true;
        state.sends_the_rest = state.sessions.sending();
        state.sessions.end_all(true);
        self.tell_senders(state);
        self.draw_attention();
        self.work.notify_waiters();
    }

    /// The calls of sessions that ended in good order before there was an heir are from now on those of this one.
    fn adopt(&self, state: &mut State, heir: SessionId) {
        let alive = state.sessions.ids();
        self.calls.adopt(|session| !alive.contains(&session), heir);
        for (_, by) in state.inbound.values_mut().filter(|(_, by)| !alive.contains(by)) {
            *by = heir;
        }
    }

    /// A session's tasks have ended, in good order and with a promise of another or not, or because it broke. Calls it
    /// carried pass to its successor if it ended in good order, and fail if it broke. Says also whether it broke after
    /// it had been made.
    pub(crate) fn ended(&self, session: SessionId, end: Result<bool, DownReason>) -> (Ended, bool) {
        let mut state = self.state();
        let _closed_unlocked = state.direct.end(session);
        let Some(over) = state.sessions.remove(session) else { return (Ended::Continues, false) };
        let mut cancelled = Vec::new();
        match end {
            Ok(promised) => {
                state.sessions.closed(session, promised);
                if let Some(heir) = state.sessions.owner() {
                    self.adopt(&mut state, heir);
                }
            }
            Err(_) => {
                let sent_by = state.sessions.broke(session, over);
                state.round_trip.session_lost();
                if sent_by {
                    self.messages_lost(&mut state, session, over.carried);
                }
                cancelled
                    .extend(state.inbound.extract_if(|_, (_, by)| *by == session).map(|(_, call)| call.0));
                self.calls.fail(|by| by == session);
            }
        }
        if !state.sessions.awaits_a_predecessor() {
            state.credit.settled();
        }
        let ended = state.sessions.left(over, end.err());
        self.tell_senders(state);
        // A reply left to a reader that stopped in the middle of a record is sent by another session.
        self.work.notify_waiters();
        for inbound in cancelled {
            inbound.cancel();
        }
        (ended, over.was_made && end.is_err())
    }

    /// A session that messages were sent by broke. What it had begun is dropped and counted; what it had written whole may
    /// have arrived or not, and is counted as that.
    fn messages_lost(&self, state: &mut State, session: SessionId, carried: bool) {
        let cut = state.lanes.session_lost(session, carried);
        count(&self.counters.dropped_lost, cut.len());
        for (server, bytes) in cut.iter().filter_map(|cut| cut.as_ref()) {
            state.credit.refund(server, Load::cast(*bytes));
        }
        let unconfirmed = if carried {
            let waiting = state.lanes.casts().count();
            let written = state.credit.outstanding().messages.saturating_sub(waiting as u64);
            state.recount_credit();
            written
        } else {
            state.credit.lost_before()
        };
        count(&self.counters.casts_unconfirmed, usize::try_from(unconfirmed).unwrap_or(usize::MAX));
    }

    /// No session is left and none has come: what was under way has ended, and what had arrived is handed on now
    /// or never. The peer, if it was known as connected, and why it is not if that is not why its last session ended. The
    /// caller holds [`announcing`](Self::announcing).
    pub(crate) fn declare_down(
        &self,
        dispatch: Option<&dyn Dispatch>,
    ) -> Option<(Arc<Peer>, Option<DownReason>)> {
        let mut state = self.state();
        let withdrawn = state.sessions.withdraw()?;
        let dropped = state.lanes.link_lost(Instant::now());
        state.round_trip.session_lost();
        state.recount_credit();
        let inbound = std::mem::take(&mut state.inbound);
        self.tell_senders(state);
        count(&self.counters.dropped_lost, dropped);
        self.arriving().clear();
        if let Some(dispatch) = dispatch {
            self.end_intake(dispatch);
        }
        self.calls.fail(|_| true);
        for (inbound, _) in inbound.into_values() {
            inbound.cancel();
        }
        self.up.send_replace(false);
        // Of handshakes that wait for it.
        self.work.notify_waiters();
        Some(withdrawn)
    }
}
