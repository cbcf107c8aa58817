//! How much of large messages may be under way: written, and not yet read by the peer.
//!
//! A small message overtakes large ones only while they wait here. What has been written waits in the systems' buffers
//! at both ends, in order, however large these buffers have grown; so a sender that writes as fast as it can makes its
//! small messages wait for all of that, without anything gained. After some bulk the sender puts a milestone, a PING of a
//! number of its own, and the PONG tells how far the peer has read and how long that took. The window between what was
//! written and what was read grows while that takes hardly longer than over an idle link, so that a long way is filled,
//! and shrinks while bulk queues up.
//!
//! Source: delay-based congestion control as in L. Brakmo and L. Peterson, "TCP Vegas: End to End Congestion Avoidance
//! on a Global Internet", IEEE JSAC 13(8), 1995, and RFC 6817 (LEDBAT), whose minimum over recent minutes it keeps.

use std::collections::VecDeque;
use std::time::Duration;

/// The sending side of one link. Its times are counted from any one moment.
#[derive(Debug)]
pub(crate) struct Pace {
    window_bytes: usize,
    /// Bytes written after the last milestone.
    since_bytes: usize,
    /// The milestones the peer has not read yet, the oldest first.
    milestones: VecDeque<Milestone>,
    /// Bytes before these milestones.
    passed_bytes: usize,
    number: u64,
    /// The last milestone that was put before the present session took over.
    handed_over: u64,
    /// The last milestone that was put when the window was made smaller: only those after it tell what came of that.
    judged: u64,
    /// When the peer last told that it has read some.
    read_at: Duration,
    /// The peer answers no milestones any more.
    unanswered: bool,
    /// The shortest times of the present and the last period, which began then.
    shortest: [Option<Duration>; 2],
    period: Option<Duration>,
}

#[derive(Debug)]
struct Milestone {
    number: u64,
    bytes: usize,
    at: Duration,
    /// The window was used up since: it is what limits the sender.
    limited: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window_bytes: WINDOW_BYTES_SLOW,
            since_bytes: 0,
            milestones: VecDeque::new(),
            passed_bytes: 0,
            number: 0,
            handed_over: 0,
            judged: 0,
            read_at: Duration::ZERO,
            unanswered: false,
            shortest: [None; 2],
            period: None,
        }
    }
}

impl Pace {
    /// Whether bulk may be written now. Always while no milestone is unread, for nothing would open it again: the window may
    /// have become smaller than what was written since the last.
    pub(crate) fn is_open(&self) -> bool {
        self.unanswered
            || self.milestones.is_empty()
            || self.passed_bytes + self.since_bytes < self.window_bytes
    }

    /// Bulk is being written. Gives the number of the PING that is to follow it, if it is time for one.
    pub(crate) fn wrote(&mut self, bytes: usize, now: Duration) -> Option<u64> {
        self.since_bytes += bytes;
        if !self.is_open() {
            for milestone in &mut self.milestones {
                milestone.limited = true;
            }
        }
        if self.since_bytes < MILESTONE_BYTES.min(self.window_bytes / 2) {
            return None;
        }
        self.number += 1;
        let milestone =
            Milestone { number: self.number, bytes: self.since_bytes, at: now, limited: !self.is_open() };
        self.passed_bytes += milestone.bytes;
        self.since_bytes = 0;
        self.milestones.push_back(milestone);
        Some(self.number | MILESTONES)
    }

    /// How much of a message one piece may hold: on a slow way little, so that the peer can often tell of it.
    pub(crate) fn piece_bytes(&self) -> usize {
        self.window_bytes / 4
    }

    /// Whether bulk was written that the peer has not told to have read: what is written now is read after it.
    pub(crate) fn is_under_way(&self) -> bool {
        self.passed_bytes + self.since_bytes > 0
    }

    /// A PONG of one of its PINGs has come: the peer has read up to there, past earlier milestones too. False if that opens
    /// nothing.
    pub(crate) fn read(&mut self, ping: u64, now: Duration) -> bool {
        let was_open = self.is_open();
        while self.milestones.front().is_some_and(|milestone| milestone.number <= ping & !MILESTONES) {
            let Some(milestone) = self.milestones.pop_front() else { break };
            self.read_at = now;
            self.passed_bytes -= milestone.bytes;
            self.adapt(&milestone, now.saturating_sub(milestone.at), now);
        }
        !was_open && self.is_open()
    }

    /// For how long the peer has read nothing of what was written before, while more bulk has to wait for that. One that
    /// reads slowly, or over a slow way, is not one that does not read.
    pub(crate) fn held_up(&self, now: Duration) -> Duration {
        let oldest = self.milestones.front().filter(|_| !self.is_open());
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.at.max(self.read_at)))
    }

    /// The peer reads on, but sends nothing any more: the window stays open until the session ends.
    pub(crate) fn answers_end(&mut self) {
        self.unanswered = true;
    }

    /// The session broke: what was under way by it will not be read.
    pub(crate) fn clear(&mut self) {
        *self = Self { number: self.number, judged: self.number, ..Self::default() };
    }

    /// Another session takes over. The peer goes on to read what was written by the last, unless that breaks.
    pub(crate) fn handed_over(&mut self) {
        self.handed_over = self.number;
    }

    /// A session before the present one broke: what was under way by it will not be read.
    pub(crate) fn lost_before(&mut self) {
        while self.milestones.front().is_some_and(|milestone| milestone.number <= self.handed_over) {
            let Some(milestone) = self.milestones.pop_front() else { break };
            self.passed_bytes -= milestone.bytes;
        }
    }

    fn adapt(&mut self, milestone: &Milestone, took: Duration, now: Duration) {
        let shortest = self.shortest(took, now);
        let patience = shortest + QUEUE_MIN.max(shortest / 4);
        let floor_bytes = window_bytes_min(took);
        if self.window_bytes < floor_bytes {
            // Twice as much in each round trip.
            self.window_bytes = (self.window_bytes + milestone.bytes).min(floor_bytes);
        } else if took > patience || took > TOOK_MAX {
            if milestone.number <= self.judged {
                return;
            }
            self.judged = self.number;
            self.window_bytes = (self.window_bytes - self.window_bytes / 8).max(floor_bytes);
        } else if milestone.limited {
            // A quarter in each round trip while nothing queues up, and ever less the nearer it is to too much.
            let left = (patience - took).as_secs_f64() / (patience - shortest).as_secs_f64();
            let more = milestone.bytes as f64 / 4.0 * left;
            self.window_bytes = (self.window_bytes + more as usize).min(WINDOW_BYTES_MAX);
        }
    }

    /// The shortest time of late, this one included.
    fn shortest(&mut self, took: Duration, now: Duration) -> Duration {
        let began = *self.period.get_or_insert(now);
        if now.saturating_sub(began) > PERIOD {
            self.shortest = [None, self.shortest[0]];
            self.period = Some(now);
            // So that the queue empties for once, and is not taken for a part of the way.
            self.window_bytes = (self.window_bytes / 2).max(window_bytes_min(took));
        }
        let present = self.shortest[0].map_or(took, |shortest| shortest.min(took));
        self.shortest[0] = Some(present);
        self.shortest[1].map_or(present, |last| last.min(present))
    }
}

/// Whether a PING, or its PONG, is a milestone.
pub(crate) fn is_milestone(ping: u64) -> bool {
    ping & MILESTONES != 0
}

/// Milestones are numbered from here, calls and other PINGs from below.
const MILESTONES: u64 = 1 << 63;
/// The smallest window where milestones take so long to be answered.
fn window_bytes_min(took: Duration) -> usize {
    if took > TOOK_SLOW { WINDOW_BYTES_SLOW } else { WINDOW_BYTES_MIN }
}

/// The first window, and the smallest on a slow way: of a link that carries 4 kB a second, half of it takes 8 s, and the
/// peer would be given up after 10 s (by default) without an answer.
const WINDOW_BYTES_SLOW: usize = 64 * 1_024;
/// Over local links nothing takes as long, whatever queues up.
const TOOK_SLOW: Duration = Duration::from_millis(100);
/// No way is that long: what takes longer has waited, and more of it would make it worse.
const TOOK_MAX: Duration = Duration::from_secs(1);
/// Enough for the fastest local links, little enough that a small message waits behind it for some 150 µs.
const WINDOW_BYTES_MIN: usize = 384 * 1_024;
/// How far apart milestones are: two in the smallest window. Each costs the peer a write.
const MILESTONE_BYTES: usize = 180 * 1_024;
/// Longer than this in the queues, or than a quarter of the way, is too long.
const QUEUE_MIN: Duration = Duration::from_micros(150);
/// What fills a way of 100 ms at 1.3 Gbit/s.
const WINDOW_BYTES_MAX: usize = 16 << 20;
/// How long the shortest time is remembered, at least: a way may become longer.
const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: usize = 60 * 1_024;

    /// Writes pieces for as long as it may; the PINGs that follow them.
    fn fill(pace: &mut Pace, now: Duration) -> Vec<u64> {
        let mut pings = Vec::new();
        while pace.is_open() {
            pings.extend(pace.wrote(PIECE, now));
        }
        pings
    }

    /// A sender that always has more, on a link that carries so many bytes a second and so far: the bytes a second
    /// that arrive in a while, and the longest that a milestone took to be answered in its second half.
    fn saturated(bytes_a_second: f64, way: Duration, lasting: Duration) -> (f64, Duration) {
        let (mut pace, start) = (Pace::default(), Duration::ZERO);
        // What is under way, as the peer reads it: piece by piece, each with its PING if it has one.
        let mut link: VecDeque<(Duration, Option<u64>, Duration)> = VecDeque::new();
        let (mut now, mut free, mut bytes, mut longest) = (start, start, 0, Duration::ZERO);
        while now < start + lasting {
            while pace.is_open() {
                free = free.max(now) + Duration::from_secs_f64(PIECE as f64 / bytes_a_second);
                link.push_back((free + way, pace.wrote(PIECE, now), now));
                bytes += PIECE;
            }
            let Some((answered, ping, written)) = link.pop_front() else { break };
            now = answered;
            if now > start + lasting / 2 {
                longest = longest.max(answered - written);
            }
            if let Some(ping) = ping {
                pace.read(ping, now);
            }
        }
        (bytes as f64 / (now - start).as_secs_f64(), longest)
    }

    /// A link that becomes a hundred times slower, and one whose answers take any time: the window shrinks below what was
    /// written after the last milestone, and something has to follow that.
    #[test]
    fn a_sender_whose_window_shrinks_goes_on() {
        let (mut pace, mut now) = (Pace::default(), Duration::ZERO);
        for round in 0..2_000_u64 {
            assert!(pace.is_open(), "everything was read, and nothing may be written in round {round}");
            // Fast at first, then ever slower, and by turns.
            let took = Duration::from_millis(if round < 500 { 1 } else { 1 + round % 7 * 90 });
            let mut pings = Vec::new();
            for _ in 0..=round % 5 {
                if pace.is_open() {
                    pings.extend(pace.wrote(pace.piece_bytes().min(PIECE), now));
                }
            }
            now += took;
            for ping in pings {
                pace.read(ping, now);
            }
        }
    }

    #[test]
    fn what_is_not_read_bounds_what_is_written() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let pings = fill(&mut pace, now);
        assert!(pings.len() >= 2 && pings.iter().all(|ping| is_milestone(*ping)));
        assert!(pace.passed_bytes + pace.since_bytes < WINDOW_BYTES_MIN + PIECE);
        assert!(pace.read(pings[0], now), "the first answer opens it");
        assert!(!fill(&mut pace, now).is_empty());
    }

    #[test]
    fn an_answer_stands_for_all_before_it_and_comes_once() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let pings = fill(&mut pace, now);
        assert!(pace.read(pings[1], now));
        assert_eq!(pace.passed_bytes, 0);
        fill(&mut pace, now);
        assert!(!pace.read(pings[1], now) && !pace.read(pings[0], now), "answered already");
        assert!(!pace.is_open());
    }

    #[test]
    fn bulk_is_held_up_since_the_peer_last_read_some() {
        let (mut pace, second) = (Pace::default(), Duration::from_secs(1));
        assert_eq!(pace.held_up(9 * second), Duration::ZERO);
        let pings = fill(&mut pace, second);
        assert_eq!(pace.held_up(4 * second), 3 * second);
        pace.read(pings[0], 5 * second);
        assert_eq!(pace.held_up(6 * second), Duration::ZERO, "more may be written");
        fill(&mut pace, 6 * second);
        assert_eq!(pace.held_up(7 * second), 2 * second, "it has read some two seconds ago");
        pace.clear();
        assert_eq!(pace.held_up(8 * second), Duration::ZERO);
    }

    #[test]
    fn answers_of_a_session_that_broke_open_nothing() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let before = fill(&mut pace, now);
        pace.clear();
        let after = fill(&mut pace, now);
        assert!(!pace.read(before[1], now));
        assert!(pace.read(after[0], now));
    }

    #[test]
    fn a_session_that_another_took_over_from_and_that_breaks_opens_what_it_held_and_no_more() {
        let (mut pace, now) = (Pace::default(), Duration::ZERO);
        let before = fill(&mut pace, now);
        pace.handed_over();
        assert!(pace.read(before[0], now));
        let after = fill(&mut pace, now);
        pace.lost_before();
        assert!(pace.is_open());
        assert!(pace.passed_bytes > 0, "what the present session wrote is still under way");
        fill(&mut pace, now);
        pace.lost_before();
        assert!(!pace.is_open(), "it breaks once");
        assert!(pace.read(after[0], now));
    }

    #[test]
    fn a_short_link_is_filled_without_a_queue() {
        let way = Duration::from_micros(50);
        let (rate, longest) = saturated(2e9, way, Duration::from_secs(2));
        assert!(rate > 1.9e9, "{rate} bytes a second");
        assert!(longest < Duration::from_micros(500), "{longest:?}");
    }

    /// A peer that answers at least every ten seconds is not given up, and a small message waits no longer either.
    #[test]
    fn over_a_slow_link_little_is_under_way() {
        for bytes_a_second in [4e3, 20e3, 100e3] {
            let (mut pace, mut now, mut longest) = (Pace::default(), Duration::ZERO, Duration::ZERO);
            let mut link: VecDeque<(Duration, Option<u64>)> = VecDeque::new();
            let (mut free, mut answered) = (now, now);
            while now < Duration::from_secs(600) {
                while pace.is_open() {
                    let piece = pace.piece_bytes();
                    free = free.max(now) + Duration::from_secs_f64(piece as f64 / bytes_a_second);
                    link.push_back((free, pace.wrote(piece, now)));
                }
                let Some((read, ping)) = link.pop_front() else { break };
                now = read;
                if let Some(ping) = ping {
                    longest = longest.max(now - std::mem::replace(&mut answered, now));
                    pace.read(ping, now);
                }
            }
            assert!(longest < Duration::from_millis(9_500), "{bytes_a_second} bytes a second: {longest:?}");
            assert!(pace.passed_bytes + pace.since_bytes < 2 * WINDOW_BYTES_SLOW);
        }
    }

    #[test]
    fn a_long_link_is_filled_too() {
        let way = Duration::from_millis(50);
        let (rate, longest) = saturated(100e6, way, Duration::from_secs(60));
        assert!(rate > 80e6, "{rate} bytes a second");
        assert!(longest < Duration::from_millis(80), "{longest:?}");
    }
}
