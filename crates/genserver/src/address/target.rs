//! A server of this system, as calls and casts of one message see it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::envelope::{CallOf, CastOf, Open, seal};
use crate::error::{CallError, CastFailure, Stage};
use crate::mailbox::{Rejected, Room};
use crate::message::Request;
use crate::pid::Pid;
use crate::process::Process;
use crate::server::{GenServer, HandleCall, HandleCast};
use crate::system::System;

/// A local server's mailbox, whatever the server's type.
pub(crate) trait Target: Send + Sync {
    fn pid(&self) -> &Pid;
    fn system(&self) -> &System;
    fn wait_for_room(&self) -> Result<oneshot::Receiver<()>, Rejected>;
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

    fn wait_for_room(&self) -> Result<oneshot::Receiver<()>, Rejected> {
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

/// A place in the queue for room in a mailbox, until a deadline. Dropped, it gives up its place, and the room it may
/// have been granted.
pub(crate) struct Waiting<T: Target + ?Sized> {
    target: Arc<T>,
    granted: oneshot::Receiver<()>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Room was granted, and no message has used it yet.
    holds_room: bool,
}

/// How the wait for room ended.
pub(crate) enum Admitted {
    /// There is room for one message, and it is reserved.
    Room,
    /// The mailbox is closed.
    Closed,
    /// The deadline passed first.
    Late,
}

impl<T: Target + ?Sized> Waiting<T> {
    pub(crate) fn new(target: Arc<T>, deadline: Option<Instant>) -> Result<Self, Rejected> {
        let granted = target.wait_for_room()?;
        let deadline = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
        Ok(Self { target, granted, deadline, holds_room: false })
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Admitted> {
        if let Poll::Ready(granted) = Pin::new(&mut self.granted).poll(context) {
            self.holds_room = granted.is_ok();
            return Poll::Ready(if self.holds_room { Admitted::Room } else { Admitted::Closed });
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(context).map(|()| Admitted::Late),
            None => Poll::Pending,
        }
    }

    pub(crate) fn holds_room(&self) -> bool {
        self.holds_room
    }

    /// The room is used by a message that was accepted.
    pub(crate) fn spend(mut self) {
        self.holds_room = false;
    }

    pub(crate) fn target(&self) -> &Arc<T> {
        &self.target
    }
}

impl<T: Target + ?Sized> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.granted.close();
        if self.holds_room || self.granted.try_recv().is_ok() {
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
