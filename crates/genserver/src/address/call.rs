//! The caller's end of a call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::destination::{Destination, Reader, Writer};
use super::target::{CallTarget, Target, Waiting, call_error};
use crate::chain::{Chain, circle};
use crate::config::Config;
use crate::deadline::FOREVER;
use crate::envelope::CallOf;
use crate::error::{CallError, Stage};
use crate::mailbox::Rejected;
use crate::message::Request;
use crate::reply::ReplyTo;
use crate::scope;
use crate::seat::Admitted;
use crate::slot::Slot;

/// A call, from [`LocalAddr::call`](crate::LocalAddr::call) or [`Addr::call`](crate::Addr::call). Await it for the
/// reply.
///
/// It is sent when it is first polled, and ends exactly once: with the reply, an error, or its deadline, which is
/// [`timeout`](Self::timeout) from then or the deadline of the handler it is made in, whichever is earlier.
///
/// # Cancel safety
///
/// Dropped before it completes, the callee learns that nobody waits; whether it does what was asked is then
/// not known.
#[must_use = "a call is not sent unless it is awaited"]
pub struct Call<M: Request> {
    state: State<M>,
    limit: Limit,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    Default,
    After(Duration),
    Never,
}

impl Limit {
    /// The deadline of what begins now, in a handler whose own is `inherited`.
    pub(super) fn deadline(self, config: &Config, inherited: Option<Instant>) -> Option<Instant> {
        let own = match self {
            Self::Default => Instant::now().checked_add(config.timeout),
            Self::After(timeout) => Instant::now().checked_add(timeout),
            Self::Never => None,
        };
        [own, inherited].into_iter().flatten().min()
    }

    /// The same, as the time that is left.
    pub(super) fn remaining(self, config: &Config, inherited: Option<Instant>) -> Duration {
        let own = match self {
            Self::Default => config.timeout,
            Self::After(timeout) => timeout,
            Self::Never => FOREVER,
        };
        inherited.map_or(own, |at| own.min(at.saturating_duration_since(Instant::now())))
    }
}

/// What is rare is boxed, so that a call within the node stays small.
enum State<M: Request> {
    Here { target: Arc<dyn CallTarget<M>>, message: M },
    AwaitingRoom(Box<AwaitingRoom<M>>),
    AwaitingAnswer(Arc<Slot<M::Reply>>),
    There { remote: Remote<M>, message: M },
    Sent { call: netkernel::Call, remote: Remote<M> },
    Failed(Box<CallError>),
    Over,
}

struct AwaitingRoom<M: Request> {
    waiting: Waiting<dyn CallTarget<M>>,
    call: CallOf<M>,
    slot: Arc<Slot<M::Reply>>,
    deadline: Option<Instant>,
}

struct Remote<M: Request> {
    destination: Arc<Destination>,
    writer: &'static Writer<M>,
    reader: Reader<M>,
}

/// The end of a step: the next state, or how the call ends.
type Step<M> = Result<State<M>, Poll<Result<<M as Request>::Reply, CallError>>>;

impl<M: Request> Call<M> {
    pub(super) fn here(target: Arc<dyn CallTarget<M>>, message: M) -> Self {
        Self { state: State::Here { target, message }, limit: Limit::Default }
    }

    pub(super) fn there(
        destination: Arc<Destination>,
        message: M,
        writer: &'static Writer<M>,
        reader: Reader<M>,
    ) -> Self {
        let remote = Remote { destination, writer, reader };
        Self { state: State::There { remote, message }, limit: Limit::Default }
    }

    /// A call the network has already.
    pub(super) fn sent(
        call: netkernel::Call,
        destination: Arc<Destination>,
        writer: &'static Writer<M>,
        reader: Reader<M>,
    ) -> Self {
        let remote = Remote { destination, writer, reader };
        Self { state: State::Sent { call, remote }, limit: Limit::Default }
    }

    pub(super) fn failed(error: CallError) -> Self {
        Self { state: State::Failed(Box::new(error)), limit: Limit::Default }
    }

    /// How long to wait for the reply, instead of what the [`Config`] says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Limit::After(timeout);
        self
    }

    /// Waits without a limit of its own. In a handler, the handler's deadline still holds.
    pub fn without_timeout(mut self) -> Self {
        self.limit = Limit::Never;
        self
    }

    fn step(&mut self, state: State<M>, context: &mut Context<'_>) -> Step<M> {
        let ended = |error| Err(Poll::Ready(Err(error)));
        match state {
            State::Here { target, message } => self.start(target, message, context),
            State::AwaitingRoom(mut awaiting) => match awaiting.waiting.poll(context) {
                Poll::Pending => {
                    self.state = State::AwaitingRoom(awaiting);
                    Err(Poll::Pending)
                }
                Poll::Ready(Admitted::Late) => ended(CallError::Timeout { stage: Stage::Queued }),
                Poll::Ready(admitted) => {
                    let AwaitingRoom { waiting, call, slot, deadline } = *awaiting;
                    match waiting.finish(admitted, |target, room| target.submit(call, room)) {
                        Ok(target) => {
                            note(&*target, &slot, deadline);
                            Ok(State::AwaitingAnswer(slot))
                        }
                        Err((_, rejected)) => ended(call_error(rejected)),
                    }
                }
            },
            State::AwaitingAnswer(slot) => match slot.poll_answer(context) {
                Poll::Pending => {
                    self.state = State::AwaitingAnswer(slot);
                    Err(Poll::Pending)
                }
                ready @ Poll::Ready(_) => Err(ready),
            },
            State::There { remote, message } => {
                let call = self.send(&message, &remote)?;
                Ok(State::Sent { call, remote })
            }
            State::Sent { mut call, remote } => match Pin::new(&mut call).poll(context) {
                Poll::Pending => {
                    self.state = State::Sent { call, remote };
                    Err(Poll::Pending)
                }
                Poll::Ready(Ok(body)) => Err(Poll::Ready(remote.read(&body))),
                Poll::Ready(Err(error)) => ended(remote.destination.call_error(error)),
            },
            State::Failed(error) => ended(*error),
            State::Over => panic!("a call is not polled after it ended"),
        }
    }

    /// Puts a call into the mailbox of a server that is here.
    fn start(&mut self, target: Arc<dyn CallTarget<M>>, message: M, context: &mut Context<'_>) -> Step<M> {
        let inherited = scope::inherited();
        if let Some(path) = inherited.waiting.as_ref().and_then(|waiting| circle(waiting, target.pid())) {
            return Err(Poll::Ready(Err(CallError::Cycle(path))));
        }
        let deadline = self.limit.deadline(target.system().config(), inherited.deadline);
        let slot = Arc::new(Slot::new(context.waker().clone()));
        let reply =
            ReplyTo::here(Arc::clone(&slot), deadline, inherited.waiting.map(Chain::new).map(Arc::new));
        match target.submit(CallOf { message, reply }, false) {
            Ok(()) => {
                // The slot knows the waker already: whoever answers in the meantime uses it.
                note(&*target, &slot, deadline);
                self.state = State::AwaitingAnswer(slot);
                Err(Poll::Pending)
            }
            Err((call, Rejected::Full)) => match Waiting::new(target, deadline) {
                Ok(waiting) => {
                    Ok(State::AwaitingRoom(Box::new(AwaitingRoom { waiting, call, slot, deadline })))
                }
                Err(rejected) => Err(Poll::Ready(Err(call_error(rejected)))),
            },
            Err((_, rejected)) => Err(Poll::Ready(Err(call_error(rejected)))),
        }
    }

    /// Hands a call to the network.
    fn send(
        &self,
        message: &M,
        remote: &Remote<M>,
    ) -> Result<netkernel::Call, Poll<Result<M::Reply, CallError>>> {
        let inherited = scope::inherited();
        let destination = &remote.destination;
        let remaining = self.limit.remaining(destination.system.config(), inherited.deadline);
        if remaining.is_zero() {
            return Err(Poll::Ready(Err(CallError::Timeout { stage: Stage::Queued })));
        }
        match destination.prepare(remote.writer, inherited.waiting.as_deref(), message) {
            Ok(outgoing) => Ok(outgoing.net.call(&destination.node, outgoing.name, outgoing.body, remaining)),
            Err(why) => Err(Poll::Ready(Err(destination.unsendable(why, remote.writer)))),
        }
    }
}

impl<M: Request> Remote<M> {
    fn read(&self, body: &Bytes) -> Result<M::Reply, CallError> {
        let &Writer { tag, version, .. } = self.writer;
        (self.reader)(&self.destination.system, body).map_err(|error| {
            tracing::warn!(tag, %error, "a reply cannot be decoded");
            CallError::Reply { tag: tag.to_owned(), version }
        })
    }
}

/// Leaves a note of a call's deadline.
fn note<R: Send + 'static>(target: &(impl Target + ?Sized), slot: &Arc<Slot<R>>, deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        let slot: Weak<Slot<R>> = Arc::downgrade(slot);
        target.system().deadlines().add(deadline, slot);
    }
}

impl<M: Request> Future for Call<M> {
    type Output = Result<M::Reply, CallError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.get_mut();
        if let State::AwaitingAnswer(slot) = &call.state {
            let polled = slot.poll_answer(context);
            if polled.is_ready() {
                call.state = State::Over;
            }
            return polled;
        }
        loop {
            let state = std::mem::replace(&mut call.state, State::Over);
            match call.step(state, context) {
                Ok(next) => call.state = next,
                Err(polled) => return polled,
            }
        }
    }
}

/// Nothing in it is pinned: a message is only ever moved.
impl<M: Request> Unpin for Call<M> {}

impl<M: Request> Drop for Call<M> {
    fn drop(&mut self) {
        if let State::AwaitingAnswer(slot) = &self.state {
            slot.abandon();
        }
    }
}

impl<M: Request> fmt::Debug for Call<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Call").field("limit", &self.limit).finish_non_exhaustive()
    }
}
