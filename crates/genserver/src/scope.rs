//! What a call made here and now inherits: the deadline and the callers of the handler that is running.
//!
//! The scope is put in place around each poll of a handler and taken away after it, so a future that a handler
//! hands to another task inherits nothing.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::chain::{Chain, LINKS_MAX};
use crate::exit::Exit;
use crate::pid::Pid;
use crate::system::System;

/// The circumstances of the handler, or task of a server, that is being polled.
#[derive(Default)]
pub(crate) struct Scope {
    /// The server, if one of its handlers is running: it waits for what it calls.
    here: Option<Pid>,
    /// Its system, which the addresses it reads belong to.
    system: Option<System>,
    /// The latest time at which anybody waits for the handler.
    deadline: Option<Instant>,
    /// `here` alone, as a call takes it along when nobody else waits.
    alone: Option<Arc<[Pid]>>,
    /// Who waits for the call that is being handled.
    caller: Option<Arc<Chain>>,
    /// Set while what a server owned is dropped.
    exit: Option<Exit>,
    /// Calls whose `ReplyTo` a panic dropped: they are told once its message is known.
    orphans: Vec<Box<dyn Orphan>>,
}

/// A call that a panic left without an answer.
pub(crate) trait Orphan: Send {
    fn fail(self: Box<Self>, exit: &Exit);
}

/// What a call takes along.
#[derive(Default)]
pub(crate) struct Inherited {
    pub(crate) deadline: Option<Instant>,
    /// The servers that will wait for the call, oldest first.
    pub(crate) waiting: Option<Arc<[Pid]>>,
}

type Place = Option<Box<Scope>>;

thread_local! {
    static CURRENT: RefCell<Place> = const { RefCell::new(None) };
}

impl Scope {
    /// The scope of a server's handlers.
    pub(crate) fn of(here: Pid, system: System) -> Place {
        Some(Box::new(Self { here: Some(here), system: Some(system), ..Self::default() }))
    }

    /// Who will wait for a call that is made now.
    fn waiting(&mut self) -> Option<Arc<[Pid]>> {
        let before = self.caller.as_ref().map_or(&[][..], |caller| caller.waiting());
        if before.is_empty() {
            let here = self.here.as_ref()?;
            return Some(Arc::clone(self.alone.get_or_insert_with(|| Arc::from([here.clone()]))));
        }
        let surplus = (before.len() + 1).saturating_sub(LINKS_MAX);
        Some(before[surplus..].iter().chain(&self.here).cloned().collect())
    }

    /// From now on everything is dropped because of `exit`.
    pub(crate) fn end(&mut self, exit: &Exit) {
        for orphan in self.orphans.drain(..) {
            orphan.fail(exit);
        }
        self.exit = Some(exit.clone());
    }
}

/// Runs `body` in a scope.
pub(crate) fn enter<T>(scope: &mut Place, body: impl FnOnce() -> T) -> T {
    struct Entered<'a>(&'a mut Place);
    impl Drop for Entered<'_> {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
        }
    }
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, scope));
    let _entered = Entered(scope);
    body()
}

/// A call's handler begins: until it ends, these are the deadline and the callers.
pub(crate) fn begin(deadline: Option<Instant>, caller: Option<Arc<Chain>>) {
    CURRENT.with_borrow_mut(|current| {
        if let Some(scope) = current {
            scope.deadline = deadline;
            scope.caller = caller;
        }
    });
}

/// What a call made now takes along.
pub(crate) fn inherited() -> Inherited {
    CURRENT.with_borrow_mut(|current| match current {
        Some(scope) => Inherited { deadline: scope.deadline, waiting: scope.waiting() },
        None => Inherited::default(),
    })
}

/// The system of the server that is running.
pub(crate) fn system() -> Option<System> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(|scope| scope.system.clone()))
}

/// The latest time at which anybody waits for what is done now.
pub(crate) fn deadline() -> Option<Instant> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(|scope| scope.deadline))
}

/// How the server ends whose belongings are being dropped now.
pub(crate) fn exit() -> Option<Exit> {
    CURRENT.with_borrow(|current| current.as_ref().and_then(|scope| scope.exit.clone()))
}

/// Leaves a call to be told of the panic that is unwinding, if it unwinds a handler.
pub(crate) fn adopt(orphan: Box<dyn Orphan>) -> Result<(), Box<dyn Orphan>> {
    CURRENT.with_borrow_mut(|current| match current {
        Some(scope) => {
            scope.orphans.push(orphan);
            Ok(())
        }
        None => Err(orphan),
    })
}

/// A task that inherits the deadline and callers of the handler that starts it. The server itself does not wait
/// for it.
pub(crate) fn carry<F>(future: F) -> Carried<F> {
    let scope = CURRENT.with_borrow(|current| {
        let scope = current.as_ref()?;
        let Scope { deadline, caller, system, .. } = &**scope;
        let scope =
            Scope { deadline: *deadline, caller: caller.clone(), system: system.clone(), ..Scope::default() };
        Some(Box::new(scope))
    });
    Carried { future, scope }
}

pin_project! {
    /// A future polled in a scope of its own.
    pub(crate) struct Carried<F> {
        #[pin]
        future: F,
        scope: Place,
    }
}

impl<F: Future> Future for Carried<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let carried = self.project();
        enter(carried.scope, || carried.future.poll(context))
    }
}
