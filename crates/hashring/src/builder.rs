//! Settings of a ring, and its nodes in bulk.

use alloc::vec::Vec;
use core::fmt;

use crate::error::RingError;
use crate::layout::Layout;
use crate::members::Members;
use crate::node::{NodeSpec, RingNode};
use crate::ring::{HashRing, NODES_MAX, POINTS_MAX, WEIGHT_DEFAULT, WEIGHT_MAX, check_names};
use crate::snapshot::{RestoreError, Snapshot};

/// Settings of a ring, and its first nodes.
///
/// ```
/// use hashring::{HashRing, NodeSpec};
///
/// let ring = HashRing::builder()
///     .default_weight(40)
///     .seed(0x5eed)
///     .nodes([NodeSpec::new("a"), NodeSpec::new("b").weight(80)])
///     .build()?;
/// assert_eq!(ring.point_count(), 120);
/// # Ok::<(), hashring::RingError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<N> {
    default_weight: u32,
    seed: u64,
    nodes: Vec<NodeSpec<N>>,
}

impl<N: RingNode> Builder<N> {
    pub(crate) fn new() -> Self {
        Builder { default_weight: WEIGHT_DEFAULT, seed: 0, nodes: Vec::new() }
    }

    /// The weight of nodes that are inserted without one: [`WEIGHT_DEFAULT`] unless set here.
    pub fn default_weight(mut self, points: u32) -> Self {
        self.default_weight = points;
        self
    }

    /// A seed that all rings which should agree must share; 0 unless set here.
    ///
    /// Kept secret and drawn at random, it keeps others from crafting keys that all fall to one node. It is no
    /// cryptographic promise: XXH3 is not a keyed hash. Where keys come from an enemy who sees which node answers,
    /// hash them with one and ask for [`owner_at`](HashRing::owner_at).
    ///
    /// Who may choose ids, and knows the seed, may put points where he likes, also on those of another such id. The ring
    /// stays what the layout says and every operation as fast; only its balance suffers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Adds nodes. Of several with one id the result is as if they had been inserted in turn.
    pub fn nodes(mut self, nodes: impl IntoIterator<Item = NodeSpec<N>>) -> Self {
        self.nodes.extend(nodes);
        self
    }

    /// The ring, its points sorted once.
    ///
    /// # Errors
    ///
    /// When a weight, an id, a zone's name, the number of nodes or that of points is over its limit.
    pub fn build(self) -> Result<HashRing<N>, RingError> {
        if self.default_weight > WEIGHT_MAX {
            return Err(RingError::WeightTooLarge { weight: self.default_weight });
        }
        HashRing::with_members(Layout::new(self.seed), self.default_weight, self.nodes)
    }

    /// The ring that a snapshot was taken of, with this builder's default weight; nodes added to the builder are not in
    /// it.
    ///
    /// # Errors
    ///
    /// When the snapshot's fingerprint differs, which says that the ring had another seed or the snapshot was altered; and
    /// those of [`build`](Self::build).
    pub fn restore(mut self, snapshot: Snapshot<N>) -> Result<HashRing<N>, RestoreError> {
        self.nodes = snapshot.into_members(self.seed)?;
        self.build().map_err(RestoreError::Ring)
    }
}

impl<N: fmt::Debug> fmt::Debug for Builder<N> {
    /// Without the seed, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("default_weight", &self.default_weight)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl<N: RingNode> HashRing<N> {
    /// A ring of these nodes. Of several with one id the result is as if they had been inserted in turn.
    pub(crate) fn with_members(
        layout: Layout,
        default_weight: u32,
        nodes: Vec<NodeSpec<N>>,
    ) -> Result<Self, RingError> {
        let nodes = merge_specs(nodes);
        if nodes.len() > NODES_MAX {
            return Err(RingError::TooManyNodes);
        }
        let (mut members, mut points) = (Members::new(), 0);
        for (rank, NodeSpec { node, weight, zone }) in nodes.into_iter().enumerate() {
            let weight = weight.unwrap_or(default_weight);
            check_names(node.ring_id().as_ref(), zone.as_ref())?;
            if weight > WEIGHT_MAX {
                return Err(RingError::WeightTooLarge { weight });
            }
            points += u64::from(weight);
            members.insert(rank, node, weight, zone);
        }
        if points > POINTS_MAX as u64 {
            return Err(RingError::TooManyPoints { points });
        }
        Ok(Self::assemble(layout, default_weight, members))
    }
}

/// Sorts by id, and says of each id what its specs say together, a later one overriding an earlier.
fn merge_specs<N: RingNode>(mut nodes: Vec<NodeSpec<N>>) -> Vec<NodeSpec<N>> {
    let by_id = |a: &NodeSpec<N>, b: &NodeSpec<N>| a.node.ring_id().as_ref().cmp(b.node.ring_id().as_ref());
    nodes.sort_by(by_id);
    nodes.dedup_by(|later, earlier| {
        let same = by_id(later, earlier).is_eq();
        if same {
            core::mem::swap(later, earlier);
            earlier.weight = earlier.weight.or(later.weight);
            earlier.zone = earlier.zone.take().or_else(|| later.zone.take());
        }
        same
    });
    nodes
}
