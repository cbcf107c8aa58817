//! The ring: its members and the points they have, changed together.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::iter::repeat_n;

use crate::builder::Builder;
use crate::cells::Slot;
use crate::error::RingError;
use crate::layout::{Fingerprint, Layout, Token};
use crate::members::{Member, Members};
use crate::node::{ID_BYTES_MAX, NodeSpec, RingNode, ZONE_BYTES_MAX, Zone};
use crate::points::Points;

/// A consistent hash ring of nodes `N`.
///
/// Cloning is one reference count, whatever the size. A change works in place when the ring is not shared with a
/// clone, and otherwise copies it first: a clone never sees later changes of the other.
///
/// Two rings are equal when they place every key alike: same seed, same ids with the same weights and zones.
/// Payload does not count.
///
/// Whoever only reads can do so from several threads at once. To change a ring that others read, change a clone and hand it
/// over: `Mutex<HashRing<N>>` or the like, locked only to take a clone.
#[derive(Clone)]
pub struct HashRing<N> {
    pub(crate) inner: Arc<Inner<N>>,
}

#[derive(Clone)]
pub(crate) struct Inner<N> {
    pub(crate) layout: Layout,
    pub(crate) default_weight: u32,
    pub(crate) members: Members<N>,
    pub(crate) points: Points,
}

/// What an insertion, or a change of weight, did to the placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The node is new and has this many points.
    Added {
        /// Its weight.
        weight: u32,
    },
    /// The node was there with another weight: keys moved to it, or from it.
    Reweighted {
        /// Its weight before.
        from: u32,
        /// Its weight now.
        to: u32,
    },
    /// The node was there with the same weight in another zone: no owner changed, replica sets may have.
    Rezoned,
    /// The node was there, and every key stays where it is; its payload is now the one given.
    Unchanged,
}

impl<N: RingNode> HashRing<N> {
    /// An empty ring with default weight [`WEIGHT_DEFAULT`] and the default seed.
    pub fn new() -> Self {
        Self::assemble(Layout::new(0), WEIGHT_DEFAULT, Members::new())
    }

    /// A ring with settings of its own, or with many nodes at once.
    pub fn builder() -> Builder<N> {
        Builder::new()
    }

    /// A ring of these nodes with default settings: far faster than inserting one by one. For weights and zones
    /// there is [`Builder::nodes`].
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Self::insert).
    pub fn from_nodes(nodes: impl IntoIterator<Item = N>) -> Result<Self, RingError> {
        Self::builder().nodes(nodes.into_iter().map(NodeSpec::new)).build()
    }

    /// Computes the points of members whose slots are in the order of their ids.
    pub(crate) fn assemble(layout: Layout, default_weight: u32, members: Members<N>) -> Self {
        let mut points = Vec::with_capacity(members.iter().map(|member| member.weight as usize).sum());
        for member in members.iter() {
            points.extend(layout.points(member.node.ring_id().as_ref(), 0, member.weight));
        }
        let owners = members.by_id().iter().flat_map(|&slot| repeat_n(slot, members.weight(slot) as usize));
        let points = Points::build(points, owners, members.len());
        HashRing { inner: Arc::new(Inner { layout, default_weight, members, points }) }
    }

    /// Adds a node; or, when one of the same id is there, makes it what the spec says and replaces its payload.
    /// Doing it twice is doing it once. Only keys that the node gains or loses move.
    ///
    /// ```
    /// use hashring::{Change, HashRing, NodeSpec};
    ///
    /// let mut ring = HashRing::new();
    /// assert_eq!(ring.insert(NodeSpec::new("ash"))?, Change::Added { weight: 160 });
    /// assert_eq!(ring.insert(NodeSpec::new("ash"))?, Change::Unchanged);
    /// assert_eq!(ring.insert(NodeSpec::new("ash").weight(80))?, Change::Reweighted { from: 160, to: 80 });
    /// assert_eq!(ring.remove(&"ash"), Some("ash"));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the weight, the id, the zone's name, or the ring would be over its limit. The ring is then as it was.
    pub fn insert(&mut self, spec: NodeSpec<N>) -> Result<Change, RingError> {
        let rank = {
            let id = spec.node.ring_id();
            check_names(id.as_ref(), spec.zone.as_ref())?;
            self.inner.members.rank(id.as_ref())
        };
        match rank {
            Ok(rank) => self.update(rank, spec),
            Err(rank) => self.add(rank, spec),
        }
    }

    fn add(
        &mut self,
        rank: usize,
        NodeSpec { node, weight, zone }: NodeSpec<N>,
    ) -> Result<Change, RingError> {
        let weight = weight.unwrap_or(self.inner.default_weight);
        self.inner.check_weight(0, weight)?;
        if self.len() >= NODES_MAX {
            return Err(RingError::TooManyNodes);
        }
        let run = self.inner.run(&node, 0, weight);
        let Inner { members, points, .. } = Arc::make_mut(&mut self.inner);
        let slot = members.insert(rank, node, weight, zone);
        points.insert(&run, slot, members.len(), |a, b| members.compare(a, b));
        Ok(Change::Added { weight })
    }

    /// A member's first points stay, whatever its weight; only the suffix changes.
    fn update(
        &mut self,
        rank: usize,
        NodeSpec { node, weight, zone }: NodeSpec<N>,
    ) -> Result<Change, RingError> {
        let members = &self.inner.members;
        let slot = members.by_id()[rank];
        let (from, zone_before) = (members.weight(slot), members.zone(slot));
        let to = weight.unwrap_or(from);
        self.inner.check_weight(from, to)?;
        let rezoned = zone.is_some() && zone.as_ref() != zone_before;
        let zone = zone.or_else(|| zone_before.cloned());
        let run = self.inner.run(&node, from.min(to), from.max(to));

        let Inner { members, points, .. } = Arc::make_mut(&mut self.inner);
        members.update(slot, node, to, zone);
        if from < to {
            points.insert(&run, slot, members.len(), |a, b| members.compare(a, b));
        } else {
            points.remove(&run, slot, members.len());
        }
        Ok(match (from == to, rezoned) {
            (false, _) => Change::Reweighted { from, to },
            (true, true) => Change::Rezoned,
            (true, false) => Change::Unchanged,
        })
    }

    /// Removes the node of this id and gives it back; `None`, and no change, when it is not there.
    pub fn remove(&mut self, node: &N) -> Option<N> {
        let rank = self.inner.members.rank(node.ring_id().as_ref()).ok()?;
        let inner = Arc::make_mut(&mut self.inner);
        let slot = inner.members.by_id()[rank];
        let last = inner.members.len() as Slot - 1;
        let run = inner.run(node, 0, inner.members.weight(slot));
        inner.points.remove(&run, slot, inner.members.len());
        let removed = inner.members.remove(rank);
        if let Some(moved) = inner.members.node(slot) {
            let run = inner.run(moved, 0, inner.members.weight(slot));
            inner.points.relabel(&run, last, slot);
        }
        Some(removed)
    }

    /// Changes how many points a node has. Only that node's keys move. 0 drains it: it stays a member, and owns nothing.
    ///
    /// # Errors
    ///
    /// When the node is unknown, or the weight or the ring would be over its limit. The ring is then as it was.
    pub fn set_weight(&mut self, node: &N, weight: u32) -> Result<Change, RingError> {
        let known = self.get(node.ring_id().as_ref()).ok_or(RingError::UnknownNode)?.clone();
        self.insert(NodeSpec::new(known).weight(weight))
    }

    /// Whether a node of this id is in the ring.
    pub fn contains(&self, node: &N) -> bool {
        self.slot_of(node).is_some()
    }

    /// The node with this id, and its payload: for who has only the bytes of [`ring_id`](RingNode::ring_id).
    pub fn get(&self, id: &[u8]) -> Option<&N> {
        self.inner.members.node(self.inner.members.slot(id)?)
    }

    /// How many points the node has.
    pub fn weight_of(&self, node: &N) -> Option<u32> {
        self.slot_of(node).map(|slot| self.inner.members.weight(slot))
    }

    /// Which zone the node is in, if it has one.
    pub fn zone_of(&self, node: &N) -> Option<&Zone> {
        self.slot_of(node).and_then(|slot| self.inner.members.zone(slot))
    }

    /// The position of a key.
    #[inline]
    pub fn token(&self, key: &[u8]) -> Token {
        self.inner.layout.token(key)
    }

    /// The node that owns a key: the one of the first point at or after the key's token. `None` when no node has
    /// points.
    #[inline]
    pub fn owner(&self, key: &[u8]) -> Option<&N> {
        self.owner_at(self.token(key))
    }

    /// The node that owns a token.
    #[inline]
    pub fn owner_at(&self, token: Token) -> Option<&N> {
        match self.inner.points.find_fast(token.get()) {
            Some((_, slot)) => self.inner.members.node(slot),
            None => self.owner_at_slow(token),
        }
    }

    #[cold]
    #[inline(never)]
    fn owner_at_slow(&self, token: Token) -> Option<&N> {
        self.inner.members.node(self.inner.points.find_slow(token.get()).1)
    }

    /// What two rings that place every key alike have in common, and no others: 32 bytes to compare.
    pub fn fingerprint(&self) -> Fingerprint {
        self.inner.layout.fingerprint(self.members())
    }

    pub(crate) fn slot_of(&self, node: &N) -> Option<Slot> {
        self.inner.members.slot(node.ring_id().as_ref())
    }
}

impl<N> HashRing<N> {
    /// The nodes, in the order of their ids.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &N> + DoubleEndedIterator + Clone {
        self.members().map(|member| member.node)
    }

    /// The nodes with their weights, in the order of their ids.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = (&N, u32)> + DoubleEndedIterator + Clone {
        self.members().map(|member| (member.node, member.weight))
    }

    /// Everything the layout depends on beside the seed: nodes, weights and zones, in the order of ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'_, N>> + DoubleEndedIterator + Clone {
        self.inner.members.iter()
    }

    /// How many nodes there are, draining ones (weight 0) too.
    pub fn len(&self) -> usize {
        self.inner.members.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many points there are: the sum of the weights.
    pub fn point_count(&self) -> usize {
        self.inner.points.len()
    }

    /// The weight of nodes that are inserted without one.
    pub fn default_weight(&self) -> u32 {
        self.inner.default_weight
    }

    /// Whether the other ring hashes keys alike: same layout version, same seed.
    pub fn same_layout(&self, other: &Self) -> bool {
        self.inner.layout == other.inner.layout
    }
}

impl<N: RingNode> Inner<N> {
    /// Points `from..to` of a node, in ascending order.
    fn run(&self, node: &N, from: u32, to: u32) -> Vec<u64> {
        let mut run: Vec<u64> = self.layout.points(node.ring_id().as_ref(), from, to).collect();
        run.sort_unstable();
        run
    }

    fn check_weight(&self, from: u32, to: u32) -> Result<(), RingError> {
        if to > WEIGHT_MAX {
            return Err(RingError::WeightTooLarge { weight: to });
        }
        let points = self.points.len() as u64 - u64::from(from) + u64::from(to);
        if points > POINTS_MAX as u64 && to > from {
            Err(RingError::TooManyPoints { points })
        } else {
            Ok(())
        }
    }
}

/// Refuses an id, or a zone's name, that its serialised form could not hold.
pub(crate) fn check_names(id: &[u8], zone: Option<&Zone>) -> Result<(), RingError> {
    if id.len() > ID_BYTES_MAX {
        return Err(RingError::IdTooLong { bytes: id.len() });
    }
    match zone.map(|zone| zone.as_str().len()) {
        Some(bytes) if bytes > ZONE_BYTES_MAX => Err(RingError::ZoneTooLong { bytes }),
        _ => Ok(()),
    }
}

impl<N: RingNode> Default for HashRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: RingNode> PartialEq for HashRing<N> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || self.same_layout(other)
                && self.len() == other.len()
                && self.members().zip(other.members()).all(|(one, other)| one.places_like(other))
    }
}

impl<N: RingNode> Eq for HashRing<N> {}

impl<N: fmt::Debug> fmt::Debug for HashRing<N> {
    /// The members; not the seed, which may be a secret, nor the points, which are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.weights()).finish()
    }
}

/// The weight of a node that is inserted without one, unless the ring was built with another.
pub const WEIGHT_DEFAULT: u32 = 160;

/// The most points one node can have. At 65,535 its share differs from what is due to it by 0.4 % (one standard
/// deviation, the inverse of the root of the weight); more would cost memory for little.
pub const WEIGHT_MAX: u32 = u16::MAX as u32;

/// The most nodes a ring holds: a million.
pub const NODES_MAX: usize = 1 << 20;

/// The most points a ring holds, 16.8 million: about 240 MB, and twice that while they are sorted. It is what a hostile
/// list of members can cost.
pub const POINTS_MAX: usize = 1 << 24;
