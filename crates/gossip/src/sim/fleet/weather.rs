//! What hosts and networks do to a fleet: they stand still, and come apart.

use std::collections::{BTreeSet, VecDeque};

use super::cluster::{Fleet, Happening};

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

    /// A random half of the nodes comes apart from the other.
    pub fn part_in_halves(&mut self) {
        let all = (0..self.nodes.len()).collect();
        let half = self.nodes.len() / 2;
        let side = self.random.sample(all, half).into_iter().collect();
        self.part(side);
    }

    /// Lets everything pass again.
    pub fn heal(&mut self) {
        self.apart.clear();
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&a) != self.apart.contains(&b)
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
