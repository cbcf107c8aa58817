//! What the kernel's handle and all its tasks share: the links, and the way out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::FirstMessages;
use super::kernel::BindError;
use super::latch::Latch;
use super::refused::Refused;
use crate::call::CallId;
use crate::config::Config;
use crate::events::EventLog;
use crate::link::{Link, Pressed};
use crate::metrics::Labels;
use crate::net::{Dispatch, PeerEvent, PeerStatus};
use crate::node::{Incarnation, Node, NodeId, Role};
use crate::proto::hello::Hello;
use crate::session::Watch;
use crate::told::Told;
use crate::transport::Listener;

/// What the handle and all tasks share.
pub(super) struct Shared {
    pub(super) config: Config,
    node: Mutex<Node>,
    instance: u64,
    /// Looks after the sessions.
    pub(super) watch: Arc<Watch>,
    connections: AtomicU64,
    /// Turns of the supervisors to dial.
    pub(super) dials: Semaphore,
    calls: AtomicU64,
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
    pub(super) pressed: Arc<Pressed>,
    pub(super) refused: Refused,
    told: Arc<Told>,
    /// First messages of handshakes that came of late.
    pub(super) first_messages: FirstMessages,
    /// Places for sessions that are accepted.
    places: Arc<Semaphore>,
    pub(super) events: EventLog,
    dispatch: OnceLock<Arc<dyn Dispatch>>,
    pub(super) tasks: TaskTracker,
    /// Where they run, from wherever they are begun.
    runtime: Handle,
    /// Shut when sessions are no longer to be made.
    pub(super) latch: Latch,
    /// Tells the tasks of it.
    pub(super) closing: CancellationToken,
    /// No session broke since, and none was cut short.
    pub(super) is_drained: AtomicBool,
    /// Everything ends now.
    pub(super) stop: CancellationToken,
    listener: Mutex<Option<Box<dyn Listener>>>,
}

impl Shared {
    pub(super) fn new(
        config: Config,
        node: Node,
        listener: Option<Box<dyn Listener>>,
    ) -> Result<Self, BindError> {
        let stop = CancellationToken::new();
        Ok(Self {
            node: Mutex::new(node),
            instance: random()?,
            watch: Arc::new(Watch::new(Instant::now(), &config.limits)),
            connections: AtomicU64::new(0),
            dials: Semaphore::new(config.limits.dials_max),
            // A random start, so that a reply to an earlier run of this node finds no call here. The upper bit is
            // left to other numbers.
            calls: AtomicU64::new(random()? >> 2),
            links: Mutex::new(BTreeMap::new()),
            pressed: Arc::new(Pressed::new()),
            refused: Refused::new(&config.id),
            told: Arc::new(Told::new()),
            first_messages: FirstMessages::default(),
            places: Arc::new(Semaphore::new(config.limits.sessions_max)),
            events: EventLog::new(),
            dispatch: OnceLock::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            latch: Latch::new(),
            closing: stop.child_token(),
            is_drained: AtomicBool::new(true),
            stop,
            listener: Mutex::new(listener),
            config,
        })
    }

    /// Ends everything at once: all tasks, and the calls that nobody will answer.
    pub(super) fn stop(&self) {
        self.stop.cancel();
        for link in self.all_links() {
            if !link.stop() {
                self.is_drained.store(false, Ordering::Relaxed);
            }
            self.report_losses(&link);
        }
    }

    /// False if there is one already.
    pub(super) fn set_dispatch(&self, dispatch: Arc<dyn Dispatch>) -> bool {
        self.dispatch.set(dispatch).is_ok()
    }

    pub(super) fn take_listener(&self) -> Option<Box<dyn Listener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Spawns a task of this kernel: counted, and ended with it.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        // What an `async` block moves into `select!` it keeps room for twice.
        let mut task = Box::pin(task);
        let task = async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = &mut task => {}
            }
        };
        self.tasks.spawn_on(task, &self.runtime);
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all_links(&self) -> Vec<Arc<Link>> {
        self.links().values().cloned().collect()
    }

    pub(super) fn peers(&self) -> Vec<PeerStatus> {
        self.all_links().iter().map(|link| link.status()).collect()
    }

    /// Tells the `metrics` facade how the links stand, until the kernel closes.
    #[cfg(feature = "metrics")]
    pub(super) fn sampler(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(self);
        async move {
            tokio::select! {
                () = shared.closing.cancelled() => {}
                () = crate::metrics::sample(shared.config.id.clone(), || shared.peers()) => {}
            }
        }
    }

    /// Looks after the sessions until the kernel has closed and the last of them has ended.
    pub(super) fn watch(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(self);
        async move {
            let tell_overdue = || {
                shared.refused.tell_overdue();
                shared.told.overdue();
            };
            shared.watch.run(&shared.config.limits, &shared.closing, tell_overdue).await;
        }
    }

    pub(super) fn forget_all(&self) {
        self.links().clear();
    }

    /// Makes this node a later instance of itself. False if it is none.
    pub(super) fn raise_incarnation(&self, incarnation: Incarnation) -> bool {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let later = incarnation > node.incarnation;
        if later {
            node.incarnation = incarnation;
        }
        later
    }

    pub(super) fn node(&self) -> Node {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dispatch(&self) -> Option<Arc<dyn Dispatch>> {
        self.dispatch.get().cloned()
    }

    pub(super) fn link(&self, id: &NodeId) -> Option<Arc<Link>> {
        self.links().get(id).cloned()
    }

    /// The link to a node, made if there is none, and kept as long as the visit lasts.
    pub(super) fn visit(self: &Arc<Self>, id: &NodeId, role: Role) -> Visit {
        let mut links = self.links();
        let labels = Labels::of_peer(&self.config.id, id, role);
        let new = || Link::new(labels, id.clone(), self.config.limits.clone(), &self.pressed, &self.told);
        let link = links.entry(id.clone()).or_insert_with(new);
        link.visitors.fetch_add(1, Ordering::Relaxed);
        if self.stop.is_cancelled() {
            // Whoever stopped the kernel may have stopped the others already.
            link.stop();
        }
        Visit { link: Arc::clone(link), shared: Arc::clone(self) }
    }

    /// A place for one more session that was accepted, if there is one.
    pub(super) fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Tells of what was lost on a link since this was last done.
    pub(super) fn report_losses(&self, link: &Link) {
        let (messages, casts) = (link.newly_dropped(), link.newly_unconfirmed());
        if messages > 0 {
            self.emit(PeerEvent::Dropped { id: link.id().clone(), messages });
        }
        if casts > 0 {
            self.emit(PeerEvent::Unconfirmed { id: link.id().clone(), casts });
        }
    }

    /// Removes a link that nothing keeps.
    pub(super) fn forget_if_idle(&self, link: &Arc<Link>) {
        let mut links = self.links();
        if link.is_idle() && links.get(link.id()).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(link.id());
            drop(links);
            link.close();
            self.report_losses(link);
        }
    }

    /// What this end says of itself in a handshake.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            node: self.node(),
            role: self.config.role,
            instance: self.instance,
            connection: self.connections.fetch_add(1, Ordering::Relaxed),
            features: 0,
            receives: self.config.limits.receives(),
        }
    }

    pub(super) fn is_self(&self, hello: &Hello) -> bool {
        hello.instance == self.instance
    }

    pub(super) fn emit(&self, event: PeerEvent) {
        tracing::debug!(node = %self.config.id, ?event, "peer event");
        self.events.send(event);
    }

    pub(super) fn call_id(&self) -> CallId {
        CallId(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A place among the sessions that were accepted, given back when it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// Keeps a link while a session or a wish may come of it, and while there is a session whose end has yet to be told: one
/// that was forgotten before would be told as down after another in its place was told as up. Leaves no link behind if
/// nothing else keeps it.
pub(super) struct Visit {
    pub(super) link: Arc<Link>,
    pub(super) shared: Arc<Shared>,
}

impl Clone for Visit {
    fn clone(&self) -> Self {
        self.link.visitors.fetch_add(1, Ordering::Relaxed);
        Self { link: Arc::clone(&self.link), shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.link.visitors.fetch_sub(1, Ordering::Relaxed);
        self.shared.forget_if_idle(&self.link);
    }
}

/// A random number from the system.
pub(super) fn random() -> Result<u64, BindError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| BindError::Randomness)?;
    Ok(u64::from_le_bytes(bytes))
}
