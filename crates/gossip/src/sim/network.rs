//! Links like TCP connections: ordered, delayed, stalled by loss and partitions, and reset with all that is on them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::proto::Random;

/// A node by its number.
pub type Ix = usize;

/// One connection between two nodes.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    /// When the last frame of each direction arrives: nothing overtakes.
    arrives: BTreeMap<(Ix, Ix), u64>,
    /// Frames that wait for a partition to end, by direction.
    stalled: BTreeMap<(Ix, Ix), VecDeque<Bytes>>,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Network {
    sessions: BTreeMap<(Ix, Ix), Session>,
    next: u64,
    /// Directions in which nothing passes.
    blocked: BTreeSet<(Ix, Ix)>,
    /// Loss in percent: each lost packet delays all behind it by a retransmission.
    pub(super) loss: u64,
}

/// The pair as sessions are keyed.
pub(super) fn pair(a: Ix, b: Ix) -> (Ix, Ix) {
    (a.min(b), a.max(b))
}

impl Network {
    pub(super) fn session(&self, a: Ix, b: Ix) -> Option<u64> {
        self.sessions.get(&pair(a, b)).map(|session| session.number)
    }

    /// Makes a connection; gives its number, or that of the one there is.
    pub(super) fn establish(&mut self, a: Ix, b: Ix) -> (u64, bool) {
        if let Some(number) = self.session(a, b) {
            return (number, false);
        }
        self.next += 1;
        let session = Session { number: self.next, arrives: BTreeMap::new(), stalled: BTreeMap::new() };
        self.sessions.insert(pair(a, b), session);
        (self.next, true)
    }

    /// Everyone with a connection to this node.
    pub(super) fn linked(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        let of = move |(a, b): &(Ix, Ix)| (*a == ix).then_some(*b).or((*b == ix).then_some(*a));
        self.sessions.keys().filter_map(of)
    }

    /// Ends a connection and loses what waits on it.
    pub(super) fn reset(&mut self, a: Ix, b: Ix) -> bool {
        self.sessions.remove(&pair(a, b)).is_some()
    }

    pub(super) fn sessions(&self) -> Vec<(Ix, Ix)> {
        self.sessions.keys().copied().collect()
    }

    pub(super) fn is_blocked(&self, from: Ix, to: Ix) -> bool {
        self.blocked.contains(&(from, to))
    }

    /// Whether a connection can be made: it needs both directions.
    pub(super) fn can_connect(&self, a: Ix, b: Ix) -> bool {
        !self.is_blocked(a, b) && !self.is_blocked(b, a)
    }

    pub(super) fn block(&mut self, directions: impl IntoIterator<Item = (Ix, Ix)>) {
        self.blocked.extend(directions);
    }

    /// Ends every partition. Gives the frames that were held up, with their sessions and arrival times.
    pub(super) fn heal(&mut self, now: u64, random: &mut Random) -> Vec<(Ix, Ix, u64, Bytes, u64)> {
        self.blocked.clear();
        let mut released = Vec::new();
        let loss = self.loss;
        for session in self.sessions.values_mut() {
            for ((from, to), frames) in std::mem::take(&mut session.stalled) {
                for frame in frames {
                    let at = arrival(session, from, to, now, loss, random);
                    released.push((from, to, session.number, frame, at));
                }
            }
        }
        released
    }

    /// When a frame sent now arrives, and on which session; `None` when it is lost or held up.
    pub(super) fn send(
        &mut self,
        from: Ix,
        to: Ix,
        frame: &Bytes,
        now: u64,
        random: &mut Random,
    ) -> Option<(u64, u64)> {
        let is_blocked = self.is_blocked(from, to);
        let loss = self.loss;
        let session = self.sessions.get_mut(&pair(from, to))?;
        if is_blocked {
            session.stalled.entry((from, to)).or_default().push_back(frame.clone());
            return None;
        }
        let at = arrival(session, from, to, now, loss, random);
        Some((at, session.number))
    }
}

fn arrival(session: &mut Session, from: Ix, to: Ix, now: u64, loss: u64, random: &mut Random) -> u64 {
    let mut delay = 1 + random.below(15);
    let mut timeout = RETRANSMIT_MS;
    while random.percent(loss) && timeout <= RETRANSMIT_MS << 4 {
        delay += timeout;
        timeout *= 2;
    }
    let last = session.arrives.entry((from, to)).or_default();
    *last = (now + delay).max(*last);
    *last
}

/// The first retransmission timeout; each further one is twice as long.
const RETRANSMIT_MS: u64 = 200;
