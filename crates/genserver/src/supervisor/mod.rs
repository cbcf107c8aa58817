//! A server that keeps others running.

mod child;
mod intensity;
mod strategy;

pub use child::{Child, ChildInfo};
pub use strategy::{Restart, Strategy};

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use child::Running;
use intensity::Intensity;
use tokio::time::Instant;

use crate::context::Cx;
use crate::error::StartError;
use crate::exit::Exit;
use crate::message::{Outcome, Request};
use crate::monitor::{Down, DownReason, Info, MonitorRef};
use crate::pid::Pid;
use crate::reply::ReplyTo;
use crate::server::{GenServer, HandleCall, InitError};

/// A server that starts others in order, starts them again when they end, and stops them in reverse order when it
/// stops itself.
///
/// ```
/// # use genserver::*;
/// # struct Worker;
/// # impl GenServer for Worker {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StartError> {
/// use std::time::Duration;
///
/// let pool = Supervisor::new(Strategy::OneForOne)
///     .intensity(3, Duration::from_secs(5))
///     .child(Child::new("worker-1", || Worker))
///     .child(Child::new("worker-2", || Worker).restart(Restart::Transient));
///
/// let system = System::local();
/// system.spawn("pool", pool).await?;
/// assert!(system.whereis::<Worker>("worker-1").is_some());
/// # Ok(())
/// # }
/// ```
///
/// A child is started again from its factory, as another server: reach it by its name, which nobody has until it is
/// started again ([`System::wait_for`](crate::System::wait_for)). If children have to be started
/// again more often than the intensity allows, the supervisor stops them all and fails, which is for its own
/// supervisor to handle. Children can be added and removed later: [`StartChild`], [`StopChild`], [`Children`].
pub struct Supervisor {
    strategy: Strategy,
    intensity: Intensity,
    /// In the order they were started.
    children: Vec<Supervised>,
}

/// A child and the server that runs for it now.
struct Supervised {
    child: Child,
    running: Option<Running>,
    restarts: u64,
}

/// Starts one more child of a running [`Supervisor`], after the others.
#[derive(Debug)]
pub struct StartChild(pub Child);

impl Request for StartChild {
    type Reply = Result<Pid, StartError>;
}

/// Stops a child of a running [`Supervisor`] and forgets it. Answers whether there was such a child.
#[derive(Debug)]
pub struct StopChild(pub Pid);

impl Request for StopChild {
    type Reply = bool;
}

/// Lists the children of a running [`Supervisor`], in the order they were started.
#[derive(Debug)]
pub struct Children;

impl Request for Children {
    type Reply = Vec<ChildInfo>;
}

impl Supervisor {
    /// A supervisor without children. At most one child may be started again in five seconds, unless
    /// [`intensity`](Self::intensity) says otherwise.
    #[must_use]
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, intensity: Intensity::default(), children: Vec::new() }
    }

    /// How often children may be started again: at most `restarts` times in any `window`.
    #[must_use]
    pub fn intensity(mut self, restarts: usize, window: Duration) -> Self {
        self.intensity = Intensity::new(restarts, window);
        self
    }

    /// Adds a child, to be started after those added before.
    #[must_use]
    pub fn child(mut self, child: Child) -> Self {
        self.children.push(Supervised { child, running: None, restarts: 0 });
        self
    }

    /// Starts the child at `position`.
    async fn start(&mut self, position: usize, cx: &mut Cx<Self>) -> Result<Pid, StartError> {
        let supervised = &mut self.children[position];
        let process = supervised.child.start(cx.system()).await?;
        let pid = process.pid().clone();
        let monitor = cx.monitor(&process);
        supervised.running = Some(Running { process, monitor });
        Ok(pid)
    }

    /// Stops the children in `range`, the last first.
    async fn stop(&mut self, range: Range<usize>, cx: &mut Cx<Self>) {
        for supervised in self.children[range].iter_mut().rev() {
            if let Some(running) = supervised.running.take() {
                cx.demonitor(running.monitor);
                running.stop(cx.system(), supervised.child.shutdown).await;
            }
        }
    }

    /// Starts again what the strategy says after the child at `position` has ended.
    async fn restart(&mut self, position: usize, cx: &mut Cx<Self>) -> Outcome {
        let mut range = self.strategy.affected(position, self.children.len());
        self.children[position].restarts += 1;
        while self.intensity.allows(Instant::now()) {
            self.stop(range.clone(), cx).await;
            let temporary = |supervised: &mut Supervised| supervised.child.restart == Restart::Temporary;
            range.end -= self.children.extract_if(range.clone(), temporary).count();
            match self.start_all(range.clone(), cx).await {
                // While the system shuts down nothing is started, and this server is about to be stopped.
                Ok(()) | Err(StartError::ShuttingDown) => return Outcome::Continue,
                Err(error) => {
                    tracing::warn!(supervisor = %cx.pid(), %error, "a child could not be started again");
                }
            }
        }
        Outcome::fail("its children had to be started again too often")
    }

    async fn start_all(&mut self, range: Range<usize>, cx: &mut Cx<Self>) -> Result<(), StartError> {
        for position in range {
            self.start(position, cx).await?;
        }
        Ok(())
    }

    /// A child has ended.
    async fn ended(&mut self, monitor: MonitorRef, exit: &Exit, cx: &mut Cx<Self>) -> Outcome {
        let of_monitor =
            |child: &Supervised| child.running.as_ref().is_some_and(|now| now.monitor == monitor);
        let Some(position) = self.children.iter().position(of_monitor) else { return Outcome::Continue };
        let supervised = &mut self.children[position];
        supervised.running = None;
        match supervised.child.restart {
            Restart::Permanent => self.restart(position, cx).await,
            Restart::Transient if exit.is_failure() => self.restart(position, cx).await,
            Restart::Transient => Outcome::Continue,
            Restart::Temporary => {
                self.children.remove(position);
                Outcome::Continue
            }
        }
    }
}

impl GenServer for Supervisor {
    async fn init(&mut self, cx: &mut Cx<Self>) -> Result<(), InitError> {
        let all = 0..self.children.len();
        let started = self.start_all(all.clone(), cx).await;
        if started.is_err() {
            self.stop(all, cx).await;
        }
        Ok(started?)
    }

    async fn info(&mut self, info: Info, cx: &mut Cx<Self>) -> Outcome {
        match info {
            Info::Down(Down { monitor, reason: DownReason::Exited(exit), .. }) => {
                self.ended(monitor, &exit, cx).await
            }
            _ => Outcome::Continue,
        }
    }

    async fn terminate(mut self, _why: Exit) {
        for supervised in self.children.iter_mut().rev() {
            if let Some(running) = supervised.running.take() {
                let system = running.process.system().clone();
                running.stop(&system, supervised.child.shutdown).await;
            }
        }
    }
}

impl HandleCall<StartChild> for Supervisor {
    async fn call(
        &mut self,
        StartChild(child): StartChild,
        reply: ReplyTo<Result<Pid, StartError>>,
        cx: &mut Cx<Self>,
    ) -> Outcome {
        self.children.push(Supervised { child, running: None, restarts: 0 });
        let started = self.start(self.children.len() - 1, cx).await;
        if started.is_err() {
            self.children.pop();
        }
        reply.send(started)
    }
}

impl HandleCall<StopChild> for Supervisor {
    async fn call(&mut self, StopChild(pid): StopChild, reply: ReplyTo<bool>, cx: &mut Cx<Self>) -> Outcome {
        let of_pid = |child: &Supervised| child.running.as_ref().is_some_and(|now| *now.process.pid() == pid);
        let Some(position) = self.children.iter().position(of_pid) else { return reply.send(false) };
        self.stop(position..position + 1, cx).await;
        self.children.remove(position);
        reply.send(true)
    }
}

impl HandleCall<Children> for Supervisor {
    async fn call(&mut self, _: Children, reply: ReplyTo<Vec<ChildInfo>>, _cx: &mut Cx<Self>) -> Outcome {
        let info = |supervised: &Supervised| ChildInfo {
            name: supervised.child.name.clone(),
            pid: supervised.running.as_ref().map(|running| running.process.pid().clone()),
            restart: supervised.child.restart,
            restarts: supervised.restarts,
        };
        reply.send(self.children.iter().map(info).collect())
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = self.children.iter().map(|supervised| &supervised.child);
        formatter
            .debug_struct("Supervisor")
            .field("strategy", &self.strategy)
            .field("children", &children.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
