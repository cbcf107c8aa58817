//! Turns what the core knows into what readers see: the ring, derived anew from the members at each change.

use std::sync::Arc;

use hashring::{HashRing, NodeSpec, RingError};
use tokio::sync::{broadcast, watch};

use crate::config::Config;
use crate::event::{Cause, Event};
use crate::proto::{Affiliation, Machine};
use crate::view::{Member, RingMember, Status, View};

/// The writing end of views and events.
#[derive(Debug)]
pub(crate) struct Publisher {
    empty: HashRing<RingMember>,
    views: watch::Sender<Arc<View>>,
    events: broadcast::Sender<Event>,
}

impl Publisher {
    pub(crate) fn new(
        config: &Config,
        events: broadcast::Sender<Event>,
    ) -> (Self, watch::Receiver<Arc<View>>) {
        let empty = config.empty_ring();
        let view = View {
            affiliation: Affiliation::Outside,
            ring: empty.clone(),
            members: Arc::from([]),
            conflicts: Arc::from([]),
        };
        let (views, reader) = watch::channel(Arc::new(view));
        (Self { empty, views, events }, reader)
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
    let placed = |member: &&Member| member.status != Status::Joining;
    let mut ring = before.clone();
    let is_placed = |node: &RingMember| {
        let at = members.binary_search_by(|member| member.id.cmp(&node.id));
        at.is_ok_and(|at| placed(&&members[at]))
    };
    let gone: Vec<_> = before.nodes().filter(|node| !is_placed(node)).cloned().collect();
    if gone.len() == before.len() {
        ring = empty.clone();
    }
    for node in &gone {
        ring.remove(node);
    }
    for member in members.iter().filter(placed) {
        let node = RingMember { id: member.id.clone(), address: member.address.clone() };
        let present = ring.get(member.id.as_str().as_bytes());
        let same_zone = ring.zone_of(&node) == member.zone.as_ref();
        if present == Some(&node) && same_zone && ring.weight_of(&node) == Some(member.weight) {
            continue;
        }
        if !same_zone {
            // A zone left unsaid would be kept.
            ring.remove(&node);
        }
        let spec = NodeSpec::new(node).weight(member.weight);
        ring.insert(match &member.zone {
            Some(zone) => spec.zone(zone.clone()),
            None => spec,
        })?;
    }
    Ok(ring)
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
}
