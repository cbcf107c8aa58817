//! Links like TCP connections, kept small: a million of them fit into memory.

use crate::proto::Random;

/// All links between `nodes` nodes.
#[derive(Debug)]
pub(in crate::sim) struct Links {
    nodes: usize,
    loss: u64,
    /// One way, at least, and how much more at most.
    delay_us: (u64, u64),
    /// When the last message of each direction arrives, in microseconds: nothing overtakes.
    arrives_us: Vec<u64>,
    /// Counts the connections of each pair. Odd ones are up.
    connection: Vec<u32>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Fate {
    /// It arrives then, if the connection lives that long.
    Arrives { at_us: u64, connection: u32 },
    /// There is no connection.
    Lost,
    /// It was sent so often in vain that the connection breaks then.
    Breaks { at_us: u64 },
}

impl Links {
    /// Links on which each packet takes from `least` to `most` milliseconds, and so many of a hundred are lost.
    pub(in crate::sim) fn new(nodes: usize, loss: u64, (least_ms, most_ms): (u64, u64)) -> Self {
        let pairs = nodes * nodes;
        let least_us = (least_ms * 1_000).max(DELAY_MIN_US);
        let delay_us = (least_us, (most_ms * 1_000).saturating_sub(least_us).max(1));
        Self { nodes, loss, delay_us, arrives_us: vec![0; pairs], connection: vec![1; pairs] }
    }

    fn way_us(&self, random: &mut Random) -> u64 {
        self.delay_us.0 + random.below(self.delay_us.1)
    }

    /// The first retransmission timeout: the least that Linux uses, or longer where a round trip is.
    fn retransmit_us(&self) -> u64 {
        RETRANSMIT_MIN_US.max(2 * (self.delay_us.0 + self.delay_us.1))
    }

    fn pair(&self, a: usize, b: usize) -> usize {
        a.min(b) * self.nodes + a.max(b)
    }

    /// The connection of two nodes, if there is one.
    pub(in crate::sim) fn connection(&self, a: usize, b: usize) -> Option<u32> {
        Some(self.connection[self.pair(a, b)]).filter(|number| number % 2 == 1)
    }

    /// Breaks it or makes it anew. Returns whether it was not so before.
    pub(in crate::sim) fn set(&mut self, a: usize, b: usize, up: bool) -> bool {
        let pair = self.pair(a, b);
        let changes = (self.connection[pair] % 2 == 1) != up;
        self.connection[pair] += u32::from(changes);
        changes
    }

    pub(in crate::sim) fn send(&mut self, from: usize, to: usize, now_us: u64, random: &mut Random) -> Fate {
        let Some(connection) = self.connection(from, to) else { return Fate::Lost };
        let mut delay_us = self.way_us(random);
        let mut timeout_us = self.retransmit_us();
        let mut tries = 1;
        while random.percent(self.loss) {
            delay_us += timeout_us;
            timeout_us *= 2;
            tries += 1;
            if tries > TRIES_MAX {
                return Fate::Breaks { at_us: now_us + delay_us };
            }
        }
        let last = &mut self.arrives_us[from * self.nodes + to];
        *last = (now_us + delay_us).max(*last);
        Fate::Arrives { at_us: *last, connection }
    }

    /// How long it takes to connect again: a pause, and three packets each way.
    pub(in crate::sim) fn connect_us(&mut self, random: &mut Random) -> u64 {
        let mut took_us = 50_000 + random.below(100_000);
        for _ in 0..6 {
            let mut timeout_us = self.retransmit_us();
            took_us += self.way_us(random);
            while random.percent(self.loss) && timeout_us < self.retransmit_us() << TRIES_MAX {
                took_us += timeout_us;
                timeout_us *= 2;
            }
        }
        took_us
    }
}

/// What a switch or two cost.
const DELAY_MIN_US: u64 = 500;

/// The first retransmission timeout, which is the least that Linux uses; each further one is twice as long.
const RETRANSMIT_MIN_US: u64 = 200_000;

/// Transmissions of one packet before the connection breaks: after 12.6 s at the shortest timeout.
const TRIES_MAX: u32 = 6;
