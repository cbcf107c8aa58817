//! What a node is asked to do, what comes of it, and how far it has spread.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Address, NodeId};

use crate::error::{
    AnnounceError, InsertError, JoinError, LeaveError, MeetError, PropagationError, RemoveError, UpdateError,
};
use crate::ring_name::RingName;

use super::record::Fact;

/// What the machine is asked to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Command {
    /// Become one ring with whoever is at the address.
    Meet {
        /// Where.
        address: Address,
        /// Who it has to be, if that is known.
        expected: Option<NodeId>,
    },
    /// Make these nodes members.
    Insert {
        /// The nodes.
        nodes: Vec<Insertion>,
        /// Whether to write nodes anew that are members already.
        force: bool,
    },
    /// Change a member's weight.
    Update {
        /// The member.
        id: NodeId,
        /// Its new weight.
        weight: u32,
    },
    /// Make these nodes members no longer.
    Remove {
        /// The nodes.
        ids: Vec<NodeId>,
        /// Whether to cut their links at once, instead of sending what waits first.
        force: bool,
    },
    /// Be a member no longer.
    Leave {
        /// Whether to go without waiting for acknowledgement.
        force: bool,
    },
    /// Be a member of this ring, alone in it until someone is met.
    Join {
        /// The ring.
        ring: RingName,
    },
    /// Rewrite what this node says of itself. What is `None` stays.
    Announce {
        /// Whether it asks to be passed over, because it will stop.
        draining: Option<bool>,
        /// What the application says of it.
        tags: Option<BTreeMap<String, String>>,
    },
    /// Say when an operation has spread.
    Propagated {
        /// The operation.
        operation: Operation,
        /// How far.
        reach: Reach,
        /// How long to wait at most, in milliseconds.
        within_ms: u64,
    },
    /// Say goodbye and stop, staying a member.
    Stop,
}

/// A node to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an insertion does nothing until it is handed to insert_many"]
pub struct Insertion {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
    pub(crate) weight: Option<u32>,
    pub(crate) zone: Option<Box<str>>,
}

impl Insertion {
    /// A node of the ring's default weight.
    pub fn new(id: NodeId, address: Address) -> Self {
        Self { id, address, weight: None, zone: None }
    }

    /// How many points the node has on the ring; 0 makes it a member that owns nothing.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// The node's failure domain, at most 255 bytes; what is longer is cut.
    pub fn zone(mut self, zone: &str) -> Self {
        let mut end = zone.len().min(super::record::ZONE_BYTES_MAX);
        while !zone.is_char_boundary(end) {
            end -= 1;
        }
        self.zone = Some(zone[..end].into());
        self
    }
}

/// Names a change that this node made, to ask how far it has spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(pub(crate) u64);

/// How far a change has to spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To so many other members, or to all if they are fewer.
    Members(usize),
    /// To every other member that is in the ring at the time.
    All,
    /// To every other member that is in the ring and not [down](crate::liveness::Liveness::Down) at the time. Members
    /// that are down learn of it when they are back. Without a failure detector nobody ever is, and this is
    /// [`All`](Self::All).
    Reachable,
}

/// What came of a command.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Of [`Command::Meet`].
    Meet(Result<Operation, MeetError>),
    /// Of [`Command::Insert`].
    Insert(Result<Operation, InsertError>),
    /// Of [`Command::Update`].
    Update(Result<Operation, UpdateError>),
    /// Of [`Command::Remove`].
    Remove(Result<Operation, RemoveError>),
    /// Of [`Command::Leave`].
    Leave(Result<Operation, LeaveError>),
    /// Of [`Command::Join`].
    Join(Result<Operation, JoinError>),
    /// Of [`Command::Announce`].
    Announce(Result<Operation, AnnounceError>),
    /// Of [`Command::Propagated`].
    Propagated(Result<(), PropagationError>),
    /// Of [`Command::Stop`].
    Stop,
}

/// Ties an outcome to the command it is of. Chosen by whoever commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// Of commands that nobody waits for.
    pub(super) const NOBODY: Self = Self(u64::MAX);
}

/// The operations of this boot that may still be asked about.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    next: u64,
    spreading: BTreeMap<Operation, Spread>,
    waiting: Vec<Waiting>,
}

/// How far one operation has spread.
#[derive(Debug)]
struct Spread {
    facts: Vec<Fact>,
    /// Which facts each member is known to have; it has them all once none is missing here.
    missing: BTreeMap<NodeId, BTreeSet<Fact>>,
}

#[derive(Debug)]
struct Waiting {
    token: Token,
    operation: Operation,
    reach: Reach,
    deadline_ms: u64,
    ask_ms: u64,
}

impl Operations {
    /// Remembers a new operation by the facts it made.
    pub(crate) fn begin(&mut self, facts: Vec<Fact>) -> Operation {
        let operation = Operation(self.next);
        self.next += 1;
        self.spreading.insert(operation, Spread { facts, missing: BTreeMap::new() });
        if self.spreading.len() > REMEMBERED_MAX {
            self.spreading.pop_first();
        }
        operation
    }

    /// Takes note that `peer` has these facts.
    pub(crate) fn acknowledged(&mut self, peer: &NodeId, facts: &[Fact]) {
        for Spread { facts: made, missing } in self.spreading.values_mut() {
            if facts.iter().any(|fact| made.contains(fact)) {
                let missing = missing.entry(peer.clone()).or_insert_with(|| made.iter().cloned().collect());
                missing.retain(|fact| !facts.contains(fact));
            }
        }
    }

    /// How many of `members` have all of the operation.
    pub(crate) fn reached(&self, operation: Operation, members: &[NodeId]) -> usize {
        let spread = self.spreading.get(&operation);
        spread.map_or(0, |spread| members.iter().filter(|member| spread.reached(member)).count())
    }

    /// Who of `members` is not known to have all of the operation, and which facts that would be.
    pub(crate) fn unreached(&self, operation: Operation, members: &[NodeId]) -> (Vec<NodeId>, Vec<Fact>) {
        let Some(spread) = self.spreading.get(&operation) else { return Default::default() };
        let unreached = members.iter().filter(|member| !spread.reached(member)).cloned().collect();
        (unreached, spread.facts.clone())
    }

    /// Starts to wait; `false` when the operation is not remembered.
    pub(crate) fn wait(
        &mut self,
        token: Token,
        operation: Operation,
        reach: Reach,
        deadline_ms: u64,
    ) -> bool {
        let known = self.spreading.contains_key(&operation);
        if known {
            self.waiting.push(Waiting { token, operation, reach, deadline_ms, ask_ms: 0 });
        }
        known
    }

    /// Ends every wait that has come to its end: there, too late, or forgotten meanwhile. `reachable` are those of
    /// `members` that are not down.
    pub(crate) fn ended(
        &mut self,
        now_ms: u64,
        members: &[NodeId],
        reachable: &[NodeId],
    ) -> Vec<(Token, Result<(), PropagationError>)> {
        let mut ended = Vec::new();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|wait| {
            let (asked, needed) = match wait.reach {
                Reach::All => (members, members.len()),
                Reach::Reachable => (reachable, reachable.len()),
                Reach::Members(count) => (members, count.min(members.len())),
            };
            let acknowledged = self.reached(wait.operation, asked);
            let result = if !self.spreading.contains_key(&wait.operation) {
                Err(PropagationError::Forgotten)
            } else if acknowledged >= needed {
                Ok(())
            } else if now_ms >= wait.deadline_ms {
                Err(PropagationError::Deadline { acknowledged, needed })
            } else {
                return true;
            };
            ended.push((wait.token, result));
            false
        });
        self.waiting = waiting;
        ended
    }

    /// Ends a wait without a word.
    pub(crate) fn forget(&mut self, token: Token) {
        self.waiting.retain(|wait| wait.token != token);
    }

    /// Whether anyone waits for anything.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Ends every wait, because this node is in no ring any more.
    pub(crate) fn abandon(&mut self) -> Vec<(Token, Result<(), PropagationError>)> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.map(|wait| (wait.token, Err(PropagationError::NotInRing))).collect()
    }

    /// The operations someone waits for and whose members it is time to ask again.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Operation> {
        let due = self.waiting.iter_mut().filter(|wait| wait.ask_ms <= now_ms);
        due.map(|wait| {
            wait.ask_ms = now_ms + ASK_MS;
            wait.operation
        })
        .collect()
    }

    /// When something here wants attention next.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.waiting.iter().map(|wait| wait.deadline_ms.min(wait.ask_ms)).min()
    }
}

impl Spread {
    fn reached(&self, member: &NodeId) -> bool {
        self.facts.is_empty() || self.missing.get(member).is_some_and(BTreeSet::is_empty)
    }
}

/// Operations remembered, so that an operator can still ask about the last few.
const REMEMBERED_MAX: usize = 256;

/// How often members are asked whether they have what someone waits for.
const ASK_MS: u64 = 300;
