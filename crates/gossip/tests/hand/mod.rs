//! A machine by hand, for tests of one rule at a time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use gossip::RingName;
use gossip::message::{Frame, Header, Message};
use gossip::proto::{
    Action, Actor, Command, Context, Dot, Image, Input, Insertion, Machine, Membership, Now, Outcome,
    OwnRecord, Protocols, Record, Settings, Stamp, Standing, Token, Version, Versions,
};
use netkernel::{Address, Incarnation, NodeId};

pub(crate) const NOW: Now = Now { mono_ms: 0, wall_ms: 1_780_000_000_000 };

pub(crate) fn later(mono_ms: u64) -> Now {
    Now { mono_ms, ..NOW }
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn address(name: &str) -> Address {
    Address::new(name, 7_022).unwrap()
}

pub(crate) fn dot(counter: u64) -> Dot {
    Dot::new(Actor(7), counter).unwrap()
}

/// A node of this name that founds the ring.
pub(crate) fn settings(name: &str) -> Settings {
    let mut settings = Settings::new(id(name), address(name));
    settings.ring = Some(RingName::new("ring").unwrap());
    settings
}

/// A machine by hand: everything it stores is stored, unless `full`.
pub(crate) struct Hand {
    pub(crate) machine: Machine,
    pub(crate) now: Now,
    pub(crate) full: bool,
    pub(crate) sent: Vec<(NodeId, Message)>,
    pub(crate) dialed: Vec<Address>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) stored: Option<Image>,
}

impl Hand {
    /// The founder of a ring.
    pub(crate) fn founder(name: &str) -> Self {
        Self::boot(settings(name), None)
    }

    pub(crate) fn boot(settings: Settings, state: Option<Image>) -> Self {
        let machine = Machine::new(settings, state, 1, NOW).unwrap();
        let mut hand = Self {
            machine,
            now: NOW,
            full: false,
            sent: Vec::new(),
            dialed: Vec::new(),
            outcomes: Vec::new(),
            stored: None,
        };
        hand.turn(NOW);
        hand
    }

    /// Lets time pass, and wakes the machine whenever it wants.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while let Some(due) = self.machine.deadline_ms().filter(|due| *due <= end) {
            self.now.mono_ms = due.max(self.now.mono_ms + 1);
            self.machine.wake(self.now);
            self.turn(self.now);
        }
        self.now.mono_ms = end;
    }

    /// Carries out what the machine wants.
    pub(crate) fn turn(&mut self, now: Now) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Store { image, state } => {
                    let result = if self.full { Err("disk full".to_owned()) } else { Ok(()) };
                    if !self.full {
                        self.stored = Some(state);
                    }
                    self.machine.handle(Input::Stored { image, result }, now);
                }
                Action::Send { to, bytes, .. } => {
                    self.sent.push((to, Frame::decode(&bytes).unwrap().message));
                }
                Action::Dial { address, .. } => self.dialed.push(address),
                Action::Complete { outcome, .. } => self.outcomes.push(outcome),
                _ => {}
            }
        }
    }

    pub(crate) fn ask(&mut self, command: Command) -> Outcome {
        self.machine.handle(Input::Command { token: Token(0), command }, self.now);
        self.turn(self.now);
        self.outcomes.pop().unwrap()
    }

    pub(crate) fn insert(&mut self, name: &str) -> Outcome {
        let nodes = vec![Insertion::new(id(name), address(name))];
        self.ask(Command::Insert { nodes, force: false })
    }

    /// Hears a frame from a node whose own record was written by these events.
    pub(crate) fn hear(&mut self, from: &str, own: Vec<Dot>, message: &Message) {
        let ring = Some(RingName::new("ring").unwrap());
        let header = Header { ring, layout: 0, incarnation: Incarnation(5), own };
        let bytes = Frame::encode(&header, message);
        self.machine.handle(Input::Frame { from: id(from), bytes }, self.now);
        self.turn(self.now);
    }

    /// What was sent since this was asked last.
    pub(crate) fn sent(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.sent).into_iter().map(|(_, message)| message).collect()
    }
}

/// A member's record, written by the first event of its actor.
pub(crate) fn record(name: &str) -> Record {
    record_by(name, dot(1))
}

/// A member's record, written by this event.
pub(crate) fn record_by(name: &str, dot: Dot) -> Record {
    let membership =
        Membership { incarnation: Incarnation(5), weight: 160, address: address(name), zone: None };
    let standing = Standing::Member(membership);
    let version = Version { standing, stamp: Stamp::default(), by: id(name), extension: Bytes::new() };
    let mut versions = Versions::new();
    versions.write_at(&Default::default(), version, dot).unwrap();
    let own = OwnRecord {
        incarnation: Incarnation(5),
        version: 1,
        address: address(name),
        protocols: Protocols { oldest: 1, newest: 1 },
        draining: false,
        tags: Default::default(),
        actor: None,
        ended: Vec::new(),
        extension: Bytes::new(),
    };
    Record { id: id(name), versions, own: Some(own) }
}

pub(crate) fn seen(dots: impl IntoIterator<Item = u64>) -> Context {
    dots.into_iter().map(dot).collect()
}
