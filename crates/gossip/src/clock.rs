//! The one place that reads clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::proto::Now;

/// Turns the clocks of the machine into what the core is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let mono_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms, wall_ms: wall_ms() }
    }

    /// When the core's clock shows so many milliseconds.
    pub(crate) fn at(self, mono_ms: u64) -> Instant {
        self.start + Duration::from_millis(mono_ms)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the driver's clock file")]
fn wall_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
