//! What nodes send, by kind.

use std::ops::{Add, Sub};

use crate::message::kind_of;

/// Frames and their bytes, as gossip hands them to a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Comparisons of hashes.
    pub hashes: Count,
    /// Digests, deltas and snapshots: what a comparison that found a difference leads to.
    pub repairs: Count,
    /// Rumours.
    pub rumours: Count,
    /// Answers to rumours.
    pub answers: Count,
    /// Meets, invitations, and all else of coming and going.
    pub comings: Count,
    /// The failure detector.
    pub liveness: Count,
}

/// How many, and how much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, frame: &[u8]) {
        let kind = match kind_of(frame) {
            Some(0) => &mut self.hashes,
            Some(1..=3) => &mut self.repairs,
            Some(4) => &mut self.rumours,
            Some(5) => &mut self.answers,
            Some(LIVENESS) => &mut self.liveness,
            _ => &mut self.comings,
        };
        kind.frames += 1;
        kind.bytes += frame.len() as u64;
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> Count {
        self.hashes + self.liveness + self.of_changes()
    }

    /// All but what a ring in which nothing happens sends too.
    #[must_use]
    pub fn of_changes(&self) -> Count {
        self.repairs + self.rumours + self.answers + self.comings
    }
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { frames: self.frames + other.frames, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Count {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { frames: self.frames - other.frames, bytes: self.bytes - other.bytes }
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            hashes: self.hashes - other.hashes,
            repairs: self.repairs - other.repairs,
            rumours: self.rumours - other.rumours,
            answers: self.answers - other.answers,
            comings: self.comings - other.comings,
            liveness: self.liveness - other.liveness,
        }
    }
}

/// The place of `Message::Liveness` among the messages.
const LIVENESS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::liveness::{Signal, Talk};
    use crate::message::{Frame, Header, Message};
    use netkernel::Incarnation;

    #[test]
    fn frames_are_counted_by_what_they_say() {
        let header = Header { ring: None, layout: 1, incarnation: Incarnation(1), own: Vec::new() };
        let mut traffic = Traffic::default();
        let tell = Signal { talk: Talk::Tell, news: Vec::new() };
        let rumour = Message::Rumor { records: Vec::new(), facts: Vec::new() };
        let known = Message::Known { learned: Vec::new(), already: Vec::new() };
        for message in [Message::Liveness(tell), rumour, known, Message::Goodbye, Message::Stranger] {
            traffic.count(&Frame::encode(&header, &message));
        }
        let frames =
            [traffic.liveness, traffic.rumours, traffic.answers, traffic.comings].map(|kind| kind.frames);
        assert_eq!(frames, [1, 1, 1, 2]);
        assert_eq!(traffic.total().frames, 5);
    }
}
