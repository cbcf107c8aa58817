//! News passed on until it is stale: rumour mongering with feedback and counters.
//!
//! After Demers and others, *Epidemic Algorithms for Replicated Database Maintenance* (1987). What a rumour
//! misses, the comparison of digests finds.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::NodeId;

use super::random::Random;
use super::record::{Fact, What};

/// The facts this node still spreads.
#[derive(Debug, Default)]
pub(crate) struct Rumours {
    hot: BTreeMap<Fact, Heat>,
    /// When the last batch went out; the next waits, so that news of one moment shares a message.
    flushed_ms: Option<u64>,
}

/// How one fact spreads.
#[derive(Debug, Default)]
struct Heat {
    /// Answers that it was known already.
    already: u8,
    /// How often it was sent.
    sent: u8,
    /// Who is known to have it.
    informed: BTreeSet<NodeId>,
}

impl Rumours {
    /// Starts to spread a fact, which `from` (if anyone) had first.
    pub(crate) fn add(&mut self, fact: Fact, from: Option<&NodeId>) {
        if self.hot.len() < HOT_MAX || self.hot.contains_key(&fact) {
            self.hot.entry(fact).or_default().informed.extend(from.cloned());
        }
    }

    /// Takes note that `peer` has the fact; `already` when it was told in vain.
    pub(crate) fn acknowledged(&mut self, fact: &Fact, peer: &NodeId, already: bool) {
        if let Some(heat) = self.hot.get_mut(fact) {
            heat.informed.insert(peer.clone());
            heat.already += u8::from(already);
            if heat.already >= ALREADY_MAX {
                self.hot.remove(fact);
            }
        }
    }

    /// When the next batch is due: at once after a quiet while.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let after = |flushed: u64| flushed + FLUSH_MS;
        (!self.hot.is_empty()).then(|| self.flushed_ms.map_or(0, after))
    }

    /// Who is to be told what now. `is_stale` says which facts something newer has replaced.
    pub(crate) fn batch(
        &mut self,
        now_ms: u64,
        peers: &[NodeId],
        random: &mut Random,
        is_stale: impl Fn(&Fact) -> bool,
    ) -> BTreeMap<NodeId, Vec<Fact>> {
        self.flushed_ms = Some(now_ms);
        self.hot.retain(|fact, heat| heat.sent < SENT_MAX && !is_stale(fact));
        let mut batch: BTreeMap<_, Vec<_>> = BTreeMap::new();
        // The same few are told everything, so that news of one moment shares messages.
        let targets = random.choose(peers, FAN_OUT);
        self.hot.retain(|fact, heat| {
            let own = matches!(fact.what, What::Own(_)).then_some(&fact.id);
            let uninformed = |peer: &&NodeId| !heat.informed.contains(*peer) && Some(*peer) != own;
            // At first most have not heard of it; later most have.
            let count = if heat.sent == 0 { FAN_OUT } else { FAN_OUT_LATER };
            let told: Vec<_> =
                match targets.iter().filter(uninformed).take(count).cloned().collect::<Vec<_>>() {
                    none if none.is_empty() => {
                        random.sample(peers.iter().filter(uninformed).cloned().collect(), count)
                    }
                    some => some,
                };
            heat.sent = heat.sent.saturating_add(told.len() as u8);
            for peer in &told {
                batch.entry(peer.clone()).or_default().push(fact.clone());
            }
            // Everyone connected knows; whoever is not will compare digests when it connects.
            !told.is_empty()
        });
        batch
    }

    /// The facts this node still spreads and `peer` is not known to have, unless they are many.
    pub(crate) fn untold(&self, peer: &NodeId) -> Vec<Fact> {
        let untold = self.hot.iter().filter(|(_, heat)| !heat.informed.contains(peer));
        let untold: Vec<_> = untold.take(UNTOLD_MAX + 1).map(|(fact, _)| fact.clone()).collect();
        if untold.len() > UNTOLD_MAX { Vec::new() } else { untold }
    }

    /// Forgets everything: this node has nothing to say any more.
    pub(crate) fn clear(&mut self) {
        self.hot.clear();
    }
}

/// How many are told when a fact is heard, all of them at once: it is everywhere within the logarithm of the ring's size.
const FAN_OUT: usize = 3;

/// How many are told in each later batch.
const FAN_OUT_LATER: usize = 2;

/// Answers "already known" after which a fact is stale. With a fourth, every node would send one and a half rumours more,
/// of which almost none is news; whoever is missed hears of it by the comparison of each second.
const ALREADY_MAX: u8 = 3;

/// Facts told instead of a comparison: more are compared better.
const UNTOLD_MAX: usize = 8;

/// Tellings of one fact by one node, acknowledged or not, so that lost answers cannot keep it hot for ever.
const SENT_MAX: u8 = 24;

/// The pause between batches.
pub(crate) const FLUSH_MS: u64 = 100;

/// Facts spread at once. More than that is a meeting of rings, which digests compare better.
pub(crate) const HOT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::record::OwnVersion;
    use netkernel::Incarnation;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn fact(version: u32) -> Fact {
        let age = OwnVersion { incarnation: Incarnation(1), version };
        Fact { id: id("subject"), what: What::Own(age) }
    }

    #[test]
    fn a_fact_is_sent_to_three_at_once() {
        let mut rumours = Rumours::default();
        rumours.add(fact(1), None);
        assert_eq!(rumours.due_ms(), Some(0));
        let peers: Vec<_> = ["a", "b", "c", "d", "e"].map(id).to_vec();
        assert_eq!(rumours.batch(5, &peers, &mut Random::new(1), |_| false).len(), FAN_OUT);
        assert_eq!(rumours.due_ms(), Some(5 + FLUSH_MS));
    }

    #[test]
    fn three_answers_that_it_was_known_end_it() {
        let mut rumours = Rumours::default();
        rumours.add(fact(1), None);
        for peer in ["a", "b"] {
            rumours.acknowledged(&fact(1), &id(peer), true);
            assert!(rumours.due_ms().is_some());
        }
        rumours.acknowledged(&fact(1), &id("c"), true);
        assert_eq!(rumours.due_ms(), None);
    }

    #[test]
    fn whoever_has_it_is_not_told() {
        let mut rumours = Rumours::default();
        rumours.add(fact(1), Some(&id("a")));
        let batch = rumours.batch(0, &[id("a"), id("b")], &mut Random::new(1), |_| false);
        assert_eq!(batch.into_keys().collect::<Vec<_>>(), [id("b")]);
        rumours.acknowledged(&fact(1), &id("b"), false);
        assert!(rumours.batch(100, &[id("a"), id("b")], &mut Random::new(1), |_| false).is_empty());
        assert_eq!(rumours.due_ms(), None);
    }

    #[test]
    fn what_is_hot_is_untold_to_whom_it_was_not_said_to_have() {
        let mut rumours = Rumours::default();
        rumours.add(fact(1), Some(&id("a")));
        assert!(rumours.untold(&id("a")).is_empty());
        assert_eq!(rumours.untold(&id("b")), [fact(1)]);
        (2..20).for_each(|version| rumours.add(fact(version), None));
        assert!(rumours.untold(&id("b")).is_empty(), "so many are compared better");
    }

    #[test]
    fn lost_answers_do_not_keep_it_hot() {
        let mut rumours = Rumours::default();
        rumours.add(fact(1), None);
        let peers: Vec<_> = ["a", "b", "c", "d", "e"].map(id).to_vec();
        let mut random = Random::new(1);
        let rounds = (0..100).take_while(|_| !rumours.batch(0, &peers, &mut random, |_| false).is_empty());
        assert_eq!(rounds.count(), 1 + (usize::from(SENT_MAX) - FAN_OUT).div_ceil(FAN_OUT_LATER));
    }
}
