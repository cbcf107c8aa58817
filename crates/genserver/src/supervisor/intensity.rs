//! How often is too often.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A limit of restarts in a sliding window of time.
#[derive(Debug)]
pub(super) struct Intensity {
    restarts: usize,
    window: Duration,
    /// When the latest restarts were, at most `restarts` of them.
    recent: VecDeque<Instant>,
}

impl Intensity {
    pub(super) fn new(restarts: usize, window: Duration) -> Self {
        Self { restarts, window, recent: VecDeque::new() }
    }

    /// Counts a restart, if it is allowed.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|&then| now.duration_since(then) >= self.window) {
            self.recent.pop_front();
        }
        let allowed = self.recent.len() < self.restarts;
        if allowed {
            self.recent.push_back(now);
        }
        allowed
    }
}

impl Default for Intensity {
    /// As in Erlang.
    fn default() -> Self {
        Self::new(1, Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn restarts_are_counted_in_a_sliding_window() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut intensity = Intensity::new(2, Duration::from_secs(5));
        let allowed = [0, 1, 2, 5, 5, 6, 20].map(|seconds| intensity.allows(at(seconds)));
        assert_eq!(allowed, [true, true, false, true, false, true, true]);
        assert!(!Intensity::new(0, Duration::from_secs(5)).allows(began));
    }
}
