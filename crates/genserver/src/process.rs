//! What everyone who knows a server shares: its mailbox, its figures, and who wants to know of its end.

use std::any::{Any, type_name};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use bytes::Bytes;
use netkernel::{Refusal, Responder};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::chain::Chain;
use crate::deadline::{Expire, FOREVER};
use crate::envelope::{InfoOf, seal};
use crate::error::Stage;
use crate::exit::{Exit, Stop};
use crate::introspect::{Handling, ServerInfo};
use crate::lock::Lock;
use crate::mailbox::{Mailbox, Rejected};
use crate::monitor::{Info, Watcher};
use crate::pid::Pid;
use crate::remote::body::{Header, Held};
use crate::remote::refusal;
use crate::routes::Routes;
use crate::server::GenServer;
use crate::system::System;
use crate::taken::{Room, Urgency};

/// A server, seen from outside its task.
pub(crate) struct Process<S: GenServer> {
    pub(crate) pid: Pid,
    pub(crate) system: System,
    pub(crate) routes: Arc<Routes<S>>,
    pub(crate) mailbox: Mailbox<S>,
    pub(crate) options: Options,
    me: Weak<Self>,
    started: Instant,
    handled: AtomicU64,
    handling: Mutex<Track>,
    end: Mutex<End>,
}

/// What may be set for each server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) mailbox_messages: usize,
    /// Its supervisor stops it, not the system's shutdown.
    pub(crate) supervised: bool,
}

/// The suspended handler, and when a warning about it is due.
#[derive(Default)]
struct Track {
    /// The handler that is suspended, and since when.
    current: Option<(&'static str, Instant)>,
    warn_at: Option<Instant>,
    /// A note about slow handlers lies with the deadlines.
    noted: bool,
    kill_at: Option<Instant>,
}

#[derive(Default)]
struct End {
    exit: Option<Exit>,
    /// By the number under which each watches.
    watchers: BTreeMap<u64, Watcher>,
}

impl<S: GenServer> Process<S> {
    pub(crate) fn new(pid: Pid, system: System, routes: Arc<Routes<S>>, options: Options) -> Arc<Self> {
        let room = Room { messages: options.mailbox_messages, bytes: system.config().mailbox_bytes };
        Arc::new_cyclic(|me| Self {
            pid,
            system,
            routes,
            mailbox: Mailbox::new(room),
            options,
            me: me.clone(),
            started: Instant::now(),
            handled: AtomicU64::new(0),
            handling: Mutex::default(),
            end: Mutex::default(),
        })
    }

    /// The task has begun another message. Only the server's own task counts.
    pub(crate) fn count_handled(&self) {
        self.handled.store(self.handled.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// A handler has suspended for the first time.
    pub(crate) fn suspended(&self, handler: &'static str) {
        let now = Instant::now();
        let warn_at = now.checked_add(self.system.config().slow_handler);
        let mut track = self.handling.locked();
        track.current = Some((handler, now));
        track.warn_at = warn_at;
        let due = warn_at.filter(|_| !std::mem::replace(&mut track.noted, true));
        drop(track);
        if let Some(due) = due {
            self.note(due);
        }
    }

    /// The handler that had suspended is done.
    pub(crate) fn resumed(&self) {
        let mut track = self.handling.locked();
        track.current = None;
        track.warn_at = None;
    }

    /// Asks to be told at `due`.
    fn note(&self, due: Instant) {
        let me: Weak<dyn Expire> = self.me.clone();
        self.system.deadlines().add(due, me);
    }

    /// The task is over: tells those who watch. The name is free from here on.
    pub(crate) fn ended(&self, exit: &Exit) {
        self.system.unregister(&self.pid);
        let watchers = {
            let mut end = self.end.locked();
            end.exit = Some(exit.clone());
            std::mem::take(&mut end.watchers)
        };
        for (number, watcher) in watchers {
            watcher.tell(&self.system, number, &self.pid, exit);
        }
    }

    pub(crate) fn refusal(rejected: &Rejected) -> Refusal {
        match rejected {
            Rejected::Full => Refusal::Overloaded,
            Rejected::Draining => Refusal::Draining,
            Rejected::Exited(exit) => refusal::exited(exit, Stage::Queued),
        }
    }
}

impl<S: GenServer> Expire for Process<S> {
    /// Warns of a slow handler; ends a graceful stop whose time is up.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut track = self.handling.locked();
        if track.kill_at.is_some_and(|at| at <= now) {
            track.kill_at = None;
            self.mailbox.stop(Urgency::Now);
        }
        if let Some((message, since)) = track.current
            && track.warn_at.is_some_and(|at| at <= now)
        {
            let busy = now - since;
            tracing::warn!(
                server = %self.pid,
                message,
                busy_ms = busy.as_millis(),
                "a handler keeps its server waiting"
            );
            // Again when it has lasted twice as long: a stuck handler does not flood the log.
            track.warn_at = Some(now + busy);
        }
        track.noted = track.warn_at.is_some();
        [track.warn_at, track.kill_at].into_iter().flatten().min()
    }
}

/// A server of any type.
pub(crate) trait AnyProcess: Send + Sync {
    fn pid(&self) -> &Pid;
    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn info(&self) -> ServerInfo;
    fn is_supervised(&self) -> bool;
    fn stop(&self, stop: Stop);
    /// Registers a watcher, or gives it back with the exit if the server has ended.
    fn watch(&self, number: u64, watcher: Watcher) -> Result<(), (Watcher, Exit)>;
    fn unwatch(&self, number: u64);
    fn tell(&self, info: Info);
    fn take_cast(&self, message: Encoded<'_>) -> Result<(), Refusal>;
    /// Says how many it took, from the front, or why it took none.
    fn take_casts(&self, messages: Together<'_>) -> Result<usize, Refusal>;
    fn take_call(&self, message: Encoded<'_>, chain: Option<Arc<Chain>>, responder: Responder);
    /// Wakes once there is room for a message from another node, or the server accepts none any more.
    fn wake_with_room(&self, waker: &Waker);
}

/// A message from another node, not yet decoded.
pub(crate) struct Encoded<'a> {
    pub(crate) tag: &'a str,
    pub(crate) version: u16,
    pub(crate) body: Held,
}

impl<'a> Encoded<'a> {
    pub(crate) fn of(header: &Header<'a>, body: Held) -> Self {
        Self { tag: header.tag, version: header.version, body }
    }
}

/// Several casts of one kind from another node, which came together.
pub(crate) struct Together<'a> {
    pub(crate) tag: &'a str,
    pub(crate) version: u16,
    pub(crate) bodies: &'a [Bytes],
    /// Where the message begins in each body.
    pub(crate) start: usize,
}

impl<S: GenServer> AnyProcess for Process<S> {
    fn pid(&self) -> &Pid {
        &self.pid
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn info(&self) -> ServerInfo {
        let track = self.handling.locked();
        let current = track.current;
        drop(track);
        ServerInfo {
            pid: self.pid.clone(),
            type_name: type_name::<S>(),
            mailbox_messages: self.mailbox.depth(self.options.mailbox_messages),
            mailbox_capacity: self.options.mailbox_messages,
            handled: self.handled.load(Ordering::Relaxed),
            paused: self.mailbox.is_paused(),
            uptime: self.started.elapsed(),
            handling: current.map(|(message, since)| Handling { message, busy: since.elapsed() }),
        }
    }

    fn is_supervised(&self) -> bool {
        self.options.supervised
    }

    fn stop(&self, stop: Stop) {
        match stop {
            Stop::Now => self.mailbox.stop(Urgency::Now),
            Stop::Graceful { within } => {
                self.mailbox.stop(Urgency::Graceful);
                let at = Instant::now() + within.min(FOREVER);
                let mut track = self.handling.locked();
                let at = track.kill_at.map_or(at, |earlier| earlier.min(at));
                track.kill_at = Some(at);
                drop(track);
                self.note(at);
            }
        }
    }

    fn watch(&self, number: u64, watcher: Watcher) -> Result<(), (Watcher, Exit)> {
        let mut end = self.end.locked();
        if let Some(exit) = &end.exit {
            return Err((watcher, exit.clone()));
        }
        end.watchers.insert(number, watcher);
        Ok(())
    }

    fn unwatch(&self, number: u64) {
        let watcher = self.end.locked().watchers.remove(&number);
        drop(watcher);
    }

    fn tell(&self, info: Info) {
        // A server that has ended wants to know nothing.
        let _ended = self.mailbox.push_system(seal::<S, _>(InfoOf { info, waiting: None }));
    }

    fn take_cast(&self, message: Encoded<'_>) -> Result<(), Refusal> {
        let Some(route) = self.routes.cast_route(message.tag, message.version) else {
            return Err(refusal::unsupported(message.tag, message.version));
        };
        route(self, message.body).map_err(|rejected| Self::refusal(&rejected))
    }

    fn take_casts(&self, messages: Together<'_>) -> Result<usize, Refusal> {
        let Some(route) = self.routes.casts_route(messages.tag, messages.version) else {
            return Err(refusal::unsupported(messages.tag, messages.version));
        };
        route(self, messages.bodies, messages.start).map_err(|rejected| Self::refusal(&rejected))
    }

    fn take_call(&self, message: Encoded<'_>, chain: Option<Arc<Chain>>, responder: Responder) {
        if let Some(path) = chain.as_ref().and_then(|chain| chain.circle(&self.pid)) {
            return responder.refuse(refusal::cycle(&path));
        }
        match self.routes.call_route(message.tag, message.version) {
            Some(route) => route(self, message.body, chain, responder),
            None => responder.refuse(refusal::unsupported(message.tag, message.version)),
        }
    }

    fn wake_with_room(&self, waker: &Waker) {
        self.mailbox.wake_with_room(waker);
    }
}

/// Waits for the end of a server. Dropped before, nothing is left of the wait.
pub(crate) async fn when_ended(system: &System, server: &dyn AnyProcess) -> Exit {
    struct Waiting<'a>(&'a dyn AnyProcess, u64);
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            self.0.unwatch(self.1);
        }
    }
    let (sender, receiver) = oneshot::channel();
    let waiting = Waiting(server, system.number());
    match server.watch(waiting.1, Watcher::Waiting(sender)) {
        Ok(()) => receiver.await.unwrap_or(Exit::Killed),
        Err((_, exit)) => exit,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Idle;
    impl GenServer for Idle {}

    #[tokio::test(start_paused = true)]
    async fn those_who_give_up_waiting_for_an_end_are_forgotten() {
        let idle = System::local().spawn("idle", Idle).await.expect("it starts");
        for _ in 0..1_000 {
            let waited = tokio::time::timeout(Duration::from_millis(1), idle.ended()).await;
            assert!(waited.is_err());
        }
        assert_eq!(idle.process().end.locked().watchers.len(), 0);
    }
}
