//! A suspicion: who shares it, and how long it may still be refuted.

use std::collections::BTreeSet;

use netkernel::NodeId;

use super::pace::Pace;

/// Lifeguard's suspicion: it starts patient, and every other node that came to it by itself makes it less so.
#[derive(Debug)]
pub(super) struct Suspicion {
    since_ms: u64,
    min_ms: u64,
    max_ms: u64,
    /// Confirmations that make it as impatient as it gets.
    enough: usize,
    is_brief: bool,
    by: BTreeSet<NodeId>,
    /// Those of them that saw the session close and the address refuse.
    refused: BTreeSet<NodeId>,
}

impl Suspicion {
    /// `by` is the first to suspect, in a cluster of so many members.
    pub(super) fn new(by: NodeId, members: usize, pace: &Pace, now_ms: u64) -> Self {
        // Neither this node, nor the suspect, nor the first accuser can confirm.
        let enough = if members < 2 + pace.confirmations { 0 } else { pace.confirmations };
        Self {
            since_ms: now_ms,
            min_ms: pace.suspicion_min_ms(members),
            max_ms: pace.suspicion_max_ms(members),
            enough,
            is_brief: false,
            by: BTreeSet::from([by]),
            refused: BTreeSet::new(),
        }
    }

    /// `by` holds it for down already: it is refuted by one answer, or not.
    pub(super) fn brief(by: NodeId, answer_ms: u64, now_ms: u64) -> Self {
        Self {
            since_ms: now_ms,
            min_ms: answer_ms,
            max_ms: answer_ms,
            enough: 0,
            is_brief: true,
            by: BTreeSet::from([by]),
            refused: BTreeSet::new(),
        }
    }

    /// `by` suspects it too. Returns whether that is worth passing on.
    pub(super) fn confirm(&mut self, by: &NodeId) -> bool {
        self.by.len() <= self.enough && self.by.insert(by.clone())
    }

    /// `by` saw it refuse. Returns whether that is new.
    pub(super) fn refuse(&mut self, by: &NodeId) -> bool {
        self.refused.len() < REFUSALS_MAX && self.refused.insert(by.clone())
    }

    /// How many saw it refuse.
    pub(super) fn refusals(&self) -> usize {
        self.refused.len()
    }

    /// Someone who suspects it.
    pub(super) fn accuser(&self) -> Option<&NodeId> {
        self.by.first()
    }

    /// When nobody may refute it any more: the more confirm, the sooner, by the logarithm.
    pub(super) fn ends_ms(&self) -> u64 {
        if self.enough == 0 {
            return self.since_ms + self.min_ms;
        }
        let confirmed = (self.by.len() as f64).ln() / (self.enough as f64 + 1.0).ln();
        let saved = (self.max_ms - self.min_ms) as f64 * confirmed.min(1.0);
        self.since_ms + self.max_ms - saved as u64
    }

    /// Whether it began within so many milliseconds, and might be nothing.
    pub(super) fn is_younger_than(&self, ms: u64, now_ms: u64) -> bool {
        now_ms < self.since_ms.saturating_add(ms)
    }

    /// Whether it ends when one answer is late.
    pub(super) fn is_brief(&self) -> bool {
        self.is_brief
    }

    /// The time of this node stood still.
    pub(super) fn shift(&mut self, ms: u64) {
        self.since_ms += ms;
    }
}

/// Refusals remembered: two suffice to decide.
const REFUSALS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn two_confirmations_make_it_as_short_as_it_gets() {
        let pace = Pace::default();
        let mut suspicion = Suspicion::new(id("a"), 100, &pace, 1_000);
        assert_eq!(suspicion.ends_ms(), 1_000 + 24_000);
        assert!(suspicion.confirm(&id("b")));
        let one = suspicion.ends_ms();
        assert!(one > 1_000 + 4_000 && one < 1_000 + 24_000);
        assert!(!suspicion.confirm(&id("b")), "a repetition confirms nothing");
        assert!(suspicion.confirm(&id("c")));
        assert_eq!(suspicion.ends_ms(), 1_000 + 4_000);
        assert!(!suspicion.confirm(&id("d")), "enough is enough");
    }

    #[test]
    fn where_nobody_can_confirm_it_is_short_from_the_start() {
        let suspicion = Suspicion::new(id("a"), 2, &Pace::default(), 0);
        assert_eq!(suspicion.ends_ms(), 2_000);
    }
}
