//! The callee's end of a call.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::{Refusal, Responder};
use tokio::time::Instant;

use crate::chain::Chain;
use crate::error::{CallError, Stage};
use crate::exit::Exit;
use crate::message::Outcome;
use crate::remote::refusal;
use crate::scope::{self, Orphan};
use crate::slot::Slot;

/// The right to answer one call, once.
///
/// It may be kept, sent to a task, or put into the server's state, and used later. Dropped without an answer, it
/// tells the caller [`NoReply`](CallError::NoReply), or how the server ended if that is why it was dropped.
#[must_use = "dropped, it tells the caller that there is no reply"]
pub struct ReplyTo<R: Send + 'static> {
    caller: Option<Caller<R>>,
    deadline: Option<Instant>,
    chain: Option<Arc<Chain>>,
}

enum Caller<R: 'static> {
    Here(Arc<Slot<R>>),
    There(Remote<R>),
}

/// A caller on another node.
pub(crate) struct Remote<R: 'static> {
    pub(crate) responder: Responder,
    pub(crate) writer: &'static ReplyWriter<R>,
}

/// How the replies to one kind of message are written.
pub(crate) struct ReplyWriter<R> {
    pub(crate) encode: fn(R) -> Result<Bytes, postcard::Error>,
    pub(crate) tag: &'static str,
    pub(crate) version: u16,
}

impl<R: Send + 'static> ReplyTo<R> {
    pub(crate) fn here(slot: Arc<Slot<R>>, deadline: Option<Instant>, chain: Option<Arc<Chain>>) -> Self {
        Self { caller: Some(Caller::Here(slot)), deadline, chain }
    }

    pub(crate) fn there(remote: Remote<R>, chain: Option<Arc<Chain>>) -> Self {
        let deadline = Some(Instant::from_std(remote.responder.deadline()));
        Self { caller: Some(Caller::There(remote)), deadline, chain }
    }

    /// Answers the call. The outcome is [`Outcome::Continue`], for a handler that has nothing else to say.
    ///
    /// An answer to a caller who has left goes nowhere.
    pub fn send(mut self, reply: R) -> Outcome {
        match self.close() {
            Some(Caller::Here(slot)) => slot.answer(reply),
            Some(Caller::There(Remote { responder, writer })) => match (writer.encode)(reply) {
                Ok(body) => responder.reply(body),
                Err(error) => {
                    tracing::warn!(tag = writer.tag, %error, "a reply cannot be encoded");
                    responder.refuse(refusal::reply_lost(writer.tag, writer.version));
                }
            },
            None => {}
        }
        Outcome::Continue
    }

    /// How long the caller still waits; `None` if for ever.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the caller has left: its deadline passed, its future was dropped, or its link is lost.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match &self.caller {
            Some(Caller::Here(slot)) => !slot.is_open(),
            Some(Caller::There(remote)) => {
                remote.responder.is_cancelled() || remote.responder.remaining().is_zero()
            }
            None => true,
        }
    }

    /// Completes when the caller has left: its deadline passed, its future was dropped, or its link is lost.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and asked again at any time.
    pub async fn cancelled(&mut self) {
        match &self.caller {
            Some(Caller::Here(slot)) => poll_fn(|context| slot.poll_over(context)).await,
            Some(Caller::There(remote)) => {
                let remaining = remote.responder.remaining();
                tokio::select! {
                    () = remote.responder.cancelled() => {}
                    () = tokio::time::sleep(remaining) => {}
                }
            }
            None => {}
        }
    }

    /// The handler is about to begin, with the deadline and the callers of this call. False if nobody waits any
    /// more; then it must not.
    pub(crate) fn begin(&self) -> bool {
        let awaited = match &self.caller {
            Some(Caller::Here(slot)) => slot.begin(),
            _ => !self.is_cancelled(),
        };
        if awaited {
            scope::begin(self.deadline, self.chain.clone());
        }
        awaited
    }

    /// The server ended before the handler began.
    pub(crate) fn refuse(mut self, exit: &Exit) {
        fail(self.close(), exit, Stage::Queued);
    }

    /// The request cannot be read.
    pub(crate) fn refuse_with(mut self, refusal: Refusal) {
        if let Some(Caller::There(remote)) = self.close() {
            remote.responder.refuse(refusal);
        }
    }

    fn close(&mut self) -> Option<Caller<R>> {
        let caller = self.caller.take();
        if caller.is_some()
            && let Some(chain) = &self.chain
        {
            chain.answer();
        }
        caller
    }
}

/// Tells a caller that the server ended.
fn fail<R>(caller: Option<Caller<R>>, exit: &Exit, stage: Stage) {
    match caller {
        Some(Caller::Here(slot)) => slot.fail(|_| CallError::Exited { exit: exit.clone(), stage }),
        Some(Caller::There(remote)) => remote.responder.refuse(refusal::exited(exit, stage)),
        None => {}
    }
}

impl<R: Send + 'static> Drop for ReplyTo<R> {
    fn drop(&mut self) {
        let Some(caller) = self.close() else { return };
        let caller = if std::thread::panicking() {
            match scope::adopt(Box::new(Abandoned(Some(caller)))) {
                Ok(()) => return,
                // A panic outside a server: the abandoned call tells its caller as it is dropped.
                Err(orphan) => return drop(orphan),
            }
        } else {
            caller
        };
        match scope::exit() {
            Some(exit) => fail(Some(caller), &exit, Stage::Handling),
            None => drop(Abandoned(Some(caller))),
        }
    }
}

/// A call nobody will answer.
struct Abandoned<R: 'static>(Option<Caller<R>>);

impl<R: Send> Orphan for Abandoned<R> {
    fn fail(mut self: Box<Self>, exit: &Exit) {
        fail(self.0.take(), exit, Stage::Handling);
    }
}

impl<R> Drop for Abandoned<R> {
    fn drop(&mut self) {
        match self.0.take() {
            Some(Caller::Here(slot)) => slot.fail(|_| CallError::NoReply),
            Some(Caller::There(remote)) => remote.responder.refuse(Refusal::NoReply),
            None => {}
        }
    }
}

impl<R: Send + 'static> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReplyTo").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
