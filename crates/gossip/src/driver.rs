//! The task that runs the core over a real network, disk and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::{ConnectError, HandshakeError, Lagged, Net, NodeId, PeerEvent, PeerEvents, Role, ServerName};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::event::Event;
use crate::inbox::Inbox;
use crate::proto::{Action, Command, DialError, Image, ImageId, Input, Machine, Outcome, Token};
use crate::publisher::Publisher;
use crate::store::Store;

/// A command and who waits for its outcome.
pub(crate) type Asked = (Command, oneshot::Sender<Outcome>);

/// Owns the machine, and is the only one who touches it.
pub(crate) struct Driver {
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) server: ServerName,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publisher: Publisher,
    pub(crate) inbox: Inbox,
    pub(crate) commands: mpsc::Receiver<Asked>,
    pub(crate) tasks: TaskTracker,
    /// Who waits for which command.
    waiting: BTreeMap<Token, oneshot::Sender<Outcome>>,
    next_token: u64,
    /// Sessions the machine was told of.
    up: BTreeSet<NodeId>,
    /// Questions whether they still are, one a node.
    doubts: JoinSet<NodeId>,
    doubted: BTreeSet<NodeId>,
    /// Ends of dials and writes come back here.
    done: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) server: ServerName,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) publisher: Publisher,
    pub(crate) inbox: Inbox,
    pub(crate) commands: mpsc::Receiver<Asked>,
    pub(crate) tasks: TaskTracker,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { machine, clock, net, server, store, publisher, inbox, commands, tasks } = parts;
        Self {
            machine,
            clock,
            net,
            server,
            store,
            publisher,
            inbox,
            commands,
            tasks,
            waiting: BTreeMap::new(),
            next_token: 0,
            up: BTreeSet::new(),
            doubts: JoinSet::new(),
            doubted: BTreeSet::new(),
            done: mpsc::channel(DONE_MAX),
        }
    }

    /// Runs until the machine stops or every handle is gone.
    pub(crate) async fn run(mut self) {
        let mut events = self.net.events();
        self.resync_links();
        self.carry_out();
        while self.step(&mut events).await {
            self.carry_out();
        }
        self.carry_out();
    }

    /// Waits for one thing and feeds it to the machine. `false` when there is nothing more to wait for.
    async fn step(&mut self, events: &mut PeerEvents) -> bool {
        let due = self.machine.deadline_ms();
        if due.is_some_and(|due| self.clock.now().mono_ms >= due) {
            self.machine.wake(self.clock.now());
            return !self.machine.is_stopped();
        }
        let until = self.clock.at(due.unwrap_or(u64::from(u32::MAX)));
        tokio::select! {
            Some(input) = self.done.1.recv() => self.feed(input),
            event = events.recv() => match event {
                Ok(Some(event)) => self.on_peer(event),
                // Without a network there is nobody left to gossip with.
                Ok(None) => return false,
                Err(Lagged { .. }) => self.resync_links(),
            },
            asked = self.commands.recv() => match asked {
                Some((command, reply)) => self.on_command(command, reply),
                None => return false,
            },
            Some((from, bytes)) = self.inbox.recv() => self.feed(Input::Frame { from, bytes }),
            () = tokio::time::sleep_until(until) => self.machine.wake(self.clock.now()),
        }
        !self.machine.is_stopped()
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(input, self.clock.now());
    }

    fn on_command(&mut self, command: Command, reply: oneshot::Sender<Outcome>) {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.waiting.insert(token, reply);
        self.feed(Input::Command { token, command });
    }

    fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Up { peer } if peer.role == Role::Node => self.link_up(peer.node.id.clone()),
            PeerEvent::Down { peer, .. } if peer.role == Role::Node => self.link_down(peer.node.id.clone()),
            PeerEvent::Unreachable { id, refused: true, .. } => self.feed(Input::Refused { id }),
            PeerEvent::Duplicate { id, .. } => self.publisher.emit(Event::DuplicateId { id }),
            PeerEvent::RefusedAsDuplicate { incumbent, .. } => {
                self.feed(Input::RefusedAsDuplicate { incumbent });
            }
            _ => {}
        }
    }

    fn link_up(&mut self, id: NodeId) {
        self.up.insert(id.clone());
        self.feed(Input::Up { id });
    }

    fn link_down(&mut self, id: NodeId) {
        self.up.remove(&id);
        self.feed(Input::Down { id });
    }

    /// Wishes again for the sessions that are wanted and not there. Those that are there and not wanted are their makers' to
    /// end: a node that was removed, or one of another ring, is answered by them.
    fn reconcile(&self) {
        for (id, address) in self.machine.wished_links().filter(|(id, _)| !self.up.contains(*id)) {
            self.net.connect(id, address);
        }
    }

    /// Tells the machine which links are up now, where events were missed: those it knows of, too, for they may have ended
    /// and come again.
    fn resync_links(&mut self) {
        let is_up = |peer: &netkernel::PeerStatus| peer.connected && peer.role == Some(Role::Node);
        let up: BTreeSet<_> = self.net.peers().into_iter().filter(is_up).map(|peer| peer.id).collect();
        let gone: Vec<_> = self.up.difference(&up).cloned().collect();
        gone.into_iter().for_each(|id| self.link_down(id));
        up.into_iter().for_each(|id| self.link_up(id));
    }

    /// Does what the machine wants, in the order it wants it; only views come first, so that whoever is told of a
    /// change, here or on another node, finds it there.
    fn carry_out(&mut self) {
        let actions: Vec<_> = std::iter::from_fn(|| self.machine.poll_action()).collect();
        for action in &actions {
            if let Action::Publish(cause) = action {
                self.publisher.publish(&self.machine, cause.clone());
            }
        }
        actions.into_iter().for_each(|action| self.act(action));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send { to, bytes, ahead } => self.send(&to, bytes, ahead),
            Action::Connect { id, address } => self.net.connect(&id, &address),
            Action::Disconnect { id, drain } => self.net.disconnect(&id, drain),
            Action::Dial { dial, address, expected, within_ms } => {
                let (net, done) = (Arc::clone(&self.net), self.done.0.clone());
                self.tasks.spawn(async move {
                    let dialed =
                        net.dial(&address, expected.as_ref(), Duration::from_millis(within_ms)).await;
                    let result = dialed.map(|node| node.id).map_err(dial_error);
                    // The driver has ended: nobody waits for the dial.
                    let _ = done.send(Input::Dialed { dial, result }).await;
                });
            }
            Action::Reconcile => {
                self.publisher.report(&self.machine, self.clock.now());
                self.reconcile();
            }
            Action::Store { image, state } => self.save(image, state),
            Action::SetIncarnation(incarnation) => self.net.set_incarnation(incarnation),
            Action::Doubt { id } => self.doubt_session(id),
            Action::Emit(event) => self.publisher.emit(event),
            Action::Complete { token, outcome } => {
                if let Some(reply) = self.waiting.remove(&token) {
                    // Whoever asked does not wait any more.
                    let _ = reply.send(outcome);
                }
            }
            // Done already, and nothing to do.
            Action::Publish(_) | Action::Stopped => {}
        }
    }

    /// The kernel would find out in its own time whether a session is dead. It is made to ask.
    fn doubt_session(&mut self, id: NodeId) {
        while let Some(asked) = self.doubts.try_join_next() {
            match asked {
                Ok(id) => drop(self.doubted.remove(&id)),
                // Whom it was about is lost with it.
                Err(_) => self.doubted.clear(),
            }
        }
        if self.up.contains(&id) && self.doubted.insert(id.clone()) {
            let net = Arc::clone(&self.net);
            self.doubts.spawn(async move {
                // Who answers is alive, and the detector hears so by itself.
                let _answered = net.ping(&id, DOUBT).await;
                id
            });
        }
    }

    /// A frame that cannot be sent now is dropped: the machine repeats what matters.
    fn send(&self, to: &NodeId, bytes: Bytes, ahead: bool) {
        let sent = match ahead {
            true => self.net.try_cast_ahead(to, &self.server, bytes),
            false => self.net.try_cast(to, &self.server, bytes),
        };
        if let Err(error) = sent {
            tracing::trace!(%to, %error, "gossip frame dropped");
        }
    }

    fn save(&self, image: ImageId, state: Image) {
        let (store, done) = (Arc::clone(&self.store), self.done.0.clone());
        self.tasks.spawn(async move {
            let saved = tokio::task::spawn_blocking(move || store.save(&state.encode())).await;
            let result = match saved {
                Ok(saved) => saved.map_err(|error| describe(&error)),
                Err(_) => Err("the store panicked".to_owned()),
            };
            // The driver has ended: nobody waits for the write.
            let _ = done.send(Input::Stored { image, result }).await;
        });
    }
}

fn dial_error(error: ConnectError) -> DialError {
    match error {
        ConnectError::Myself { .. } => DialError::Myself,
        ConnectError::Handshake { source: HandshakeError::DuplicateNode { .. }, .. } => DialError::Duplicate,
        ConnectError::WrongNode { found, .. } => DialError::OtherNode { found },
        // Whoever is told knows the address.
        ConnectError::Unreachable { source, .. } => DialError::Failed { reason: describe(&source) },
        ConnectError::Handshake { source, .. } => DialError::Failed { reason: describe(&source) },
        ConnectError::Timeout { .. } => DialError::Failed { reason: "nothing answers".to_owned() },
        error => DialError::Failed { reason: describe(&error) },
    }
}

/// An error with what caused it, on one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// Longer than a kernel waits for a sign of life while a call is under way, seven seconds by default.
const DOUBT: Duration = Duration::from_secs(30);

/// Ends that may wait for the driver; their senders wait for room.
const DONE_MAX: usize = 64;
