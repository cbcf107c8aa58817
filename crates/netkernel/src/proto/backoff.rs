//! How long to wait before dialing again.

use std::time::Duration;

/// Exponential backoff with full jitter over the upper half, so that the members of a cluster that lost one node
/// do not all dial it in the same instant.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    limit: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, attempt: 0 }
    }

    /// The next wait, given a random number.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.attempt).unwrap_or(u32::MAX));
        let whole = doubled.min(self.limit);
        self.attempt = self.attempt.saturating_add(1);
        let half_ns = u64::try_from((whole / 2).as_nanos()).unwrap_or(u64::MAX);
        whole / 2 + Duration::from_nanos(random % half_ns.saturating_add(1))
    }

    /// Attempts since the last success.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A session was made.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let longest: Vec<u128> = (0..8).map(|_| backoff.clone_max().as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::from_millis(50));
    }

    #[test]
    fn the_hundredth_attempt_still_waits_within_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for random in 0..100u64 {
            let wait = backoff.next(random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            assert!(wait <= Duration::from_secs(5) && wait >= Duration::from_millis(50));
        }
    }

    impl Backoff {
        fn clone_max(&mut self) -> Duration {
            let half = u64::try_from((self.clone().next(0)).as_nanos()).unwrap();
            self.next(half)
        }
    }
}
