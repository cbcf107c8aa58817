//! The members a detector watches, and in which order it asks them.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};

use super::detector::Liveness;
use super::signal::{Claim, Report};
use super::suspicion::Suspicion;
use crate::proto::random::Random;

/// One member.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) incarnation: Incarnation,
    pub(super) counter: u64,
    pub(super) state: State,
    /// Whether a session is up.
    pub(super) linked: bool,
    /// Whether this run ever had a session here, so that its loss means something.
    pub(super) was_linked: bool,
    /// When it was last reminded of what is thought of it.
    pub(super) reminded_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) enum State {
    Alive,
    Suspect(Box<Suspicion>),
    Down { by: NodeId },
}

impl Peer {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            counter: 0,
            state: State::Alive,
            linked: false,
            was_linked: false,
            reminded_ms: None,
        }
    }

    pub(super) fn liveness(&self) -> Liveness {
        match self.state {
            State::Alive => Liveness::Alive,
            State::Suspect(_) => Liveness::Suspect,
            State::Down { .. } => Liveness::Down,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(self.state, State::Down { .. })
    }

    /// Whether this node, which has a session with it, has no reason to doubt it, or only since a moment ago: that another
    /// does not find it says most likely something of that other, as after a partition.
    pub(super) fn is_trusted(&self, moment_ms: u64, now_ms: u64) -> bool {
        self.linked
            && match &self.state {
                State::Alive => true,
                State::Suspect(suspicion) => {
                    !suspicion.is_brief() && suspicion.is_younger_than(moment_ms, now_ms)
                }
                State::Down { .. } => false,
            }
    }

    /// Whether it is being asked whether it is there, because another holds it for down.
    pub(super) fn is_verified(&self) -> bool {
        self.linked && matches!(&self.state, State::Suspect(suspicion) if suspicion.is_brief())
    }

    /// What is held against it, for itself to refute.
    pub(super) fn accusation(&self, id: &NodeId) -> Option<Report> {
        let claim = match &self.state {
            State::Alive => return None,
            State::Suspect(suspicion) => Claim::Suspect { by: suspicion.accuser()?.clone(), refused: false },
            State::Down { by } => Claim::Down { by: by.clone() },
        };
        Some(Report { id: id.clone(), incarnation: self.incarnation, counter: self.counter, claim })
    }
}

/// All members but this node.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_id: BTreeMap<NodeId, Peer>,
    /// Shuffled once a round, so that nobody is asked twice before everyone was asked once.
    order: Vec<NodeId>,
    at: usize,
    down: BTreeSet<NodeId>,
}

impl Peers {
    /// Members, this node included.
    pub(super) fn members(&self) -> usize {
        self.by_id.len() + 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn get(&self, id: &NodeId) -> Option<&Peer> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Peer> {
        self.by_id.get_mut(id)
    }

    /// Watches a member, or a later run of it.
    pub(super) fn insert(&mut self, id: NodeId, incarnation: Incarnation, random: &mut Random) {
        if let Some(peer) = self.by_id.get_mut(&id) {
            let linked = peer.linked;
            *peer = Peer { linked, was_linked: linked, ..Peer::new(incarnation) };
            self.down.remove(&id);
            return;
        }
        // At a random place of what is left of the present round, as in SWIM, so that the time until it is asked is
        // bounded; whoever was there goes to the end.
        let place = self.at + random.below((self.order.len() + 1).saturating_sub(self.at) as u64) as usize;
        self.order.push(id.clone());
        let last = self.order.len() - 1;
        self.order.swap(place.min(last), last);
        self.by_id.insert(id, Peer::new(incarnation));
    }

    pub(super) fn remove(&mut self, id: &NodeId) -> Option<Peer> {
        self.down.remove(id);
        self.order.retain(|other| other != id);
        self.by_id.remove(id)
    }

    /// Changes what is thought of a member, and gives what was thought.
    pub(super) fn set(&mut self, id: &NodeId, state: State) -> Option<Liveness> {
        let peer = self.by_id.get_mut(id)?;
        let was = peer.liveness();
        peer.state = state;
        if peer.is_down() {
            self.down.insert(id.clone());
        } else {
            self.down.remove(id);
        }
        Some(was)
    }

    /// The next member to probe: each that is not down once a round.
    pub(super) fn next(&mut self, random: &mut Random) -> Option<NodeId> {
        for _ in 0..self.order.len() {
            if self.at >= self.order.len() {
                self.at = 0;
                let all = std::mem::take(&mut self.order);
                let count = all.len();
                self.order = random.sample(all, count);
            }
            let id = &self.order[self.at];
            self.at += 1;
            if self.by_id.get(id).is_some_and(|peer| !peer.is_down()) {
                return Some(id.clone());
            }
        }
        None
    }

    pub(super) fn down_count(&self) -> usize {
        self.down.len()
    }

    /// One of those that are down.
    pub(super) fn any_down(&self, random: &mut Random) -> Option<NodeId> {
        let at = random.below(self.down.len() as u64) as usize;
        self.down.iter().nth(at).cloned()
    }

    /// Up to `count` members with a session that are not down, at random, without `but`.
    pub(super) fn sample(&self, count: usize, but: Option<&NodeId>, random: &mut Random) -> Vec<NodeId> {
        let fits = |id: &NodeId| {
            Some(id) != but && self.by_id.get(id).is_some_and(|peer| peer.linked && !peer.is_down())
        };
        let mut chosen: Vec<NodeId> = Vec::with_capacity(count);
        for _ in 0..count * DRAWS {
            if let Some(id) = random.pick(&self.order).filter(|id| fits(id) && !chosen.contains(id)) {
                chosen.push(id.clone());
            }
            if chosen.len() == count {
                return chosen;
            }
        }
        // Few fit, so all of them are looked for.
        random.sample(self.order.iter().filter(|id| fits(id)).cloned().collect(), count)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.by_id.values_mut()
    }
}

/// Draws for one member before looking at all: in a healthy ring the first fits.
const DRAWS: usize = 4;
