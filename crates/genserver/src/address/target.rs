//! A server of this system, as calls and casts of one message see it.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::envelope::{CallOf, CastOf, Open, seal};
use crate::error::{CallError, CastFailure, Stage};
use crate::mailbox::Rejected;
use crate::message::Request;
use crate::pid::Pid;
use crate::process::Process;
use crate::seat::{Admitted, Seat};
use crate::server::{GenServer, HandleCall, HandleCast};
use crate::system::System;
use crate::taken::Room;

/// A local server's mailbox, whatever the server's type.
pub(crate) trait Target: Send + Sync {
    fn pid(&self) -> &Pid;
    fn system(&self) -> &System;
    fn wait_for_room(&self) -> Result<Arc<Seat>, Rejected>;
    fn release_room(&self);
}

/// A local server that is called with `M`.
pub(crate) trait CallTarget<M: Request>: Target {
    fn submit(&self, call: CallOf<M>, reserved: bool) -> Result<(), (CallOf<M>, Rejected)>;
}

/// A local server that takes casts of `M`.
pub(crate) trait CastTarget<M>: Target {
    fn submit(&self, message: M, reserved: bool) -> Result<(), (M, Rejected)>;
}

impl<S: GenServer> Target for Process<S> {
    fn pid(&self) -> &Pid {
        &self.pid
    }

    fn system(&self) -> &System {
        &self.system
    }

    fn wait_for_room(&self) -> Result<Arc<Seat>, Rejected> {
        self.mailbox.wait_for_room()
    }

    fn release_room(&self) {
        self.mailbox.release(Room { messages: 1, bytes: 0 });
    }
}

impl<S: HandleCall<M>, M: Request> CallTarget<M> for Process<S> {
    fn submit(&self, call: CallOf<M>, reserved: bool) -> Result<(), (CallOf<M>, Rejected)> {
        let sealed = self.mailbox.push(seal::<S, _>(call), 0, reserved);
        sealed.map_err(|(mut letter, rejected)| (letter.as_mut().open(), rejected))
    }
}

impl<S: HandleCast<M>, M: Send + 'static> CastTarget<M> for Process<S> {
    fn submit(&self, message: M, reserved: bool) -> Result<(), (M, Rejected)> {
        let sealed = self.mailbox.push(seal::<S, _>(CastOf(message)), 0, reserved);
        sealed.map_err(|(mut letter, rejected)| (letter.as_mut().open().0, rejected))
    }
}

/// A wait for room in a mailbox, until a deadline. Dropped, it gives up its place, or the room it was given.
pub(crate) struct Waiting<T: Target + ?Sized> {
    target: Arc<T>,
    seat: Arc<Seat>,
}

impl<T: Target + ?Sized> Waiting<T> {
    pub(crate) fn new(target: Arc<T>, deadline: Option<Instant>) -> Result<Self, Rejected> {
        let seat = target.wait_for_room()?;
        if let Some(deadline) = deadline {
            let seat: Weak<Seat> = Arc::downgrade(&seat);
            target.system().deadlines().add(deadline, seat);
        }
        Ok(Self { target, seat })
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Admitted> {
        self.seat.poll(context)
    }

    /// Sends what waited: `submit` is told whether there is room for it. The room is given back if it is not used.
    pub(crate) fn finish<E>(
        self,
        admitted: Admitted,
        submit: impl FnOnce(&T, bool) -> Result<(), E>,
    ) -> Result<Arc<T>, E> {
        let holds_room = self.seat.leave() && admitted == Admitted::Room;
        let submitted = submit(&self.target, holds_room);
        if submitted.is_err() && holds_room {
            self.target.release_room();
        }
        submitted.map(|()| Arc::clone(&self.target))
    }
}

impl<T: Target + ?Sized> Drop for Waiting<T> {
    fn drop(&mut self) {
        if self.seat.leave() {
            self.target.release_room();
        }
    }
}

/// What a rejected call ends with.
pub(crate) fn call_error(rejected: Rejected) -> CallError {
    match rejected {
        Rejected::Full => CallError::Overloaded,
        Rejected::Draining => CallError::Draining,
        Rejected::Exited(exit) => CallError::Exited { exit, stage: Stage::Queued },
    }
}

/// Why a rejected cast was.
pub(crate) fn cast_failure(rejected: Rejected) -> CastFailure {
    match rejected {
        Rejected::Full => CastFailure::Busy,
        Rejected::Draining => CastFailure::Draining,
        Rejected::Exited(exit) => CastFailure::Exited { exit },
    }
}
