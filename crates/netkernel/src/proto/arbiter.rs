//! Which of two sessions of one pair stays.
//!
//! Both nodes of a pair may dial at the same moment, and both connections may succeed. Both ends decide by the
//! same rule over the same facts, so they agree without a word: the session dialed by the node of the lower id
//! stays; of two dialed by the same node, the later one. Before either, a session made under a later incarnation of a
//! node stays. Only confirmed sessions are compared.

use super::hello::SessionId;
use crate::node::Incarnation;

/// What is known of a confirmed session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confirmed {
    pub(crate) session: SessionId,
    /// The incarnations under which it was made: of the node of the lower id, and of the other.
    pub(crate) incarnations: [Incarnation; 2],
    /// Whether the node of the lower id dialed it.
    pub(crate) dialed_by_lower: bool,
    /// The dialer's connection counter.
    pub(crate) connection: u64,
}

/// The present session of one pair.
#[derive(Debug, Default)]
pub(crate) struct Arbiter {
    present: Option<Confirmed>,
}

/// What becomes of a session that was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the only one: messages go by it.
    First,
    /// It stays, and the one named ends.
    Supersedes(SessionId),
    /// It ends, the present one stays.
    Loses,
}

impl Arbiter {
    /// The present session.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn present(&self) -> Option<Confirmed> {
        self.present
    }

    /// Whether a session would lose if it were confirmed now.
    pub(crate) fn outranks(&self, newcomer: Confirmed) -> bool {
        self.present.is_some_and(|present| rank(newcomer) <= rank(present))
    }

    /// A session was confirmed at both ends.
    pub(crate) fn confirmed(&mut self, newcomer: Confirmed) -> Verdict {
        match self.present {
            None => {
                self.present = Some(newcomer);
                Verdict::First
            }
            Some(present) if rank(newcomer) > rank(present) => {
                self.present = Some(newcomer);
                Verdict::Supersedes(present.session)
            }
            Some(_) => Verdict::Loses,
        }
    }

    /// A session takes no more messages: it ended, or its peer is about to end it.
    pub(crate) fn ended(&mut self, session: SessionId) {
        if self.present.is_some_and(|present| present.session == session) {
            self.present = None;
        }
    }
}

/// By facts that both ends have. What a node says of an earlier incarnation of its own is out of date.
fn rank(confirmed: Confirmed) -> ([Incarnation; 2], bool, u64) {
    (confirmed.incarnations, confirmed.dialed_by_lower, confirmed.connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64, dialed_by_lower: bool, connection: u64) -> Confirmed {
        Confirmed { session: SessionId(id), incarnations: [Incarnation(1); 2], dialed_by_lower, connection }
    }

    /// The same, made under these incarnations.
    fn of(lower: u64, higher: u64, session: Confirmed) -> Confirmed {
        Confirmed { incarnations: [Incarnation(lower), Incarnation(higher)], ..session }
    }

    /// Every order of confirming and ending leaves both ends with the same session.
    #[test]
    fn both_ends_keep_the_same_session_in_every_order() {
        let sessions = [session(1, true, 4), session(2, false, 9), session(3, true, 5), session(4, false, 1)];
        assert_one_winner(&sessions, SessionId(3));
        // While both become later runs of themselves.
        let [one, two, three, four] = sessions;
        assert_one_winner(&[of(1, 2, one), of(2, 1, two), three, of(1, 3, four)], SessionId(2));
        assert_one_winner(&[of(2, 2, one), of(2, 3, two), of(2, 1, three), of(2, 3, four)], SessionId(2));
    }

    fn assert_one_winner(sessions: &[Confirmed], expected: SessionId) {
        let winner = |order: &[usize]| {
            let mut arbiter = Arbiter::default();
            for &index in order {
                arbiter.confirmed(sessions[index]);
            }
            arbiter.present().unwrap().session
        };
        for order in permutations(sessions.len()) {
            assert_eq!(winner(&order), expected, "order {order:?}");
        }
    }

    #[test]
    fn a_session_that_would_lose_is_known_before() {
        let mut arbiter = Arbiter::default();
        let by_higher = session(1, false, 1);
        assert!(!arbiter.outranks(by_higher), "the first one stays");
        arbiter.confirmed(by_higher);
        assert!(!arbiter.outranks(session(2, true, 1)) && !arbiter.outranks(session(3, false, 2)));
        arbiter.confirmed(session(2, true, 1));
        for (index, loser) in [by_higher, session(4, false, 9), session(5, true, 0)].into_iter().enumerate() {
            assert!(arbiter.outranks(loser), "case {index}");
            assert_eq!(arbiter.confirmed(loser), Verdict::Loses);
        }
        assert!(
            !arbiter.outranks(of(2, 1, session(6, false, 0)))
                && !arbiter.outranks(of(1, 2, session(6, false, 0)))
        );
        arbiter.ended(SessionId(2));
        assert!(!arbiter.outranks(by_higher));
    }

    #[test]
    fn the_loser_is_named_and_the_winner_stays() {
        let mut arbiter = Arbiter::default();
        assert_eq!(arbiter.confirmed(session(1, false, 1)), Verdict::First);
        assert_eq!(arbiter.confirmed(session(2, true, 1)), Verdict::Supersedes(SessionId(1)));
        assert_eq!(arbiter.confirmed(session(3, false, 7)), Verdict::Loses);
        arbiter.ended(SessionId(1));
        assert_eq!(arbiter.present().unwrap().session, SessionId(2));
        arbiter.ended(SessionId(2));
        assert_eq!(arbiter.confirmed(session(3, false, 7)), Verdict::First);
    }

    fn permutations(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let shorter = permutations(count - 1);
        let insert = |order: &Vec<usize>, at: usize| {
            let mut order = order.clone();
            order.insert(at, count - 1);
            order
        };
        shorter.iter().flat_map(|order| (0..count).map(move |at| insert(order, at))).collect()
    }
}
