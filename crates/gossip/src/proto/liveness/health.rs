//! How much this node may trust its own eyes.

/// Lifeguard's local health: a score that rises when this node's own probes go wrong in ways that speak against
/// itself, and by which it then slows its probes down. 0 is perfect health.
#[derive(Debug)]
pub(super) struct Health {
    score: u32,
    max: u32,
}

impl Health {
    /// `max` scores are told apart; 0 or 1 is always well.
    pub(super) fn new(max: u32) -> Self {
        Self { score: 0, max }
    }

    pub(super) fn worse(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.max.saturating_sub(1));
    }

    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A time, as long as the present health asks for.
    pub(super) fn stretch(&self, ms: u64) -> u64 {
        ms.saturating_mul(u64::from(self.score) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_below_its_limit_and_heals() {
        let mut health = Health::new(8);
        health.worse(100);
        assert_eq!(health.stretch(10), 80);
        (0..100).for_each(|_| health.better());
        assert_eq!(health.stretch(10), 10);
    }

    #[test]
    fn without_scores_nothing_is_stretched() {
        let mut health = Health::new(0);
        health.worse(5);
        assert_eq!(health.stretch(10), 10);
    }
}
