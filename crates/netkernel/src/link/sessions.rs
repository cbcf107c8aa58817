//! The sessions of one pair: which one carries messages, and how messages pass from one to the next without loss
//! or disorder.
//!
//! ```text
//! old session   ── m1 ── m2 ── GOAWAY
//! new session                    MARK(old) ── m3 ── m4        the receiver holds m3 until it has read that GOAWAY
//! ```
//!
//! Each direction changes sessions on its own. A session that breaks is named in the MARK as lost: then the
//! receiver gives up what it has not yet read of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lanes::Batch;
use super::{Link, State, count};
use crate::net::{Dispatch, DownReason, Peer};
use crate::node::Role;
use crate::proto::arbiter::{Arbiter, Confirmed, Verdict};
use crate::proto::hello::{Goaway, SessionId};
use crate::proto::mark::{PREDECESSORS_MAX, Predecessor};

/// The sessions of one link.
#[derive(Default)]
pub(super) struct Sessions {
    arbiter: Arbiter,
    live: BTreeMap<SessionId, Live>,
    /// The session that takes messages from the lanes.
    owner: Option<SessionId>,
    /// Sessions this node has sent by, the latest last, and whether each broke.
    before: Vec<Predecessor>,
    /// Sessions that broke, to tell the peer when the next one is made.
    lost: Vec<SessionId>,
    /// The peer, while the layers above know it as connected.
    announced: Option<Arc<Peer>>,
}

struct Live {
    peer: Arc<Peer>,
    /// Nothing more will be read of it.
    drained: CancellationToken,
    kill: Kill,
    part: Part,
}

/// What a session's writer is to do.
enum Part {
    /// Wait until the session is activated.
    Waiting,
    /// Send what the lanes hold, after a MARK that names these.
    Sending { mark: Option<Vec<Predecessor>> },
    /// Send GOAWAY and stop; with `drain`, send what waits first.
    Ending { goaway: Goaway, drain: bool },
    /// It has sent its GOAWAY.
    Ended,
}

/// What a writer finds when it asks for work.
pub(crate) enum Take {
    /// Nothing now.
    Nothing,
    /// The first frame of the session's direction.
    Mark(Vec<Predecessor>),
    /// What waits was put into its batch.
    Batch,
    /// The last frame.
    Goaway(Goaway),
    /// The session is over.
    Gone,
}

/// Ends a session at once, for a reason.
#[derive(Clone, Default)]
pub(crate) struct Kill {
    token: CancellationToken,
    reason: Arc<OnceLock<DownReason>>,
}

impl Kill {
    /// Asks for the end. The first reason given counts.
    pub(crate) fn now(&self, reason: DownReason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Completes when the end is asked for.
    pub(crate) async fn asked(&self) -> DownReason {
        self.token.cancelled().await;
        *self.reason.get_or_init(|| DownReason::LinkLost)
    }
}

/// One session as its tasks hold it.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    pub(crate) id: SessionId,
    pub(crate) peer: Arc<Peer>,
    pub(crate) drained: CancellationToken,
    pub(crate) kill: Kill,
}

/// What the layers above are to be told when a session takes over.
#[derive(Default)]
pub(crate) struct Activated {
    /// An earlier instance of the peer, which was still known as connected.
    pub(crate) replaced: Option<Arc<Peer>>,
    /// The peer, if it was not connected before.
    pub(crate) up: Option<Arc<Peer>>,
}

/// What the end of a session means for the link.
pub(crate) enum Ended {
    /// Another session goes on.
    Continues,
    /// No session is left, but the peer promised one.
    Awaits,
    /// No session is left.
    Last,
}

impl Sessions {
    pub(super) fn owner(&self) -> Option<SessionId> {
        self.owner
    }

    pub(super) fn sending(&self) -> bool {
        self.owner.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    fn set_part(&mut self, session: SessionId, part: Part) {
        if let Some(live) = self.live.get_mut(&session)
            && !matches!(live.part, Part::Ended)
        {
            live.part = part;
        }
    }

    fn sends_by(&mut self, session: SessionId) {
        let mark = Some(self.before.clone());
        self.before.push(Predecessor { session, lost: false });
        if self.before.len() > PREDECESSORS_MAX {
            self.before.remove(0);
        }
        self.owner = Some(session);
        self.set_part(session, Part::Sending { mark });
    }

    fn stops(&mut self, session: SessionId) {
        self.arbiter.ended(session);
        if self.owner == Some(session) {
            self.owner = None;
        }
    }

    fn broke(&mut self, session: SessionId) {
        for before in self.before.iter_mut().filter(|before| before.session == session) {
            before.lost = true;
        }
        self.lost.push(session);
        if self.lost.len() > LOST_MAX {
            self.lost.remove(0);
        }
    }
}

impl Link {
    /// A session is being made: from now on the peer may name it.
    pub(crate) fn register(&self, id: SessionId, peer: &Arc<Peer>) -> SessionHandle {
        let handle = SessionHandle {
            id,
            peer: Arc::clone(peer),
            drained: CancellationToken::new(),
            kill: Kill::default(),
        };
        let live = Live {
            peer: Arc::clone(peer),
            drained: handle.drained.clone(),
            kill: handle.kill.clone(),
            part: Part::Waiting,
        };
        self.state().sessions.live.insert(id, live);
        handle
    }

    /// A session that was being made will not be.
    pub(crate) fn unregister(&self, id: SessionId) {
        if let Some(live) = self.state().sessions.live.remove(&id) {
            live.drained.cancel();
        }
    }

    /// Whether there is a session with a peer of this role, be it only in the making.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.state().sessions.live.values().any(|live| live.peer.role == role)
    }

    /// The session that carries messages now, with its peer.
    pub(crate) fn present(&self) -> Option<(SessionId, Arc<Peer>)> {
        let state = self.state();
        let session = state.sessions.arbiter.present()?.session;
        state.sessions.live.get(&session).map(|live| (session, Arc::clone(&live.peer)))
    }

    /// The sessions that broke on this side, for the peer to give up as well.
    pub(crate) fn lost(&self) -> Vec<SessionId> {
        self.state().sessions.lost.clone()
    }

    /// Ends a session whose peer is dead, and gives what is to be awaited until nothing more is read of it.
    pub(crate) fn kill(&self, session: SessionId, reason: DownReason) -> Option<CancellationToken> {
        let state = self.state();
        let live = state.sessions.live.get(&session)?;
        live.kill.now(reason);
        Some(live.drained.clone())
    }

    /// Ends sessions the peer has lost; what is to be awaited until nothing more is read of them.
    pub(crate) fn give_up(&self, sessions: &[SessionId]) -> Vec<CancellationToken> {
        let state = self.state();
        let live = sessions.iter().filter_map(|session| state.sessions.live.get(session));
        live.map(|live| {
            live.kill.now(DownReason::LinkLost);
            live.drained.clone()
        })
        .collect()
    }

    /// What a receiver has to await before it goes on after a MARK.
    pub(crate) fn predecessors(&self, mark: &[Predecessor], own: SessionId) -> Vec<CancellationToken> {
        let others = || mark.iter().filter(|before| before.session != own);
        let lost: Vec<SessionId> =
            others().filter(|before| before.lost).map(|before| before.session).collect();
        let mut await_end = self.give_up(&lost);
        let state = self.state();
        let ending = others().filter(|before| !before.lost);
        await_end.extend(
            ending
                .filter_map(|before| state.sessions.live.get(&before.session))
                .map(|live| live.drained.clone()),
        );
        await_end
    }

    /// A session was confirmed at both ends: it takes over, or ends.
    pub(crate) fn activate(&self, confirmed: Confirmed) -> Activated {
        let mut state = self.state();
        let known_offline = !state.sessions.sending();
        let sessions = &mut state.sessions;
        if !sessions.live.get(&confirmed.session).is_some_and(|live| matches!(live.part, Part::Waiting)) {
            return Activated::default();
        }
        match sessions.arbiter.confirmed(confirmed) {
            Verdict::First => sessions.sends_by(confirmed.session),
            Verdict::Supersedes(loser) => {
                sessions.set_part(loser, Part::Ending { goaway: Goaway::Superseded, drain: false });
                sessions.sends_by(confirmed.session);
            }
            Verdict::Loses => {
                let part = Part::Ending { goaway: Goaway::Superseded, drain: false };
                sessions.set_part(confirmed.session, part);
            }
        }
        let peer = Arc::clone(&sessions.live[&confirmed.session].peer);
        let known = sessions.announced.replace(Arc::clone(&peer));
        let same = known.as_ref().is_some_and(|known| known.node.incarnation == peer.node.incarnation);
        let replaced = known.filter(|_| !same);
        state.peer = Some(Arc::clone(&peer));
        // What has waited too long is not sent late; what is left no longer waits.
        let expired =
            if known_offline { state.expire(Instant::now(), self.limits.offline_age_max) } else { 0 };
        drop(state);
        count(&self.counters.dropped_expired, expired);
        if replaced.is_some() {
            // What the earlier instance had begun to send will not be completed by this one.
            self.arriving().clear();
        }
        count(&self.counters.sessions, 1);
        self.up.send_replace(true);
        self.work.notify_waiters();
        Activated { replaced, up: (!same).then_some(peer) }
    }

    /// Work for a session's writer.
    pub(crate) fn take(&self, session: SessionId, batch: &mut Batch) -> Take {
        let mut state = self.state();
        let State { sessions, lanes, idle, .. } = &mut *state;
        let Some(live) = sessions.live.get_mut(&session) else { return Take::Gone };
        let drains = match &mut live.part {
            Part::Waiting => {
                *idle = true;
                return Take::Nothing;
            }
            Part::Ended => return Take::Gone,
            Part::Sending { mark } => match mark.take() {
                Some(mark) => return Take::Mark(mark),
                None if !lanes.is_ready() => {
                    *idle = true;
                    return Take::Nothing;
                }
                None => true,
            },
            Part::Ending { drain: true, .. } if !lanes.is_empty() && !lanes.is_ready() => {
                *idle = true;
                return Take::Nothing;
            }
            Part::Ending { drain, .. } => *drain && !lanes.is_empty(),
        };
        if drains {
            lanes.take(batch, session, &self.calls);
            self.tell_senders(state);
            return Take::Batch;
        }
        let Part::Ending { goaway, .. } = std::mem::replace(&mut live.part, Part::Ended) else {
            return Take::Nothing;
        };
        sessions.stops(session);
        Take::Goaway(goaway)
    }

    /// The peer will send nothing more by this session: answer in kind.
    pub(crate) fn peer_ends(&self, session: SessionId) {
        {
            let mut state = self.state();
            state.sessions.stops(session);
            let part = Part::Ending { goaway: Goaway::Superseded, drain: false };
            state.sessions.set_part(session, part);
        }
        self.work.notify_waiters();
    }

    /// Ends all sessions in good order, after what waits has been sent if `drain` is set.
    pub(crate) fn end_sessions(&self, drain: bool) {
        {
            let mut state = self.state();
            let ids: Vec<SessionId> = state.sessions.live.keys().copied().collect();
            for id in ids {
                let owner = state.sessions.owner == Some(id);
                let part = Part::Ending { goaway: Goaway::Closing, drain: drain && owner };
                if matches!(state.sessions.live[&id].part, Part::Waiting) {
                    state.sessions.live[&id].kill.now(DownReason::Disconnected);
                } else {
                    state.sessions.set_part(id, part);
                }
            }
        }
        self.work.notify_waiters();
    }

    /// A session's tasks have ended. Calls it carried pass to its successor if it ended in good order, and fail
    /// if it broke.
    pub(crate) fn ended(&self, session: SessionId, clean: bool, promised: bool) -> Ended {
        let mut state = self.state();
        let Some(live) = state.sessions.live.remove(&session) else { return Ended::Continues };
        live.drained.cancel();
        state.sessions.stops(session);
        let mut cancelled = Vec::new();
        let heir = state.sessions.owner.filter(|_| clean);
        if let Some(heir) = heir {
            self.calls.inherit(session, heir);
            for (_, by) in state.inbound.values_mut().filter(|(_, by)| *by == session) {
                *by = heir;
            }
        } else if !clean {
            state.sessions.broke(session);
            let dropped = state.lanes.session_lost(session);
            state.recount_credit();
            count(&self.counters.dropped_lost, dropped);
            cancelled.extend(state.inbound.extract_if(|_, (_, by)| *by == session).map(|(_, call)| call.0));
            let alive: Vec<SessionId> = state.sessions.live.keys().copied().collect();
            self.calls.fail_unless(|by| by.is_none_or(|by| alive.contains(&by)), &self.id);
        }
        let sending = state.sessions.sending();
        let announced = state.sessions.announced.is_some();
        self.tell_senders(state);
        for inbound in cancelled {
            inbound.cancel();
        }
        match (sending, clean && promised) {
            (true, _) => Ended::Continues,
            _ if !announced => Ended::Continues,
            (false, true) => Ended::Awaits,
            (false, false) => Ended::Last,
        }
    }

    /// No session is left and none has come: what was under way has ended, and what had arrived is handed on now
    /// or never. The peer, if it was known as connected.
    pub(crate) fn declare_down(&self, dispatch: Option<&dyn Dispatch>) -> Option<Arc<Peer>> {
        let mut state = self.state();
        if state.sessions.sending() {
            return None;
        }
        let peer = state.sessions.announced.take()?;
        let dropped = state.lanes.link_lost(Instant::now());
        state.recount_credit();
        let inbound = std::mem::take(&mut state.inbound);
        self.tell_senders(state);
        count(&self.counters.dropped_lost, dropped);
        self.arriving().clear();
        if let Some(dispatch) = dispatch {
            self.end_intake(dispatch);
        }
        self.calls.fail_unless(|session| session.is_none(), &self.id);
        for (inbound, _) in inbound.into_values() {
            inbound.cancel();
        }
        self.up.send_replace(false);
        Some(peer)
    }
}

/// Broken sessions remembered for the peer.
const LOST_MAX: usize = 8;
