//! What a handler is given besides its server's state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::address::LocalAddr;
use crate::envelope::{CastOf, seal};
use crate::monitor::{Info, MonitorRef, Subject, Watch, watch_nodes};
use crate::pid::Pid;
use crate::process::{AnyProcess, Process};
use crate::scope;
use crate::server::{GenServer, HandleCast};
use crate::system::System;
use crate::timer::{self, Cancelled, Timer};

/// The server's own view of itself, given to each of its handlers.
pub struct Cx<S: GenServer> {
    process: Arc<Process<S>>,
    /// Only for a server that uses it: most have neither tasks nor timers.
    background: Option<Box<Background>>,
    monitors: BTreeMap<u64, Subject>,
}

/// What runs beside a server.
struct Background {
    /// Tasks of the user's, which count.
    tasks: JoinSet<()>,
    tasks_max: usize,
    /// Timers and watches.
    helpers: JoinSet<()>,
    watches_nodes: bool,
}

impl<S: GenServer> Cx<S> {
    pub(crate) fn new(process: Arc<Process<S>>) -> Self {
        Self { process, background: None, monitors: BTreeMap::new() }
    }

    /// This server's address.
    #[must_use]
    pub fn addr(&self) -> LocalAddr<S> {
        LocalAddr::new(Arc::clone(&self.process))
    }

    /// This server's identity.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.process.pid
    }

    /// The system it runs in.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.process.system
    }

    /// How long the caller of the running handler still waits, `None` if for ever; calls made from here end by then
    /// at the latest.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        scope::deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs `task` beside the server, which goes on with its next message. It ends with the server at the latest.
    ///
    /// Move the [`ReplyTo`](crate::ReplyTo) into it to answer from there. Calls made in the task end by the deadline
    /// of the handler that starts it. While [`tasks_max`](crate::Config::tasks_max) tasks run, the server takes no
    /// ordinary messages. A task that panics is logged, and changes nothing else.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let process = Arc::clone(&self.process);
        let tasks = &mut self.background().tasks;
        while let Some(ended) = tasks.try_join_next() {
            report(&process.pid, ended);
        }
        tasks.spawn_on(scope::carry(task), process.system.runtime());
    }

    /// Runs `future` beside the server, as [`spawn`](Self::spawn), and casts its output to the server.
    ///
    /// The way for slow work that has to come back to the state: let the output carry the
    /// [`ReplyTo`](crate::ReplyTo).
    pub fn cast_when<M>(&mut self, future: impl Future<Output = M> + Send + 'static)
    where
        S: HandleCast<M>,
        M: Send + 'static,
    {
        let process = Arc::clone(&self.process);
        self.spawn(async move {
            let message = future.await;
            // Ended meanwhile: then nobody is left to want it.
            let _ended = process.mailbox.push_system(seal::<S, _>(CastOf(message)));
        });
    }

    /// Casts `message` to this server after `delay`, unless the timer is cancelled or the server ends before.
    pub fn cast_after<M>(&mut self, delay: Duration, message: M) -> Timer
    where
        S: HandleCast<M>,
        M: Send + 'static,
    {
        let process = Arc::clone(&self.process);
        let cancelled = Cancelled::default();
        let task = self.help(timer::after(process, cancelled.clone(), delay, message));
        Timer::new(cancelled, task)
    }

    /// Casts a copy of `message` to this server every `period`, first after one period. A server that is busy for
    /// longer than a period gets one cast, not a backlog.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    pub fn cast_every<M>(&mut self, period: Duration, message: M) -> Timer
    where
        S: HandleCast<M>,
        M: Clone + Send + 'static,
    {
        assert!(!period.is_zero(), "a period of zero would cast without end");
        let process = Arc::clone(&self.process);
        let cancelled = Cancelled::default();
        let task = self.help(timer::every(process, cancelled.clone(), period, message));
        Timer::new(cancelled, task)
    }

    /// Watches a server, here or on another node: its end comes exactly once, as [`Info::Down`]. If there is no
    /// such server, it comes at once.
    pub fn monitor<T: Watch>(&mut self, server: &T) -> MonitorRef {
        let number = self.process.system.number();
        let me: Arc<dyn AnyProcess> = self.process.clone();
        let subject = server.subject();
        self.monitors.insert(number, subject.clone());
        self.process.system.monitor(number, &me, subject);
        MonitorRef(number)
    }

    /// Stops watching. No [`Info::Down`] of this monitor comes any more, even if it waits already.
    pub fn demonitor(&mut self, monitor: MonitorRef) {
        if let Some(subject) = self.monitors.remove(&monitor.0) {
            self.process.system.demonitor(monitor.0, &subject);
        }
    }

    /// Lets [`Info::NodeUp`] and [`Info::NodeDown`] come from now on; the nodes that are connected already come
    /// first. A node that comes and goes while the server is busy is told once. Asked again it changes nothing.
    pub fn watch_nodes(&mut self) {
        let watches = std::mem::replace(&mut self.background().watches_nodes, true);
        if let Some(net) = self.process.system.net().filter(|_| !watches) {
            let process = Arc::clone(&self.process);
            let watch = watch_nodes(Arc::clone(net), process);
            self.help(watch);
        }
    }

    fn help(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let process = Arc::clone(&self.process);
        let helpers = &mut self.background().helpers;
        while helpers.try_join_next().is_some() {}
        helpers.spawn_on(task, process.system.runtime())
    }

    fn background(&mut self) -> &mut Background {
        self.background.get_or_insert_with(|| {
            let tasks_max = self.process.system.config().tasks_max;
            Box::new(Background {
                tasks: JoinSet::new(),
                tasks_max,
                helpers: JoinSet::new(),
                watches_nodes: false,
            })
        })
    }

    /// Forgets tasks that have ended, and wakes when another does.
    pub(crate) fn poll_tasks(&mut self, context: &mut Context<'_>) {
        let Some(background) = &mut self.background else { return };
        while let Poll::Ready(Some(ended)) = background.tasks.poll_join_next(context) {
            report(&self.process.pid, ended);
        }
        while background.helpers.try_join_next().is_some() {}
    }

    /// Whether another task would be allowed, and so another message.
    pub(crate) fn is_ready(&self) -> bool {
        self.background.as_ref().is_none_or(|background| background.tasks.len() < background.tasks_max)
    }

    /// Whether this is still to be told.
    pub(crate) fn admit(&mut self, info: &Info) -> bool {
        match info {
            Info::Down(down) => self.monitors.remove(&down.monitor.0).is_some(),
            _ => true,
        }
    }
}

impl<S: GenServer> Drop for Cx<S> {
    fn drop(&mut self) {
        for (number, subject) in std::mem::take(&mut self.monitors) {
            self.process.system.demonitor(number, &subject);
        }
    }
}

fn report(server: &Pid, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%server, %error, "a task of a server panicked");
    }
}

impl<S: GenServer> fmt::Debug for Cx<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cx").field("pid", self.pid()).finish_non_exhaustive()
    }
}
