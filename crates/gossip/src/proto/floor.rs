//! What stays of a removed node once its tombstone was collected.

use netkernel::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

use super::record::{Actor, Dot, Versions};
use super::seen::Seen;

/// What stays of a removed node once its tombstone was collected, for a week.
///
/// Members may have collected at different times, and none needs to know who has: a tombstone and its floor mean the
/// same, and neither counts in the hashes that members compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The node.
    pub id: NodeId,
    /// Memberships of this or an older incarnation are dead.
    pub incarnation: Incarnation,
    /// Who removed it.
    pub by: NodeId,
    /// The events of the tombstone. Whoever has not seen one of them has to be told of the floor.
    pub dots: Vec<Dot>,
    /// All that the record had seen. A later write of it replaces that too.
    pub past: vclock::VClock<Actor>,
}

impl Floor {
    /// The past alone, as versions to merge with: what it covers was replaced.
    pub(crate) fn versions(&self) -> Versions {
        Versions::from_parts(self.past.clone(), []).expect("no siblings need no cover")
    }

    /// Takes retired actors out of what the record had seen.
    pub(crate) fn forget(&mut self, seen: &Seen) {
        self.dots.retain(|dot| !seen.is_retired(dot.actor, dot.counter()));
        let is_retired = |(actor, last): &(&Actor, u64)| seen.is_retired(**actor, *last);
        let retired: Vec<_> = self.past.iter().filter(is_retired).map(|(actor, _)| *actor).collect();
        retired.iter().for_each(|actor| {
            self.past.retire(actor);
        });
    }

    /// Takes in versions that it beats: whoever has not seen them has to be told of the floor, too.
    pub(crate) fn cover(&mut self, versions: &Versions) {
        self.dots.extend(versions.siblings().map(|(dot, _)| *dot));
        self.dots.sort_unstable();
        self.dots.dedup();
        let over = self.dots.len().saturating_sub(super::record::SIBLINGS_MAX);
        self.dots.drain(..over);
        self.past.merge(versions.context());
    }

    /// Takes in another floor of the same node, and returns whether that changed anything.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.dots.retain(|dot| other.dots.contains(dot) || !other.past.contains(dot));
        let unseen = other.dots.iter().filter(|dot| !before.past.contains(dot));
        self.dots.extend(unseen.copied());
        self.dots.sort_unstable();
        self.past.merge(&other.past);
        if (other.incarnation, &other.by) > (self.incarnation, &self.by) {
            self.incarnation = other.incarnation;
            self.by = other.by.clone();
        }
        *self != before
    }

    /// Whether it fits a frame beside others.
    pub(crate) fn is_bearable(&self) -> bool {
        self.is_within_limits()
            && postcard::experimental::serialized_size(self)
                .is_ok_and(|bytes| bytes <= super::record::RECORD_BYTES_MAX)
    }

    /// Whether every field keeps the limits a well-meaning collector keeps.
    pub(crate) fn is_within_limits(&self) -> bool {
        self.dots.len() <= super::record::SIBLINGS_MAX
    }
}
