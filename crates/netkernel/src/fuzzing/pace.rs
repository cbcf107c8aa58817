//! The pace of bulk: a sender that writes whenever it may, and a peer that reads, answers late, for several at once, or
//! what was never asked, over sessions that come and break.

use std::collections::VecDeque;
use std::time::Duration;

use crate::proto::pace::{Pace, is_milestone};

/// Events of three bytes each: whatever happens, more may be written once all that the peer can answer is answered, no
/// more is under way than the window, and the time a peer is held up for is not longer than since it last answered. The
/// first byte asks whether a long way is filled after all that.
pub fn pace(data: &[u8]) {
    let Some((first, events)) = data.split_first() else { return };
    let mut sender = Sender::default();
    for event in events.chunks_exact(3) {
        sender.event(event[0], usize::from(event[1]), usize::from(event[2]));
        sender.check();
    }
    sender.answer_all();
    assert!(sender.pace.is_open(), "nothing will open it again");
    if first % 16 == 1 {
        sender.fills_a_long_way();
    }
}

#[derive(Default)]
struct Sender {
    pace: Pace,
    now: Duration,
    /// What was written and not told as read, with the session it went by and the PING that followed it.
    under_way: VecDeque<(u32, usize, Option<u64>)>,
    session: u32,
    /// The highest PING so far, and when an answer last came.
    last: u64,
    answered_at: Duration,
}

impl Sender {
    fn event(&mut self, kind: u8, a: usize, b: usize) {
        match kind % 12 {
            0..3 => self.write(a % 16 + 1, 64 * (b + 1)),
            3 => self.write(a % 16 + 1, usize::MAX),
            4..7 => self.now += Duration::from_micros(((b as u64) + 1) << (a % 16)),
            7 | 8 => self.answer(a % 8 + 1),
            9 => {
                self.pace.handed_over();
                self.session += 1;
            }
            10 => {
                self.pace.lost_before();
                self.under_way.retain(|(session, ..)| *session == self.session);
            }
            11 if a < 128 => {
                self.pace.clear();
                self.under_way.clear();
            }
            // A number that was answered before, or that belongs to nothing.
            _ => self.told((self.last + b as u64).saturating_sub(200) | 1 << 63),
        }
    }

    fn write(&mut self, pieces: usize, bytes: usize) {
        for _ in 0..pieces {
            if !self.pace.is_open() {
                return;
            }
            assert!(
                self.under_way_bytes() < self.window_bytes().max(MILESTONE_BYTES),
                "more than the window"
            );
            let bytes = bytes.min(self.pace.piece_bytes()).min(PIECE_BYTES);
            let ping = self.pace.wrote(bytes, self.now);
            if let Some(ping) = ping {
                assert!(is_milestone(ping) && ping > self.last, "{ping} after {}", self.last);
                self.last = ping;
            }
            self.under_way.push_back((self.session, bytes, ping));
        }
    }

    /// The peer has read as far as so many milestones further, and answers the last of them alone.
    fn answer(&mut self, milestones: usize) {
        let pings = self.under_way.iter().filter_map(|(.., ping)| *ping);
        if let Some(ping) = pings.take(milestones).last() {
            self.told(ping);
        }
    }

    fn answer_all(&mut self) {
        self.answer(usize::MAX);
    }

    fn told(&mut self, ping: u64) {
        let opened = self.pace.read(ping, self.now);
        assert!(!opened || self.pace.is_open());
        while self.under_way.iter().any(|(.., number)| number.is_some_and(|number| number <= ping)) {
            self.under_way.pop_front();
            self.answered_at = self.now;
        }
    }

    fn check(&self) {
        let held_up = self.pace.held_up(self.now);
        assert!(held_up <= self.now - self.answered_at);
        assert!(held_up.is_zero() || !self.pace.is_open(), "it is not held up while it may write");
        assert!((WINDOW_BYTES.0..=WINDOW_BYTES.1).contains(&self.window_bytes()));
        assert!(self.pace.is_under_way() || self.under_way.is_empty());
        let can_open = self.under_way.iter().any(|(.., ping)| ping.is_some());
        assert!(self.pace.is_open() || can_open, "nothing that the peer can answer would open it");
    }

    fn under_way_bytes(&self) -> usize {
        self.under_way.iter().map(|(_, bytes, _)| bytes).sum()
    }

    fn window_bytes(&self) -> usize {
        self.pace.piece_bytes() * 4
    }

    /// Whatever it has been through, it comes to fill a way of 200 ms at 5 MB/s, but for what each period begins with.
    fn fills_a_long_way(&mut self) {
        let (way, bytes_a_second) = (Duration::from_millis(200), 5e6);
        let (begun, lasting) = (self.now, Duration::from_secs(60));
        let (mut free, mut bytes) = (begun, 0);
        let mut link: VecDeque<(Duration, Option<u64>)> = VecDeque::new();
        while self.now < begun + lasting {
            while self.pace.is_open() {
                let piece = self.pace.piece_bytes().min(PIECE_BYTES);
                free = free.max(self.now) + Duration::from_secs_f64(piece as f64 / bytes_a_second);
                link.push_back((free + way, self.pace.wrote(piece, self.now)));
                // From when what it learnt before is forgotten.
                bytes += if self.now > begun + lasting / 2 { piece } else { 0 };
            }
            let (answered, ping) = link.pop_front().expect("what was written is read");
            self.now = answered;
            if let Some(ping) = ping {
                self.pace.read(ping, self.now);
            }
        }
        let rate = bytes as f64 / (lasting / 2).as_secs_f64();
        assert!(rate > bytes_a_second / 2.0, "{rate} bytes a second");
    }
}

/// What a frame holds, at most.
const PIECE_BYTES: usize = 60 * 1_024;
/// How much may be written before a milestone, and the piece that is followed by it.
const MILESTONE_BYTES: usize = 180 * 1_024 + PIECE_BYTES;
const WINDOW_BYTES: (usize, usize) = (64 * 1_024, 16 << 20);
