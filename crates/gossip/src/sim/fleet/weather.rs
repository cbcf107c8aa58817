//! What hosts and networks do to a fleet: they stand still, and come apart.

use std::collections::{BTreeSet, VecDeque};

use netkernel::NodeId;

use super::cluster::{Fleet, Happening};
use crate::proto::Input;

impl Fleet {
    /// Lets a node stand still for so long: what arrives waits.
    pub fn pause(&mut self, node: usize, ms: u64) {
        if self.nodes[node].waiting.is_none() {
            self.nodes[node].waiting = Some(VecDeque::new());
            self.at(self.now_us + ms * 1_000, Happening::Resume { node });
        }
    }

    /// Some node, at random, stands still for 1 to 10 s.
    pub fn pause_one(&mut self) {
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let ms = 1_000 + self.random.below(9_000);
        self.pause(node, ms);
    }

    /// Lets nothing pass any more between these nodes and the others. Their sessions end once they were silent for long
    /// enough.
    pub fn part(&mut self, side: BTreeSet<usize>) {
        let others: Vec<_> = (0..self.nodes.len()).filter(|node| !side.contains(node)).collect();
        for (a, b) in side.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
            if let Some(connection) = self.links.connection(a, b) {
                let silent_us = SILENT_US + self.random.below(SILENT_US);
                self.at(self.now_us + silent_us, Happening::Break { a, b, connection });
            }
        }
        self.apart = side;
    }

    /// So many of the nodes that run, at random, come apart from the others.
    pub fn part_some(&mut self, count: usize) {
        let living = self.living();
        let side = self.random.sample(living, count).into_iter().collect();
        self.part(side);
    }

    fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| !self.dead.contains(node)).collect()
    }

    /// Some node, at random, ends at once and for good: its sessions break, and its host refuses.
    pub fn kill_one(&mut self) -> NodeId {
        let living = self.living();
        let victim = self.random.sample(living, 1)[0];
        let id = self.nodes[victim].id.clone();
        self.dead.insert(victim);
        for other in self.living() {
            if self.links.set(victim, other, false) {
                self.give(other, Input::Down { id: id.clone() });
                self.connect(other, victim);
            }
        }
        id
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.apart.clear();
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&a) != self.apart.contains(&b)
    }

    /// A node tries to reach another, as long as it wants to.
    pub(super) fn redial(&mut self, from: usize, to: usize) {
        if self.dead.contains(&from) || !self.nodes[from].wished.contains(&to) {
            return;
        }
        let (is_cut, is_dead) = (self.is_cut(from, to), self.dead.contains(&to));
        if is_cut || is_dead {
            self.at(self.now_us + REDIAL_US, Happening::Connect { from, to });
        } else {
            self.link(from, to);
        }
        if is_dead && !is_cut {
            // Its host is there, and says that nobody listens.
            let id = self.nodes[to].id.clone();
            self.give(from, Input::Refused { id });
        }
    }

    /// A node runs again: what is due comes before what waits, as with a real one.
    pub(super) fn resume(&mut self, node: usize) {
        let now = self.time();
        let waiting = self.nodes[node].waiting.take().unwrap_or_default();
        if self.nodes[node].wake_ms.take().is_some() {
            self.nodes[node].machine.wake(now);
        }
        self.carry_out(node);
        waiting.into_iter().for_each(|input| self.give(node, input));
    }
}

/// The least time after which a silent session ends, and as long again at most.
const SILENT_US: u64 = 10_000_000;

/// The pause between dials of a node that does not answer.
const REDIAL_US: u64 = 5_000_000;
