//! The handle: start, ask, read, stop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::{Address, Net, NodeId, Peer, Refusal, Role, ServerName};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::driver::{Asked, Driver, Parts};
use crate::error::{
    AnnounceError, InsertError, JoinError, LeaveError, MeetError, PropagationError, RemoveError, StartError,
    Unavailable, UpdateError,
};
use crate::event::{Cause, Event};
use crate::inbox::{Letterbox, inbox};
use crate::proto::{Affiliation, Command, Image, Insertion, Machine, Operation, Outcome, Reach};
use crate::publisher::Publisher;
use crate::readers::{Events, Views};
use crate::report::Report;
use crate::ring_name::RingName;
use crate::store::{Store, StoreError};
use crate::view::View;

/// One node's part in a ring. Clones are the same; when the last is gone, gossip stops without a word.
#[derive(Clone)]
#[must_use = "dropped, it stops without saying goodbye: use shutdown"]
pub struct Gossip {
    node: NodeId,
    letterbox: Letterbox,
    commands: mpsc::Sender<Asked>,
    views: watch::Receiver<Arc<View>>,
    reports: watch::Receiver<Arc<Report>>,
    /// Weak, so that readers see the end when the driver's end is gone.
    events: broadcast::WeakSender<Event>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: Arc<DropGuard>,
}

impl Gossip {
    /// Loads the stored state and starts to gossip over `net`.
    ///
    /// Whoever dispatches the messages of `net` has to hand those for [`server_name`] to
    /// [`deliver`](Self::deliver). Has to be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the state cannot be read, is another node's or ring's, or a first write of it fails. Then
    /// nothing was told to anyone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, nothing was started; the state may have been rewritten.
    pub async fn start(net: Arc<dyn Net>, config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        let clock = Clock::start();
        let seed = getrandom::u64().map_err(|error| StartError::Randomness { reason: error.to_string() })?;
        let node = net.local();
        let id = node.id.clone();
        let settings = config.settings(node);
        let disk = Arc::clone(&store);
        let (machine, founds) = blocking(move || {
            let state = disk.load()?.map(|bytes| Image::decode(&bytes)).transpose()?;
            let founds = state.is_none() && settings.ring.is_some();
            let machine = Machine::new(settings, state, seed, clock.now())?;
            // A disk that takes nothing is better known now than at the first change.
            disk.save(&machine.image(clock.now()).encode())?;
            Ok((machine, founds))
        })
        .await?;
        // Before anyone can dial: a later change of it would close the sessions made under the first.
        net.set_incarnation(machine.incarnation());

        let (letterbox, inbox) = inbox(config.inbox_frames());
        let (asking, commands) = mpsc::channel(COMMANDS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let weak = events.downgrade();
        let (publisher, views, reports) = Publisher::new(&config, events);
        // What was on the disk is known before anything else happens.
        publisher.publish(&machine, Cause::Local);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let server = server_name();
        let of_driver = tasks.clone();
        let parts =
            Parts { machine, clock, net, server, store, publisher, inbox, commands, tasks: of_driver };
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = Driver::new(parts).run() => {}
                () = stopped.cancelled() => {}
            }
        });
        let guard = Arc::new(stop.clone().drop_guard());
        let gossip = Self {
            node: id,
            letterbox,
            commands: asking,
            views,
            reports,
            events: weak,
            tasks,
            stop,
            _stop_on_drop: guard,
        };
        if founds {
            // So that the first operation finds the ring there. A disk that has become full meanwhile is reported
            // by that operation.
            let mut views = gossip.watch();
            let founded = views.until(|view| *view.affiliation() != Affiliation::Outside);
            let _late = tokio::time::timeout(FOUNDING_MAX, founded).await;
        }
        Ok(gossip)
    }

    /// Takes a message that arrived for [`server_name`]. It never waits.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overloaded`] when too much waits already (the protocol repairs the loss),
    /// [`Refusal::NotAllowed`] for a sender that is no node, [`Refusal::Draining`] after the end.
    pub fn deliver(&self, from: &Arc<Peer>, body: Bytes) -> Result<(), Refusal> {
        if from.role == Role::Node {
            self.letterbox.put(&from.node.id, body)
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// Makes this node's ring and that of the node at `address` one, if they bear the same name. Returns once
    /// either has everything of the other; the other members learn it within a moment. Meeting oneself does
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`MeetError`]
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the meet goes on by itself until its deadline. This holds for all operations.
    pub async fn meet(&self, address: &Address) -> Result<Operation, MeetError> {
        let command = Command::Meet { address: address.clone(), expected: None };
        self.ask(command, |outcome| if let Outcome::Meet(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Like [`meet`](Self::meet), but only if the node at the address is the one expected.
    ///
    /// # Errors
    ///
    /// [`MeetError`]
    pub async fn meet_node(&self, id: &NodeId, address: &Address) -> Result<Operation, MeetError> {
        let command = Command::Meet { address: address.clone(), expected: Some(id.clone()) };
        self.ask(command, |outcome| if let Outcome::Meet(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Makes a node a member. It owns no keys until it was heard from; it is invited until then, by every member
    /// that reaches it. Without a weight it gets this node's default. `force` writes a present member anew.
    ///
    /// # Errors
    ///
    /// [`InsertError`]
    pub async fn insert(
        &self,
        id: NodeId,
        address: Address,
        weight: Option<u32>,
        force: bool,
    ) -> Result<Operation, InsertError> {
        let insertion = Insertion::new(id, address);
        let insertion = match weight {
            Some(weight) => insertion.weight(weight),
            None => insertion,
        };
        self.insert_many(vec![insertion], force).await
    }

    /// Makes nodes members, all of them or none. Of several of one id, the last counts.
    ///
    /// # Errors
    ///
    /// [`InsertError`]
    pub async fn insert_many(&self, nodes: Vec<Insertion>, force: bool) -> Result<Operation, InsertError> {
        let command = Command::Insert { nodes, force };
        self.ask(command, |outcome| if let Outcome::Insert(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Changes a member's weight. Its address is its own to change.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]
    pub async fn update(&self, id: &NodeId, weight: u32) -> Result<Operation, UpdateError> {
        let command = Command::Update { id: id.clone(), weight };
        self.ask(command, |outcome| if let Outcome::Update(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Removes a member. It is told, and stops gossiping; should it be away, it is told when it is back. `force`
    /// cuts its link at once instead of sending what waits first.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub async fn remove(&self, id: &NodeId, force: bool) -> Result<Operation, RemoveError> {
        self.remove_many(vec![id.clone()], force).await
    }

    /// Removes members, all of them or none.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]
    pub async fn remove_many(&self, ids: Vec<NodeId>, force: bool) -> Result<Operation, RemoveError> {
        let command = Command::Remove { ids, force };
        self.ask(command, |outcome| if let Outcome::Remove(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Leaves the ring. Returns once three members, or all others if they are fewer, have it in their books.
    /// `force` does not wait for that.
    ///
    /// # Errors
    ///
    /// [`LeaveError`]
    pub async fn leave(&self, force: bool) -> Result<Operation, LeaveError> {
        let command = Command::Leave { force };
        self.ask(command, |outcome| if let Outcome::Leave(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Joins a ring, when in none: founds it, until another node of it is met. Rejoining the ring it was in last,
    /// the node goes back to the members it knew.
    ///
    /// # Errors
    ///
    /// [`JoinError`]
    pub async fn join(&self, ring: RingName) -> Result<Operation, JoinError> {
        let command = Command::Join { ring };
        self.ask(command, |outcome| if let Outcome::Join(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Asks the others to pass this node over, because it will stop, or takes that back. Its keys stay its own.
    ///
    /// # Errors
    ///
    /// [`AnnounceError`]
    pub async fn set_draining(&self, draining: bool) -> Result<Operation, AnnounceError> {
        self.announce(Some(draining), None).await
    }

    /// Replaces this node's labels.
    ///
    /// # Errors
    ///
    /// [`AnnounceError`]
    pub async fn set_tags(&self, tags: BTreeMap<String, String>) -> Result<Operation, AnnounceError> {
        self.announce(None, Some(tags)).await
    }

    async fn announce(
        &self,
        draining: Option<bool>,
        tags: Option<BTreeMap<String, String>>,
    ) -> Result<Operation, AnnounceError> {
        let command = Command::Announce { draining, tags };
        self.ask(command, |outcome| if let Outcome::Announce(result) = outcome { Some(result) } else { None })
            .await?
    }

    /// Waits until an operation of this node has spread so far. The members are asked, not guessed.
    ///
    /// # Errors
    ///
    /// [`PropagationError`]; it spreads on in any case.
    pub async fn propagated(
        &self,
        operation: Operation,
        reach: Reach,
        deadline: Duration,
    ) -> Result<(), PropagationError> {
        let within_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX / 4);
        let command = Command::Propagated { operation, reach, within_ms };
        self.ask(
            command,
            |outcome| if let Outcome::Propagated(result) = outcome { Some(result) } else { None },
        )
        .await?
    }

    /// The ring as this node sees it now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// What this node has counted, and what it waits for.
    #[must_use]
    pub fn report(&self) -> Arc<Report> {
        Arc::clone(&self.reports.borrow())
    }

    /// The present view and every change of it.
    #[must_use]
    pub fn watch(&self) -> Views {
        Views::new(self.views.clone())
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        let ended = || broadcast::channel(1).1;
        Events::new(self.events.upgrade().map_or_else(ended, |events| events.subscribe()))
    }

    /// Says goodbye, brings the state to disk and ends every task. The node stays a member: leaving is
    /// [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] if the time was up first; the tasks have been told to end without that.
    pub async fn shutdown(&self, within: Duration) -> Result<(), ShutdownError> {
        let ended = tokio::time::timeout(within, async {
            // An error means that it has stopped already.
            let _ = self.ask(Command::Stop, |_| Some(())).await;
            self.tasks.close();
            self.tasks.wait().await;
        });
        ended.await.map_err(|_| {
            self.stop.cancel();
            ShutdownError { within }
        })
    }

    /// Sends a command and waits for its outcome.
    async fn ask<T>(&self, command: Command, pick: fn(Outcome) -> Option<T>) -> Result<T, Unavailable> {
        let (reply, outcome) = oneshot::channel();
        self.commands.send((command, reply)).await.map_err(|_| Unavailable::Stopped)?;
        outcome.await.ok().and_then(pick).ok_or(Unavailable::Stopped)
    }
}

/// The name under which nodes gossip with each other.
#[must_use]
pub fn server_name() -> ServerName {
    ServerName::system("gossip").expect("the name is short and printable")
}

/// A shutdown took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("gossip did not stop within {within:?}; it was cut off")]
pub struct ShutdownError {
    /// How long it had.
    pub within: Duration,
}

impl fmt::Debug for Gossip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gossip").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Runs what may block away from the runtime's workers.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(StoreError::Panicked.into()))
}

/// Commands on their way to the driver; more wait with their callers.
const COMMANDS_MAX: usize = 64;

/// What a slow reader of events may fall behind.
const EVENTS_MAX: usize = 1_024;

/// How long a start waits for the disk to take a new ring.
const FOUNDING_MAX: Duration = Duration::from_secs(5);
