//! When the next round of telling news may be.

/// A bucket of rounds: what is new is told quickly, a few rounds of it; while news does not end, for many are suspected and
/// refute, rounds become rare and carry more each. At the quick pace a member that handles little would be told more than
/// it can handle, answer late, be suspected for that, and never come out of it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// When the bucket is full again.
    full_ms: u64,
    next_ms: u64,
}

impl Rounds {
    /// Takes a round, if one may be now.
    pub(super) fn take(&mut self, now_ms: u64) -> bool {
        if now_ms < self.next_ms {
            return false;
        }
        self.full_ms = self.full_ms.max(now_ms) + REFILL_MS;
        self.next_ms = (now_ms + QUICK_MS).max(self.full_ms.saturating_sub(BURST * REFILL_MS));
        true
    }

    /// When the next one may be.
    pub(super) fn next_ms(&self) -> u64 {
        self.next_ms
    }
}

/// The pause between rounds while there are some in the bucket.
const QUICK_MS: u64 = 100;

/// How long it takes until there is another.
const REFILL_MS: u64 = 500;

/// Rounds in a full bucket: three members told in each, enough that a report reaches all of a ring of a thousand.
const BURST: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rounds: &mut Rounds, from_ms: u64, to_ms: u64) -> usize {
        (from_ms..to_ms).filter(|now_ms| rounds.take(*now_ms)).count()
    }

    #[test]
    fn a_few_rounds_are_quick_and_those_after_them_rare() {
        let mut rounds = Rounds::default();
        assert_eq!(taken(&mut rounds, 10_000, 10_600), 6);
        assert_eq!(taken(&mut rounds, 10_600, 20_600), 22);
    }

    #[test]
    fn what_is_not_used_comes_back() {
        let mut rounds = Rounds::default();
        taken(&mut rounds, 0, 20_000);
        assert_eq!(taken(&mut rounds, 23_000, 23_600), 6);
    }

    #[test]
    fn the_next_round_is_when_it_says() {
        let mut rounds = Rounds::default();
        let mut now_ms = 5;
        for _ in 0..100 {
            assert!(rounds.take(now_ms));
            let next_ms = rounds.next_ms();
            assert!(!rounds.take(next_ms - 1));
            now_ms = next_ms;
        }
    }
}
