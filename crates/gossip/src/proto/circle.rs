//! Whom there is to gossip with now, kept up with each change: picking someone costs the same in the largest ring.

use netkernel::NodeId;

use super::entry::Entry;
use super::machine::Machine;

/// The members with a session.
#[derive(Debug, Default)]
pub(super) struct Circle {
    /// Those that were heard from, by id.
    partners: Vec<NodeId>,
    /// Those that are yet to come, by id.
    joining: Vec<NodeId>,
}

impl Circle {
    /// The members to gossip with, by id. A partial view of the members would be drawn here.
    pub(super) fn partners(&self) -> &[NodeId] {
        &self.partners
    }

    /// The members to invite, by id.
    pub(super) fn joining(&self) -> &[NodeId] {
        &self.joining
    }
}

impl Machine {
    /// Puts a node where it belongs, after its record or its session changed.
    pub(super) fn place(&mut self, id: &NodeId) {
        let is_linked = *id != self.settings.id && self.links.is_up(id);
        let entry = self.roster.get(id).filter(|_| is_linked);
        let was_heard = entry.and_then(Entry::membership).and(entry).map(|entry| entry.own().is_some());
        set(&mut self.circle.partners, id, was_heard == Some(true));
        set(&mut self.circle.joining, id, was_heard == Some(false));
    }
}

/// Sees to it that a list in order holds an item, or that it does not.
fn set(list: &mut Vec<NodeId>, id: &NodeId, is_in: bool) {
    match (list.binary_search(id), is_in) {
        (Err(at), true) => list.insert(at, id.clone()),
        (Ok(at), false) => drop(list.remove(at)),
        _ => {}
    }
}
