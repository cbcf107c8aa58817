//! What a client knows of the ring, and which nodes it keeps a session with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use gossip::RingMember;
use hashring::{HashRing, NodeSpec};
use netkernel::{Address, Kernel, Net, NodeId};
use tokio::sync::watch;

use crate::control::Followed;

/// A ring as one of its members sees it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) ring: HashRing<RingMember>,
}

impl Known {
    /// The ring that the member told of; `None` if it does not come out as the member has it, which then places keys
    /// by rules of another release.
    pub(super) fn of(name: String, followed: &Followed) -> Option<Self> {
        let nodes = followed.nodes.iter().map(|told| {
            let id = NodeId::new(&told.node.id).ok()?;
            let address = Address::new(&told.node.host, told.node.port).ok()?;
            let spec = NodeSpec::new(RingMember { id, address }).weight(told.weight);
            Some(told.zone.iter().fold(spec, |spec, zone| spec.zone(zone.as_str())))
        });
        let nodes: Vec<_> = nodes.collect::<Option<_>>()?;
        let ring = HashRing::builder().nodes(nodes).build().ok()?;
        (ring.fingerprint().to_string() == followed.fingerprint).then_some(Self { name, ring })
    }

    /// Where a node of the ring is.
    fn address(&self, id: &NodeId) -> Option<&Address> {
        self.ring.get(id.as_str().as_bytes()).map(|member| &member.address)
    }
}

/// The nodes a client keeps sessions with: those it was asked to talk to, where the ring says they are.
pub(super) struct Links {
    kernel: Kernel,
    known: watch::Sender<Option<Arc<Known>>>,
    wished: Mutex<BTreeSet<NodeId>>,
}

impl Links {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self { kernel, known: watch::Sender::new(None), wished: Mutex::default() }
    }

    /// What is known now, and whenever that changes.
    pub(super) fn known(&self) -> watch::Receiver<Option<Arc<Known>>> {
        self.known.subscribe()
    }

    /// Keeps a session with this node, if it is on the ring.
    pub(super) fn wish(&self, id: &NodeId) {
        let known = self.known.borrow().clone();
        let Some(address) = known.as_ref().and_then(|known| known.address(id)) else { return };
        if self.wishes(|wished| wished.insert(id.clone())) {
            self.kernel.connect(id, address);
        }
    }

    /// Does this if no session is kept with the node.
    pub(super) fn unless_wished(&self, id: &NodeId, act: impl FnOnce()) {
        self.wishes(|wished| {
            if !wished.contains(id) {
                act();
            }
        });
    }

    /// From now on the ring is this one: nodes that have moved are dialed where they are, nodes that are gone no more.
    pub(super) fn learn(&self, known: Known) {
        self.wishes(|wished| {
            wished.retain(|id| match known.address(id) {
                Some(address) => {
                    self.kernel.connect(id, address);
                    true
                }
                None => {
                    self.kernel.disconnect(id, true);
                    false
                }
            });
        });
        self.known.send_replace(Some(Arc::new(known)));
    }

    fn wishes<T>(&self, use_them: impl FnOnce(&mut BTreeSet<NodeId>) -> T) -> T {
        use_them(&mut self.wished.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
