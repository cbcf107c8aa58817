//! How often one kind of event is worth a line in a log.

use std::time::Duration;

/// Lets one event through and counts those that follow it within a pause, so that a flood writes one line a pause,
/// with the number of events it stands for.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// When the last event was let through, since an arbitrary beginning.
    last: Option<Duration>,
    held_back: u64,
}

impl Throttle {
    /// An event at this time. `Some` if it is worth a line: how many before it were held back.
    pub(crate) fn event(&mut self, now: Duration) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_sub(last) < PAUSE) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }

    /// The events held back since the last line, once its pause is over: a flood that has ended is told whole.
    pub(crate) fn overdue(&mut self, now: Duration) -> Option<u64> {
        let due = self.held_back > 0 && self.last.is_none_or(|last| now.saturating_sub(last) >= PAUSE);
        due.then(|| {
            self.last = Some(now);
            std::mem::take(&mut self.held_back)
        })
    }
}

/// Long enough that a flood of a day fits a screen or two an hour, short enough to see one begin.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_writes_one_line_a_pause_and_every_event_is_told() {
        let mut throttle = Throttle::default();
        let lines: Vec<u64> =
            (0..30_000).filter_map(|ms| throttle.event(Duration::from_millis(ms))).collect();
        assert_eq!(lines, [0, 9_999, 9_999]);
        assert_eq!(throttle.overdue(Duration::from_millis(29_999)), None);
        assert_eq!(throttle.overdue(Duration::from_millis(30_000)), Some(9_999));
        assert_eq!(throttle.overdue(Duration::from_secs(60)), None);
        assert_eq!(lines.len() as u64 + lines.iter().sum::<u64>() + 9_999, 30_000);
    }

    #[test]
    fn events_far_apart_are_all_let_through() {
        let mut throttle = Throttle::default();
        for number in 0..5 {
            assert_eq!(throttle.event(PAUSE * number), Some(0));
        }
    }
}
