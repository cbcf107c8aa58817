//! Who this node should have a session with, and who it has one with.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Address, NodeId};

/// The links of one node. Keeping a full mesh is this file's decision, and picking partners from it the
/// machine's: a partial view would replace both and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// Nodes to keep a session to, and where.
    wished: BTreeMap<NodeId, Address>,
    /// Nodes with a session.
    up: BTreeSet<NodeId>,
}

/// What to do about one link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Keep a session to the node at this address.
    Connect(Address),
    /// End the session.
    Disconnect,
}

impl Links {
    /// What has to be done so that the link is as wished; `None` wishes for no link.
    pub(crate) fn wish(&mut self, id: &NodeId, address: Option<&Address>) -> Option<Change> {
        match address {
            Some(address) if self.wished.get(id) == Some(address) => None,
            Some(address) => {
                self.wished.insert(id.clone(), address.clone());
                Some(Change::Connect(address.clone()))
            }
            None => self.wished.remove(id).map(|_| Change::Disconnect),
        }
    }

    /// Everyone a session is kept to, and where.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (&NodeId, &Address)> {
        self.wished.iter()
    }

    /// Everyone a session is kept to.
    pub(crate) fn wished(&self) -> impl Iterator<Item = &NodeId> {
        self.wished.keys()
    }

    pub(crate) fn set_up(&mut self, id: NodeId) {
        self.up.insert(id);
    }

    pub(crate) fn set_down(&mut self, id: &NodeId) {
        self.up.remove(id);
    }

    pub(crate) fn is_up(&self, id: &NodeId) -> bool {
        self.up.contains(id)
    }
}
