//! Everything this node holds for one peer: what waits to be sent, the calls under way in both directions, and
//! the sessions. A link outlives its sessions, so that messages wait for the next one.

mod calls;
mod lanes;
mod sessions;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use lanes::{Control, Piece, Verdict};
pub(crate) use sessions::{Activated, Ended, SessionHandle, Take};

use self::calls::PendingCalls;
use self::lanes::{Lanes, Message, Subject};
use self::sessions::Sessions;
use crate::call::{CallId, Inbound, ReplySink, ReplySlot};
use crate::config::Limits;
use crate::error::{CallError, Refusal, SendError, Stage};
use crate::net::{Peer, PeerStatus, Traffic};
use crate::node::{Address, NodeId, ServerName};
use crate::proto::hello::SessionId;
use crate::proto::reassembly::Reassembly;
use crate::proto::refusal;

/// One peer.
pub(crate) struct Link {
    id: NodeId,
    limits: Limits,
    state: Mutex<State>,
    calls: PendingCalls,
    /// The peer's messages that are still arriving. They may begin on one session and end on its successor.
    arriving: Mutex<Reassembly<Arriving>>,
    /// Held while a session to this peer is being made by dialing, so that this node makes one at a time.
    pub(crate) dialing: tokio::sync::Mutex<()>,
    /// How many tasks are about to give this link a session or a wish; changed under the lock of all links.
    pub(crate) visitors: AtomicUsize,
    /// Wakes the writers: there is something to take, or a session's part has changed.
    pub(crate) work: Notify,
    /// Wakes senders that wait for room.
    room: Notify,
    /// Whether a session carries messages now.
    pub(crate) up: watch::Sender<bool>,
    pub(crate) counters: Counters,
}

struct State {
    lanes: Lanes,
    sessions: Sessions,
    /// Calls of the peer that are being executed here, with the session they are answered by.
    inbound: HashMap<CallId, (Arc<Inbound>, SessionId)>,
    wish: Option<Wish>,
    /// The last peer a session was made with.
    peer: Option<Arc<Peer>>,
    round_trip: Option<Duration>,
    closed: bool,
}

/// What a message that is still arriving is.
pub(crate) enum Arriving {
    Cast { server: ServerName },
    Call { id: CallId, server: ServerName, deadline: Instant },
    Reply { id: CallId, refused: bool },
}

/// The wish to keep a session to the peer.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) address: Address,
    /// Ends the supervisor that fulfils it.
    pub(crate) over: CancellationToken,
    /// Wakes the supervisor when the address has changed.
    pub(crate) changed: Arc<Notify>,
}

/// Counts since the link was first made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) casts_refused: AtomicU64,
    pub(crate) messages_dropped: AtomicU64,
    pub(crate) sessions: AtomicU64,
}

/// Adds to a count that is only read for display.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Link {
    pub(crate) fn new(id: NodeId, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            calls: PendingCalls::new(limits.calls_max),
            arriving: Mutex::new(Reassembly::new(limits.message_bytes_max, limits.reassembly_bytes_max)),
            dialing: tokio::sync::Mutex::new(()),
            visitors: AtomicUsize::new(0),
            id,
            limits,
            state: Mutex::new(State {
                lanes: Lanes::default(),
                sessions: Sessions::default(),
                inbound: HashMap::new(),
                wish: None,
                peer: None,
                round_trip: None,
                closed: false,
            }),
            work: Notify::new(),
            room: Notify::new(),
            up: watch::Sender::new(false),
            counters: Counters::default(),
        })
    }

    pub(crate) fn id(&self) -> &NodeId {
        &self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a cast, or hands its body back.
    pub(crate) fn try_cast(&self, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        let busy = |body| SendError::Busy { node: self.id.clone(), body };
        {
            let mut state = self.state();
            if state.closed {
                return Err(SendError::NotConnected { node: self.id.clone(), body });
            }
            let full = if state.sessions.sending() {
                state.lanes.bytes() >= self.limits.queue_bytes_soft
            } else {
                state.lanes.messages() >= self.limits.offline_messages_max
                    || state.lanes.bytes() + body.len() > self.limits.queue_bytes_max
            };
            if full {
                return Err(busy(body));
            }
            state.lanes.push(Message::new(Subject::Cast { server: server.clone() }, body));
        }
        self.work.notify_waiters();
        Ok(())
    }

    /// Queues a cast, waiting until `deadline` for room.
    pub(crate) async fn cast(
        &self,
        server: &ServerName,
        mut body: Bytes,
        deadline: Instant,
    ) -> Result<(), SendError> {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            body = match self.try_cast(server, body) {
                Err(SendError::Busy { body, .. }) => body,
                done => return done,
            };
            if tokio::time::timeout_at(deadline, room).await.is_err() {
                return Err(SendError::Busy { node: self.id.clone(), body });
            }
        }
    }

    /// Queues a call whose outcome goes into `slot`.
    pub(crate) fn call(
        &self,
        id: CallId,
        server: &ServerName,
        body: Bytes,
        slot: ReplySlot,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let busy = || CallError::Busy { node: self.id.clone() };
        {
            let mut state = self.state();
            if state.closed {
                return Err(CallError::NotConnected { node: self.id.clone() });
            }
            let offline = !state.sessions.sending();
            if state.lanes.bytes() + body.len() > self.limits.queue_bytes_max
                || (offline && state.lanes.messages() >= self.limits.offline_messages_max)
            {
                return Err(busy());
            }
            self.calls.insert(id, slot).map_err(|_slot| busy())?;
            state.lanes.push(Message::new(Subject::Call { id, server: server.clone(), deadline }, body));
        }
        self.work.notify_waiters();
        Ok(())
    }

    /// Asks for a sign of life; the slot is filled when it comes.
    pub(crate) fn ping(&self, id: CallId, slot: ReplySlot) -> Result<(), CallError> {
        {
            let mut state = self.state();
            let Some(session) = state.sessions.owner() else {
                return Err(CallError::NotConnected { node: self.id.clone() });
            };
            self.calls.insert(id, slot).map_err(|_slot| CallError::Busy { node: self.id.clone() })?;
            self.calls.written(id, session);
            state.lanes.control(Control::Ping(id.0));
        }
        self.work.notify_waiters();
        Ok(())
    }

    /// The caller no longer waits.
    pub(crate) fn abandon(&self, id: CallId) -> Stage {
        let Some(stage) = self.calls.remove(id) else { return Stage::Sent };
        if stage == Stage::Sent {
            self.control(Control::Cancel(id.0));
        }
        stage
    }

    /// Queues a control frame.
    pub(crate) fn control(&self, control: Control) {
        if !self.state().lanes.control(control) {
            count(&self.counters.messages_dropped, 1);
        }
        self.work.notify_waiters();
    }

    /// A reply to a call made here has come. One that nobody waits for is late, and dropped.
    pub(crate) fn replied(&self, id: CallId, outcome: Result<Bytes, Refusal>) {
        self.calls.complete(id, outcome.map_err(CallError::from));
    }

    /// Whether calls made here wait for the peer.
    pub(crate) fn awaits_replies(&self) -> bool {
        !self.calls.is_empty()
    }

    /// A call of the peer begins. `None` if too many are being executed.
    pub(crate) fn begin_inbound(
        self: &Arc<Self>,
        id: CallId,
        deadline: Instant,
        session: SessionId,
    ) -> Option<Arc<Inbound>> {
        let mut state = self.state();
        if state.inbound.len() >= self.limits.calls_max {
            return None;
        }
        let inbound = Inbound::new(id, deadline, Arc::clone(self) as Arc<dyn ReplySink>);
        state.inbound.insert(id, (Arc::clone(&inbound), session));
        Some(inbound)
    }

    /// The peer no longer waits for a call.
    pub(crate) fn cancel_inbound(&self, id: CallId) {
        let entry = self.state().inbound.remove(&id);
        if let Some((inbound, _)) = entry {
            inbound.cancel();
        }
    }

    /// Drops what has waited too long for a session, and says how many messages that were.
    pub(crate) fn expire(&self, now: Instant) -> usize {
        let mut state = self.state();
        if state.sessions.sending() {
            return 0;
        }
        let dropped = state.lanes.expire(now, self.limits.offline_age_max);
        drop(state);
        if dropped > 0 {
            count(&self.counters.messages_dropped, dropped);
            self.room.notify_waiters();
        }
        dropped
    }

    pub(crate) fn wish(&self) -> Option<Wish> {
        self.state().wish.clone()
    }

    /// Wishes for a session at this address. `Some` if there was no wish before: it needs a supervisor.
    pub(crate) fn set_wish(&self, address: &Address) -> Option<Wish> {
        let mut state = self.state();
        state.closed = false;
        if let Some(wish) = &mut state.wish {
            if wish.address != *address {
                wish.address = address.clone();
                wish.changed.notify_one();
            }
            return None;
        }
        let wish = Wish {
            address: address.clone(),
            over: CancellationToken::new(),
            changed: Arc::new(Notify::new()),
        };
        state.wish = Some(wish.clone());
        Some(wish)
    }

    /// Gives the wish up.
    pub(crate) fn end_wish(&self) {
        if let Some(wish) = self.state().wish.take() {
            wish.over.cancel();
        }
    }

    pub(crate) fn arriving(&self) -> MutexGuard<'_, Reassembly<Arriving>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing keeps this link: no wish, no session, and none in the making.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.wish.is_none() && state.sessions.len() == 0 && self.visitors.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        self.state().round_trip = Some(round_trip);
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let state = self.state();
        let connected = state.sessions.sending();
        let peer = state.peer.as_ref();
        let wished = state.wish.as_ref().map(|wish| wish.address.clone());
        PeerStatus {
            id: self.id.clone(),
            address: wished.or_else(|| peer.map(|peer| peer.node.address.clone())),
            role: peer.map(|peer| peer.role),
            incarnation: peer.filter(|_| connected).map(|peer| peer.node.incarnation),
            connected,
            sessions: state.sessions.len(),
            round_trip: state.round_trip.filter(|_| connected),
            queued_messages: state.lanes.messages(),
            queued_bytes: state.lanes.bytes(),
            traffic: self.counters.traffic(),
        }
    }

    /// Gives up everything that waits: the link is being removed or the kernel has stopped.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = state.lanes.clear();
        let inbound = std::mem::take(&mut state.inbound);
        drop(state);
        count(&self.counters.messages_dropped, dropped);
        for (inbound, _) in inbound.into_values() {
            inbound.cancel();
        }
        self.calls.fail_unless(|_| false, &self.id);
        self.room.notify_waiters();
        self.work.notify_waiters();
    }
}

impl ReplySink for Link {
    /// A reply over a limit is dropped, counted, and its caller told; one whose caller's link is lost is dropped.
    fn reply(&self, id: CallId, outcome: Result<Bytes, Refusal>) {
        {
            let mut state = self.state();
            if state.inbound.remove(&id).is_none() {
                return;
            }
            let (refused, body) = match outcome {
                Ok(body) => (false, body),
                Err(refusal) => (true, refusal::encode(&refusal)),
            };
            let too_large = body.len() > self.limits.message_bytes_max;
            if too_large || state.lanes.bytes() + body.len() > self.limits.queue_bytes_max {
                tracing::warn!(peer = %self.id, bytes = body.len(), too_large, "reply dropped, its caller is told");
                count(&self.counters.messages_dropped, 1);
                state.lanes.control(Control::Refuse(id.0, Verdict::NoReply));
            } else {
                state.lanes.push(Message::new(Subject::Reply { id, refused }, body));
            }
        }
        self.work.notify_waiters();
    }
}

impl Counters {
    fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            messages_sent: read(&self.messages_sent),
            messages_received: read(&self.messages_received),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            casts_refused: read(&self.casts_refused),
            messages_dropped: read(&self.messages_dropped),
            sessions: read(&self.sessions),
        }
    }
}
