//! A server's mailbox: bounded, taken over whole by the server, with a lane for what the system says.
//!
//! Senders append under a lock; the server swaps the whole queue for its empty one, so both ends touch the lock
//! rarely. Room is counted from acceptance to the moment a handler begins, and given back in batches: whenever a
//! handler suspends, and at least once in some dozens of messages. The system lane needs no limit of its own: it
//! holds one entry at most for each monitor, timer and task the server has.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use tokio::sync::oneshot;

use crate::envelope::{Envelope, Letter};
use crate::exit::Exit;
use crate::lock::Lock;
use crate::seat::Seat;
use crate::server::GenServer;
use crate::sync::{AtomicBool, Mutex};
use crate::taken::{Queued, Room, Signals, Taken, Urgency};

pub(crate) struct Mailbox<S> {
    state: Mutex<State<S>>,
    /// Something other than an ordinary message has come since the server last looked.
    attention: AtomicBool,
}

struct State<S> {
    queue: VecDeque<Queued<S>>,
    system: VecDeque<Letter<S>>,
    room: Room,
    /// Senders that wait for room, in the order they came. Never any while there is room.
    waiting: VecDeque<Arc<Seat>>,
    /// Of the networks that hold messages of other nodes for want of room: one entry each.
    links: Vec<Waker>,
    intake: Intake,
    signals: Signals,
    sleeper: Option<Sleeper>,
    idle: Vec<oneshot::Sender<()>>,
}

/// Whether messages are accepted.
enum Intake {
    Open,
    Draining,
    Closed(Exit),
}

/// Why a message was not accepted.
#[derive(Debug)]
pub(crate) enum Rejected {
    Full,
    Draining,
    Exited(Exit),
}

/// The server's waker, while it waits.
struct Sleeper {
    waker: Waker,
    /// A handler is suspended: nothing but an immediate stop wakes the server.
    handling: bool,
}

impl<S: GenServer> Mailbox<S> {
    pub(crate) fn new(room: Room) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                system: VecDeque::new(),
                room,
                waiting: VecDeque::new(),
                links: Vec::new(),
                intake: Intake::Open,
                signals: Signals::default(),
                sleeper: None,
                idle: Vec::new(),
            }),
            attention: AtomicBool::new(false),
        }
    }

    /// Accepts a message, or hands it back; one with room reserved for it unless the server has ended.
    pub(crate) fn push<E: Envelope<S> + 'static>(
        &self,
        letter: Pin<Box<E>>,
        bytes: i64,
        reserved: bool,
    ) -> Result<(), (Pin<Box<E>>, Rejected)> {
        let mut state = self.state.locked();
        if let Err(rejected) = state.intake.check() {
            return Err((letter, rejected));
        }
        if !reserved && !state.room.take(bytes) {
            return Err((letter, Rejected::Full));
        }
        state.queue.push_back(Queued { letter, room: Room { messages: 1, bytes } });
        let sleeper = state.wake_for_work();
        drop(state);
        wake(sleeper);
        Ok(())
    }

    /// Reserves room for messages of these sizes, in turn, as far as there is any.
    pub(crate) fn reserve(&self, sizes: impl Iterator<Item = i64>) -> Result<Room, Rejected> {
        let mut state = self.state.locked();
        state.intake.check()?;
        let mut reserved = Room::default();
        for bytes in sizes {
            if !state.room.take(bytes) {
                break;
            }
            reserved.messages += 1;
            reserved.bytes += bytes;
        }
        if reserved.messages == 0 { Err(Rejected::Full) } else { Ok(reserved) }
    }

    /// Accepts messages that came together, with room reserved for them.
    pub(crate) fn push_many(&self, letter: Letter<S>, room: Room) -> Result<(), Rejected> {
        let mut state = self.state.locked();
        state.intake.check()?;
        state.queue.push_back(Queued { letter, room });
        let sleeper = state.wake_for_work();
        drop(state);
        wake(sleeper);
        Ok(())
    }

    /// Accepts what the system says, unless the server has ended.
    pub(crate) fn push_system(&self, letter: Letter<S>) -> Result<(), Letter<S>> {
        let mut state = self.state.locked();
        if matches!(state.intake, Intake::Closed(_)) {
            return Err(letter);
        }
        state.system.push_back(letter);
        self.attention.store(true, Ordering::Release);
        let sleeper = state.wake_for_work();
        drop(state);
        wake(sleeper);
        Ok(())
    }

    /// Wakes when there is room for a message that holds bytes, or when none is accepted any more: now, if that is so.
    pub(crate) fn wake_with_room(&self, waker: &Waker) {
        let mut state = self.state.locked();
        if state.room.has_any(1) || state.intake.check().is_err() {
            drop(state);
            waker.wake_by_ref();
        } else if !state.links.iter().any(|link| link.will_wake(waker)) {
            state.links.push(waker.clone());
        }
    }

    /// Queues for room.
    pub(crate) fn wait_for_room(&self) -> Result<Arc<Seat>, Rejected> {
        let mut state = self.state.locked();
        state.intake.check()?;
        let seat = Arc::new(Seat::default());
        if state.room.messages > 0 {
            state.room.messages -= 1;
            // Just made: nobody waits in it yet.
            let _nobody = seat.grant();
        } else {
            if state.waiting.len() == state.waiting.capacity() {
                state.waiting.retain(|seat| seat.is_taken());
            }
            state.waiting.push_back(Arc::clone(&seat));
        }
        Ok(seat)
    }

    /// Gives room back, to those who wait for it first.
    pub(crate) fn release(&self, room: Room) {
        let granted = self.state.locked().release(room);
        wake(granted);
    }

    /// The server takes what there is, or else sleeps until there is something; without a waker it stays awake. `ready`
    /// tells whether it may take ordinary messages now.
    pub(crate) fn poll_take(&self, waker: Option<&Waker>, taken: &mut Taken<S>, ready: bool) -> Poll<()> {
        let mut guard = self.state.locked();
        let state = &mut *guard;
        self.attention.store(false, Ordering::Relaxed);
        taken.signals = state.signals;
        if !state.system.is_empty() {
            taken.system.append(&mut state.system);
        }
        if taken.batch.is_empty() && taken.signals.may_take(ready) {
            std::mem::swap(&mut taken.batch, &mut state.queue);
            taken.crowded = taken.batch.len() > 1;
        }
        let nothing = !taken.is_ready(ready) && taken.signals.stop.is_none();
        let mut idle = Vec::new();
        if let Some(waker) = waker.filter(|_| nothing) {
            state.sleeper = Some(Sleeper { waker: waker.clone(), handling: false });
            if !state.idle.is_empty() && state.queue.is_empty() && taken.batch.is_empty() {
                idle = std::mem::take(&mut state.idle);
            }
        }
        let granted = state.release(std::mem::take(&mut taken.begun));
        drop(guard);
        wake(granted);
        for waiter in idle {
            let _gone = waiter.send(());
        }
        if nothing { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The server's handler is suspended; false if the server has to end now.
    pub(crate) fn suspend(&self, waker: &Waker, taken: &mut Taken<S>) -> bool {
        let mut state = self.state.locked();
        if state.signals.stop == Some(Urgency::Now) {
            return false;
        }
        let granted = state.release(std::mem::take(&mut taken.begun));
        state.sleeper = Some(Sleeper { waker: waker.clone(), handling: true });
        drop(state);
        wake(granted);
        true
    }

    pub(crate) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.wants_attention() && self.state.locked().signals.stop == Some(Urgency::Now)
    }

    pub(crate) fn stop(&self, urgency: Urgency) {
        let mut state = self.state.locked();
        state.signals.stop = state.signals.stop.max(Some(urgency));
        if matches!(state.intake, Intake::Open) {
            state.intake = Intake::Draining;
        }
        let waiting = std::mem::take(&mut state.waiting);
        let links = std::mem::take(&mut state.links);
        self.attention.store(true, Ordering::Release);
        let sleeper = match urgency {
            Urgency::Now => state.sleeper.take().map(|sleeper| sleeper.waker),
            Urgency::Graceful => state.wake_for_work(),
        };
        drop(state);
        wake(sleeper);
        wake(waiting.iter().filter_map(|seat| seat.close()));
        wake(links);
    }

    pub(crate) fn pause(&self, paused: bool) {
        let mut state = self.state.locked();
        state.signals.paused = paused;
        self.attention.store(true, Ordering::Release);
        let sleeper = state.wake_for_work();
        drop(state);
        wake(sleeper);
    }

    /// A channel that tells when the server next has nothing to do; dropped when it ends.
    pub(crate) fn when_idle(&self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.locked();
        if !matches!(state.intake, Intake::Closed(_)) {
            if state.idle.len() == state.idle.capacity() {
                state.idle.retain(|waiter| !waiter.is_closed());
            }
            state.idle.push(sender);
            let sleeper = state.wake_for_work();
            drop(state);
            wake(sleeper);
        }
        receiver
    }

    /// Accepts nothing any more. Gives what had been accepted, for the first who asks.
    pub(crate) fn close(&self, exit: &Exit) -> Vec<Letter<S>> {
        let mut state = self.state.locked();
        if !matches!(state.intake, Intake::Closed(_)) {
            state.intake = Intake::Closed(exit.clone());
        }
        let waiting = std::mem::take(&mut state.waiting);
        let links = std::mem::take(&mut state.links);
        let idle = std::mem::take(&mut state.idle);
        let queue = std::mem::take(&mut state.queue);
        let system = std::mem::take(&mut state.system);
        drop(state);
        drop(idle);
        wake(waiting.iter().filter_map(|seat| seat.close()));
        wake(links);
        system.into_iter().chain(queue.into_iter().map(|queued| queued.letter)).collect()
    }

    /// Messages accepted and not yet begun, and those who wait for room. None when the server has ended: what waited
    /// then was refused.
    pub(crate) fn depth(&self, capacity: usize) -> usize {
        let state = self.state.locked();
        match state.intake {
            Intake::Closed(_) => 0,
            Intake::Open | Intake::Draining => capacity.saturating_sub(state.room.messages),
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state.locked().signals.paused
    }

    /// Whether messages are accepted, if there is room.
    pub(crate) fn check(&self) -> Result<(), Rejected> {
        self.state.locked().intake.check()
    }
}

impl<S> State<S> {
    fn wake_for_work(&mut self) -> Option<Waker> {
        self.sleeper.take_if(|sleeper| !sleeper.handling).map(|sleeper| sleeper.waker)
    }

    /// Adds room and gives of it to those who wait.
    fn release(&mut self, room: Room) -> Vec<Waker> {
        self.room.messages += room.messages;
        self.room.bytes += room.bytes;
        if self.waiting.is_empty() && self.links.is_empty() { Vec::new() } else { self.grant() }
    }

    #[cold]
    fn grant(&mut self) -> Vec<Waker> {
        let mut granted = Vec::new();
        while self.room.messages > 0
            && let Some(seat) = self.waiting.pop_front()
        {
            if let Some(waker) = seat.grant() {
                self.room.messages -= 1;
                granted.extend(waker);
            }
        }
        if self.room.has_any(1) {
            granted.append(&mut self.links);
        }
        granted
    }
}

impl Intake {
    fn check(&self) -> Result<(), Rejected> {
        match self {
            Self::Open => Ok(()),
            Self::Draining => Err(Rejected::Draining),
            Self::Closed(exit) => Err(Rejected::Exited(exit.clone())),
        }
    }
}

fn wake(sleepers: impl IntoIterator<Item = Waker>) {
    for sleeper in sleepers {
        sleeper.wake();
    }
}
