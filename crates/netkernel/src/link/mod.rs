//! Everything this node holds for one peer: what waits to be sent, the calls under way in both directions, and
//! the sessions. A link outlives its sessions, so that messages wait for the next one.

mod bells;
mod breaking;
mod bulk;
mod calls;
mod direct;
mod ending;
mod handle;
mod handover;
mod inbound;
mod intake;
mod lanes;
mod message;
mod outgoing;
mod part;
mod place;
mod pressure;
mod receives;
mod room;
mod round_trip;
mod sessions;
mod status;
#[cfg(any(test, feature = "fuzzing"))]
mod two_ends;
mod waiters;
mod wish;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) use bells::Bell;
pub(crate) use handle::{Kill, SessionHandle};
pub(crate) use handover::Take;
pub(crate) use inbound::Begun;
pub(crate) use lanes::Batch;
pub(crate) use message::{Control, Message, Piece, Verdict};
pub(crate) use part::Ended;
pub(crate) use pressure::Pressed;
pub(crate) use status::{Counters, count};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use two_ends::sessions as sessions_of_two_ends;
pub(crate) use wish::Wish;

use self::calls::PendingCalls;
use self::direct::Direct;
use self::intake::Intake;
use self::lanes::Lanes;
use self::round_trip::RoundTrip;
use self::sessions::Sessions;
use self::waiters::Waiters;
use crate::call::{CallId, Inbound};
use crate::config::Limits;
use crate::error::{CallError, Refusal};
use crate::metrics::Labels;
use crate::net::Peer;
use crate::node::{NodeId, ServerName};
use crate::proto::credit::Credit;
use crate::proto::hello::SessionId;
use crate::proto::reassembly::{Reassembly, ReassemblyError};
use crate::proto::silence::{Ends, Standing};
use crate::told::{Rarely, Told};

/// One peer.
pub(crate) struct Link {
    id: NodeId,
    limits: Limits,
    state: Mutex<State>,
    calls: PendingCalls,
    /// The peer's messages that are still arriving. They may begin on one session and end on its successor.
    arriving: Mutex<Reassembly<Arriving>>,
    /// The peer's casts that wait for room in their mailboxes, and how many they are.
    intake: Mutex<Intake>,
    parked: AtomicUsize,
    /// Held while they are offered.
    offering: Mutex<()>,
    /// What is held of all peers.
    pressed: Arc<Pressed>,
    mailboxes: Arc<Bell>,
    announcing: Mutex<()>,
    /// Held while a session to this peer is being made by dialing, so that this node makes one at a time.
    pub(crate) dialing: tokio::sync::Mutex<()>,
    /// Held while the peer is asked whether it lives, because another instance of it has come.
    pub(crate) probing: tokio::sync::Mutex<()>,
    /// How often such a one was refused is worth an event.
    pub(crate) duplicates: Rarely,
    /// How many tasks are about to give this link a session or a wish, or have a session of it to look after; the first is
    /// counted under the lock of all links, under which it is also forgotten.
    pub(crate) visitors: AtomicUsize,
    /// Wakes the writers: there is something to take, or a session's part has changed.
    pub(crate) work: Notify,
    /// Wakes readers that wait until credit is sent.
    credit_sent: Notify,
    /// Whether a session carries messages now.
    pub(crate) up: watch::Sender<bool>,
    pub(crate) counters: Counters,
    /// What the log says of all peers.
    pub(crate) told: Arc<Told>,
    /// Something has happened for which the sessions are to be looked at before their time.
    attention: AtomicBool,
}

struct State {
    lanes: Lanes,
    /// The largest message that the peer takes, as the last session with it said, and this node sends.
    message_bytes_max: usize,
    /// What the peer's mailboxes have yet to take.
    credit: Credit,
    /// A writer found nothing to do, and waits to be told.
    idle: bool,
    direct: Direct,
    /// Casts that wait for room.
    waiters: Waiters,
    /// Readers wait until credit is sent.
    awaited: bool,
    /// Calls that wait to be sent, and that their callers have left since such were last dropped.
    abandoned: usize,
    sessions: Sessions,
    /// Calls of the peer that are being executed here, with the session they are answered by.
    inbound: HashMap<CallId, (Arc<Inbound>, SessionId)>,
    wish: Option<Wish>,
    /// The last peer a session was made with.
    peer: Option<Arc<Peer>>,
    round_trip: RoundTrip,
    /// The kernel shuts down: nothing more is taken to be sent.
    shuts_down: bool,
    /// There was a session then, which sends what waits.
    sends_the_rest: bool,
    closed: bool,
}

/// What a message that is still arriving is.
pub(crate) enum Arriving {
    Cast { server: ServerName },
    Call { id: CallId, server: ServerName, deadline: Instant },
    Reply { id: CallId, refused: bool },
}

impl Link {
    pub(crate) fn new(
        labels: Labels<'_>,
        id: NodeId,
        limits: Limits,
        pressed: &Arc<Pressed>,
        told: &Arc<Told>,
    ) -> Arc<Self> {
        Arc::new(Self {
            counters: Counters::new(labels),
            attention: AtomicBool::new(false),
            calls: PendingCalls::new(limits.calls_max),
            arriving: Mutex::new(Reassembly::new(limits.message_bytes_max, limits.reassembly_bytes_max)),
            intake: Mutex::new(Intake::default()),
            parked: AtomicUsize::new(0),
            offering: Mutex::new(()),
            pressed: Arc::clone(pressed),
            told: Arc::clone(told),
            mailboxes: Arc::default(),
            announcing: Mutex::new(()),
            dialing: tokio::sync::Mutex::new(()),
            probing: tokio::sync::Mutex::new(()),
            duplicates: Rarely::new(),
            visitors: AtomicUsize::new(0),
            id,
            state: Mutex::new(State {
                lanes: Lanes::new(limits.control_frames_max),
                message_bytes_max: limits.message_bytes_max,
                credit: Credit::default(),
                idle: true,
                direct: Direct::default(),
                waiters: Waiters::default(),
                awaited: false,
                abandoned: 0,
                sessions: Sessions::default(),
                inbound: HashMap::new(),
                wish: None,
                peer: None,
                round_trip: RoundTrip::default(),
                shuts_down: false,
                sends_the_rest: false,
                closed: false,
            }),
            limits,
            work: Notify::new(),
            credit_sent: Notify::new(),
            up: watch::Sender::new(false),
        })
    }

    pub(crate) fn id(&self) -> &NodeId {
        &self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the writers that there is something to do.
    fn wake_writers(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_waiters();
        }
    }

    /// Queues a control frame; false if so many answers to the peer wait that it must be flooding, and it was dropped.
    pub(crate) fn control(&self, control: Control) -> bool {
        let mut state = self.state();
        let queued = self.queue_control(&mut state, control);
        self.wake_writers(state);
        queued
    }

    fn queue_control(&self, state: &mut State, control: Control) -> bool {
        let queued = state.lanes.control(control);
        if !queued {
            count(&self.counters.control_dropped, 1);
        }
        queued
    }

    /// A reply to a call made here has come. One that nobody waits for is late, and dropped.
    pub(crate) fn replied(&self, id: CallId, outcome: Result<Bytes, Refusal>) {
        self.calls.complete(id, outcome.map_err(CallError::from));
    }

    /// The peer has given a sign of life that somebody awaits.
    pub(crate) fn ponged(&self, id: CallId) {
        self.calls.answered(id);
    }

    /// The peer has read as far as a milestone in the bulk.
    pub(crate) fn milestone_read(&self, ping: u64) {
        let mut state = self.state();
        if state.lanes.milestone_read(ping, Instant::now()) {
            self.wake_writers(state);
        }
    }

    /// How a session stands towards its peer, but for what was heard of it.
    pub(crate) fn standing(&self, session: SessionId, now: Instant) -> Standing {
        let state = self.state();
        let carries = state.sessions.owner() == Some(session);
        let left_bytes = if carries { state.lanes.bytes() } else { 0 };
        let held_up = if carries { state.lanes.held_up(now) } else { Duration::ZERO };
        Standing {
            awaits_replies: !self.calls.is_empty(),
            held_up,
            is_behind_bulk: carries && state.lanes.is_behind_bulk(),
            ends: state.sessions.ends(session).map(|in_a_hurry| Ends { in_a_hurry, left_bytes }),
            heartbeat_is_due: carries && state.round_trip.is_due(now, self.limits.heartbeat_idle),
            ..Standing::default()
        }
    }

    /// Sees to it that the sessions are looked at soon.
    fn draw_attention(&self) {
        // Mostly it is drawn already, and a store would take the line from whoever else reads it.
        if !self.attention.load(Ordering::Relaxed) {
            self.attention.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the sessions are to be looked at soon.
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    /// They are being looked at now.
    pub(crate) fn gets_attention(&self) {
        self.attention.store(false, Ordering::Relaxed);
    }

    /// Whether more than one call made here waits for the peer.
    pub(crate) fn has_several_callers(&self) -> bool {
        self.calls.len() > 1
    }

    pub(crate) fn arriving(&self) -> MutexGuard<'_, Reassembly<Arriving>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message that came in one frame is as long as it says, and no longer than it may be.
    pub(crate) fn check_whole(&self, total_bytes: u64, bytes: usize) -> Result<(), ReassemblyError> {
        if bytes > self.limits.message_bytes_max {
            return Err(ReassemblyError::TooLarge);
        }
        if total_bytes != bytes as u64 {
            return Err(ReassemblyError::Length);
        }
        Ok(())
    }

    /// Whether nothing keeps this link: no wish, and no visit.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().wish.is_none() && self.visitors.load(Ordering::Relaxed) == 0
    }

    /// Sessions that exist, those in the making included.
    pub(crate) fn sessions(&self) -> usize {
        self.state().sessions.len()
    }

    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        self.state().round_trip.set(round_trip);
    }

    /// Asks for a sign of life that nobody awaits, and measures how long it takes. Nothing if no session sends, or the last
    /// has yet to be sent.
    pub(crate) fn heartbeat(&self) {
        let mut state = self.state();
        if state.sessions.sending() && state.lanes.heartbeat(HEARTBEAT) {
            state.round_trip.ping(Instant::now());
            self.wake_writers(state);
        }
    }

    /// The peer has given a sign of life that it was asked for.
    pub(crate) fn heartbeat_answered(&self) {
        self.state().round_trip.pong(Instant::now());
    }

    /// Gives up everything that waits, as the kernel has stopped. False if any of it was to be sent before a shutdown.
    pub(crate) fn stop(&self) -> bool {
        self.state().shuts_down = true;
        self.close()
    }

    /// The same, as the link is being removed.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state();
        state.closed = true;
        let dropped = state.lanes.clear().len();
        let sent = dropped == 0 || !state.sends_the_rest;
        let inbound = std::mem::take(&mut state.inbound);
        let State { waiters, credit, .. } = &mut *state;
        let turns = waiters.turns(credit, None);
        // A connection that rests in there is closed: calls that are still executed keep this link.
        let _closed_unlocked = std::mem::take(&mut state.direct);
        let unsent = if state.shuts_down {
            CallError::ShuttingDown
        } else {
            CallError::NotConnected { node: self.id.clone() }
        };
        drop(state);
        turns.begin();
        count(&self.counters.dropped_closed, dropped);
        for (inbound, _) in inbound.into_values() {
            inbound.cancel();
        }
        self.calls.fail_unsent(&unsent);
        self.calls.fail(|_| true);
        // What it held would count against other peers' windows for ever.
        self.close_intake();
        self.credit_sent.notify_waiters();
        self.work.notify_waiters();
        sent
    }
}

/// The number of PINGs that nobody awaits: any frame is a sign of life.
pub(crate) const HEARTBEAT: u64 = 0;

impl State {
    /// Whether what is queued now goes by the present session. One that is ending sends what waited before.
    fn is_online(&self) -> bool {
        self.sessions.sending() && !self.sessions.drains()
    }

    /// What was under way is lost or dropped: only what still waits is to be taken by the peer's mailboxes.
    fn recount_credit(&mut self) {
        self.credit.clear();
        for (server, bytes) in self.lanes.casts() {
            self.credit.overspend(server, bytes);
        }
    }
}
