//! Casts that wait for room, in the order they came. Of those for one server none is passed by a later one, and the
//! servers have room in turn. Only as many are woken as there is room for: to wake all, most of whom find none, takes more
//! of a processor than their messages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::node::ServerName;
use crate::proto::credit::{self, Credit, Load};

/// The casts of one link that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// Those for one server, by the numbers they got when they came.
    queues: BTreeMap<ServerName, BTreeMap<u64, Waiter>>,
    /// The servers whose turn is next.
    order: VecDeque<ServerName>,
    last: u64,
    /// Some wait only because too much is queued for the peer.
    crowded: bool,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    turn: Arc<Notify>,
}

/// Those whose turn has come: each looks for room, and waits again where it was if somebody else was faster.
#[derive(Debug, Default)]
#[must_use = "they sleep on"]
pub(super) struct Turns(Vec<Arc<Notify>>);

impl Turns {
    pub(super) fn begin(self) {
        for turn in self.0 {
            turn.notify_one();
        }
    }
}

impl Waiters {
    /// Whether a cast that comes now has to wait behind others.
    pub(super) fn are_before(&self, server: &ServerName) -> bool {
        !self.queues.is_empty() && (self.crowded || self.queues.contains_key(server))
    }

    /// One waits, for no more than that too much is `queued` or not. It gets a number, unless it has one from before: then
    /// it is where it was.
    pub(super) fn wait(
        &mut self,
        server: &ServerName,
        number: Option<u64>,
        (bytes, turn): (usize, &Arc<Notify>),
        queued: bool,
    ) -> u64 {
        let number = number.unwrap_or_else(|| {
            self.last += 1;
            self.last
        });
        self.crowded |= queued;
        let order = &mut self.order;
        let queue = self.queues.entry(server.clone()).or_insert_with(|| {
            order.push_back(server.clone());
            BTreeMap::new()
        });
        queue.insert(number, Waiter { bytes, turn: Arc::clone(turn) });
        number
    }

    /// One waits no longer. False if it did not: its turn had come.
    pub(super) fn leave(&mut self, server: &ServerName, number: u64) -> bool {
        let Some(queue) = self.queues.get_mut(server) else { return false };
        let waited = queue.remove(&number).is_some();
        if queue.is_empty() {
            self.queues.remove(server);
            self.order.retain(|other| other != server);
        }
        waited
    }

    /// Whose turn it is: of as many as there is credit for, while less than so many bytes are queued by them, or of all
    /// where anything may have changed.
    pub(super) fn turns(&mut self, credit: &Credit, room_bytes: Option<u64>) -> Turns {
        match room_bytes {
            _ if self.queues.is_empty() => Turns::default(),
            Some(room_bytes) => self.next(credit, room_bytes),
            None => self.all(),
        }
    }

    fn all(&mut self) -> Turns {
        self.crowded = false;
        self.order.clear();
        let queues = std::mem::take(&mut self.queues).into_values();
        Turns(queues.flat_map(BTreeMap::into_values).map(|waiter| waiter.turn).collect())
    }

    fn next(&mut self, credit: &Credit, mut room_bytes: u64) -> Turns {
        let mut turns = Vec::new();
        let mut outstanding = credit.outstanding();
        let mut spent: BTreeMap<ServerName, Load> = BTreeMap::new();
        let mut passed_over = 0;
        while passed_over < self.order.len() {
            let Some(server) = self.order.pop_front() else { break };
            let spent = spent.entry(server.clone()).or_insert_with(|| credit.spent(&server));
            if !credit::is_open(*spent, outstanding) {
                self.order.push_back(server);
                passed_over += 1;
                continue;
            }
            if room_bytes == 0 {
                self.order.push_front(server);
                self.crowded = true;
                return Turns(turns);
            }
            passed_over = 0;
            let Some(queue) = self.queues.get_mut(&server) else { continue };
            if let Some((_, waiter)) = queue.pop_first() {
                let load = Load::cast(waiter.bytes);
                spent.add(load);
                outstanding.add(load);
                room_bytes = room_bytes.saturating_sub(load.cost_bytes());
                turns.push(waiter.turn);
            }
            if queue.is_empty() {
                self.queues.remove(&server);
            } else {
                self.order.push_back(server);
            }
        }
        self.crowded = false;
        Turns(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::credit::WINDOW;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    /// Waiters, each with what tells it of its turn.
    #[derive(Default)]
    struct Waiting {
        waiters: Waiters,
        all: Vec<(&'static str, u64, Arc<Notify>)>,
    }

    impl Waiting {
        fn come(&mut self, name: &'static str, bytes: usize, queued: bool) -> u64 {
            let turn = Arc::default();
            let number = self.waiters.wait(&server(name), None, (bytes, &turn), queued);
            self.all.push((name, number, turn));
            number
        }

        /// Who has its turn, by its number.
        fn turns(&mut self, credit: &Credit, room_bytes: Option<u64>) -> Vec<(&'static str, u64)> {
            let Turns(turns) = self.waiters.turns(credit, room_bytes);
            let whose = |turn| self.all.iter().find(|(_, _, of_it)| Arc::ptr_eq(of_it, turn)).unwrap();
            turns.iter().map(whose).map(|(name, number, _)| (*name, *number)).collect()
        }
    }

    #[test]
    fn servers_have_room_in_turn_and_each_ones_casts_in_their_order() {
        let (mut waiting, credit) = (Waiting::default(), Credit::default());
        for name in ["b", "b", "b", "a", "a"] {
            waiting.come(name, 1_000, true);
        }
        // Room is asked for before each: the last exceeds it.
        assert_eq!(waiting.turns(&credit, Some(0)), []);
        assert_eq!(waiting.turns(&credit, Some(1)), [("b", 1)]);
        assert_eq!(waiting.turns(&credit, Some(2_000)), [("a", 4), ("b", 2)]);
        assert!(waiting.waiters.are_before(&server("other")), "they wait for room in the queue");
        assert_eq!(waiting.turns(&credit, Some(100_000)), [("a", 5), ("b", 3)]);
        assert!(!waiting.waiters.are_before(&server("a")));
    }

    #[test]
    fn as_many_have_their_turn_as_there_is_credit_for() {
        let (mut waiting, mut credit) = (Waiting::default(), Credit::default());
        let window = usize::try_from(WINDOW.messages).unwrap();
        for _ in 0..window + 10 {
            waiting.come("small", 1, false);
        }
        for _ in 0..3 {
            waiting.come("large", 1 << 20, false);
        }
        let turns = waiting.turns(&credit, Some(u64::MAX));
        let small = turns.iter().filter(|(name, _)| *name == "small").count();
        assert_eq!((small, turns.len() - small), (window, 2));
        assert!(
            waiting.waiters.are_before(&server("small")) && !waiting.waiters.are_before(&server("other"))
        );
        for (name, number) in turns {
            let (name, bytes) = (server(name), if name == "small" { 1 } else { 1 << 20 });
            assert!(credit.spend(&name, bytes), "{number} was woken in vain");
        }
        assert_eq!(waiting.turns(&credit, Some(u64::MAX)), []);
        credit.refund(&server("large"), Load::cast(1 << 20));
        assert_eq!(waiting.turns(&credit, Some(u64::MAX)), [("large", window as u64 + 13)]);
    }

    #[test]
    fn one_that_finds_no_room_after_all_is_where_it_was() {
        let (mut waiting, credit) = (Waiting::default(), Credit::default());
        let first = waiting.come("a", 1, true);
        waiting.come("a", 1, true);
        assert_eq!(waiting.turns(&credit, Some(1)), [("a", first)]);
        let turn = Arc::clone(&waiting.all[0].2);
        assert_eq!(waiting.waiters.wait(&server("a"), Some(first), (1, &turn), true), first);
        assert_eq!(waiting.turns(&credit, Some(1)), [("a", first)]);
    }

    #[test]
    fn one_that_leaves_has_no_turn_and_knows_whether_it_had_one() {
        let (mut waiting, credit) = (Waiting::default(), Credit::default());
        let (first, second) = (waiting.come("a", 1, true), waiting.come("a", 1, true));
        assert!(waiting.waiters.leave(&server("a"), second));
        assert_eq!(waiting.turns(&credit, None), [("a", first)]);
        assert!(!waiting.waiters.leave(&server("a"), first));
        assert!(waiting.waiters.order.is_empty() && waiting.waiters.queues.is_empty());
    }
}
