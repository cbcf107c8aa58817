//! How long a PING took to be answered, last.

use std::time::Duration;

use tokio::time::Instant;

/// The time to the peer and back. Heartbeats all have the same number, so that the first answer is to the first that is
/// unanswered, and only one that was put while none was unanswered is measured.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    took: Option<Duration>,
    unanswered: usize,
    measured: Option<Instant>,
    /// When the last heartbeat was put, measured or not.
    put: Option<Instant>,
}

impl RoundTrip {
    /// What was measured last.
    pub(super) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// It was measured elsewhere.
    pub(super) fn set(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// A heartbeat is being put.
    pub(super) fn ping(&mut self, now: Instant) {
        if self.unanswered == 0 {
            self.measured = Some(now);
        }
        self.unanswered += 1;
        self.put = Some(now);
    }

    /// A heartbeat was answered.
    pub(super) fn pong(&mut self, now: Instant) {
        // A peer may answer what it was never asked.
        self.unanswered = self.unanswered.saturating_sub(1);
        if let Some(put) = self.measured.take() {
            self.took = Some(now.saturating_duration_since(put));
        }
    }

    /// Whether no heartbeat was put for so long that a session which is never silent is asked all the same: each question
    /// wakes the peer, so it is rare once there is an answer.
    pub(super) fn is_due(&self, now: Instant, idle: Duration) -> bool {
        let every = if self.took.is_some() { idle.saturating_mul(IDLE_TIMES) } else { idle };
        self.put.is_none_or(|put| now.saturating_duration_since(put) >= every)
    }

    /// A session broke: answers may be lost with it.
    pub(super) fn session_lost(&mut self) {
        *self = Self { took: self.took, ..Self::default() };
    }
}

/// A minute, of the usual fifteen seconds; four, where gossip watches over the peers.
const IDLE_TIMES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_of_several_unanswered_heartbeats_is_measured() {
        let (mut round_trip, start) = (RoundTrip::default(), Instant::now());
        round_trip.ping(start);
        round_trip.ping(start + 10 * MS);
        round_trip.pong(start + 30 * MS);
        assert_eq!(round_trip.took(), Some(30 * MS));
        // The answer to the second is not taken for one to the third.
        round_trip.ping(start + 35 * MS);
        round_trip.pong(start + 36 * MS);
        round_trip.pong(start + 50 * MS);
        assert_eq!(round_trip.took(), Some(30 * MS));
        round_trip.ping(start + 60 * MS);
        round_trip.pong(start + 62 * MS);
        assert_eq!(round_trip.took(), Some(2 * MS));
    }

    #[test]
    fn answers_lost_with_a_session_are_not_waited_for() {
        let (mut round_trip, start) = (RoundTrip::default(), Instant::now());
        round_trip.ping(start);
        round_trip.session_lost();
        round_trip.pong(start + MS);
        assert_eq!(round_trip.took(), None);
        assert!(round_trip.is_due(start + MS, 10 * MS));
        round_trip.ping(start + 2 * MS);
        assert!(!round_trip.is_due(start + 11 * MS, 10 * MS));
        assert!(round_trip.is_due(start + 12 * MS, 10 * MS));
        round_trip.pong(start + 5 * MS);
        assert_eq!(round_trip.took(), Some(3 * MS));
        assert!(!round_trip.is_due(start + 41 * MS, 10 * MS), "it is known");
        assert!(round_trip.is_due(start + 42 * MS, 10 * MS));
    }
}
