//! Counts: kept here for snapshots and, with feature `metrics`, told to the `metrics` facade as they happen.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::node::{NodeId, Role};

#[cfg(feature = "metrics")]
mod sampler;

#[cfg(feature = "metrics")]
pub(crate) use sampler::run as sample;

/// A count that only grows.
pub(crate) struct Counter {
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    told: metrics::Counter,
}

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.value.fetch_add(more, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.told.increment(more);
    }

    pub(crate) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// What tells the counts of one node, or of one of its peers, from others'.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "a count without a facade has no labels"))]
pub(crate) struct Labels<'a> {
    node: &'a NodeId,
    peer: Option<&'a str>,
}

impl<'a> Labels<'a> {
    pub(crate) fn of_node(node: &'a NodeId) -> Self {
        Self { node, peer: None }
    }

    /// Clients come and go, each under an id of its own, and what was counted of one stays for good: those of a role
    /// share theirs.
    pub(crate) fn of_peer(node: &'a NodeId, peer: &'a NodeId, role: Role) -> Self {
        let peer = match role {
            Role::Node => peer.as_str(),
            Role::Client => "client",
            Role::Control => "control",
        };
        Self { node, peer: Some(peer) }
    }

    /// A counter of this name, and further labels.
    #[cfg(feature = "metrics")]
    pub(crate) fn counter(self, name: &'static str, more: &[(&'static str, &'static str)]) -> Counter {
        Counter { value: AtomicU64::new(0), told: metrics::counter!(name, self.with(more)) }
    }

    /// A counter; its name means something to a facade alone.
    #[cfg(not(feature = "metrics"))]
    #[expect(clippy::unused_self, reason = "the labels are for the facade")]
    pub(crate) fn counter(self, _name: &'static str, _more: &[(&'static str, &'static str)]) -> Counter {
        Counter { value: AtomicU64::new(0) }
    }

    #[cfg(feature = "metrics")]
    fn with(self, more: &[(&'static str, &'static str)]) -> Vec<metrics::Label> {
        let mut labels = vec![metrics::Label::new("node", self.node.as_str().to_owned())];
        labels.extend(self.peer.map(|peer| metrics::Label::new("peer", peer.to_owned())));
        labels.extend(more.iter().map(|(key, value)| metrics::Label::from_static_parts(key, value)));
        labels
    }
}
