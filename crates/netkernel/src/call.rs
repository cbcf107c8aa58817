//! The two ends of a call: the caller's future and the callee's one chance to answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep};

use crate::error::{CallError, Refusal, Stage};

/// What identifies a call: minted by the calling kernel and never used twice in its life, so that a late reply
/// cannot reach another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) u64);

/// The end of a wait that begins now. One that would outlast the clock ends in some decades.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(WAIT_MAX)
}

const WAIT_MAX: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// The future of a reply, from [`Net::call`](crate::Net::call).
///
/// It ends exactly once: with the reply, a refusal, a lost link or its deadline. Dropping it before it ends
/// tells the peer that nobody waits any more.
#[must_use = "a call does nothing more than queue its request unless it is awaited"]
pub struct Call {
    state: State,
}

enum State {
    Ended(Option<CallError>),
    Waiting {
        reply: oneshot::Receiver<Result<Bytes, CallError>>,
        deadline: Pin<Box<Sleep>>,
        abandon: Option<Abandon>,
    },
}

/// Takes a call back: removes it where it waits, tells the peer, and says how far it had come.
pub(crate) type Abandon = Box<dyn FnOnce() -> Stage + Send + Sync>;

/// Where the outcome of a call is put.
pub(crate) type ReplySlot = oneshot::Sender<Result<Bytes, CallError>>;

impl Call {
    /// A call whose outcome is put into the slot given to `start`, which returns what takes the call back.
    pub(crate) fn start(
        timeout: Duration,
        start: impl FnOnce(ReplySlot, Instant) -> Result<Abandon, CallError>,
    ) -> Self {
        let deadline = deadline_after(timeout);
        let (slot, reply) = oneshot::channel();
        let state = match start(slot, deadline) {
            Ok(abandon) => State::Waiting {
                reply,
                deadline: Box::pin(tokio::time::sleep_until(deadline)),
                abandon: Some(abandon),
            },
            Err(error) => State::Ended(Some(error)),
        };
        Self { state }
    }
}

impl Future for Call {
    type Output = Result<Bytes, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.state {
            State::Ended(error) => Err(error.take().expect("a call is not polled after it ended")),
            State::Waiting { reply, deadline, abandon } => {
                if let Poll::Ready(outcome) = Pin::new(reply).poll(context) {
                    abandon.take();
                    outcome.unwrap_or(Err(CallError::LinkDown))
                } else if deadline.as_mut().poll(context).is_ready() {
                    let stage = abandon.take().map_or(Stage::Sent, |abandon| abandon());
                    Err(CallError::Timeout { stage })
                } else {
                    return Poll::Pending;
                }
            }
        };
        self.state = State::Ended(None);
        Poll::Ready(outcome)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let State::Waiting { abandon: Some(abandon), .. } =
            std::mem::replace(&mut self.state, State::Ended(None))
        {
            abandon();
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Call").finish_non_exhaustive()
    }
}

/// Answers one call. Dropped without an answer, it answers `NoReply`.
#[must_use = "dropped, it answers the caller with NoReply"]
pub struct Responder {
    inbound: Option<Arc<Inbound>>,
}

/// Where replies go: the link a call came in by, or the caller itself when the call is local.
pub(crate) trait ReplySink: Send + Sync {
    /// Sends the outcome of call `id`. Called once for each call.
    fn reply(&self, id: CallId, outcome: Result<Bytes, Refusal>);
}

/// A call that is being executed here.
pub(crate) struct Inbound {
    id: CallId,
    deadline: Instant,
    cancelled: AtomicBool,
    wake: Notify,
    sink: Arc<dyn ReplySink>,
}

impl Inbound {
    pub(crate) fn new(id: CallId, deadline: Instant, sink: Arc<dyn ReplySink>) -> Arc<Self> {
        Arc::new(Self { id, deadline, cancelled: AtomicBool::new(false), wake: Notify::new(), sink })
    }

    /// A call that a node makes to itself: its reply goes straight to its caller.
    pub(crate) fn local(slot: ReplySlot, deadline: Instant) -> Arc<Self> {
        Self::new(CallId(0), deadline, Arc::new(ReplyHere(Mutex::new(Some(slot)))))
    }

    /// The caller no longer waits.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }
}

/// Answers a call that a node makes to itself.
struct ReplyHere(Mutex<Option<ReplySlot>>);

impl ReplySink for ReplyHere {
    fn reply(&self, _id: CallId, outcome: Result<Bytes, Refusal>) {
        if let Some(slot) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone = slot.send(outcome.map_err(CallError::from));
        }
    }
}

impl Responder {
    pub(crate) fn new(inbound: Arc<Inbound>) -> Self {
        Self { inbound: Some(inbound) }
    }

    /// Sends the reply.
    pub fn reply(mut self, body: Bytes) {
        self.finish(Ok(body));
    }

    /// Answers that there will be no reply, and why.
    pub fn refuse(mut self, refusal: Refusal) {
        self.finish(Err(refusal));
    }

    /// When the caller will wait no longer.
    #[must_use]
    pub fn deadline(&self) -> std::time::Instant {
        self.inbound().deadline.into_std()
    }

    /// How long the caller will still wait; zero once its deadline has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.inbound().deadline.saturating_duration_since(Instant::now())
    }

    /// Whether the caller has gone or its link is lost.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inbound().cancelled.load(Ordering::Acquire)
    }

    /// Completes when the caller has gone or its link is lost.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and asked again at any time.
    pub async fn cancelled(&self) {
        let inbound = self.inbound();
        loop {
            let woken = inbound.wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if inbound.cancelled.load(Ordering::Acquire) {
                return;
            }
            woken.await;
        }
    }

    fn inbound(&self) -> &Inbound {
        self.inbound.as_ref().expect("only `finish` takes it, and consumes the responder")
    }

    fn finish(&mut self, outcome: Result<Bytes, Refusal>) {
        if let Some(inbound) = self.inbound.take() {
            inbound.sink.reply(inbound.id, outcome);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.finish(Err(Refusal::NoReply));
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Responder").finish_non_exhaustive()
    }
}
