//! Which nodes keep a key: across zones, and within bounds of load.

use core::fmt;
use core::iter::FusedIterator;

use crate::error::RingError;
use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::{HashRing, Inner};
use crate::slots::{Slots, ZonesMet};

/// How many nodes keep a key, and how they are spread over zones.
///
/// ```
/// use hashring::Placement;
///
/// let anywhere = Placement::anywhere(3);           // the next three nodes
/// let spread = Placement::spread(3);               // in three zones, or as many as there are
/// let strict = Placement::spread(3).at_least(2);   // in two zones at least, or an error
/// # let _ = (anywhere, spread, strict);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a placement does nothing until a ring is asked for it"]
pub struct Placement {
    replicas: usize,
    zones: Zones,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Zones {
    Ignored,
    Distinct { at_least: usize },
}

impl Placement {
    /// So many nodes, whatever their zones: those of [`HashRing::replicas`].
    pub const fn anywhere(replicas: usize) -> Self {
        Placement { replicas, zones: Zones::Ignored }
    }

    /// So many nodes in as many zones as possible. Clockwise from the key, the first node of each zone comes first; when
    /// there are no more zones, the nodes passed over follow, again clockwise. Nodes without a zone share one.
    pub const fn spread(replicas: usize) -> Self {
        Placement { replicas, zones: Zones::Distinct { at_least: 0 } }
    }

    /// Spread, and refused where that would be over fewer zones than these.
    pub const fn at_least(mut self, zones: usize) -> Self {
        self.zones = Zones::Distinct { at_least: zones };
        self
    }

    /// How many nodes keep a key, when there are so many.
    pub const fn replicas(self) -> usize {
        self.replicas
    }
}

/// How much more than the mean a node may bear: the ε of *Consistent Hashing with Bounded Loads* (Mirrokni, Thorup and
/// Zadimoghaddam, 2016).
///
/// The less, the more even the load, and the more keys move when nodes or loads change: 25 % is the usual choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadFactor {
    permille_over: u32,
}

impl LoadFactor {
    /// So many percent over the mean: 5 lets a node bear 1.05 times its due.
    pub const fn percent_over(percent: u16) -> Self {
        LoadFactor { permille_over: percent as u32 * 10 }
    }

    /// So many thousandths over the mean.
    pub const fn permille_over(permille: u32) -> Self {
        LoadFactor { permille_over: permille }
    }

    /// The most a node may bear, when `load` in all is spread over nodes by weight: its due times the factor, rounded up.
    /// So over all nodes it is never less than the load.
    pub(crate) fn capacity(self, load: u128, weight: u32, weights: usize) -> u128 {
        let factor = 1_000 + u128::from(self.permille_over);
        (load * u128::from(weight) * factor).div_ceil(1_000 * weights as u128)
    }
}

/// The nodes that keep a key, the owner first. See [`HashRing::replica_set`].
#[derive(Clone)]
#[must_use = "iterators are lazy"]
pub struct ReplicaSet<'a, N> {
    inner: &'a Inner<N>,
    slots: Slots,
    told: usize,
}

impl<'a, N: RingNode> Iterator for ReplicaSet<'a, N> {
    type Item = &'a N;

    fn next(&mut self) -> Option<&'a N> {
        let slot = *self.slots.as_slice().get(self.told)?;
        self.told += 1;
        self.inner.members.node(slot)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.slots.as_slice().len() - self.told;
        (left, Some(left))
    }
}

impl<N: RingNode> ExactSizeIterator for ReplicaSet<'_, N> {}

impl<N: RingNode> FusedIterator for ReplicaSet<'_, N> {}

impl<N: RingNode + fmt::Debug> fmt::Debug for ReplicaSet<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes =
            self.slots.as_slice()[self.told..].iter().filter_map(|&slot| self.inner.members.node(slot));
        f.debug_list().entries(nodes).finish()
    }
}

impl<N: RingNode> HashRing<N> {
    /// The nodes that keep a key, the owner first: distinct, as many as the placement says or as many as have points.
    /// Asking for one more appends one. Up to 16 nodes it allocates nothing, unless their zones lie far apart.
    ///
    /// ```
    /// use hashring::{HashRing, NodeSpec, Placement, RingError};
    ///
    /// let zones = [("ash", "north"), ("birch", "north"), ("cedar", "south")];
    /// let nodes = zones.map(|(node, zone)| NodeSpec::new(node).zone(zone));
    /// let ring = HashRing::builder().nodes(nodes).build()?;
    ///
    /// let two: Vec<_> = ring.replica_set(b"user:42", &Placement::spread(2))?.collect();
    /// assert!(two.contains(&&"cedar"), "the only one in the south");
    ///
    /// let strict = Placement::spread(3).at_least(3);
    /// let refused = ring.replica_set(b"user:42", &strict).map(|_| ());
    /// assert_eq!(refused, Err(RingError::NotEnoughZones { asked: 3, present: 2 }));
    /// # Ok::<(), RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RingError::NotEnoughZones`] when the placement asks for more zones than the nodes with points are in, or than
    /// there are replicas.
    pub fn replica_set(&self, key: &[u8], placement: &Placement) -> Result<ReplicaSet<'_, N>, RingError> {
        self.replica_set_at(self.token(key), placement)
    }

    /// The nodes that keep the keys of a token.
    ///
    /// # Errors
    ///
    /// Those of [`replica_set`](Self::replica_set).
    pub fn replica_set_at(
        &self,
        token: Token,
        placement: &Placement,
    ) -> Result<ReplicaSet<'_, N>, RingError> {
        self.inner.check_placement(placement)?;
        Ok(ReplicaSet { inner: &self.inner, slots: self.replica_slots(token, placement), told: 0 })
    }

    /// The slots of a placement that has been checked.
    pub(crate) fn replica_slots(&self, token: Token, placement: &Placement) -> Slots {
        let members = &self.inner.members;
        let walk = |count| {
            let mut replicas = self.replicas_at(token, count);
            core::iter::from_fn(move || replicas.next_slot())
        };
        let mut slots = Slots::new();
        if placement.zones == Zones::Ignored {
            walk(placement.replicas).for_each(|slot| slots.push(slot));
            return slots;
        }
        let zones = placement.replicas.min(members.zone_count());
        let (mut everyone, mut met) = (walk(usize::MAX), ZonesMet::new());
        while slots.as_slice().len() < zones {
            let Some(slot) = everyone.next() else { break };
            if met.insert(members.zone(slot)) {
                slots.push(slot);
            }
        }
        // Those chosen so far come again in the same order.
        let (mut again, mut chosen) = (walk(usize::MAX), 0);
        while slots.as_slice().len() < placement.replicas {
            let Some(slot) = again.next() else { break };
            if chosen < zones && slots.as_slice()[chosen] == slot {
                chosen += 1;
            } else {
                slots.push(slot);
            }
        }
        slots
    }

    /// The first node clockwise from a key that bears less than its capacity, which is its due of all loads and one more,
    /// times the factor. With a key's owner chosen so, no node ever bears more. `None` when no node has points.
    ///
    /// `load` says what each node bears now, in units of one key. It is asked of every node with points, to know the sum;
    /// who keeps the sum asks [`owner_bounded_of`](Self::owner_bounded_of) instead.
    ///
    /// ```
    /// use hashring::{HashRing, LoadFactor};
    ///
    /// let ring = HashRing::from_nodes(0..10_u8)?;
    /// let mut loads = [0_u64; 10];
    /// for key in 0..1_000_u32 {
    ///     let load = |node: &u8| loads[usize::from(*node)];
    ///     let owner = ring.owner_bounded(&key.to_le_bytes(), load, LoadFactor::percent_over(25));
    ///     loads[usize::from(*owner.expect("the ring has nodes"))] += 1;
    /// }
    /// assert!(loads.iter().all(|&load| load <= 125), "{loads:?}");
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn owner_bounded(&self, key: &[u8], load: impl Fn(&N) -> u64, factor: LoadFactor) -> Option<&N> {
        let placed = self.members().filter(|member| member.weight > 0);
        let total = placed.fold(0_u64, |total, member| total.saturating_add(load(member.node)));
        self.owner_bounded_of(key, load, total, factor)
    }

    /// The same when all loads add up to `total`. `None` also when they add up to so much more that every node is full.
    pub fn owner_bounded_of(
        &self,
        key: &[u8],
        load: impl Fn(&N) -> u64,
        total: u64,
        factor: LoadFactor,
    ) -> Option<&N> {
        let members = &self.inner.members;
        let mut walk = self.replicas(key, usize::MAX);
        core::iter::from_fn(|| walk.next_slot()).find_map(|slot| {
            let capacity = factor.capacity(u128::from(total) + 1, members.weight(slot), self.point_count());
            members.node(slot).filter(|node| u128::from(load(node)) < capacity)
        })
    }
}

impl<N: RingNode> Inner<N> {
    /// Whether there are the zones that a placement asks for.
    pub(crate) fn check_placement(&self, placement: &Placement) -> Result<(), RingError> {
        let Zones::Distinct { at_least: asked } = placement.zones else { return Ok(()) };
        let present = self.members.zone_count().min(placement.replicas);
        if asked > present { Err(RingError::NotEnoughZones { asked, present }) } else { Ok(()) }
    }
}
