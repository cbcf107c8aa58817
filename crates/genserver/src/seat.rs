//! A sender's place in the queue for room in a mailbox.

use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::deadline::Expire;
use crate::lock::Lock;
use crate::sync::Mutex;

/// One place, which ends once: with room, too late, with the mailbox, or because its sender left.
#[derive(Default)]
pub(crate) struct Seat {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Fresh,
    Waiting(Waker),
    Over(Admitted),
    Left,
}

/// How the wait for room ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// There is room for one message, and it is reserved.
    Room,
    /// The mailbox is closed.
    Closed,
    /// The deadline passed first.
    Late,
}

impl Seat {
    /// Whether its sender still waits.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(*self.state.locked(), State::Fresh | State::Waiting(_))
    }

    /// Gives room to the sender, whose waker this returns, if it has one yet. `None` if nobody waits any more: the
    /// room is still to be given.
    pub(crate) fn grant(&self) -> Option<Option<Waker>> {
        self.end(Admitted::Room)
    }

    /// The mailbox is closed.
    pub(crate) fn close(&self) -> Option<Waker> {
        self.end(Admitted::Closed).flatten()
    }

    fn end(&self, admitted: Admitted) -> Option<Option<Waker>> {
        let mut state = self.state.locked();
        let waker = match &mut *state {
            State::Fresh => None,
            State::Waiting(waker) => Some(std::mem::replace(waker, Waker::noop().clone())),
            State::Over(_) | State::Left => return None,
        };
        *state = State::Over(admitted);
        Some(waker)
    }

    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Admitted> {
        let mut state = self.state.locked();
        match &mut *state {
            State::Over(admitted) => return Poll::Ready(*admitted),
            State::Waiting(waker) => waker.clone_from(context.waker()),
            State::Fresh | State::Left => *state = State::Waiting(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The sender leaves. True if it had been given room, which is then to be given back.
    pub(crate) fn leave(&self) -> bool {
        let before = std::mem::replace(&mut *self.state.locked(), State::Left);
        matches!(before, State::Over(Admitted::Room))
    }
}

impl Expire for Seat {
    fn expire(&self, _now: Instant) -> Option<Instant> {
        if let Some(waker) = self.end(Admitted::Late).flatten() {
            waker.wake();
        }
        None
    }
}
