//! The servers of one node, and all they share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use netkernel::{Dispatch, Incarnation, Net, NodeId, ServerName};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::{Addr, LocalAddr};
use crate::config::Config;
use crate::deadline::{Deadlines, FOREVER};
use crate::error::StartError;
use crate::exit::Stop;
use crate::introspect::ServerInfo;
use crate::lock::Lock;
use crate::pid::Pid;
use crate::process::{self, AnyProcess, Process};
use crate::registry::Registry;
use crate::remote::inbox::Inbox;
use crate::remote::monitors::{Monitors, ServerKey, follow};
use crate::routes::Routes;
use crate::server::GenServer;
use crate::spawn::Spawn;

/// The servers of one node: starts them, finds them by name, ends them. Clones are the same system.
///
/// ```
/// # use genserver::*;
/// # struct Idle;
/// # impl GenServer for Idle {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StartError> {
/// use std::time::Duration;
///
/// let system = System::local();
/// let idle = system.spawn("idle", Idle).await?;
/// assert_eq!(system.servers()[0].pid, *idle.pid());
/// system.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// Dropping it ends nothing: servers run until they stop, are stopped, or the runtime ends.
#[derive(Clone)]
pub struct System(Arc<Inner>);

/// A system that may be gone.
pub(crate) struct WeakSystem(Weak<Inner>);

struct Inner {
    node: NodeId,
    incarnation: Incarnation,
    net: Option<Arc<dyn Net>>,
    direct: ServerName,
    config: Config,
    runtime: Handle,
    tasks: TaskTracker,
    /// Ends the system's own tasks.
    stop: CancellationToken,
    deadlines: Arc<Deadlines>,
    numbers: AtomicU64,
    registry: Registry,
    routes: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    monitors: Monitors,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every server handled what it had accepted, and terminated.
    Drained,
    /// The time was up; what still ran was ended.
    Forced,
}

impl System {
    /// A system of servers that talk to those of other nodes over `net`. Give [`dispatch`](Self::dispatch) to the
    /// kernel, so that what arrives is taken in.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is the one its servers run on.
    #[must_use]
    pub fn new(net: Arc<dyn Net>, config: Config) -> Self {
        let node = net.local();
        let events = net.events();
        let system = Self::build(node.id, node.incarnation, Some(net), config);
        system.run(follow(system.downgrade(), events));
        system
    }

    /// A system without a network: its servers know only each other.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is the one its servers run on.
    #[must_use]
    pub fn local() -> Self {
        Self::local_with(Config::default())
    }

    /// A system without a network, with limits of its own.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, which is the one its servers run on.
    #[must_use]
    pub fn local_with(config: Config) -> Self {
        let node = NodeId::new("local").expect("a well-formed id");
        Self::build(node, Incarnation(0), None, config)
    }

    fn build(node: NodeId, incarnation: Incarnation, net: Option<Arc<dyn Net>>, config: Config) -> Self {
        // A random start, so that an address kept from an earlier run of the node meets no server of this one.
        let start = RandomState::new().hash_one(incarnation) << Pid::NUMBER_BITS;
        let deadlines = Arc::new(Deadlines::new());
        let system = Self(Arc::new(Inner {
            node,
            incarnation,
            net,
            direct: ServerName::new(DIRECT).expect("a well-formed name"),
            config,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            deadlines: Arc::clone(&deadlines),
            numbers: AtomicU64::new(start),
            registry: Registry::default(),
            routes: Mutex::default(),
            monitors: Monitors::default(),
        }));
        system.run(async move { deadlines.sweep().await });
        system
    }

    /// Starts a server under a name. Await the result; the name is free again when the server has ended.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing of the server is left.
    pub fn spawn<S: GenServer>(&self, name: impl AsRef<str>, server: S) -> Spawn<S> {
        Spawn::new(self.clone(), Some(name.as_ref().to_owned()), server)
    }

    /// Starts a server without a name: it is reached by its address alone.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing of the server is left.
    pub fn spawn_unnamed<S: GenServer>(&self, server: S) -> Spawn<S> {
        Spawn::new(self.clone(), None, server)
    }

    /// The address of the server of that name on that node, whichever instance it is at the time of each message.
    /// Nothing is checked now.
    #[must_use]
    pub fn addr<S: GenServer>(&self, node: &NodeId, name: impl AsRef<str>) -> Addr<S> {
        Addr::named(self.clone(), node.clone(), name.as_ref())
    }

    /// The server that has this name here now, if it is an `S`.
    #[must_use]
    pub fn whereis<S: GenServer>(&self, name: impl AsRef<str>) -> Option<LocalAddr<S>> {
        let process = self.0.registry.by_name(name.as_ref())?;
        process.any().downcast::<Process<S>>().ok().map(LocalAddr::new)
    }

    /// Waits until an `S` has this name here and takes messages: at once if one does. `None` when the system shuts down,
    /// for then none will.
    ///
    /// A server that a supervisor starts again is without its name for a moment, and is another server afterwards:
    /// this is how to get its address. It waits for ever if nobody starts one; give it a limit by tokio's `timeout`.
    /// For a server of another node, ask again after [`NoProc`](crate::CallError::NoProc), which was not executed.
    ///
    /// ```
    /// # use genserver::*;
    /// # struct Worker;
    /// # impl GenServer for Worker {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), StartError> {
    /// # let system = System::local();
    /// let pool = Supervisor::new(Strategy::OneForOne).child(Child::new("worker", || Worker));
    /// system.spawn("pool", pool).await?;
    /// let first = system.wait_for::<Worker>("worker").await.expect("it is not shutting down");
    /// first.stop(Stop::Now).await;
    /// let second = system.wait_for::<Worker>("worker").await.expect("it is not shutting down");
    /// assert_ne!(first, second);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped and asked again at any time.
    pub async fn wait_for<S: GenServer>(&self, name: impl AsRef<str>) -> Option<LocalAddr<S>> {
        let wanted = |process: Arc<dyn AnyProcess>| {
            let process = process.any().downcast::<Process<S>>().ok()?;
            Some(LocalAddr::new(process)).filter(LocalAddr::is_open)
        };
        self.0.registry.wait_for(name.as_ref(), wanted).await
    }

    /// That one instance, if it runs here and is an `S`.
    #[must_use]
    pub fn instance<S: GenServer>(&self, pid: &Pid) -> Option<LocalAddr<S>> {
        let key = ServerKey::Number { incarnation: pid.incarnation(), number: pid.number() };
        let process = self.find(&key).filter(|process| process.pid() == pid)?;
        process.any().downcast::<Process<S>>().ok().map(LocalAddr::new)
    }

    /// This node's id; `local` without a network.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// What takes in the messages of other nodes for these servers. The names of Clusterluck's own layers, which
    /// start with `$`, are not among them.
    #[must_use]
    pub fn dispatch(&self) -> Arc<dyn Dispatch> {
        Arc::new(Inbox(self.downgrade()))
    }

    /// All servers, in the order they were started.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerInfo> {
        self.0.registry.all().iter().map(|server| server.info()).collect()
    }

    /// Runs `body` so that an [`Addr`] that is deserialised in it belongs to this system. Messages, replies and whatever a
    /// server's handlers read do so already; this is for addresses kept elsewhere.
    pub fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        crate::address::reading(self, body)
    }

    /// Stops every server, the last started first, and refuses new ones. A supervisor stops its own children.
    /// Servers that are not done after `within` are ended where they await; one that never awaits is waited for a
    /// second more, and left to the runtime.
    pub async fn shutdown(&self, within: Duration) -> Stopped {
        let deadline = Instant::now() + within.min(FOREVER);
        let servers = self.0.registry.close();
        let drained = tokio::time::timeout_at(deadline, async {
            for server in servers.iter().rev().filter(|server| !server.is_supervised()) {
                server.stop(Stop::graceful(within));
                let _ended = process::when_ended(self, &**server).await;
            }
        })
        .await;
        let left = self.0.registry.all();
        for server in &left {
            server.stop(Stop::Now);
        }
        self.0.stop.cancel();
        self.0.tasks.close();
        let ended = tokio::time::timeout(GRACE, self.0.tasks.wait()).await;
        if drained.is_ok() && ended.is_ok() && left.is_empty() { Stopped::Drained } else { Stopped::Forced }
    }

    pub(crate) fn find(&self, key: &ServerKey) -> Option<Arc<dyn AnyProcess>> {
        match key {
            ServerKey::Name(name) => self.0.registry.by_name(name.as_str()),
            ServerKey::Number { incarnation, number } if *incarnation == self.0.incarnation => {
                self.0.registry.by_number(*number)
            }
            ServerKey::Number { .. } => None,
        }
    }

    pub(crate) fn register(&self, process: Arc<dyn AnyProcess>) -> Result<(), StartError> {
        self.0.registry.add(process)
    }

    pub(crate) fn unregister(&self, pid: &Pid) {
        self.0.registry.remove(pid);
    }

    /// The routes of a type of server, listed once.
    pub(crate) fn routes<S: GenServer>(&self) -> Result<Arc<Routes<S>>, StartError> {
        let known = self.0.routes.locked().get(&TypeId::of::<S>()).cloned();
        if let Some(routes) = known.and_then(|routes| routes.downcast::<Routes<S>>().ok()) {
            return Ok(routes);
        }
        let routes = Arc::new(Routes::<S>::of_server()?);
        self.0.routes.locked().insert(TypeId::of::<S>(), routes.clone());
        Ok(routes)
    }

    /// A number never used twice in this run of the node.
    pub(crate) fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Runs a task of the system's own, to its end or the system's.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.0.stop.clone();
        let task = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        };
        self.0.tasks.spawn_on(task, &self.0.runtime);
    }

    /// Runs a server's task.
    pub(crate) fn run_server(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn_on(task, &self.0.runtime);
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    pub(crate) fn net(&self) -> Option<&Arc<dyn Net>> {
        self.0.net.as_ref()
    }

    /// The name netkernel's envelope bears for messages to one instance, and to the system itself.
    pub(crate) fn direct(&self) -> &ServerName {
        &self.0.direct
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn monitors(&self) -> &Monitors {
        &self.0.monitors
    }

    pub(crate) fn downgrade(&self) -> WeakSystem {
        WeakSystem(Arc::downgrade(&self.0))
    }
}

impl WeakSystem {
    pub(crate) fn upgrade(&self) -> Option<System> {
        self.0.upgrade().map(System)
    }
}

impl fmt::Debug for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("System").field("node", &self.0.node).finish_non_exhaustive()
    }
}

/// How long the tasks may take to notice that they are to end at once.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// Names that start so belong to this crate.
pub(crate) const DIRECT: &str = "#";
