//! Credit as a whole.

use std::time::Duration;

use super::crowd::{CAST_BYTES_MAX, Crowd};

/// Peers and servers, as the first byte says, and what happens to them, four bytes each: nothing that was taken is given
/// twice or never, what is held is within the bounds, nobody within its credit is refused, and when all has been taken
/// everybody may send again and nothing is left.
pub fn credit(data: &[u8]) {
    let Some((first, events)) = data.split_first() else { return };
    let (peers, servers) = (usize::from(first >> 3) % 12 + 1, usize::from(first & 7) % 4 + 1);
    let mut crowd = Crowd::new(peers, servers);
    for event in events.chunks_exact(4) {
        let (peer, server) = (usize::from(event[1]) % peers, usize::from(event[2]) % servers);
        let (size, amount) = (usize::from(event[2] >> 2) % SIZES.len(), u64::from(event[3]));
        match event[0] % 16 {
            kind @ 0..3 => crowd.send(peer, server, SIZES[size], (amount + 1) << (2 * kind)),
            3 => (0..peers).for_each(|peer| crowd.send(peer, server, SIZES[size], amount + 1)),
            4 | 5 => crowd.arrive(peer, event[3].into()),
            6 => (0..peers).for_each(|peer| crowd.arrive(peer, event[3].into())),
            7 => crowd.room(server, amount * amount),
            8 => crowd.room_in_turn(server, amount, 1),
            9 => crowd.fills_up(server),
            10 => crowd.pass(Duration::from_millis(amount)),
            11 => crowd.read_credit(peer),
            12 => (0..peers).for_each(|peer| crowd.read_credit(peer)),
            13 => crowd.hand_over(peer),
            14 => crowd.break_session(peer),
            _ => crowd.end_link(peer),
        }
        crowd.check();
    }
    crowd.come_to_rest();
}

/// From what costs more than its bytes to what exceeds a window.
const SIZES: [usize; 9] = [0, 1, 64, 520, 2_000, 16_000, 100_000, 1 << 20, CAST_BYTES_MAX];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::credit::{Load, WINDOW};

    /// How often a reader that holds casts looks at what is due, or more often.
    const LOOK: Duration = Duration::from_millis(16);

    /// So many peers, which keep several servers full with casts of one size.
    struct Full {
        crowd: Crowd,
        peers: usize,
        servers: usize,
        bytes: usize,
    }

    impl Full {
        /// So many of the peers send what they may, of which each server takes some but never all, and all credit is read.
        fn step(&mut self, senders: usize) {
            let shared = 4 * WINDOW.messages.min(WINDOW.bytes / self.bytes as u64);
            for server in 0..self.servers {
                for peer in 0..senders {
                    self.crowd.send(peer, server, self.bytes, u64::MAX);
                    self.crowd.arrive(peer, usize::MAX);
                }
                let taken = (shared / 8).min(self.crowd.held_for(server).messages / 2);
                self.crowd.room_in_turn(server, taken, (taken / 64).max(1));
                self.crowd.fills_up(server);
                assert!(self.crowd.held_for(server).messages > 0, "a full server");
            }
            self.crowd.pass(LOOK);
            (0..self.peers).for_each(|peer| self.crowd.read_credit(peer));
            self.crowd.check();
        }

        /// How many windows are held for the server that most is held for, so many casts of each peer not counted: each time
        /// that a window, or a part of one, is given, it may be exceeded by one.
        fn windows(&self, casts: usize) -> f64 {
            let casts = casts * self.peers;
            let casts = Load { messages: casts as u64, bytes: (casts * self.bytes) as u64 };
            let windows = |held: Load| {
                let messages = held.messages as f64 / WINDOW.messages as f64;
                messages.max(held.bytes as f64 / WINDOW.bytes as f64)
            };
            (0..self.servers)
                .map(|server| windows(self.crowd.held_for(server).less(casts)))
                .fold(0.0, f64::max)
        }

        /// The most windows in so many steps.
        fn most(&mut self, steps: usize, casts: usize) -> f64 {
            let windows = (0..steps).map(|_| {
                self.step(self.peers);
                self.windows(casts)
            });
            windows.fold(0.0, f64::max)
        }

        /// All but four peers send nothing, until nothing is held of them, and for as many looks in all. Says how often
        /// they were given more meanwhile, at most: after the first of these whiles all that they had was given once.
        fn pause(&mut self, looks: usize) -> usize {
            let parts = self.peers.div_ceil(4).min(64);
            let mut paused = 0;
            while paused < looks || (4..self.peers).any(|peer| self.crowd.holds(peer)) {
                self.step(4);
                paused += 1;
            }
            paused / (2 * parts)
        }
    }

    #[test]
    fn a_crowd_shares_four_windows_and_has_eight_at_once_after_a_pause_and_four_more_for_each_long_one() {
        for (peers, servers) in [(5, 1), (5, 3), (16, 3), (64, 1), (256, 1)] {
            for bytes in [1, 600, 16_384] {
                let case = format!("{peers} peers, {servers} servers, {bytes} bytes");
                let mut full = Full { crowd: Crowd::new(peers, servers), peers, servers, bytes };
                let mut steps = 0;
                while steps == 0 || full.windows(1) > 4.0 {
                    full.step(peers);
                    assert!(full.windows(1) <= peers as f64, "{case}: more than each peer's first window");
                    steps += 1;
                    assert!(steps < 4 * peers + 8, "{case}: {} windows", full.windows(1));
                }
                let shared = full.most(50, 1);
                assert!(shared <= 4.0, "{case}: {shared} windows");
                for looks in [3, 5 * peers / 4] {
                    let more = full.pause(looks);
                    let at_once = full.most(20, 2 + more);
                    let promised = (8 + 4 * more).min(peers) as f64;
                    assert!(at_once <= promised, "{case}: {at_once} windows after {more} long pauses");
                    full.most(60, 1);
                }
            }
        }
    }
}
