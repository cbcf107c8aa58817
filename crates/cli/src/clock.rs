//! The one place that reads the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When something happened that happened so long ago, as `2026-01-02T03:04:05.678Z`.
#[expect(clippy::disallowed_methods, reason = "the driver's clock: what people read has a time of day")]
pub(crate) fn time_of_day(ago: Duration) -> String {
    shown(SystemTime::now(), ago)
}

/// Clocks that were never set begin in 1970, and what a node says of the past may be anything.
fn shown(now: SystemTime, ago: Duration) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago).min(LATEST);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// The last day of the year 9999: dates have four digits there.
const LATEST: Duration = Duration::from_secs(253_402_214_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_is_too_strange_to_be_shown() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(shown(at(86_400), Duration::from_millis(1)), "1970-01-01T23:59:59.999Z");
        let never_set = [(at(5), Duration::from_secs(6)), (at(5), Duration::MAX), (at(0), Duration::ZERO)];
        for (now, ago) in never_set {
            assert_eq!(shown(now, ago), "1970-01-01T00:00:00.000Z");
        }
        assert_eq!(shown(UNIX_EPOCH - Duration::from_secs(1), Duration::ZERO), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(at(300_000_000_000), Duration::ZERO), "9999-12-31T00:00:00.000Z");
    }
}
