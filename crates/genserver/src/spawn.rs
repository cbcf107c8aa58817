//! Starting a server.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;

use netkernel::ServerName;
use tokio::sync::oneshot;

use crate::address::LocalAddr;
use crate::error::StartError;
use crate::exit::Exit;
use crate::pid::Pid;
use crate::process::{self, Options, Process};
use crate::runloop;
use crate::server::GenServer;
use crate::system::{DIRECT, GRACE, System};
use crate::taken::Urgency;

/// A server to be started, from [`System::spawn`]. Await it.
#[must_use = "nothing is started unless it is awaited"]
pub struct Spawn<S: GenServer> {
    system: System,
    name: Option<String>,
    server: S,
    options: Options,
}

impl<S: GenServer> Spawn<S> {
    pub(crate) fn new(system: System, name: Option<String>, server: S) -> Self {
        let options = Options { mailbox_messages: system.config().mailbox_messages, supervised: false };
        Self { system, name, server, options }
    }

    /// How many messages its mailbox holds, instead of what the [`Config`](crate::Config) says. Zero counts as one.
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.options.mailbox_messages = messages.max(1);
        self
    }

    pub(crate) fn supervised(mut self) -> Self {
        self.options.supervised = true;
        self
    }

    async fn start(self) -> Result<LocalAddr<S>, StartError> {
        let Self { system, name, server, options } = self;
        let name = name.map(checked).transpose()?;
        let routes = system.routes::<S>()?;
        let pid = Pid::new(system.node().clone(), system.incarnation(), system.number(), name);
        let process = Process::new(pid, system.clone(), routes, options);
        system.register(process.clone())?;
        let (started, starting) = oneshot::channel();
        system.run_server(runloop::run(Arc::clone(&process), server, started));
        let unfinished = Unfinished(&process);
        match tokio::time::timeout(system.config().start_timeout, starting).await {
            Ok(Ok(outcome)) => {
                std::mem::forget(unfinished);
                outcome.map(|()| LocalAddr::new(process))
            }
            // The runtime has dropped the task.
            Ok(Err(_)) => Err(StartError::Exited { exit: Exit::Killed }),
            Err(_elapsed) => {
                drop(unfinished);
                // The name has to be free before the starter knows, unless `init` never awaits.
                let _ended = tokio::time::timeout(GRACE, process::when_ended(&system, &*process)).await;
                Err(StartError::Timeout)
            }
        }
    }
}

/// A server that has not started yet. Dropped, it ends: its starter is gone.
struct Unfinished<'a, S: GenServer>(&'a Process<S>);

impl<S: GenServer> Drop for Unfinished<'_, S> {
    fn drop(&mut self) {
        self.0.mailbox.stop(Urgency::Now);
    }
}

/// # Cancel safety
///
/// Dropped before it completes, the server is ended, or never started.
impl<S: GenServer> IntoFuture for Spawn<S> {
    type Output = Result<LocalAddr<S>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

fn checked(name: String) -> Result<ServerName, StartError> {
    if name.starts_with(DIRECT) {
        return Err(StartError::Reserved { name });
    }
    ServerName::new(&name).map_err(|source| StartError::Name { name, source })
}

impl<S: GenServer> fmt::Debug for Spawn<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spawn").field("name", &self.name).finish_non_exhaustive()
    }
}
