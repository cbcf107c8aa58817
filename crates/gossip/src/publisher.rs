//! Turns what the core knows into what readers see: the ring, derived anew from the members at each change.

use std::sync::Arc;

use hashring::{HashRing, NodeSpec, POINTS_MAX, RingError};
use tokio::sync::{broadcast, watch};

use crate::config::Config;
use crate::event::{Cause, Event};
use crate::proto::{Affiliation, Machine, Now};
use crate::report::Report;
use crate::view::{Member, RingMember, Status, View};

/// The writing end of views and events.
#[derive(Debug)]
pub(crate) struct Publisher {
    empty: HashRing<RingMember>,
    views: watch::Sender<Arc<View>>,
    events: broadcast::Sender<Event>,
    reports: watch::Sender<Arc<Report>>,
}

impl Publisher {
    pub(crate) fn new(
        config: &Config,
        events: broadcast::Sender<Event>,
    ) -> (Self, watch::Receiver<Arc<View>>, watch::Receiver<Arc<Report>>) {
        let empty = config.empty_ring();
        let view = View {
            affiliation: Affiliation::Outside,
            ring: empty.clone(),
            members: Arc::from([]),
            conflicts: Arc::from([]),
        };
        let (views, reader) = watch::channel(Arc::new(view));
        let (reports, reported) = watch::channel(Arc::default());
        (Self { empty, views, events, reports }, reader, reported)
    }

    /// Shows the machine's members, and tells of the ring if keys moved.
    pub(crate) fn publish(&self, machine: &Machine, cause: Cause) {
        let members: Arc<[Member]> = machine.members().collect();
        let (old, before) = {
            let view = self.views.borrow();
            (view.ring.clone(), view.affiliation.clone())
        };
        if before != *machine.affiliation() {
            log_change(machine.affiliation());
        }
        let new = derive(&self.empty, &old, &members);
        let new = new.inspect_err(|error| self.emit(Event::RingRefused { error: *error }));
        let ring = new.unwrap_or_else(|_| old.clone());
        let points = points(&members);
        if points > POINTS_MAX as u64 {
            self.emit(Event::RingCrowded { points });
        }
        self.views.send_replace(Arc::new(View {
            affiliation: machine.affiliation().clone(),
            ring: ring.clone(),
            members,
            conflicts: machine.conflicts().cloned().collect(),
        }));
        if old.fingerprint() != ring.fingerprint() {
            self.emit(Event::RingChanged { old, new: ring, cause });
        }
    }

    /// Shows what the machine has counted.
    pub(crate) fn report(&self, machine: &Machine, now: Now) {
        let report = Report { stats: machine.stats(), overdue: machine.overdue(now) };
        if **self.reports.borrow() != report {
            self.reports.send_replace(Arc::new(report));
        }
    }

    pub(crate) fn emit(&self, event: Event) {
        match &event {
            Event::NotStored { reason } => {
                tracing::warn!(%reason, "the state cannot be written: the older one stays on the disk");
            }
            event => tracing::debug!(?event, "gossip"),
        }
        // Nobody listens: nothing to do.
        let _ = self.events.send(event);
    }
}

/// An operator is to hear of it when a node no longer takes part, and nobody asked it not to.
fn log_change(affiliation: &Affiliation) {
    match affiliation {
        Affiliation::Evicted(ring) => tracing::warn!(%ring, "removed by another node: in no ring now"),
        Affiliation::Withdrawn(ring) => {
            tracing::warn!(%ring, "another live node has this id and was here first: in no ring now");
        }
        Affiliation::Outside | Affiliation::In(_) | Affiliation::Left(_) => {
            tracing::debug!(?affiliation, "gossip");
        }
    }
}

/// The ring of these members. It starts from the ring before only to be fast: the result is the same.
fn derive(
    empty: &HashRing<RingMember>,
    before: &HashRing<RingMember>,
    members: &[Member],
) -> Result<HashRing<RingMember>, RingError> {
    // On the way from one ring to the next there may be too many points for a while.
    change(empty, before, members).or_else(|_| change(empty, empty, members))
}

fn change(
    empty: &HashRing<RingMember>,
    before: &HashRing<RingMember>,
    members: &[Member],
) -> Result<HashRing<RingMember>, RingError> {
    let mut ring = before.clone();
    let is_placed = |node: &RingMember| {
        let at = members.binary_search_by(|member| member.id.cmp(&node.id));
        at.is_ok_and(|at| placed(&members[at]))
    };
    let gone: Vec<_> = before.nodes().filter(|node| !is_placed(node)).cloned().collect();
    if gone.len() == before.len() {
        ring = empty.clone();
    }
    for node in &gone {
        ring.remove(node);
    }
    let points = points(members);
    for member in members.iter().filter(|member| placed(member)) {
        let node = RingMember { id: member.id.clone(), address: member.address.clone() };
        let weight = share(member.weight, points);
        let present = ring.get(member.id.as_str().as_bytes());
        let same_zone = ring.zone_of(&node) == member.zone.as_ref();
        if present == Some(&node) && same_zone && ring.weight_of(&node) == Some(weight) {
            continue;
        }
        if !same_zone {
            // A zone left unsaid would be kept.
            ring.remove(&node);
        }
        let spec = NodeSpec::new(node).weight(weight);
        ring.insert(match &member.zone {
            Some(zone) => spec.zone(zone.clone()),
            None => spec,
        })?;
    }
    Ok(ring)
}

/// Joining members own nothing.
fn placed(member: &Member) -> bool {
    member.status != Status::Joining
}

/// How many points the members ask for.
fn points(members: &[Member]) -> u64 {
    members.iter().filter(|member| placed(member)).map(|member| u64::from(member.weight)).sum()
}

/// What a weight counts for where all ask for so many points. Of the members alone, so that all nodes place keys alike.
fn share(weight: u32, points: u64) -> u32 {
    let most = POINTS_MAX as u64;
    if points <= most {
        return weight;
    }
    u32::try_from(u64::from(weight) * most / points).unwrap_or(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netkernel::{Address, Incarnation, NodeId};

    fn member(id: &str, weight: u32, status: Status) -> Member {
        Member {
            id: NodeId::new(id).unwrap(),
            address: Address::new("127.0.0.1", 1).unwrap(),
            weight,
            zone: None,
            status,
            incarnation: Incarnation(1),
            liveness: crate::liveness::Liveness::Alive,
            protocols: None,
            tags: Arc::default(),
        }
    }

    #[test]
    fn joining_members_own_nothing() {
        let empty = Config::default().empty_ring();
        let members = [member("a", 10, Status::Member), member("b", 10, Status::Joining)];
        let ring = derive(&empty, &empty, &members).unwrap();
        assert_eq!((ring.len(), ring.point_count()), (1, 10));
    }

    #[test]
    fn the_ring_does_not_depend_on_the_one_before() {
        let empty = Config::default().empty_ring();
        let before = [member("a", 10, Status::Member), member("b", 20, Status::Member)];
        let mut after = [member("b", 30, Status::Draining), member("c", 10, Status::Member)];
        after[0].zone = Some(hashring::Zone::new("eu"));
        let ring = derive(&empty, &empty, &before).unwrap();
        let changed = derive(&empty, &ring, &after).unwrap();
        let anew = derive(&empty, &empty, &after).unwrap();
        assert_eq!(changed.fingerprint(), anew.fingerprint());
        after[0].zone = None;
        let zoneless = derive(&empty, &changed, &after).unwrap();
        assert_eq!(zoneless.fingerprint(), derive(&empty, &empty, &after).unwrap().fingerprint());
    }

    #[test]
    fn members_that_ask_for_more_than_a_ring_holds_get_their_part_of_it() {
        assert_eq!(share(160, POINTS_MAX as u64), 160);
        assert_eq!(share(160, 2 * POINTS_MAX as u64), 80);
        assert_eq!(share(0, u64::MAX), 0);
        let weights = [hashring::WEIGHT_MAX, 100, 7, 1];
        let asked = 300 * u64::from(hashring::WEIGHT_MAX) + 108;
        let given: u64 = weights.iter().map(|weight| u64::from(share(*weight, asked))).sum();
        let largest = u64::from(share(hashring::WEIGHT_MAX, asked));
        assert!(299 * largest + given <= POINTS_MAX as u64);
        assert!(300 * (largest + 1) > POINTS_MAX as u64 - 300, "no more is taken away than has to be");
    }
}
