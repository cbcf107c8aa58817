//! Keeps the books of an outage: who is down for how long, and how much of the ring as it stood before is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use netkernel::NodeId;

use super::policy::{Absent, Outage};

/// The books of one node.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// The members that had been heard from when the first of those down went down, and who was heard from since, while
    /// this was the greater side.
    before: BTreeSet<NodeId>,
    /// Those of them that were removed while they were down, and for how many milliseconds that was so on the greater side.
    lost: BTreeMap<NodeId, u64>,
    /// Who is down, and for how many milliseconds this node has seen it so while it ran on the greater side.
    down: BTreeMap<NodeId, u64>,
    /// When members were found to have been removed by others.
    removed_ms: BTreeMap<NodeId, u64>,
    counted_ms: u64,
    in_minority: bool,
}

/// A crossing of the line between majority and minority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crossing {
    pub(crate) into_minority: bool,
    pub(crate) reachable: usize,
    pub(crate) members: usize,
}

impl Outages {
    /// A member went down, while these members of the ring had been heard from.
    pub(crate) fn went_down(&mut self, id: &NodeId, members: impl Iterator<Item = NodeId>) {
        if self.down.is_empty() {
            self.before = members.chain(self.lost.keys().cloned()).collect();
        }
        self.down.insert(id.clone(), 0);
    }

    /// A member is not down any more, or is a member again.
    pub(crate) fn came_back(&mut self, id: &NodeId) {
        self.down.remove(id);
        self.lost.remove(id);
    }

    /// These members are heard from. On the greater side of an outage they count from now on as if they had been there
    /// before: a ring in which one member is away for weeks grows all the same.
    pub(crate) fn heard(&mut self, members: impl Iterator<Item = NodeId>) {
        let down = &self.down;
        for id in members.filter(|id| !down.contains_key(id)) {
            self.lost.remove(&id);
            if !self.in_minority {
                self.before.insert(id);
            }
        }
    }

    /// A node is no member any more. If it was down it stays among those that were there before, on the greater side until
    /// all who are left know of it: removing members that cannot be reached makes nobody a majority. Only where all of them
    /// were removed, which on the smaller side takes someone who knows better, nobody is left to count with.
    pub(crate) fn gone(&mut self, id: &NodeId) {
        if self.down.remove(id).is_some() {
            if self.before.contains(id) {
                self.lost.insert(id.clone(), 0);
            }
        } else if !self.lost.contains_key(id) {
            self.before.remove(id);
        }
        if self.down.is_empty() && self.in_minority {
            let lost = std::mem::take(&mut self.lost);
            self.before.retain(|id| !lost.contains_key(id));
        }
    }

    /// A node was removed by another, as this node finds now.
    pub(crate) fn removed(&mut self, id: &NodeId, now_ms: u64) {
        if self.removed_ms.len() < REMOVED_MAX {
            self.removed_ms.entry(id.clone()).or_insert(now_ms);
        }
    }

    /// This node is in no ring any more.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.down.is_empty()
    }

    /// Counts the time since the last call. After a gap, for which this node did not run, it knows nothing of that time
    /// and starts over; so it does on the smaller side, for when that is over members come back one after the other.
    ///
    /// Who was removed counts no longer after `settled_ms`: whoever had not heard of it by then would be down here, and this
    /// would be the smaller side if those were many.
    pub(crate) fn count(&mut self, now_ms: u64, gap_ms: u64, settled_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.counted_ms);
        self.counted_ms = now_ms;
        let knows_nothing = passed_ms > gap_ms || self.in_minority;
        for ms in self.down.values_mut().chain(self.lost.values_mut()) {
            *ms = if knows_nothing { 0 } else { *ms + passed_ms };
        }
        let before = &mut self.before;
        self.lost.retain(|id, ms| {
            let counts = *ms < settled_ms.max(SETTLED_MS_MIN);
            if !counts {
                before.remove(id);
            }
            counts
        });
        self.removed_ms.retain(|_, at| now_ms < *at + HOUR_MS);
    }

    /// What a policy is told; `rank` is this node's place among those that are up, `has_stopped` says who said goodbye, and
    /// after `settled` all who are away are known to be.
    pub(crate) fn outage(
        &self,
        rank: usize,
        has_stopped: impl Fn(&NodeId) -> bool,
        settled: Duration,
    ) -> Outage {
        let absent = |(id, ms): (&NodeId, &u64)| Absent {
            id: id.clone(),
            since: Duration::from_millis(*ms),
            has_stopped: has_stopped(id),
        };
        let (reachable, members) = self.reachable();
        Outage {
            members,
            reachable,
            down: self.down.iter().map(absent).collect(),
            rank,
            removed: self.removed_ms.len(),
            settled,
        }
    }

    /// How many of the ring as it stood before are there, and how many it had.
    fn reachable(&self) -> (usize, usize) {
        let is_there = |id: &&NodeId| !self.down.contains_key(*id) && !self.lost.contains_key(*id);
        (self.before.iter().filter(is_there).count(), self.before.len())
    }

    /// Whether this node came to be on the smaller side, or on the greater again.
    pub(crate) fn crossing(&mut self) -> Option<Crossing> {
        let (reachable, members) = self.reachable();
        let into_minority = reachable * 2 <= members && members > 0;
        if into_minority == self.in_minority {
            return None;
        }
        self.in_minority = into_minority;
        Some(Crossing { into_minority, reachable, members })
    }
}

/// A removal has reached everyone who can be reached after so long, whatever the detector says of itself.
const SETTLED_MS_MIN: u64 = 30_000;

/// The memory of what an hour's limit counts.
const HOUR_MS: u64 = 3_600_000;

/// Removals remembered: more than any limit asks for.
const REMOVED_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const GAP_MS: u64 = 10_000;
    const SETTLED_MS: u64 = 60_000;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn ring() -> impl Iterator<Item = NodeId> {
        ["a", "b", "c", "d", "e"].into_iter().map(id)
    }

    fn told(outages: &Outages) -> Outage {
        outages.outage(0, |_| false, Duration::ZERO)
    }

    fn count_to(outages: &mut Outages, seconds: std::ops::RangeInclusive<u64>) {
        seconds.for_each(|second| {
            outages.crossing();
            outages.count(second * 1_000, GAP_MS, SETTLED_MS);
        });
    }

    #[test]
    fn removing_who_cannot_be_reached_makes_no_majority() {
        let mut outages = Outages::default();
        ["c", "d", "e"].iter().for_each(|name| outages.went_down(&id(name), ring()));
        let crossing = outages.crossing().unwrap();
        assert!(crossing.into_minority && (crossing.reachable, crossing.members) == (2, 5));
        outages.gone(&id("c"));
        outages.gone(&id("d"));
        assert_eq!((told(&outages).reachable, told(&outages).members), (2, 5));
        assert!(!told(&outages).is_majority());
        // Nor does who comes meanwhile.
        outages.heard(["f", "g", "h"].into_iter().map(id));
        assert_eq!((told(&outages).reachable, told(&outages).members), (2, 5));
    }

    #[test]
    fn whoever_removes_all_who_cannot_be_reached_has_decided() {
        let mut outages = Outages::default();
        ["c", "d", "e"].iter().for_each(|name| outages.went_down(&id(name), ring()));
        outages.crossing();
        ["c", "d", "e"].iter().for_each(|name| outages.gone(&id(name)));
        let crossing = outages.crossing().unwrap();
        assert!(!crossing.into_minority && (crossing.reachable, crossing.members) == (2, 2));
    }

    /// The other part of the greater side may not have heard of the removals yet: it counts five, of which three.
    #[test]
    fn those_just_removed_count_until_all_know_of_it() {
        let mut outages = Outages::default();
        ["d", "e"].iter().for_each(|name| outages.went_down(&id(name), ring()));
        outages.crossing();
        ["d", "e"].iter().for_each(|name| outages.gone(&id(name)));
        count_to(&mut outages, 1..=20);
        outages.went_down(&id("c"), ["a", "b", "c"].into_iter().map(id));
        assert_eq!((told(&outages).reachable, told(&outages).members), (2, 5));
        assert!(outages.crossing().unwrap().into_minority);
        // Nor is it forgotten there.
        count_to(&mut outages, 21..=600);
        assert_eq!((told(&outages).reachable, told(&outages).members), (2, 5));
    }

    #[test]
    fn members_replaced_while_one_is_away_make_nobody_a_minority() {
        let mut outages = Outages::default();
        outages.went_down(&id("e"), ring());
        for number in 0..10 {
            let dies = id(&format!("n{number:02}"));
            outages.heard(std::iter::once(dies.clone()));
            outages.went_down(&dies, std::iter::empty());
            assert_eq!(outages.crossing(), None, "number {number}: {:?}", told(&outages));
            outages.gone(&dies);
            count_to(&mut outages, number * 100..=number * 100 + 99);
        }
        assert_eq!((told(&outages).reachable, told(&outages).members), (4, 5));
    }

    #[test]
    fn who_was_removed_and_inserted_again_is_there() {
        let mut outages = Outages::default();
        ["e", "c"].iter().for_each(|name| outages.went_down(&id(name), ring()));
        outages.gone(&id("c"));
        outages.came_back(&id("c"));
        assert_eq!((told(&outages).reachable, told(&outages).members), (4, 5));
        outages.went_down(&id("c"), ring());
        outages.gone(&id("c"));
        assert!(told(&outages).down.iter().all(|absent| absent.id != id("c")), "removed a second time");
        outages.came_back(&id("e"));
        assert!(outages.is_over());
    }

    #[test]
    fn the_ring_before_is_forgotten_when_all_are_back() {
        let mut outages = Outages::default();
        outages.went_down(&id("c"), ring());
        assert_eq!(outages.crossing(), None);
        outages.came_back(&id("c"));
        outages.went_down(&id("b"), ["a", "b"].into_iter().map(id));
        assert_eq!(told(&outages).members, 2);
        assert!(outages.crossing().unwrap().into_minority);
        outages.came_back(&id("b"));
        assert!(!outages.crossing().unwrap().into_minority);
    }

    #[test]
    fn a_ring_of_which_one_is_away_for_long_grows_on_the_greater_side() {
        let mut outages = Outages::default();
        outages.went_down(&id("e"), ring());
        let grown = || ring().chain((0..45).map(|number| id(&format!("n{number:02}"))));
        outages.heard(grown());
        assert_eq!((told(&outages).reachable, told(&outages).members), (49, 50));
        // What was half of the old ring is no majority of the new one.
        grown().skip(3).for_each(|id| outages.went_down(&id, grown()));
        assert!(outages.crossing().unwrap().into_minority);
    }

    #[test]
    fn time_in_which_this_node_stood_still_is_no_absence_of_others() {
        let mut outages = Outages::default();
        outages.went_down(&id("c"), ring());
        count_to(&mut outages, 0..=599);
        assert_eq!(told(&outages).down[0].since.as_secs(), 599);
        outages.count(5_000_000, GAP_MS, SETTLED_MS);
        assert_eq!(told(&outages).down[0].since.as_secs(), 0);
    }

    #[test]
    fn time_on_the_smaller_side_is_no_absence_of_others() {
        let mut outages = Outages::default();
        ["c", "d", "e"].iter().for_each(|name| outages.went_down(&id(name), ring()));
        count_to(&mut outages, 0..=3_600);
        outages.came_back(&id("c"));
        assert!(!outages.crossing().unwrap().into_minority);
        assert!(told(&outages).down.iter().all(|absent| absent.since.is_zero()));
        count_to(&mut outages, 3_601..=3_620);
        assert_eq!(told(&outages).down[0].since.as_secs(), 20);
    }

    #[test]
    fn removals_count_for_an_hour_and_once() {
        let mut outages = Outages::default();
        outages.went_down(&id("c"), ring());
        outages.removed(&id("c"), 1_000);
        outages.removed(&id("c"), 2_000);
        outages.gone(&id("c"));
        outages.count(3_600_000, GAP_MS, SETTLED_MS);
        assert_eq!(told(&outages).removed, 1);
        outages.count(3_601_000, GAP_MS, SETTLED_MS);
        assert_eq!(told(&outages).removed, 0);
    }
}
