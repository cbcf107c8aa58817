//! A limit on what costs much where a whole ring does it at the same time.

/// So many at once, and one more every so often.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    used: u64,
    since_ms: u64,
}

impl Allowance {
    /// Whether one more may be done now; if so, it counts as done.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        let regained = now_ms.saturating_sub(self.since_ms) / REGAINED_MS;
        self.used = self.used.saturating_sub(regained);
        self.since_ms = if self.used == 0 { now_ms } else { self.since_ms + regained * REGAINED_MS };
        let is_left = self.used < AT_ONCE;
        self.used += u64::from(is_left);
        is_left
    }
}

/// In the quiet life of a ring nobody comes near this: a node is compared with about once a second.
const AT_ONCE: u64 = 8;

/// When one more is allowed.
const REGAINED_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_every_so_often() {
        let mut allowance = Allowance::default();
        let taken =
            |allowance: &mut Allowance, now_ms| (0..100).filter(|_| allowance.take(now_ms)).count() as u64;
        assert_eq!(taken(&mut allowance, 5), AT_ONCE);
        assert_eq!(taken(&mut allowance, 5 + REGAINED_MS - 1), 0);
        assert_eq!(taken(&mut allowance, 5 + REGAINED_MS), 1);
        assert_eq!(taken(&mut allowance, 5 + 4 * REGAINED_MS), 3);
        assert_eq!(taken(&mut allowance, 1_000_000), AT_ONCE);
    }
}
