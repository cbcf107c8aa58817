//! Casts of a server to itself, later.

use std::any::type_name;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::envelope::{Content, Core, Handled, seal};
use crate::process::Process;
use crate::server::HandleCast;

/// A timer of a server. Dropping it changes nothing; it ends with the server.
#[derive(Debug, Clone)]
pub struct Timer {
    cancelled: Cancelled,
    task: AbortHandle,
}

impl Timer {
    pub(crate) fn new(cancelled: Cancelled, task: AbortHandle) -> Self {
        Self { cancelled, task }
    }

    /// Cancels the timer. Called by the server itself, it is exact: no cast of this timer is handled any more.
    pub fn cancel(&self) {
        self.cancelled.0.store(true, Ordering::Release);
        self.task.abort();
    }
}

/// Whether a timer was cancelled: its last cast may wait already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancelled(Arc<AtomicBool>);

/// A cast from a timer.
struct Tick<M> {
    message: M,
    cancelled: Cancelled,
    /// Dropped when the handler begins.
    waiting: oneshot::Sender<()>,
}

impl<S: HandleCast<M>, M: Send + 'static> Content<S> for Tick<M> {
    fn admit(&self) -> bool {
        !self.cancelled.0.load(Ordering::Acquire)
    }

    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let Self { message, waiting, .. } = self;
        drop(waiting);
        let outcome = core.server.cast(message, &mut core.cx).await;
        (core, outcome)
    }

    fn label() -> &'static str {
        type_name::<M>()
    }
}

/// Casts once.
pub(crate) async fn after<S, M>(process: Arc<Process<S>>, cancelled: Cancelled, delay: Duration, message: M)
where
    S: HandleCast<M>,
    M: Send + 'static,
{
    tokio::time::sleep(delay).await;
    drop(tick(&process, &cancelled, message));
}

/// Casts again and again, never with two casts waiting.
pub(crate) async fn every<S, M>(process: Arc<Process<S>>, cancelled: Cancelled, period: Duration, message: M)
where
    S: HandleCast<M>,
    M: Clone + Send + 'static,
{
    // A period that outlasts the clock never ends.
    let Some(mut due) = Instant::now().checked_add(period) else { return std::future::pending().await };
    loop {
        tokio::time::sleep_until(due).await;
        // Ends, with an error since nothing is ever sent, when the handler begins.
        let _begun = tick(&process, &cancelled, message.clone()).await;
        due = next(due, period, Instant::now());
    }
}

/// The first time after `now` that is a whole number of periods after `due`.
fn next(due: Instant, period: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(due);
    let into = late.as_nanos() % period.as_nanos();
    now.max(due) + period - Duration::from_nanos(u64::try_from(into).unwrap_or(0))
}

fn tick<S, M>(process: &Process<S>, cancelled: &Cancelled, message: M) -> oneshot::Receiver<()>
where
    S: HandleCast<M>,
    M: Send + 'static,
{
    let (waiting, begun) = oneshot::channel();
    let tick = Tick { message, cancelled: cancelled.clone(), waiting };
    let _ended = process.mailbox.push_system(seal::<S, _>(tick));
    begun
}
