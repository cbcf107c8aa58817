//! A server's task: start, one message after another, end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::context::Cx;
use crate::envelope::{Core, Letter};
use crate::error::StartError;
use crate::exit::Exit;
use crate::message::Outcome;
use crate::process::Process;
use crate::scope::{self, Scope};
use crate::server::GenServer;
use crate::taken::{Taken, Urgency};

/// Runs a server from its `init` to its end. `started` is told how the start went; if nobody waits for that any
/// more, the server ends at once.
pub(crate) async fn run<S: GenServer>(
    process: Arc<Process<S>>,
    server: S,
    started: oneshot::Sender<Result<(), StartError>>,
) {
    let mut core = Box::new(Core { server, cx: Cx::new(Arc::clone(&process)) });
    let mut life = Life::new(process);
    if let Err((error, exit)) = Box::pin(life.init(&mut core)).await {
        life.bury(&exit, core);
        // The name has to be free before the starter knows.
        drop(life);
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
    /// A handler has been pending since it began.
    suspended: bool,
    /// What the mailbox wakes it by, if it must be ended meanwhile.
    waker: Option<Waker>,
}

/// How far something the server runs has come.
enum Driven<T> {
    Done(T),
    Ended(Exit),
}

/// The state between handlers, or the handler that has it.
struct Hands<S: GenServer> {
    core: Option<Box<Core<S>>>,
    letter: Option<Letter<S>>,
}

/// How one go of the server ended.
enum Turn {
    /// A handler is pending.
    Suspended,
    /// There is nothing to do.
    Asleep,
    /// Other tasks are to have their turn.
    Spent,
    Ended(Exit),
}

impl<S: GenServer> Life<S> {
    fn new(process: Arc<Process<S>>) -> Self {
        let scope = Scope::of(process.pid.clone(), process.system.clone());
        Self { process, taken: Taken::new(), scope, exit: Exit::Killed, suspended: false, waker: None }
    }

    async fn init(&mut self, core: &mut Core<S>) -> Result<(), (StartError, Exit)> {
        let mut init = pin!(core.server.init(&mut core.cx));
        match self.drive("init", |context| init.as_mut().poll(context)).await {
            Driven::Done(Ok(())) => Ok(()),
            Driven::Done(Err(source)) => {
                let exit = Exit::failed(&source.to_string());
                Err((StartError::Init { source }, exit))
            }
            Driven::Ended(exit) => Err((StartError::Exited { exit: exit.clone() }, exit)),
        }
    }

    async fn serve(&mut self, core: Box<Core<S>>) {
        let mut hands = Hands { core: Some(core), letter: None };
        let exit = poll_fn(|context| self.poll_serve(&mut hands, context)).await;
        match hands.core.take() {
            // Boxed, so that a running server does not carry the room for its end.
            Some(core) if exit != Exit::Killed => Box::pin(self.finish(exit, core)).await,
            core => self.bury(&exit, (hands, core)),
        }
    }

    /// Handles messages until there are none, a handler is pending, or the server ends. The scope and the net under
    /// panics are set up once for all that is done in one go.
    fn poll_serve(&mut self, hands: &mut Hands<S>, context: &mut Context<'_>) -> Poll<Exit> {
        let Self { process, taken, scope, suspended, waker, .. } = self;
        if *suspended && process.mailbox.is_killed() {
            process.resumed();
            return Poll::Ready(Exit::Killed);
        }
        let go = || hands.go(process, taken, suspended, context);
        match catch_unwind(AssertUnwindSafe(|| scope::enter(scope, go))) {
            Ok(Turn::Suspended) => {
                if !std::mem::replace(suspended, true) {
                    process.suspended(hands.letter.as_ref().map_or("", |letter| letter.label()));
                } else if waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
                    // The mailbox has this waker since the handler was first pending.
                    return Poll::Pending;
                }
                *waker = Some(context.waker().clone());
                if process.mailbox.suspend(context.waker(), taken) {
                    Poll::Pending
                } else {
                    process.resumed();
                    Poll::Ready(Exit::Killed)
                }
            }
            Ok(Turn::Asleep) => Poll::Pending,
            Ok(Turn::Spent) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(Turn::Ended(exit)) => Poll::Ready(exit),
            Err(payload) => {
                process.resumed();
                Poll::Ready(Exit::panicked(&*payload))
            }
        }
    }

    /// Polls in the server's scope until it is done, panics, or the server is to end at once.
    async fn drive<T>(
        &mut self,
        label: &'static str,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Driven<T> {
        let Self { process, taken, scope, .. } = self;
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
    async fn finish(&mut self, exit: Exit, core: Box<Core<S>>) {
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
    fn bury(&mut self, exit: &Exit, state: impl Sized) {
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

impl<S: GenServer> Hands<S> {
    fn go(
        &mut self,
        process: &Process<S>,
        taken: &mut Taken<S>,
        suspended: &mut bool,
        context: &mut Context<'_>,
    ) -> Turn {
        for _ in 0..YIELD_EVERY {
            if self.letter.is_none() {
                match self.next(process, taken, context) {
                    Ok(letter) => self.letter = letter,
                    Err(turn) => return turn,
                }
            }
            let Some(letter) = &mut self.letter else { continue };
            let Poll::Ready((core, outcome)) = letter.as_mut().poll(context) else { return Turn::Suspended };
            if let Some(letter) = self.letter.take() {
                taken.put_back(letter);
            }
            self.core = Some(core);
            if std::mem::take(suspended) {
                process.resumed();
            }
            match outcome {
                Outcome::Continue => {}
                Outcome::Stop => return Turn::Ended(Exit::Normal),
                Outcome::Fail(reason) => return Turn::Ended(Exit::failed(&reason)),
            }
        }
        Turn::Spent
    }

    /// Begins the next message, if it still has to be handled.
    fn next(
        &mut self,
        process: &Process<S>,
        taken: &mut Taken<S>,
        context: &mut Context<'_>,
    ) -> Result<Option<Letter<S>>, Turn> {
        let core = self.core.as_mut().expect("the state is here while no handler has it");
        if taken.is_due(core.cx.is_ready()) || process.mailbox.wants_attention() {
            core.cx.poll_tasks(context);
            // Where several came at once, those that were answered are likely to send more: one turn for them costs less
            // than to be woken by the first of them alone.
            let stays = taken.batch.is_empty() && std::mem::take(&mut taken.crowded);
            let waker = (!stays).then(|| context.waker());
            if process.mailbox.poll_take(waker, taken, core.cx.is_ready()).is_pending() {
                return Err(if stays { Turn::Spent } else { Turn::Asleep });
            }
        }
        let stop = taken.signals.stop;
        let letter = if stop == Some(Urgency::Now) { None } else { taken.pop(core.cx.is_ready()) };
        let Some(mut letter) = letter else {
            return match stop {
                Some(Urgency::Now) => Err(Turn::Ended(Exit::Killed)),
                Some(Urgency::Graceful) => Err(Turn::Ended(Exit::Shutdown)),
                None => Ok(None),
            };
        };
        if !letter.as_mut().begin(&mut self.core) {
            taken.put_back(letter);
            return Ok(None);
        }
        process.count_handled();
        Ok(Some(letter))
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
