//! Where a local call and its answer meet.

use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::deadline::Expire;
use crate::error::{CallError, Stage};
use crate::lock::Lock;
use crate::sync::Mutex;

/// One call's place for its answer. It is filled once, by whoever is first: the handler, the deadline, or the
/// caller who leaves.
pub(crate) struct Slot<R> {
    state: Mutex<State<R>>,
}

struct State<R> {
    progress: Progress<R>,
    caller: Option<Waker>,
    handler: Option<Waker>,
}

enum Progress<R> {
    Queued,
    Handling,
    Answered(Result<R, CallError>),
    Over,
}

impl<R> Progress<R> {
    /// How far the call has come, while it is open.
    fn stage(&self) -> Option<Stage> {
        match self {
            Self::Queued => Some(Stage::Queued),
            Self::Handling => Some(Stage::Handling),
            Self::Answered(_) | Self::Over => None,
        }
    }
}

impl<R> Slot<R> {
    /// A slot whose caller is to be woken by `caller`.
    pub(crate) fn new(caller: Waker) -> Self {
        Self { state: Mutex::new(State { progress: Progress::Queued, caller: Some(caller), handler: None }) }
    }

    /// The handler begins. False if nobody waits any more; then it must not.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.state.locked();
        let queued = matches!(state.progress, Progress::Queued);
        if queued {
            state.progress = Progress::Handling;
        }
        queued
    }

    /// The handler answers. An answer nobody waits for is dropped.
    pub(crate) fn answer(&self, reply: R) {
        self.end(|_stage| Ok(reply));
    }

    /// There will be no answer.
    pub(crate) fn fail(&self, error: impl FnOnce(Stage) -> CallError) {
        self.end(|stage| Err(error(stage)));
    }

    fn end(&self, answer: impl FnOnce(Stage) -> Result<R, CallError>) {
        let mut state = self.state.locked();
        let Some(stage) = state.progress.stage() else { return };
        state.progress = Progress::Answered(answer(stage));
        let wakers = (state.caller.take(), state.handler.take());
        drop(state);
        wake(wakers);
    }

    /// The caller leaves.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.locked();
        let progress = std::mem::replace(&mut state.progress, Progress::Over);
        let wakers = (state.caller.take(), state.handler.take());
        drop(state);
        // An answer is the user's type: it is dropped outside the lock.
        drop(progress);
        wake(wakers);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.locked().progress.stage().is_some()
    }

    /// The answer, for the caller.
    pub(crate) fn poll_answer(&self, context: &mut Context<'_>) -> Poll<Result<R, CallError>> {
        let mut state = self.state.locked();
        if state.progress.stage().is_some() {
            keep(&mut state.caller, context);
            return Poll::Pending;
        }
        match std::mem::replace(&mut state.progress, Progress::Over) {
            Progress::Answered(answer) => Poll::Ready(answer),
            _ => unreachable!("the caller takes the answer once, and has not left while it polls"),
        }
    }

    /// That nobody waits any more, for the handler.
    pub(crate) fn poll_over(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.locked();
        if state.progress.stage().is_none() {
            return Poll::Ready(());
        }
        keep(&mut state.handler, context);
        Poll::Pending
    }
}

impl<R: Send> Expire for Slot<R> {
    fn expire(&self, _now: Instant) -> Option<Instant> {
        self.fail(|stage| CallError::Timeout { stage });
        None
    }
}

fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

fn wake((caller, handler): (Option<Waker>, Option<Waker>)) {
    if let Some(caller) = caller {
        caller.wake();
    }
    if let Some(handler) = handler {
        handler.wake();
    }
}
