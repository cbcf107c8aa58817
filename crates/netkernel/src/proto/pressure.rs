//! How much all peers together keep a node holding for its full servers, and what each peer's window is cut to meanwhile.
//!
//! A window is granted to each peer by itself, so fifty healthy peers may have fifty windows under way to one full server.
//! When more than four are held for it, the receiver keeps back credit: of what the server takes, each peer is given so
//! much less that the windows of all that wait for it are four together. What was kept back is given once nothing is held
//! any more, by halves, lest all come at once again. A server that is held up by up to four peers, or keeps up with any
//! number, is never in here with less than whole windows.
//!
//! A sender may have less than a whole window, for all it sends to shares a bound, and then all that it sent may be kept
//! back. So a peer of which nothing is held and nothing was taken for 32 ms is given one cut window of what is kept back, and
//! another one each time that nothing came of it for as many times 32 ms as windows are cut into parts. What was taken is
//! given in the end, whatever the sender has left. A crowd whose peers wait, to send all at once, thus has eight windows
//! under way instead of four, and four more for each of those longer times; and a cast of each peer more each time, for a
//! window may be exceeded by one (`fuzzing::credit` measures it).
//!
//! Source: windows set from the receiving end by what waits there, and raised again step by step, as in the credit update
//! of H. T. Kung, T. Blackwell and A. Chapman, "Credit-Based Flow Control for ATM Networks: Credit Update Protocol,
//! Adaptive Credit Allocation, and Statistical Multiplexing", SIGCOMM 1994.

use std::collections::BTreeMap;
use std::time::Duration;

use super::credit::{Load, WINDOW};
use crate::node::ServerName;

/// The full servers of one node.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    servers: BTreeMap<ServerName, Crowd>,
}

/// Those who wait for one server.
#[derive(Debug, Default)]
struct Crowd {
    /// What is held for it.
    held: Load,
    /// The peers whose casts are.
    peers: u64,
    /// Each peer's window is cut to one part in so many; 0 and 1 are whole windows.
    parts: u64,
    /// When something was last held, or the windows last raised.
    since: Duration,
}

impl Pressure {
    /// Casts are held for a server, of a peer that had none there, or some.
    pub(crate) fn hold(&mut self, server: &ServerName, casts: Load, is_first: bool) {
        if !self.servers.contains_key(server) {
            self.servers.insert(server.clone(), Crowd::default());
        }
        let Some(crowd) = self.servers.get_mut(server) else { return };
        crowd.held.add(casts);
        crowd.peers += u64::from(is_first);
        let over = |held: u64, window: u64| held > WHOLE_WINDOWS * window;
        if over(crowd.held.messages, WINDOW.messages) || over(crowd.held.bytes, WINDOW.bytes) {
            crowd.parts = crowd.parts.max(crowd.peers.div_ceil(WHOLE_WINDOWS)).min(PARTS_MAX);
        }
    }

    /// Casts are held no longer; with `is_last`, none of that peer there.
    pub(crate) fn release(&mut self, server: &ServerName, casts: Load, is_last: bool, now: Duration) {
        let Some(crowd) = self.servers.get_mut(server) else { return };
        crowd.held = crowd.held.less(casts);
        crowd.peers = crowd.peers.saturating_sub(u64::from(is_last));
        crowd.since = now;
        if crowd.peers == 0 && crowd.parts <= 1 {
            self.servers.remove(server);
        }
    }

    /// Whether every window is whole.
    pub(crate) fn is_calm(&self) -> bool {
        self.servers.values().all(|crowd| crowd.parts <= 1)
    }

    /// Whether nothing is held and every window is whole.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.servers.is_empty()
    }

    /// Raises the windows of servers for which nothing was held for a while.
    pub(crate) fn relax(&mut self, now: Duration) {
        self.servers.retain(|_, crowd| {
            if crowd.peers == 0 && now.saturating_sub(crowd.since) >= RAISED_EVERY {
                crowd.parts /= 2;
                crowd.since = now;
            }
            crowd.peers > 0 || crowd.parts > 1
        });
    }

    /// How much credit for a server each peer is not given.
    pub(crate) fn kept_back(&self, server: &ServerName) -> Load {
        let parts = self.servers.get(server).map_or(1, |crowd| crowd.parts.max(1));
        Load {
            messages: WINDOW.messages - WINDOW.messages / parts,
            bytes: WINDOW.bytes - WINDOW.bytes / parts,
        }
    }
}

/// What may be held for one server before windows are cut, and what all windows are cut to: as few peers as this never
/// notice each other.
const WHOLE_WINDOWS: u64 = 4;
/// No window is cut to less than 64 messages and 32 KiB, or peers would wait for credit more than they send.
const PARTS_MAX: u64 = 64;
/// As rarely as a full mailbox is looked at again.
const RAISED_EVERY: Duration = Duration::from_millis(32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::credit::Credit;
    use crate::proto::due::Due;

    fn server() -> ServerName {
        ServerName::new("full").unwrap()
    }

    fn messages(messages: u64) -> Load {
        Load { messages, bytes: messages }
    }

    /// So many peers whose whole windows are held.
    fn crowd(peers: u64) -> Pressure {
        let mut pressure = Pressure::default();
        for _ in 0..peers {
            pressure.hold(&server(), messages(WINDOW.messages), true);
        }
        pressure
    }

    fn window(pressure: &Pressure) -> u64 {
        WINDOW.messages - pressure.kept_back(&server()).messages
    }

    #[test]
    fn few_peers_keep_whole_windows_and_many_share_four() {
        for peers in 0..=WHOLE_WINDOWS {
            let pressure = crowd(peers);
            assert!(pressure.is_calm());
            assert_eq!(pressure.kept_back(&server()), Load::default());
        }
        for peers in [5, 8, 50, 200] {
            let pressure = crowd(peers);
            assert!(!pressure.is_calm());
            let all = peers * window(&pressure);
            assert!(
                (WHOLE_WINDOWS * WINDOW.messages / 2..=WHOLE_WINDOWS * WINDOW.messages).contains(&all),
                "{all}"
            );
        }
        assert_eq!(window(&crowd(10_000)), WINDOW.messages / PARTS_MAX);
        let mut bytes = Pressure::default();
        (0..9).for_each(|_| bytes.hold(&server(), Load { messages: 1, bytes: WINDOW.bytes }, true));
        assert_eq!(bytes.kept_back(&server()).bytes, WINDOW.bytes - WINDOW.bytes / 3);
    }

    #[test]
    fn windows_are_raised_by_halves_once_nothing_is_held() {
        let mut pressure = crowd(16);
        let ms = Duration::from_millis;
        assert_eq!(window(&pressure), WINDOW.messages / 4);
        for peer in 0..16 {
            pressure.relax(ms(1_000));
            assert_eq!(window(&pressure), WINDOW.messages / 4, "while anything is held");
            pressure.release(&server(), messages(WINDOW.messages), true, ms(1_000 + peer));
        }
        pressure.relax(ms(1_015 + 31));
        assert_eq!(window(&pressure), WINDOW.messages / 4);
        pressure.relax(ms(1_015 + 32));
        assert_eq!(window(&pressure), WINDOW.messages / 2);
        pressure.relax(ms(1_015 + 32));
        assert!(!pressure.is_calm());
        pressure.relax(ms(1_015 + 64));
        assert!(pressure.is_calm());
        assert!(pressure.servers.is_empty());
    }

    #[test]
    fn a_server_that_is_held_up_in_passing_leaves_nothing() {
        let mut pressure = Pressure::default();
        pressure.hold(&server(), messages(3), true);
        pressure.hold(&server(), messages(2), false);
        pressure.release(&server(), messages(4), false, Duration::ZERO);
        pressure.release(&server(), messages(1), true, Duration::ZERO);
        assert!(pressure.servers.is_empty());
    }

    /// Casts of this size, all of which are taken, while windows to other servers are used up.
    fn is_never_in_want_for_long(pressure: &Pressure, bytes: usize, (others, other_bytes): (usize, usize)) {
        let (mut credit, mut due) = (Credit::default(), Due::default());
        for other in 0..others {
            let other = ServerName::new(format!("other {other}")).unwrap();
            while credit.spend(&other, other_bytes) {}
        }
        let mut sent_ms = 0;
        for ms in (0..1_000).step_by(16) {
            while credit.spend(&server(), bytes) {
                due.took(&server(), Load::cast(bytes), 0);
                sent_ms = ms;
            }
            let now = Duration::from_millis(ms);
            for grant in due.ripe_but(now, |server| pressure.kept_back(server), |_| false) {
                credit.refund(&grant.server, grant.load);
            }
            assert!(
                ms - sent_ms <= 64,
                "{bytes} bytes, {others} x {other_bytes}: nothing since {sent_ms} ms"
            );
        }
    }

    #[test]
    fn a_sender_whose_casts_were_taken_may_send_again_soon() {
        for peers in [1, 5, 8, 16, 17, 33, 64, 256, 1_000] {
            let pressure = crowd(peers);
            for bytes in [0, 64, 450, 520, 600, 1_000, 2_000, 8_000, 16_000, 100_000, 4 << 20] {
                for other in [(0, 0), (1, 16_000), (4, 1_000), (7, 16_000), (7, 0)] {
                    is_never_in_want_for_long(&pressure, bytes, other);
                }
            }
        }
    }

    /// A sender and what it has under way to other servers, to which nothing is given.
    struct Sender {
        credit: Credit,
        due: Due,
        elsewhere: u64,
        bytes: usize,
        now: Duration,
    }

    impl Sender {
        fn new(bytes: usize, others: u32, others_bytes: usize) -> Self {
            let (mut credit, mut due) = (Credit::default(), Due::default());
            for other in 0..others {
                let other = ServerName::new(format!("other {other}")).unwrap();
                while credit.spend(&other, others_bytes) {}
            }
            let elsewhere = credit.outstanding().messages;
            // As when it was the first of all.
            credit.overspend(&server(), bytes);
            due.took(&server(), Load::cast(bytes), 0);
            Self { credit, due, elsewhere, bytes, now: Duration::ZERO }
        }

        /// Sends what it may, which the server takes at once; false if that is nothing.
        fn sends(&mut self) -> bool {
            let mut any = false;
            while self.credit.spend(&server(), self.bytes) {
                self.due.took(&server(), Load::cast(self.bytes), 0);
                any = true;
            }
            any
        }

        /// The same, after the receiver has looked at what is due so often.
        fn is_given(&mut self, pressure: &Pressure, looks: u64) {
            for _ in 0..looks {
                self.now += RAISED_EVERY;
                for grant in self.due.ripe_but(self.now, |server| pressure.kept_back(server), |_| false) {
                    self.credit.refund(&grant.server, grant.load);
                }
            }
        }

        fn under_way(&self) -> u64 {
            self.credit.outstanding().messages - self.elsewhere
        }
    }

    #[test]
    fn what_was_taken_is_given_whatever_its_size_and_the_crowd_and_what_else_is_under_way() {
        let sizes = [0, 300, 600, 1_400, 8_000, 100_000, 5 << 20];
        for peers in [1, 5, 17, 33, 128] {
            let pressure = crowd(peers);
            let parts = WINDOW.messages / window(&pressure);
            for (others, others_bytes) in
                [(0, 0), (1, 600), (2, 16_000), (4, 16_000), (7, 1_000), (60, 20_000)]
            {
                for bytes in sizes {
                    let mut sender = Sender::new(bytes, others, others_bytes);
                    let case = format!("{peers} peers, {others} others of {others_bytes}, {bytes} bytes");
                    sender.sends();
                    if pressure.is_calm() {
                        sender.is_given(&pressure, 1);
                        assert!(sender.under_way() <= WINDOW.messages / 4, "{case}");
                        continue;
                    }
                    for _ in 0..3 {
                        sender.is_given(&pressure, 2 * parts * parts);
                        assert!(sender.sends() || others > 0, "{case}: it may never send again");
                    }
                    sender.is_given(&pressure, 2 * parts * (parts + 1));
                    assert_eq!(sender.under_way(), 0, "{case}: kept back for ever");
                }
            }
        }
    }
}
