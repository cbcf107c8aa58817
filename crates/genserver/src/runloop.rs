//! A server's task: start, one message after another, end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::context::Cx;
use crate::envelope::{Core, Handled, Letter};
use crate::error::StartError;
use crate::exit::Exit;
use crate::mailbox::{Taken, Urgency};
use crate::message::Outcome;
use crate::process::Process;
use crate::scope::{self, Scope};
use crate::server::GenServer;

/// Runs a server from its `init` to its end. `started` is told how the start went; if nobody waits for that any
/// more, the server ends at once.
pub(crate) async fn run<S: GenServer>(
    process: Arc<Process<S>>,
    server: S,
    started: oneshot::Sender<Result<(), StartError>>,
) {
    let mut core = Box::new(Core { server, cx: Cx::new(Arc::clone(&process)) });
    let mut life = Life::new(process);
    if let Err((error, exit)) = life.init(&mut core).await {
        // The name has to be free before the starter knows.
        life.bury(&exit, core);
        let _gone = started.send(Err(error));
    } else if started.send(Ok(())).is_ok() {
        life.serve(core).await;
    } else {
        life.bury(&Exit::Killed, core);
    }
}

/// The server's side of its process. However the task ends, even if the runtime drops it, this closes the mailbox
/// and tells those who wait.
struct Life<S: GenServer> {
    process: Arc<Process<S>>,
    taken: Taken<S>,
    scope: Option<Box<Scope>>,
    exit: Exit,
    /// Handlers that ran one after another without ever suspending.
    streak: u32,
}

/// How far something the server runs has come.
enum Driven<T> {
    Done(T),
    Ended(Exit),
}

/// What the server does next.
enum Next<S> {
    Handle(Letter<S>),
    End(Exit),
}

impl<S: GenServer> Life<S> {
    fn new(process: Arc<Process<S>>) -> Self {
        let scope = Scope::of(process.pid.clone());
        Self { process, taken: Taken::new(), scope, exit: Exit::Killed, streak: 0 }
    }

    async fn init(&mut self, core: &mut Core<S>) -> Result<(), (StartError, Exit)> {
        let mut init = Box::pin(core.server.init(&mut core.cx));
        match self.drive("init", |context| init.as_mut().poll(context)).await {
            Driven::Done(Ok(())) => Ok(()),
            Driven::Done(Err(source)) => {
                let exit = Exit::Failed { reason: source.to_string() };
                Err((StartError::Init { source }, exit))
            }
            Driven::Ended(exit) => {
                self.drop_because(&exit, init);
                Err((StartError::Exited { exit: exit.clone() }, exit))
            }
        }
    }

    async fn serve(mut self, mut core: Box<Core<S>>) {
        loop {
            let mut letter = match self.next(&mut core).await {
                Next::Handle(letter) => letter,
                Next::End(exit) => return self.finish(exit, core).await,
            };
            match self.handle(core, &mut letter).await {
                Driven::Done((free, Outcome::Continue)) => core = free,
                Driven::Done((free, Outcome::Stop)) => return self.finish(Exit::Normal, free).await,
                Driven::Done((free, Outcome::Fail(reason))) => {
                    return self.finish(Exit::Failed { reason }, free).await;
                }
                Driven::Ended(exit) => return self.bury(&exit, letter),
            }
        }
    }

    /// Waits for something to do. `core` is only looked at: its tasks may have ended.
    async fn next(&mut self, core: &mut Core<S>) -> Next<S> {
        loop {
            if self.taken.is_due(core.cx.is_ready()) || self.process.mailbox.wants_attention() {
                let Self { process, taken, .. } = self;
                poll_fn(|context| {
                    core.cx.poll_tasks(context);
                    process.mailbox.poll_take(context.waker(), taken, core.cx.is_ready())
                })
                .await;
            }
            if self.taken.signals.stop == Some(Urgency::Now) {
                return Next::End(Exit::Killed);
            }
            if let Some(letter) = self.taken.pop(core.cx.is_ready()) {
                return Next::Handle(letter);
            }
            if self.taken.signals.stop == Some(Urgency::Graceful) {
                return Next::End(Exit::Shutdown);
            }
        }
    }

    async fn handle(&mut self, core: Box<Core<S>>, letter: &mut Letter<S>) -> Driven<Handled<S>> {
        let scope = self.scope.as_mut().expect("the scope is away only while something is polled in it");
        if let Some(core) = letter.as_mut().begin(core, scope) {
            return Driven::Done((core, Outcome::Continue));
        }
        self.process.count_handled();
        let label = letter.label();
        let driven = self.drive(label, |context| letter.as_mut().poll(context)).await;
        self.streak += 1;
        if self.streak >= YIELD_EVERY {
            self.streak = 0;
            tokio::task::yield_now().await;
        }
        driven
    }

    /// Polls in the server's scope until it is done, panics, or the server is to end at once.
    async fn drive<T>(
        &mut self,
        label: &'static str,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Driven<T> {
        let Self { process, taken, scope, streak, .. } = self;
        let mut suspended = false;
        let driven = poll_fn(|context| {
            if suspended && process.mailbox.is_killed() {
                return Poll::Ready(Driven::Ended(Exit::Killed));
            }
            match catch_unwind(AssertUnwindSafe(|| scope::enter(scope, || poll(context)))) {
                Ok(Poll::Ready(done)) => Poll::Ready(Driven::Done(done)),
                Ok(Poll::Pending) => {
                    if !suspended {
                        suspended = true;
                        *streak = 0;
                        process.suspended(label);
                    }
                    if process.mailbox.suspend(context.waker(), taken) {
                        Poll::Pending
                    } else {
                        Poll::Ready(Driven::Ended(Exit::Killed))
                    }
                }
                Err(payload) => Poll::Ready(Driven::Ended(Exit::panicked(&*payload))),
            }
        })
        .await;
        if suspended {
            process.resumed();
        }
        driven
    }

    /// Ends in good order: refuses what waits, then lets the server terminate.
    async fn finish(mut self, exit: Exit, core: Box<Core<S>>) {
        if exit == Exit::Killed {
            return self.bury(&exit, core);
        }
        self.refuse_all(&exit);
        self.exit = exit.clone();
        let Core { server, cx } = *core;
        if let Some(scope) = &mut self.scope {
            scope.end(&exit);
        }
        // Made when first polled: a server that does not care is dropped right then, and that has to be in its scope.
        let mut terminate = Box::pin(async move { server.terminate(exit).await });
        if let Driven::Ended(exit) = self.drive("terminate", |context| terminate.as_mut().poll(context)).await
        {
            self.exit = exit;
        }
        let exit = self.exit.clone();
        self.drop_because(&exit, (terminate, cx));
    }

    /// Ends at once: the state, wherever it is, is dropped.
    fn bury(mut self, exit: &Exit, state: impl Sized) {
        self.exit = exit.clone();
        self.refuse_all(exit);
        self.drop_because(exit, state);
    }

    /// Drops what the server owned, so that calls it had not answered learn why.
    fn drop_because(&mut self, exit: &Exit, belongings: impl Sized) {
        if let Some(scope) = &mut self.scope {
            scope.end(exit);
        }
        contain(|| scope::enter(&mut self.scope, || drop(belongings)));
    }

    fn refuse_all(&mut self, exit: &Exit) {
        let accepted = self.process.mailbox.close(exit);
        for mut letter in self.taken.drain().chain(accepted) {
            contain(|| letter.as_mut().refuse(exit));
            contain(|| drop(letter));
        }
    }
}

impl<S: GenServer> Drop for Life<S> {
    fn drop(&mut self) {
        let exit = self.exit.clone();
        self.refuse_all(&exit);
        if exit.is_failure() {
            tracing::warn!(server = %self.process.pid, %exit, "a server ended");
        } else {
            tracing::debug!(server = %self.process.pid, %exit, "a server ended");
        }
        self.process.ended(&exit);
    }
}

/// Runs the drop code of a user's types, which may panic.
fn contain(body: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(body)) {
        let exit = Exit::panicked(&*payload);
        tracing::error!(%exit, "dropping what a server owned panicked");
    }
}

/// How many handlers may run in one go before other tasks of the runtime get their turn.
const YIELD_EVERY: u32 = 128;
