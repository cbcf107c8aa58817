//! What a supervisor starts, and starts again.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::error::StartError;
use crate::exit::{Exit, Stop};
use crate::monitor::{MonitorRef, Place, Subject, Watch};
use crate::pid::Pid;
use crate::process::{self, AnyProcess};
use crate::server::{GenServer, InitError};
use crate::spawn::Spawn;
use crate::supervisor::Restart;
use crate::system::System;

/// How a [`Supervisor`](crate::Supervisor) starts one child, and when it starts it again.
pub struct Child {
    pub(super) name: Option<String>,
    pub(super) restart: Restart,
    pub(super) shutdown: Duration,
    start: Arc<Start>,
}

type Start = dyn Fn(System, Option<String>) -> Starting + Send + Sync;
type Starting = Pin<Box<dyn Future<Output = Result<AnyServer, StartError>> + Send>>;

impl Child {
    /// A child registered as `name`, started each time from what `factory` makes.
    pub fn new<S, F>(name: impl AsRef<str>, factory: F) -> Self
    where
        S: GenServer,
        F: Fn() -> S + Send + Sync + 'static,
    {
        let factory = Arc::new(factory);
        Self::of(Some(name.as_ref()), move |system, name| {
            let factory = Arc::clone(&factory);
            Box::pin(async move { start(system, name, factory()).await })
        })
    }

    /// A child without a name.
    pub fn unnamed<S, F>(factory: F) -> Self
    where
        S: GenServer,
        F: Fn() -> S + Send + Sync + 'static,
    {
        Self { name: None, ..Self::new("", factory) }
    }

    /// A child registered as `name`, started each time from what `factory` makes, which may take time and may fail:
    /// a server that needs a connection, say.
    pub fn with<S, F, Made>(name: impl AsRef<str>, factory: F) -> Self
    where
        S: GenServer,
        F: Fn() -> Made + Send + Sync + 'static,
        Made: Future<Output = Result<S, InitError>> + Send + 'static,
    {
        let factory = Arc::new(factory);
        Self::of(Some(name.as_ref()), move |system, name| {
            let factory = Arc::clone(&factory);
            Box::pin(async move {
                let server = factory().await.map_err(|source| StartError::Init { source })?;
                start(system, name, server).await
            })
        })
    }

    fn of(
        name: Option<&str>,
        start: impl Fn(System, Option<String>) -> Starting + Send + Sync + 'static,
    ) -> Self {
        let name = name.map(str::to_owned);
        Self { name, restart: Restart::default(), shutdown: SHUTDOWN, start: Arc::new(start) }
    }

    /// When it is started again. Default [`Restart::Permanent`].
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it may take to stop in good order before it is ended at once. Default 5 s; a supervisor of many
    /// children needs more.
    #[must_use]
    pub fn shutdown(mut self, within: Duration) -> Self {
        self.shutdown = within;
        self
    }

    pub(super) async fn start(&self, system: &System) -> Result<AnyServer, StartError> {
        let mut starting = (self.start)(system.clone(), self.name.clone());
        // A factory is the user's, and runs in the supervisor: its panic is the child's failure.
        poll_fn(|context| {
            catch_unwind(AssertUnwindSafe(|| starting.as_mut().poll(context))).unwrap_or_else(|payload| {
                Poll::Ready(Err(StartError::Exited { exit: Exit::panicked(&*payload) }))
            })
        })
        .await
    }
}

async fn start<S: GenServer>(
    system: System,
    name: Option<String>,
    server: S,
) -> Result<AnyServer, StartError> {
    let started = Spawn::new(system.clone(), name, server).supervised().await?;
    Ok(AnyServer { system, process: started.process() })
}

/// A running server of any type.
pub(super) struct AnyServer {
    system: System,
    process: Arc<dyn AnyProcess>,
}

impl AnyServer {
    pub(super) fn pid(&self) -> &Pid {
        self.process.pid()
    }

    pub(super) fn system(&self) -> &System {
        &self.system
    }
}

impl Watch for AnyServer {
    fn subject(&self) -> Subject {
        Subject(Place::Here(Arc::clone(&self.process)))
    }
}

impl crate::monitor::sealed::Sealed for AnyServer {}

/// The server that runs for a child now. Dropped, it ends the server at once: a child never outlives its supervisor.
pub(super) struct Running {
    pub(super) process: AnyServer,
    pub(super) monitor: MonitorRef,
}

impl Running {
    /// Stops the server and waits for its end.
    pub(super) async fn stop(self, system: &System, within: Duration) {
        self.process.process.stop(Stop::graceful(within));
        let _ended = process::when_ended(system, &*self.process.process).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.process.stop(Stop::Now);
    }
}

/// A child of a supervisor, as [`Children`](crate::Children) lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildInfo {
    /// The name it is registered under.
    pub name: Option<String>,
    /// The server that runs for it now.
    pub pid: Option<Pid>,
    /// When it is started again.
    pub restart: Restart,
    /// How often it was, because it had ended itself.
    pub restarts: u64,
}

impl fmt::Debug for Child {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Child")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// As in Erlang.
const SHUTDOWN: Duration = Duration::from_secs(5);
