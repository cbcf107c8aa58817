//! What follows from a member being down: nothing, unless a policy says otherwise.

use std::fmt;
use std::time::Duration;

use netkernel::NodeId;

/// Members that are down, as one node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outage {
    /// How many members had been heard from when the first of them went down, this node included, and who was heard from
    /// since, while more than half were there.
    pub members: usize,
    /// How many of those are not down now, this node included.
    pub reachable: usize,
    /// The members that are down, by id.
    pub down: Vec<Absent>,
    /// How many members with lower ids are not down: nodes of one policy act one after the other by this.
    pub rank: usize,
    /// How many members others removed in the last hour, as far as this node has seen. Whom it finds removed when it starts
    /// counts as removed then.
    pub removed: usize,
    /// How long it takes, after the first is found to be down, until all who are away are: the longest suspicion of a ring of
    /// this size, and a round of questions. Before that a side of a partition does not know yet that it is one.
    pub settled: Duration,
}

/// A member that is down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Absent {
    /// The member.
    pub id: NodeId,
    /// For how long this node has seen it down, without a break in its own running, while more than half of the ring was
    /// there.
    pub since: Duration,
    /// Whether it said goodbye: someone stopped it, and most likely will start it again.
    pub has_stopped: bool,
}

impl Outage {
    /// Whether more than half of the ring as it stood before the outage can be reached from here. At most one side of
    /// a partition can say so, once both have [settled](Self::settled), unless so many join the other in these seconds that
    /// they make it the greater one. What stood before is remembered in memory: a node that starts during an outage takes the
    /// members it knows then for all there were.
    #[must_use]
    pub fn is_majority(&self) -> bool {
        self.reachable * 2 > self.members
    }
}

/// Whether members that are down are to be removed from the ring, so that their keys pass to others for good.
///
/// ```
/// use gossip::liveness::{Outage, RemovalPolicy};
/// use netkernel::NodeId;
///
/// /// Removes workers, which hold nothing, and never a storage node.
/// #[derive(Debug)]
/// struct WorkersOnly;
///
/// impl RemovalPolicy for WorkersOnly {
///     fn remove(&self, outage: &Outage) -> Vec<NodeId> {
///         let workers = outage.down.iter().filter(|absent| absent.id.as_str().starts_with("worker-"));
///         workers.filter(|absent| absent.since.as_secs() > 60).map(|absent| absent.id.clone()).collect()
///     }
/// }
/// ```
pub trait RemovalPolicy: fmt::Debug + Send + Sync {
    /// The members to remove now. Asked once for each `sync_every` while any member is down and nothing waits for the disk.
    fn remove(&self, outage: &Outage) -> Vec<NodeId>;
}

/// Removes nobody: a member that is down stays a member until someone removes it or it leaves. The default, and the
/// only policy under which no machine ever decides that keys move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Never;

impl RemovalPolicy for Never {
    fn remove(&self, _: &Outage) -> Vec<NodeId> {
        Vec::new()
    }
}

/// Removes members that have been down for so long, on the side of a partition that holds the majority of the ring as
/// it stood before, and no more than so many an hour in the whole ring. On any other side it removes nobody, and the time
/// spent there counts for nothing. Members that said goodbye stay, however long they are away: whoever stops a node for good
/// lets it leave.
///
/// A removed node that comes back is told, and stays out until it is inserted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveAfter {
    /// How long a member has to be down; not less than the outage needs to [settle](Outage::settled).
    pub after: Duration,
    /// How many may be removed in any hour, those counted that were removed by hand. What is beyond waits.
    pub max_per_hour: usize,
}

impl RemovalPolicy for RemoveAfter {
    fn remove(&self, outage: &Outage) -> Vec<NodeId> {
        if !outage.is_majority() {
            return Vec::new();
        }
        // The reachable member of the lowest id acts; should it not, the next does a little later.
        let rank = u32::try_from(outage.rank).unwrap_or(u32::MAX);
        let after = self.after.max(outage.settled).saturating_add(TURN.saturating_mul(rank));
        let is_due = |absent: &&Absent| absent.since >= after && !absent.has_stopped;
        let mut due: Vec<_> = outage.down.iter().filter(is_due).collect();
        due.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.id.cmp(&b.id)));
        let left = self.max_per_hour.saturating_sub(outage.removed);
        due.into_iter().take(left).map(|absent| absent.id.clone()).collect()
    }
}

/// How long the next in rank waits for the one before to act: a tombstone spreads in a second.
const TURN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(members: usize, down: &[(&str, u64)]) -> Outage {
        let absent = |(id, since): &(&str, u64)| Absent {
            id: NodeId::new(*id).unwrap(),
            since: Duration::from_secs(*since),
            has_stopped: false,
        };
        let down: Vec<_> = down.iter().map(absent).collect();
        let (reachable, settled) = (members - down.len(), Duration::from_secs(25));
        Outage { members, reachable, down, rank: 0, removed: 0, settled }
    }

    fn policy() -> RemoveAfter {
        RemoveAfter { after: Duration::from_secs(600), max_per_hour: 2 }
    }

    fn removed(outage: &Outage) -> Vec<String> {
        policy().remove(outage).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_who_was_down_long_enough_is_removed() {
        assert_eq!(removed(&outage(5, &[("x", 599), ("y", 600)])), ["y"]);
    }

    #[test]
    fn who_said_goodbye_stays() {
        let mut outage = outage(5, &[("x", 9_999), ("y", 9_999)]);
        outage.down[0].has_stopped = true;
        assert_eq!(removed(&outage), ["y"]);
    }

    #[test]
    fn nobody_is_removed_before_all_who_are_away_are_known() {
        let hasty = RemoveAfter { after: Duration::ZERO, max_per_hour: 9 };
        assert!(hasty.remove(&outage(5, &[("x", 24)])).is_empty());
        assert_eq!(hasty.remove(&outage(5, &[("x", 25)])).len(), 1);
    }

    #[test]
    fn half_of_a_ring_is_no_majority() {
        assert!(removed(&outage(4, &[("x", 9_999), ("y", 9_999)])).is_empty());
        assert_eq!(removed(&outage(5, &[("x", 9_999), ("y", 9_999)])).len(), 2);
    }

    #[test]
    fn those_longest_down_go_first_and_the_rest_waits_for_its_hour() {
        let mut outage = outage(9, &[("x", 700), ("y", 900), ("z", 800)]);
        assert_eq!(removed(&outage), ["y", "z"]);
        outage.removed = 1;
        assert_eq!(removed(&outage), ["y"]);
        outage.removed = 2;
        assert!(removed(&outage).is_empty());
    }

    #[test]
    fn one_acts_and_the_next_waits_its_turn() {
        let mut outage = outage(5, &[("x", 604)]);
        outage.rank = 1;
        assert!(removed(&outage).is_empty());
        outage.down[0].since = Duration::from_secs(605);
        assert_eq!(removed(&outage), ["x"]);
    }
}
