//! One end of a pair: what `handover` and the tasks of a session do around the machine of `sessions`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::super::handle::SessionHandle;
use super::super::part::{Confirmation, Ended, Step, Waiting};
use super::super::sessions::Sessions;
use super::{Frame, Way};
use crate::net::{DownReason, Peer};
use crate::node::{Address, Incarnation, Node, NodeId, Role};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{Goaway, SessionId};
use crate::proto::mark::Predecessor;

/// How a half of a session ended: by this GOAWAY, or not.
type HalfEnd = Result<Goaway, ()>;

/// A session at one end, with what its tasks have come to.
pub(super) struct One {
    handle: SessionHandle,
    confirmed: Confirmed,
    /// Which run of itself this end was when it was asked for.
    own: u64,
    /// It takes over once the peer is heard on it.
    when_heard: bool,
    /// What its reader waits for, after a MARK.
    holds: Vec<CancellationToken>,
    read: Option<HalfEnd>,
    written: Option<HalfEnd>,
}

/// What is left to do about the end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Wait for the session that the peer goes on by.
    AwaitHeir,
    DeclareDown,
}

#[derive(Default)]
pub(super) struct End {
    pub(super) sessions: Sessions,
    pub(super) ones: BTreeMap<SessionId, One>,
    left: Vec<Left>,
    pub(super) incarnation: u64,
    pub(super) dialed: u64,
    /// Messages that wait, and whether they were queued while there was no session to send them.
    pub(super) queue: VecDeque<(u32, bool)>,
    pub(super) next: u32,
    /// Those that were written, by a session that another has taken over from if it is set.
    written: BTreeMap<u32, bool>,
    /// Those of which the layers above were told that they may be lost.
    pub(super) told: BTreeSet<u32>,
    pub(super) arrived: Vec<u32>,
    /// Whether the layers above know the other end as connected.
    pub(super) is_up: bool,
}

/// Whether the other end may have a session beside those that there are.
pub(super) enum Settled {
    Admitted,
    /// The link ends first.
    Waits,
    Refused,
}

impl End {
    /// Whether the other end, being of this run, may have a session.
    pub(super) fn settle(&mut self, incarnation: u64) -> Settled {
        if self.sessions.is_ending() {
            return Settled::Waits;
        }
        match self.sessions.announced() {
            Some((known, _)) if known.node.incarnation.0 > incarnation => Settled::Refused,
            Some((known, _)) if known.node.incarnation.0 < incarnation => {
                self.sessions.is_over();
                Settled::Waits
            }
            _ => Settled::Admitted,
        }
    }

    pub(super) fn register(&mut self, confirmed: Confirmed, incarnation: u64) -> Option<SessionHandle> {
        self.sessions.register(confirmed.session, &other(incarnation), INSTANCE)
    }

    /// Whether these sessions have ended, and if they were the last, that was told.
    pub(super) fn have_ended(&self, sessions: &[SessionId]) -> bool {
        !self.sessions.is_ending() && !sessions.iter().any(|&session| self.sessions.contains(session))
    }

    /// Begins the tasks of a session, which takes over at once or when the peer is heard on it.
    pub(super) fn start(&mut self, handle: SessionHandle, confirmed: Confirmed, own: u64, when_heard: bool) {
        let id = handle.id;
        let one = One { handle, confirmed, own, when_heard, holds: Vec::new(), read: None, written: None };
        self.ones.insert(id, one);
        if !when_heard {
            self.activate(confirmed, own);
        }
    }

    fn activate(&mut self, confirmed: Confirmed, own: u64) {
        let was_offline = !self.sessions.sending();
        let was_ending = self.sessions.is_ending();
        if let Confirmation::TakesOver { is_new, .. } = self.sessions.confirmed(confirmed) {
            assert!(!was_ending, "nothing follows before the end is told");
            assert_eq!(is_new, !self.is_up, "it is told of as it is");
            if !was_offline || self.sessions.awaits_a_predecessor() {
                self.written.values_mut().for_each(|before| *before = true);
            }
            self.queue.iter_mut().for_each(|(_, waits)| *waits = false);
            self.is_up = true;
        }
        if self.incarnation != own {
            self.sessions.end_all(true);
        }
    }

    pub(super) fn cast(&mut self) {
        let online = self.sessions.sending() && !self.sessions.drains();
        self.queue.push_back((self.next, !online));
        self.next += 1;
    }

    /// A step of a session's writer; false if it has nothing to do.
    pub(super) fn write(&mut self, id: SessionId, way: &mut Way) -> bool {
        let Some(one) = self.ones.get_mut(&id).filter(|one| one.written.is_none()) else { return false };
        let older = !self.sessions.drains() || self.queue.front().is_some_and(|(_, waits)| !waits);
        let waiting = match self.queue.is_empty() {
            true => Waiting::Nothing,
            false if older => Waiting::Ready,
            false => Waiting::Newer,
        };
        let owner = self.sessions.owner();
        match self.sessions.step(id, waiting) {
            Step::Nothing => return false,
            Step::Gone => one.written = Some(Err(())),
            Step::Mark(before) => way.put(Frame::Mark(before)),
            Step::Messages => {
                assert_eq!(owner, Some(id), "one session at most carries messages");
                for (message, _) in self.queue.drain(..) {
                    way.put(Frame::Message(message));
                    self.written.insert(message, false);
                }
            }
            Step::Goaway(goaway) => {
                way.put(Frame::Goaway(goaway));
                way.ended = true;
                one.written = Some(Ok(goaway));
            }
        }
        if way.is_broken {
            one.written = Some(Err(()));
        }
        true
    }

    /// A step of a session's reader; false if it has nothing to do.
    pub(super) fn read(&mut self, id: SessionId, way: &mut Way) -> bool {
        let Some(one) = self.ones.get_mut(&id).filter(|one| one.read.is_none()) else { return false };
        if one.holds.iter().any(|drained| !drained.is_cancelled()) {
            return false;
        }
        one.holds.clear();
        if one.when_heard && (one.handle.kill.is_asked() || self.sessions.is_ending()) {
            return false;
        }
        let Some(frame) = way.frames.pop_front() else {
            if way.ended {
                one.read = Some(Err(()));
                one.handle.drained.cancel();
            }
            return way.ended;
        };
        if std::mem::take(&mut one.when_heard) {
            let (confirmed, own) = (one.confirmed, one.own);
            self.activate(confirmed, own);
        }
        let Some(one) = self.ones.get_mut(&id) else { return true };
        if one.handle.kill.is_asked() {
            return false;
        }
        match frame {
            Frame::Mark(before) => one.holds = predecessors(&self.sessions, &before, id),
            Frame::Message(message) => {
                assert!(self.is_up, "{message} arrived while its sender is not told of as connected");
                assert!(self.sessions.is_link_of(&one.handle.peer, INSTANCE), "{message} is of another run");
                let last = self.arrived.last();
                assert!(last.is_none_or(|last| *last < message), "{message} after {last:?}");
                self.arrived.push(message);
            }
            Frame::Goaway(goaway) => {
                self.sessions.peer_ends(id, goaway);
                one.handle.drained.cancel();
                one.read = Some(Ok(goaway));
            }
        }
        true
    }

    /// Sees whether a session has ended, or is to be taken for it because its peer does not answer; gives whether it broke.
    pub(super) fn end(&mut self, id: SessionId, impatient: bool) -> Option<bool> {
        let one = self.ones.get(&id)?;
        let end = match (one.handle.kill.is_asked(), one.read, one.written) {
            (true, ..) | (_, Some(Err(())), _) | (_, _, Some(Err(()))) => Err(DownReason::LinkLost),
            (_, Some(Ok(theirs)), Some(Ok(ours))) => {
                Ok(theirs == Goaway::Superseded && ours == Goaway::Superseded)
            }
            (_, None, Some(Ok(_))) if impatient => Err(DownReason::LinkLost),
            _ => return None,
        };
        self.ones.remove(&id);
        self.ended(id, end);
        Some(end.is_err())
    }

    fn ended(&mut self, id: SessionId, end: Result<bool, DownReason>) {
        let Some(over) = self.sessions.remove(id) else { return };
        match end {
            Ok(promised) => self.sessions.closed(id, promised),
            Err(_) if self.sessions.broke(id, over) => {
                let lost = self.written.iter().filter(|(_, before)| over.carried || **before);
                self.told.extend(lost.map(|(message, _)| message));
            }
            Err(_) => {}
        }
        if !self.sessions.awaits_a_predecessor() {
            self.written.values_mut().for_each(|before| *before = false);
        }
        match self.sessions.left(over, end.err()) {
            Ended::Continues => {}
            Ended::Awaits => self.left.push(Left::AwaitHeir),
            Ended::Last => self.left.push(Left::DeclareDown),
        }
    }

    /// What is left to do about ended sessions; false if that is nothing now.
    pub(super) fn finish(&mut self) -> bool {
        let is_ready = |left: &Left| *left == Left::DeclareDown || !self.sessions.awaits_heir();
        let Some(at) = self.left.iter().position(is_ready) else { return false };
        self.left.remove(at);
        if self.sessions.withdraw().is_some() {
            assert!(self.is_up, "it is told as down after it was told as up");
            self.is_up = false;
            self.told.extend(self.written.keys());
            self.queue.iter_mut().for_each(|(_, waits)| *waits = true);
        }
        true
    }

    pub(super) fn set_incarnation(&mut self) {
        self.incarnation += 1;
        if self.sessions.has(Role::Node) {
            self.sessions.end_all(true);
        }
    }

    pub(super) fn assert_nothing_left(&self) {
        assert_eq!((self.sessions.len(), self.sessions.owner()), (0, None));
        assert!(!self.sessions.is_announced() && !self.sessions.is_ending() && !self.is_up);
        assert!(!self.sessions.awaits_heir() && !self.sessions.awaits_a_predecessor());
        assert!(self.ones.is_empty() && self.left.is_empty());
    }
}

fn other(incarnation: u64) -> Arc<Peer> {
    let address = Address::new("other", 1).expect("a good address");
    let id = NodeId::new("other").expect("a good id");
    let node = Node { id, address, incarnation: Incarnation(incarnation) };
    Arc::new(Peer { node, role: Role::Node })
}

fn predecessors(sessions: &Sessions, mark: &[Predecessor], own: SessionId) -> Vec<CancellationToken> {
    let others = mark.iter().filter(|before| before.session != own);
    let token = |before: &Predecessor| {
        if before.lost { sessions.lost_at_peer(before.session) } else { sessions.drained(before.session) }
    };
    others.filter_map(token).collect()
}

/// The one kernel at the other end.
pub(super) const INSTANCE: u64 = 7;
