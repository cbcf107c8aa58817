//! The sessions of one pair as a machine: which one carries messages, and what each one's writer does next, so that
//! messages pass from one to the next without loss or disorder. It neither locks nor waits: `handover` does.
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

use tokio_util::sync::CancellationToken;

use crate::net::{DownReason, Peer};
use crate::node::Role;
use crate::proto::arbiter::{Arbiter, Confirmed, Verdict};
use crate::proto::hello::{self, Goaway, SessionId};
use crate::proto::mark::{PREDECESSORS_MAX, Predecessor};

/// The sessions of one link.
#[derive(Default)]
pub(super) struct Sessions {
    arbiter: Arbiter,
    live: BTreeMap<SessionId, Live>,
    /// The session that takes messages from the lanes.
    owner: Option<SessionId>,
    /// It ends when it has sent those that waited.
    draining: bool,
    /// Sessions this node has sent by, the latest last, and whether each broke.
    before: Vec<Predecessor>,
    /// Sessions that broke, to tell the peer when the next one is made.
    lost: Vec<SessionId>,
    /// The peer, while the layers above know it as connected, and which kernel it is.
    announced: Option<(Arc<Peer>, u64)>,
}

struct Live {
    peer: Arc<Peer>,
    /// Which kernel it is: of two that use one id, one is a namesake or a successor of the other.
    instance: u64,
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
    /// Send GOAWAY and stop; with `drain`, send what waits first, after the MARK if that has not been sent yet.
    Ending { goaway: Goaway, drain: bool, mark: Option<Vec<Predecessor>> },
    /// It has sent its GOAWAY.
    Ended,
}

/// Whether messages wait to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// None.
    Nothing,
    /// Only such as must wait until the peer has read what it was sent before.
    HeldUp,
    /// Some may be sent now.
    Ready,
    /// Some may be sent now, but all of them came after the session was told to end.
    Newer,
}

/// What a session's writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Nothing,
    /// The first frame of the session's direction.
    Mark(Vec<Predecessor>),
    /// Messages that wait.
    Messages,
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

    fn is_asked(&self) -> bool {
        self.token.is_cancelled()
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

/// What became of a session that was confirmed.
pub(super) enum Confirmation {
    /// Nothing: it was confirmed before, or is over.
    Unknown,
    /// It ends.
    Loses,
    /// It takes over.
    TakesOver {
        /// Its peer.
        peer: Arc<Peer>,
        /// An earlier instance of the peer, which the layers above knew as connected until now.
        replaced: Option<Arc<Peer>>,
        /// They did not know this instance as connected.
        is_new: bool,
    },
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
        };
        self.live.insert(id, live);
        Some(handle)
    }

    /// A session is over, or will not be made: nothing more is read of it.
    pub(super) fn remove(&mut self, id: SessionId) -> bool {
        let Some(live) = self.live.remove(&id) else { return false };
        live.drained.cancel();
        self.stops(id);
        true
    }

    /// Whether there is a session with a peer of this role, be it only in the making.
    pub(super) fn has(&self, role: Role) -> bool {
        self.live.values().any(|live| live.peer.role == role)
    }

    /// The session that carries messages now, with its peer and which instance that is.
    pub(super) fn present(&self) -> Option<(SessionId, Arc<Peer>, u64)> {
        let session = self.arbiter.present()?.session;
        self.live.get(&session).map(|live| (session, Arc::clone(&live.peer), live.instance))
    }

    /// Whether a session would lose against the present one if it were confirmed now.
    pub(super) fn outranks(&self, newcomer: Confirmed) -> bool {
        self.arbiter.outranks(newcomer)
    }

    /// The sessions that broke on this side.
    pub(super) fn lost(&self) -> Vec<SessionId> {
        self.lost.clone()
    }

    /// Those that exist, the ones in the making included.
    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.live.keys().copied().collect()
    }

    /// Whether the layers above know the peer as connected.
    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// The layers above are about to be told that the peer is not connected any more.
    pub(super) fn withdraw(&mut self) -> Option<Arc<Peer>> {
        self.announced.take().map(|(peer, _)| peer)
    }

    /// Ends a session at once, and gives what completes when nothing more is read of it.
    pub(super) fn kill(&self, session: SessionId, reason: DownReason) -> Option<CancellationToken> {
        let live = self.live.get(&session)?;
        live.kill.now(reason);
        Some(live.drained.clone())
    }

    /// What completes when nothing more is read of a session, if it exists.
    pub(super) fn drained(&self, session: SessionId) -> Option<CancellationToken> {
        self.live.get(&session).map(|live| live.drained.clone())
    }

    /// A session was confirmed at both ends: it takes over, or ends.
    pub(super) fn confirmed(&mut self, confirmed: Confirmed) -> Confirmation {
        let live = self.live.get(&confirmed.session).filter(|live| matches!(live.part, Part::Waiting));
        let Some(live) = live else { return Confirmation::Unknown };
        let (peer, instance) = (Arc::clone(&live.peer), live.instance);
        if let Some((present, ..)) = self.present().filter(|(.., other)| *other != instance) {
            if !self.live[&present].kill.is_asked() {
                // It was not there when the newcomer was let in. When that comes again, it will be found and probed.
                live.kill.now(DownReason::Restarted);
                return Confirmation::Loses;
            }
            self.over(present);
        }
        match self.arbiter.confirmed(confirmed) {
            Verdict::First => self.sends_by(confirmed.session),
            Verdict::Supersedes(loser) => {
                self.ends(loser, Goaway::Superseded, false);
                self.sends_by(confirmed.session);
            }
            Verdict::Loses => {
                self.ends(confirmed.session, Goaway::Superseded, false);
                return Confirmation::Loses;
            }
        }
        let known = self.announced.replace((Arc::clone(&peer), instance));
        let replaced = known
            .as_ref()
            .filter(|(known, of)| *of != instance || known.node.incarnation != peer.node.incarnation);
        let (replaced, is_new) = (replaced.map(|(known, _)| Arc::clone(known)), known.is_none());
        Confirmation::TakesOver { peer, is_new: is_new || replaced.is_some(), replaced }
    }

    /// Whether a session sends messages, and its MARK is sent.
    pub(super) fn is_sending(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| matches!(live.part, Part::Sending { mark: None }))
    }

    /// What a session's writer does next, given what waits.
    pub(super) fn step(&mut self, session: SessionId, waiting: Waiting) -> Step {
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

    /// The peer will send nothing more by this session: answer in kind.
    pub(super) fn peer_ends(&mut self, session: SessionId) {
        self.stops(session);
        self.ends(session, Goaway::Superseded, false);
    }

    /// Whether the session that takes messages from the lanes ends when it has sent those that waited.
    pub(super) fn drains(&self) -> bool {
        self.draining
    }

    /// Ends all sessions in good order, after what waits has been sent if `drain` is set.
    pub(super) fn end_all(&mut self, drain: bool) {
        for id in self.ids() {
            let owner = self.owner == Some(id);
            if matches!(self.live[&id].part, Part::Waiting) {
                self.live[&id].kill.now(DownReason::Disconnected);
            } else {
                self.ends(id, Goaway::Closing, drain && owner);
            }
        }
    }

    /// A session is to send its GOAWAY, unless it has.
    fn ends(&mut self, session: SessionId, goaway: Goaway, drain: bool) {
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
        let mark = Some(self.before.clone());
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

    /// Nothing more is sent by a session that was found dead.
    fn over(&mut self, session: SessionId) {
        if let Some(live) = self.live.get_mut(&session) {
            live.part = Part::Ended;
        }
        self.stops(session);
    }

    fn stops(&mut self, session: SessionId) {
        self.arbiter.ended(session);
        if self.owner == Some(session) {
            self.owner = None;
            self.draining = false;
        }
    }

    /// A session ended without its GOAWAY. True if this node had sent by it.
    pub(super) fn broke(&mut self, session: SessionId) -> bool {
        let mut sent_by = false;
        for before in self.before.iter_mut().filter(|before| before.session == session) {
            before.lost = true;
            sent_by = true;
        }
        self.lost.push(session);
        if self.lost.len() > LOST_MAX {
            self.lost.remove(0);
        }
        sent_by
    }

    /// Whether a session that another has taken over from has not ended yet.
    pub(super) fn awaits_a_predecessor(&self) -> bool {
        let sent_by = |id: &SessionId| self.before.iter().any(|before| before.session == *id);
        self.live.keys().any(|id| self.owner != Some(*id) && sent_by(id))
    }
}

/// Broken sessions remembered for the peer: as many as it takes in.
const LOST_MAX: usize = hello::LOST_MAX;
