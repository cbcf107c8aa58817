//! How many casts a sender may have under way to one server before that server's mailbox has taken them.
//!
//! Each destination has a window, known to both ends: a sender spends of it with every cast, and the receiver gives
//! back what its mailbox has taken (or refused for good), in CREDIT frames. A cast that finds the mailbox full waits
//! at the receiver. All destinations of a link share what the receiver keeps for one peer, and a destination may spend
//! no more than a seventh of what is left of that: so few full servers get whole windows, and many get less each and
//! leave something to the next. A receiver thus has room for all that its peer may send: a sender that keeps to its
//! credit never loses a cast to a full mailbox. Calls need no credit: they are answered.
//!
//! Sources: credit-based flow control as in H. T. Kung and R. Morris, "Credit-Based Flow Control for ATM Networks",
//! IEEE Network 9(2), 1995; the shares of the common part as in A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length
//! Thresholds for Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};

use super::varint;
use crate::node::ServerName;

/// Messages and bytes of casts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Load {
    /// One cast of this many bytes.
    pub(crate) fn cast(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }

    /// Casts of these bodies.
    pub(crate) fn casts(bodies: &[Bytes]) -> Self {
        Self { messages: bodies.len() as u64, bytes: bodies.iter().map(|body| body.len() as u64).sum() }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.messages = self.messages.saturating_add(more.messages);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// What keeping these casts takes, so that empty ones are bounded, too.
    pub(crate) fn cost_bytes(self) -> u64 {
        self.bytes.saturating_add(self.messages.saturating_mul(CAST_OVERHEAD_BYTES))
    }

    pub(crate) fn less(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// The sending side: what was spent and not yet given back, for each destination that has any.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    spent: BTreeMap<ServerName, Load>,
    /// The sum over all destinations.
    outstanding: Load,
    /// What of it was written by sessions that another has taken over from, and that have not ended yet.
    before: BTreeMap<ServerName, Load>,
}

impl Credit {
    /// Spends for one cast; false if the window is used up.
    pub(crate) fn spend(&mut self, server: &ServerName, bytes: usize) -> bool {
        let open = self.is_open(server);
        if open {
            self.overspend(server, bytes);
        }
        open
    }

    /// Whether one more cast may be sent to a server.
    pub(crate) fn is_open(&self, server: &ServerName) -> bool {
        is_open(self.spent(server), self.outstanding)
    }

    /// What was spent for a server and not given back.
    pub(crate) fn spent(&self, server: &ServerName) -> Load {
        self.spent.get(server).copied().unwrap_or_default()
    }

    /// Spends for a cast that was queued while there was no session, whatever the window says.
    pub(crate) fn overspend(&mut self, server: &ServerName, bytes: usize) {
        let load = Load::cast(bytes);
        match self.spent.get_mut(server) {
            Some(spent) => spent.add(load),
            None => drop(self.spent.insert(server.clone(), load)),
        }
        self.outstanding.add(load);
    }

    /// Takes back what the receiver gives, and says how much of it was spent. One that gives more than that gives nothing
    /// extra.
    pub(crate) fn refund(&mut self, server: &ServerName, load: Load) -> Load {
        let given = self.unspend(server, load);
        // Casts for one server are taken in order, across sessions too.
        if let Some(before) = self.before.get_mut(server) {
            *before = before.less(load);
            if before.messages == 0 {
                self.before.remove(server);
            }
        }
        given
    }

    /// Takes back what was spent for casts that were not sent, and says how much of it was spent.
    pub(crate) fn unspend(&mut self, server: &ServerName, load: Load) -> Load {
        let mut given = Load::default();
        if let Some(spent) = self.spent.get_mut(server) {
            let before = *spent;
            *spent = if load.messages >= before.messages { Load::default() } else { before.less(load) };
            given = before.less(*spent);
            self.outstanding = self.outstanding.less(given);
            if spent.messages == 0 {
                self.spent.remove(server);
            }
        }
        given
    }

    /// Another session takes over: what was spent, and does not wait here unbegun, was written by those before it.
    pub(crate) fn handed_over<'a>(&mut self, waiting: impl Iterator<Item = (&'a ServerName, usize)>) {
        self.before = self.spent.clone();
        for (server, bytes) in waiting {
            if let Some(before) = self.before.get_mut(server) {
                *before = before.less(Load::cast(bytes));
            }
        }
        self.before.retain(|_, before| before.messages > 0);
    }

    /// The sessions before the present one ended in good order: all that was written by them was read.
    pub(crate) fn settled(&mut self) {
        self.before.clear();
    }

    /// A session before the present one broke: what was written by it and not given back counts no more. Says how
    /// many casts that are; some of them may have arrived.
    pub(crate) fn lost_before(&mut self) -> u64 {
        let before = std::mem::take(&mut self.before);
        before.into_iter().fold(0, |casts, (server, load)| {
            self.refund(&server, load);
            casts + load.messages
        })
    }

    /// The link was lost: what was under way will not be given back.
    pub(crate) fn clear(&mut self) {
        self.spent.clear();
        self.before.clear();
        self.outstanding = Load::default();
    }

    /// Everything spent and not given back.
    pub(crate) fn outstanding(&self) -> Load {
        self.outstanding
    }
}

/// Whether one more cast may be sent to a destination, of which so much was spent, while all have spent so much.
pub(crate) fn is_open(spent: Load, outstanding: Load) -> bool {
    let left = LINK_BYTES.saturating_sub(outstanding.cost_bytes());
    if spent.messages == 0 {
        return left > 0;
    }
    let within_window = spent.messages < WINDOW.messages && spent.bytes < WINDOW.bytes;
    within_window && spent.cost_bytes() < left / LINK_SHARE
}

/// What a CREDIT frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) server: ServerName,
    pub(crate) load: Load,
    /// How many of these casts were refused for good.
    pub(crate) refused: u64,
}

impl Grant {
    /// The body of the frame: three varints, then the server's name.
    pub(crate) fn encode(&self) -> Bytes {
        let mut body = Vec::with_capacity(3 * varint::BYTES_MAX + self.server.as_str().len());
        for number in [self.load.messages, self.load.bytes, self.refused] {
            varint::put(&mut body, number);
        }
        body.put_slice(self.server.as_str().as_bytes());
        body.into()
    }

    pub(crate) fn decode(mut body: &[u8]) -> Option<Self> {
        let (messages, bytes, refused) =
            (varint::take(&mut body)?, varint::take(&mut body)?, varint::take(&mut body)?);
        let server = ServerName::try_from(std::str::from_utf8(body).ok()?.to_owned()).ok()?;
        Some(Self { server, load: Load { messages, bytes }, refused })
    }
}

/// The window of one destination: so many messages that a sender of small ones never waits for a receiver that keeps
/// up, and the bytes of two messages of which each fills a connected queue, so that one travels while the other is
/// taken. One message may exceed the bytes, so that no message is too large for an empty window.
pub(crate) const WINDOW: Load = Load { messages: 4_096, bytes: 2 << 20 };
/// What all destinations of a link share: eight whole windows. One cast of the largest size may exceed it.
pub(crate) const LINK_BYTES: u64 = 16 << 20;
/// A destination may use one part in so many of what all leave: alone a whole window, and of fifty full ones the last
/// still some kilobytes.
const LINK_SHARE: u64 = 7;
/// What a cast that is queued or held costs beyond its body: about what its place and its shared parts take.
pub(crate) const CAST_OVERHEAD_BYTES: u64 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    #[test]
    fn a_window_closes_when_spent_and_opens_with_credit() {
        let (mut credit, a, b) = (Credit::default(), server("a"), server("b"));
        let accepted = (0..10_000).filter(|_| credit.spend(&a, 8)).count();
        assert_eq!(accepted as u64, WINDOW.messages);
        assert!(credit.spend(&b, 8), "each destination has a window of its own");
        credit.refund(&a, Load { messages: 2, bytes: 16 });
        assert!(credit.spend(&a, 8) && credit.spend(&a, 8) && !credit.spend(&a, 8));
        assert!(credit.spend(&b, 5 << 20), "one message may exceed the window");
        assert!(!credit.spend(&b, 0));
    }

    #[test]
    fn more_credit_than_was_spent_opens_no_more_than_the_window() {
        let (mut credit, a) = (Credit::default(), server("a"));
        assert!(credit.spend(&a, 1));
        credit.refund(&a, Load { messages: u64::MAX, bytes: u64::MAX });
        credit.refund(&server("never heard of"), Load { messages: 9, bytes: 9 });
        assert_eq!(credit.outstanding(), Load::default());
        assert_eq!((0..10_000).filter(|_| credit.spend(&a, 1)).count() as u64, WINDOW.messages);
    }

    #[test]
    fn what_is_spent_never_exceeds_the_links_share_and_dozens_of_full_destinations_leave_some() {
        let mut credit = Credit::default();
        let large = 4 << 20;
        for round in 0..50 {
            let server = server(&format!("server {round}"));
            assert!(credit.spend(&server, 1_000), "destination {round} gets nothing");
            while credit.spend(&server, 1_000) {}
        }
        assert!(credit.outstanding().cost_bytes() < LINK_BYTES);
        assert!(credit.spend(&server("another"), large), "one message may exceed the share");
        assert!(!credit.spend(&server("and another"), 0));
        assert!(credit.outstanding().cost_bytes() < LINK_BYTES + large as u64 + CAST_OVERHEAD_BYTES);
        credit.refund(&server("another"), Load::cast(large));
        assert!(credit.spend(&server("and another"), 0));
    }

    #[test]
    fn the_sum_of_what_is_spent_is_kept_true() {
        let (mut credit, servers) = (Credit::default(), ["a", "b", "c"].map(server));
        let mut random = 1u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (server, bytes) = (&servers[(random >> 33) as usize % 3], (random >> 40) as usize % 5_000);
            match (random >> 60) % 3 {
                0 => drop(credit.spend(server, bytes)),
                1 => credit.overspend(server, bytes),
                _ => {
                    credit.refund(server, Load { messages: (random >> 50) % 4, bytes: bytes as u64 });
                }
            }
            let mut sum = Load::default();
            credit.spent.values().for_each(|spent| sum.add(*spent));
            assert_eq!(credit.outstanding(), sum);
        }
    }

    #[test]
    fn a_session_that_another_took_over_from_and_that_breaks_gives_back_what_it_wrote_and_no_more() {
        let (mut credit, a, b) = (Credit::default(), server("a"), server("b"));
        (0..10).for_each(|_| credit.overspend(&a, 100));
        (0..3).for_each(|_| credit.overspend(&b, 7));
        // Four of them wait, and go by the next session.
        credit.handed_over([(&a, 100), (&a, 100), (&b, 7), (&b, 7)].into_iter());
        (0..5).for_each(|_| credit.overspend(&a, 100));
        credit.refund(&a, Load { messages: 3, bytes: 300 });
        assert_eq!(credit.lost_before(), 5 + 1);
        assert_eq!(credit.outstanding(), Load { messages: 7 + 2, bytes: 714 });
        assert_eq!(credit.lost_before(), 0);
        credit.handed_over(std::iter::empty());
        credit.settled();
        assert_eq!(credit.lost_before(), 0);
    }

    #[test]
    fn grants_round_trip_and_malformed_ones_are_refused() {
        let grant = Grant { server: server("a"), load: Load { messages: 300, bytes: 1 << 40 }, refused: 2 };
        assert_eq!(Grant::decode(&grant.encode()), Some(grant));
        for body in [&[][..], &[1], &[1, 1], &[1, 1, 1], &[0x80, 0, 1, b'a'], &[1, 1, 1, 0xff]] {
            assert_eq!(Grant::decode(body), None, "{body:?}");
        }
    }
}
