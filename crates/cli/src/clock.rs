//! The one place that reads the wall clock.

use std::time::{Duration, SystemTime};

/// When something happened that happened so long ago, as `2026-01-02T03:04:05.678Z`.
#[expect(clippy::disallowed_methods, reason = "the driver's clock: what people read has a time of day")]
pub(crate) fn time_of_day(ago: Duration) -> String {
    let now = SystemTime::now();
    humantime::format_rfc3339_millis(now.checked_sub(ago).unwrap_or(now)).to_string()
}
