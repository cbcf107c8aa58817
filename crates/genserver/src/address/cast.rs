//! A cast under way.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use netkernel::SendError;

use super::call::Limit;
use super::destination::{Destination, Unsendable, Writer};
use super::target::{CastTarget, Waiting, cast_failure};
use crate::error::{CastError, CastFailure};
use crate::mailbox::Rejected;
use crate::scope;
use crate::seat::Admitted;

/// A cast, from [`LocalAddr::cast`](crate::LocalAddr::cast) or [`Addr::cast`](crate::Addr::cast). Await it: it
/// completes when the message is accepted, which takes no time unless the mailbox, or the queue towards its node,
/// is full.
///
/// Accepted by a mailbox on this node, it will be handled unless the server ends first. Accepted for another
/// node, it arrives at most once: it is lost with the link, and dropped (and counted) where the server is missing.
/// Where the mailbox is full it waits, and those who send on wait for credit here.
///
/// # Cancel safety
///
/// Dropped before it completes, nothing was sent.
#[must_use = "a cast is not sent unless it is awaited"]
pub struct Cast<M: 'static> {
    state: State<M>,
    limit: Limit,
}

/// What is rare is boxed, so that a cast within the node stays small.
enum State<M: 'static> {
    Here { target: Arc<dyn CastTarget<M>>, message: M },
    AwaitingRoom(Box<AwaitingRoom<M>>),
    There(Remote<M>),
    Sending(Box<(Sending, Remote<M>)>),
    Failed(CastError<M>),
    Over,
}

struct AwaitingRoom<M> {
    waiting: Waiting<dyn CastTarget<M>>,
    message: M,
}

struct Remote<M: 'static> {
    destination: Arc<Destination>,
    message: M,
    writer: &'static Writer<M>,
}

impl<M: 'static> Remote<M> {
    fn unsendable(self, why: Unsendable) -> CastError<M> {
        CastError::new(self.destination.cast_failure(why, self.writer), self.message)
    }

    fn unsent(self, error: SendError) -> CastError<M> {
        CastError::new(self.destination.send_failure(error, self.writer), self.message)
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

/// The end of a step: the next state, or how the cast ends.
type Step<M> = Result<State<M>, Poll<Result<(), CastError<M>>>>;

impl<M: Send + 'static> Cast<M> {
    pub(super) fn here(target: Arc<dyn CastTarget<M>>, message: M) -> Self {
        Self { state: State::Here { target, message }, limit: Limit::Default }
    }

    pub(super) fn there(destination: Arc<Destination>, message: M, writer: &'static Writer<M>) -> Self {
        let remote = Remote { destination, message, writer };
        Self { state: State::There(remote), limit: Limit::Default }
    }

    pub(super) fn failed(error: CastError<M>) -> Self {
        Self { state: State::Failed(error), limit: Limit::Default }
    }

    /// How long to wait for room, instead of what the [`Config`](crate::Config) says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Limit::After(timeout);
        self
    }

    /// Sends it now or not at all.
    pub(super) fn now(mut self) -> Result<(), CastError<M>> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Here { target, message } => target
                .submit(message, false)
                .map_err(|(message, rejected)| CastError::new(cast_failure(rejected), message)),
            State::There(remote) => {
                let Remote { destination, message, writer } = &remote;
                match destination.prepare(writer, None, message) {
                    Ok(outgoing) => outgoing
                        .net
                        .try_cast(&destination.node, outgoing.name, outgoing.body)
                        .map_err(|error| remote.unsent(error)),
                    Err(why) => Err(remote.unsendable(why)),
                }
            }
            State::Failed(error) => Err(error),
            _ => unreachable!("a cast that is sent now has not been polled"),
        }
    }

    fn step(&mut self, state: State<M>, context: &mut Context<'_>) -> Step<M> {
        let failed = |reason, message| Err(Poll::Ready(Err(CastError::new(reason, message))));
        match state {
            State::Here { target, message } => match target.submit(message, false) {
                Ok(()) => Err(Poll::Ready(Ok(()))),
                Err((message, Rejected::Full)) => {
                    let deadline = self.limit.deadline(target.system().config(), scope::deadline());
                    match Waiting::new(target, deadline) {
                        Ok(waiting) => Ok(State::AwaitingRoom(Box::new(AwaitingRoom { waiting, message }))),
                        Err(rejected) => failed(cast_failure(rejected), message),
                    }
                }
                Err((message, rejected)) => failed(cast_failure(rejected), message),
            },
            State::AwaitingRoom(mut awaiting) => match awaiting.waiting.poll(context) {
                Poll::Pending => {
                    self.state = State::AwaitingRoom(awaiting);
                    Err(Poll::Pending)
                }
                Poll::Ready(Admitted::Late) => failed(CastFailure::Busy, awaiting.message),
                Poll::Ready(admitted) => {
                    let AwaitingRoom { waiting, message } = *awaiting;
                    match waiting.finish(admitted, |target, room| target.submit(message, room)) {
                        Ok(_target) => Err(Poll::Ready(Ok(()))),
                        Err((message, rejected)) => failed(cast_failure(rejected), message),
                    }
                }
            },
            State::There(remote) => self.send(remote),
            State::Sending(mut sending) => match sending.0.as_mut().poll(context) {
                Poll::Pending => {
                    self.state = State::Sending(sending);
                    Err(Poll::Pending)
                }
                Poll::Ready(Ok(())) => Err(Poll::Ready(Ok(()))),
                Poll::Ready(Err(error)) => Err(Poll::Ready(Err(sending.1.unsent(error)))),
            },
            State::Failed(error) => Err(Poll::Ready(Err(error))),
            State::Over => panic!("a cast is not polled after it ended"),
        }
    }

    /// Hands a cast to the network, which may have to wait for room.
    fn send(&mut self, remote: Remote<M>) -> Step<M> {
        let Remote { destination, message, writer } = &remote;
        let outgoing = match destination.prepare(writer, None, message) {
            Ok(outgoing) => outgoing,
            Err(why) => return Err(Poll::Ready(Err(remote.unsendable(why)))),
        };
        match outgoing.net.try_cast(&destination.node, outgoing.name, outgoing.body) {
            Ok(()) => Err(Poll::Ready(Ok(()))),
            Err(SendError::Busy { body, .. }) => {
                let remaining = self.limit.remaining(destination.system.config(), scope::deadline());
                let (net, name) = (Arc::clone(outgoing.net), outgoing.name.clone());
                let node = destination.node.clone();
                let sending = async move { net.cast(&node, &name, body, remaining).await };
                Ok(State::Sending(Box::new((Box::pin(sending), remote))))
            }
            Err(error) => Err(Poll::Ready(Err(remote.unsent(error)))),
        }
    }
}

impl<M: Send + 'static> Future for Cast<M> {
    type Output = Result<(), CastError<M>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let cast = self.get_mut();
        loop {
            let state = std::mem::replace(&mut cast.state, State::Over);
            match cast.step(state, context) {
                Ok(next) => cast.state = next,
                Err(polled) => return polled,
            }
        }
    }
}

/// Nothing in it is pinned: a message is only ever moved.
impl<M: 'static> Unpin for Cast<M> {}

impl<M: 'static> fmt::Debug for Cast<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cast").field("limit", &self.limit).finish_non_exhaustive()
    }
}
