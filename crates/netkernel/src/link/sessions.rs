//! The sessions of one pair as a machine: which one carries messages, and what each one's writer does next, so that
//! messages pass from one to the next without loss or disorder. It neither locks nor waits: `handover` does.
//!
//! ```text
//! old session   ── m1 ── m2 ── GOAWAY
//! new session                    MARK(old) ── m3 ── m4        the receiver holds m3 until it has read that GOAWAY
//! ```
//!
//! Each direction changes sessions on its own. A session that breaks is named in the MARK as lost: then the
//! receiver gives up what it has not yet read of it. If it breaks only after this end has sent its GOAWAY, the other
//! end may have ended it in good order and take all it sent for read: it is told by a further MARK, and the link ends.
//!
//! A link is of one peer: one kernel, in one role and one run of itself. It is announced to the layers above when its first
//! session takes over, and ends when the last one has ended, so that nothing arrives after its end was told. That is certain
//! once either end closes it, the session that sends breaks, or no session is left that may follow. From then until it was
//! told no session is made or takes over: it would pass for a successor at one end, and at the other for the first of a new
//! link. Nor does one of another peer before: what the first was sent and has sent is none of the other's.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ending::Ending;
use super::handle::{Kill, SessionHandle};
use super::part::{Confirmation, Live, Over, Part, Step, Waiting};
use crate::net::{DownReason, Peer};
use crate::node::Role;
use crate::proto::arbiter::{Arbiter, Confirmed, Verdict};
use crate::proto::hello::{Goaway, SessionId};
use crate::proto::mark::{PREDECESSORS_MAX, Predecessor};

/// The sessions of one link.
#[derive(Default)]
pub(super) struct Sessions {
    arbiter: Arbiter,
    pub(super) live: BTreeMap<SessionId, Live>,
    /// The session that takes messages from the lanes.
    pub(super) owner: Option<SessionId>,
    /// It ends when it has sent those that waited.
    draining: bool,
    /// Sessions this node has sent by, the latest last, and whether each broke.
    pub(super) before: Vec<Predecessor>,
    /// Sessions that broke, to tell the peer when the next one is made.
    pub(super) lost: Vec<SessionId>,
    /// Those of them that the peer may have ended in good order: the next MARK names them.
    pub(super) untold: Vec<SessionId>,
    /// Sessions that ended in good order since the link was last made: the peer may yet find that one broke.
    pub(super) closed: Vec<SessionId>,
    /// Whose link it is: the peer, while the layers above know it as connected, and which kernel it is.
    announced: Option<(Arc<Peer>, u64)>,
    pub(super) ending: Ending,
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

    /// A session with this instance of the peer is being made: from now on the peer may name it. `None` if one of this
    /// id exists: it is drawn by the accepting end, which may lie.
    pub(super) fn register(
        &mut self,
        id: SessionId,
        peer: &Arc<Peer>,
        instance: u64,
    ) -> Option<SessionHandle> {
        if self.live.contains_key(&id) {
            return None;
        }
        let handle = SessionHandle {
            id,
            peer: Arc::clone(peer),
            drained: CancellationToken::new(),
            kill: Kill::default(),
        };
        let live = Live {
            peer: Arc::clone(peer),
            instance,
            drained: handle.drained.clone(),
            kill: handle.kill.clone(),
            part: Part::Waiting,
            in_a_hurry: false,
            is_marked: false,
        };
        self.live.insert(id, live);
        Some(handle)
    }

    /// A session is over, or will not be made: nothing more is read of it.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Over> {
        let live = self.live.remove(&id)?;
        live.drained.cancel();
        let last = self.before.last().map(|before| before.session);
        let over = Over {
            was_made: live.is_made(),
            carried: self.owner.or(last) == Some(id),
            said_goaway: matches!(live.part, Part::Ended),
        };
        self.stops(id);
        Some(over)
    }

    /// Whether there is a session with a peer of this role, be it only in the making.
    pub(super) fn has(&self, role: Role) -> bool {
        self.live.values().any(|live| live.peer.role == role)
    }

    /// Whether a session would lose against the present one if it were confirmed now.
    pub(super) fn outranks(&self, newcomer: Confirmed) -> bool {
        self.arbiter.outranks(newcomer)
    }

    /// The sessions that broke on this side.
    pub(super) fn lost(&self) -> Vec<SessionId> {
        self.lost.clone()
    }

    /// Whether a session exists, be it only in the making.
    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.live.contains_key(&session)
    }

    /// Those that exist, the ones in the making included.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    /// Whose link it is, while the layers above know that peer as connected, and which kernel that is.
    pub(super) fn announced(&self) -> Option<(Arc<Peer>, u64)> {
        self.announced.clone()
    }

    /// Whether the layers above know the peer as connected.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// Whether the link ends, which is not told yet.
    pub(super) fn is_ending(&self) -> bool {
        self.is_announced() && (self.ending.is_certain() || !self.goes_on())
    }

    /// Whether there is a session that carries messages, still brings some, or may take over.
    fn goes_on(&self) -> bool {
        self.sending() || self.awaits_heir() || self.live.values().any(Live::is_made)
    }

    /// Whether the link, if there is one, is that of this run of this kernel.
    pub(super) fn is_link_of(&self, peer: &Peer, instance: u64) -> bool {
        self.announced.as_ref().is_none_or(|(known, of)| {
            (*of, known.role, known.node.incarnation) == (instance, peer.role, peer.node.incarnation)
        })
    }

    /// The layers above are about to be told that the peer is not connected any more, and for which reason if it is not
    /// that of the last session's end; not while messages may still come of it.
    pub(super) fn withdraw(&mut self) -> Option<(Arc<Peer>, Option<DownReason>)> {
        if self.sending() || self.live.values().any(Live::is_made) {
            return None;
        }
        let (peer, _) = self.announced.take()?;
        self.closed.clear();
        Some((peer, std::mem::take(&mut self.ending).reason()))
    }

    /// Ends sessions that this instance of the peer has lost; those that exist are given.
    pub(super) fn give_up(&self, instance: u64, lost: &[SessionId]) -> Vec<SessionId> {
        let of_it = self.live.iter().filter(|(id, live)| live.instance == instance && lost.contains(id));
        let killed = of_it.map(|(id, live)| {
            live.kill.now(DownReason::LinkLost);
            *id
        });
        killed.collect()
    }

    /// Ends a session at once, and gives what completes when nothing more is read of it.
    fn kill(&self, session: SessionId, reason: DownReason) -> Option<CancellationToken> {
        let live = self.live.get(&session)?;
        live.kill.now(reason);
        Some(live.drained.clone())
    }

    /// The kernel whose link this is was found dead: the link ends at once.
    pub(super) fn is_dead(&mut self, instance: u64) {
        if self.announced.as_ref().is_some_and(|(_, of)| *of == instance) {
            self.ending.closes(DownReason::Restarted);
            self.live.values().for_each(|live| live.kill.now(DownReason::Restarted));
        }
    }

    /// The peer has become a later run of itself: the link of the earlier ends in good order.
    pub(super) fn is_over(&mut self) {
        if self.is_announced() {
            self.ending.closes(DownReason::Restarted);
        }
        self.end_all(true);
    }

    /// Ends all sessions, because one was lost that had ended here in good order.
    fn kill_all(&self) {
        self.live.values().for_each(|live| live.kill.now(DownReason::LinkLost));
    }

    /// The peer has lost a session: it ends here too, and what is given completes when nothing more is read of it. If it
    /// has ended already, and what was sent by it passes for read and its calls for those of the present one, the
    /// link ends.
    pub(super) fn lost_at_peer(&self, session: SessionId) -> Option<CancellationToken> {
        if self.closed.contains(&session) {
            self.kill_all();
        }
        self.kill(session, DownReason::LinkLost)
    }

    /// The peer has sent a MARK by a session: it sends by it from now on.
    pub(super) fn marks(&mut self, session: SessionId) {
        if let Some(live) = self.live.get_mut(&session) {
            live.is_marked = true;
        }
    }

    /// The peer sends by this session and knows of none that it has sent by before: it has forgotten their link since, so
    /// they are lost. What completes when nothing more is read of them.
    pub(super) fn forgotten(&self, session: SessionId) -> Vec<CancellationToken> {
        let before = self.live.iter().filter(|(id, live)| **id != session && live.is_marked);
        before.filter_map(|(id, _)| self.kill(*id, DownReason::LinkLost)).collect()
    }

    /// What completes when nothing more is read of a session, if it exists.
    pub(super) fn drained(&self, session: SessionId) -> Option<CancellationToken> {
        self.live.get(&session).map(|live| live.drained.clone())
    }

    /// A session was confirmed at both ends: it takes over, or ends.
    pub(super) fn confirmed(&mut self, confirmed: Confirmed) -> Confirmation {
        let live = self.live.get(&confirmed.session);
        let Some(live) = live.filter(|live| !live.is_made() && !live.kill.is_asked()) else {
            return Confirmation::Unknown;
        };
        let (peer, instance) = (Arc::clone(&live.peer), live.instance);
        if self.is_ending() || !self.is_link_of(&peer, instance) {
            // It was not so when the newcomer was let in. When that comes again, it will find how things stand.
            live.kill.now(DownReason::LinkLost);
            return Confirmation::Unknown;
        }
        match self.arbiter.confirmed(confirmed) {
            Verdict::First => self.sends_by(confirmed.session),
            Verdict::Supersedes(loser) => {
                self.end(loser, Goaway::Superseded, false);
                self.sends_by(confirmed.session);
            }
            Verdict::Loses => {
                self.end(confirmed.session, Goaway::Superseded, false);
                return Confirmation::Loses;
            }
        }
        self.ending.goes_on();
        let is_new = self.announced.replace((Arc::clone(&peer), instance)).is_none();
        Confirmation::TakesOver { peer, is_new }
    }

    /// Whether a session sends messages, and its MARK is sent.
    pub(super) fn is_sending(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| matches!(live.part, Part::Sending { mark: None }))
    }

    /// What a session's writer does next, given what waits.
    pub(super) fn step(&mut self, session: SessionId, waiting: Waiting) -> Step {
        let step = self.next_step(session, waiting);
        if let Step::Mark(named) = &step {
            self.untold.retain(|lost| named.iter().all(|before| before.session != *lost));
            if !self.untold.is_empty() {
                self.mark_again();
            }
        }
        step
    }

    fn next_step(&mut self, session: SessionId, waiting: Waiting) -> Step {
        let Some(live) = self.live.get_mut(&session) else { return Step::Gone };
        match &mut live.part {
            Part::Waiting => Step::Nothing,
            Part::Ended => Step::Gone,
            Part::Sending { mark } => match mark.take() {
                Some(mark) => Step::Mark(mark),
                None if matches!(waiting, Waiting::Ready | Waiting::Newer) => Step::Messages,
                None => Step::Nothing,
            },
            Part::Ending { drain: true, mark, .. } if waiting == Waiting::Ready => {
                mark.take().map_or(Step::Messages, Step::Mark)
            }
            Part::Ending { drain: true, .. } if waiting == Waiting::HeldUp => Step::Nothing,
            // What came later waits for the next session, or this one would not end under a steady sender; one more turn
            // takes the answers among it along.
            Part::Ending { drain: drain @ true, mark: None, .. } if waiting == Waiting::Newer => {
                *drain = false;
                self.draining = false;
                Step::Messages
            }
            Part::Ending { goaway, .. } => {
                let goaway = *goaway;
                live.part = Part::Ended;
                self.stops(session);
                Step::Goaway(goaway)
            }
        }
    }

    /// The peer will send nothing more by this session: answer.
    pub(super) fn peer_ends(&mut self, session: SessionId, goaway: Goaway) {
        if goaway == Goaway::Closing {
            self.ending.closes(DownReason::Closed);
            // The other end confirms none of them any more, or would take it for the first of a new link.
            let waiting = self.live.values().filter(|live| !live.is_made());
            waiting.for_each(|live| live.kill.now(DownReason::Closed));
        }
        if self.live.get(&session).is_some_and(|live| matches!(live.part, Part::Ending { drain: true, .. })) {
            // The peer reads on until it has this end's GOAWAY.
            return;
        }
        self.stops(session);
        self.end(session, Goaway::Superseded, false);
    }

    /// Whether a session was told to end, and whether nothing more is to be sent by it.
    pub(super) fn ends(&self, session: SessionId) -> Option<bool> {
        let live = self.live.get(&session)?;
        matches!(live.part, Part::Ending { .. } | Part::Ended).then_some(live.in_a_hurry)
    }

    /// Whether the session that takes messages from the lanes ends when it has sent those that waited.
    pub(super) fn drains(&self) -> bool {
        self.draining
    }

    /// Ends all sessions in good order, after what waits has been sent if `drain` is set.
    pub(super) fn end_all(&mut self, drain: bool) {
        if self.is_announced() {
            self.ending.closes(DownReason::Disconnected);
        }
        for id in self.ids() {
            let owner = self.owner == Some(id);
            match self.live.get_mut(&id) {
                Some(live) if live.is_made() => {
                    live.in_a_hurry |= !drain;
                    self.end(id, Goaway::Closing, drain && owner);
                }
                Some(live) => live.kill.now(DownReason::Disconnected),
                None => {}
            }
        }
    }

    /// A session is to send its GOAWAY, unless it has.
    fn end(&mut self, session: SessionId, goaway: Goaway, drain: bool) {
        let Some(live) = self.live.get_mut(&session) else { return };
        let mark = match &mut live.part {
            Part::Ended => return,
            Part::Sending { mark } | Part::Ending { mark, .. } => mark.take(),
            Part::Waiting => None,
        };
        live.part = Part::Ending { goaway, drain, mark };
        if self.owner == Some(session) {
            self.draining = drain;
        }
    }

    fn sends_by(&mut self, session: SessionId) {
        let mark = Some(self.mark(session));
        self.before.push(Predecessor { session, lost: false });
        if self.before.len() > PREDECESSORS_MAX {
            self.before.remove(0);
        }
        self.owner = Some(session);
        self.draining = false;
        if let Some(live) = self.live.get_mut(&session) {
            live.part = Part::Sending { mark };
        }
    }

    fn stops(&mut self, session: SessionId) {
        self.arbiter.ended(session);
        if self.owner == Some(session) {
            self.owner = None;
            self.draining = false;
        }
    }
}
