//! The members of a ring, by slot and by id.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::cells::Slot;
use crate::node::{RingNode, Zone};

/// A node in a ring, and what is said of it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member<'a, N> {
    /// The node.
    pub node: &'a N,
    /// How many points it has.
    pub weight: u32,
    /// Which zone it is in, if it has one.
    pub zone: Option<&'a Zone>,
}

impl<N: RingNode> Member<'_, N> {
    /// Whether all but the payload is the same.
    pub(crate) fn places_like(self, other: Member<'_, N>) -> bool {
        self.weight == other.weight
            && self.zone == other.zone
            && self.node.ring_id().as_ref() == other.node.ring_id().as_ref()
    }
}

/// What is known of each member, in lists by slot. Slots are dense: the last one moves into a gap.
#[derive(Clone)]
pub(crate) struct Members<N> {
    nodes: Vec<N>,
    weights: Vec<u32>,
    zones: Vec<Option<Zone>>,
    /// Slots in the order of ids.
    by_id: Vec<Slot>,
    /// How many members with points each zone has; those without a zone share one.
    placed_by_zone: BTreeMap<Option<Zone>, u32>,
    placed: usize,
}

impl<N> Members<N> {
    pub(crate) fn new() -> Self {
        Members {
            nodes: Vec::new(),
            weights: Vec::new(),
            zones: Vec::new(),
            by_id: Vec::new(),
            placed_by_zone: BTreeMap::new(),
            placed: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn node(&self, slot: Slot) -> Option<&N> {
        self.nodes.get(slot as usize)
    }

    /// In the order of ids.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Member<'_, N>> + DoubleEndedIterator + Clone {
        self.by_id.iter().map(|&slot| self.member(slot))
    }

    pub(crate) fn weight(&self, slot: Slot) -> u32 {
        self.weights[slot as usize]
    }

    pub(crate) fn zone(&self, slot: Slot) -> Option<&Zone> {
        self.zones[slot as usize].as_ref()
    }

    /// Slots in the order of ids.
    pub(crate) fn by_id(&self) -> &[Slot] {
        &self.by_id
    }

    /// Members that have points.
    #[inline]
    pub(crate) fn placed(&self) -> usize {
        self.placed
    }

    /// Zones with members that have points; no zone is one.
    pub(crate) fn zone_count(&self) -> usize {
        self.placed_by_zone.len()
    }

    pub(crate) fn member(&self, slot: Slot) -> Member<'_, N> {
        Member { node: &self.nodes[slot as usize], weight: self.weight(slot), zone: self.zone(slot) }
    }
}

impl<N: RingNode> Members<N> {
    /// Where the id is in the order of ids, or would be.
    pub(crate) fn rank(&self, id: &[u8]) -> Result<usize, usize> {
        self.by_id.binary_search_by(|&slot| self.id(slot).as_ref().cmp(id))
    }

    pub(crate) fn slot(&self, id: &[u8]) -> Option<Slot> {
        self.rank(id).ok().map(|rank| self.by_id[rank])
    }

    pub(crate) fn compare(&self, a: Slot, b: Slot) -> Ordering {
        self.id(a).as_ref().cmp(self.id(b).as_ref())
    }

    fn id(&self, slot: Slot) -> N::Id<'_> {
        self.nodes[slot as usize].ring_id()
    }

    /// Appends a member at its rank.
    pub(crate) fn insert(&mut self, rank: usize, node: N, weight: u32, zone: Option<Zone>) -> Slot {
        let slot = self.nodes.len() as Slot;
        self.nodes.push(node);
        self.weights.push(weight);
        self.zones.push(zone);
        self.by_id.insert(rank, slot);
        self.place(slot);
        slot
    }

    /// Replaces the payload and what is said of a member.
    pub(crate) fn update(&mut self, slot: Slot, node: N, weight: u32, zone: Option<Zone>) {
        self.displace(slot);
        self.nodes[slot as usize] = node;
        self.weights[slot as usize] = weight;
        self.zones[slot as usize] = zone;
        self.place(slot);
    }

    /// Removes the member of this rank. The member of the last slot, if it is another, moves into the slot.
    pub(crate) fn remove(&mut self, rank: usize) -> N {
        let slot = self.by_id.remove(rank);
        self.displace(slot);
        let last = self.by_id.len() as Slot;
        for moved in self.by_id.iter_mut().filter(|moved| **moved == last) {
            *moved = slot;
        }
        self.weights.swap_remove(slot as usize);
        self.zones.swap_remove(slot as usize);
        self.nodes.swap_remove(slot as usize)
    }

    /// Counts a member among those with points.
    fn place(&mut self, slot: Slot) {
        if self.weight(slot) > 0 {
            self.placed += 1;
            *self.placed_by_zone.entry(self.zones[slot as usize].clone()).or_default() += 1;
        }
    }

    fn displace(&mut self, slot: Slot) {
        if self.weight(slot) > 0 {
            self.placed -= 1;
            let zone = &self.zones[slot as usize];
            let members = self.placed_by_zone.get_mut(zone).expect("placed members are counted by zone");
            *members -= 1;
            if *members == 0 {
                self.placed_by_zone.remove(zone);
            }
        }
    }
}

/// The slots of each id of two lists of members, in the order of ids.
pub(crate) fn by_id_of_both<'a, N: RingNode>(
    one: &'a Members<N>,
    other: &'a Members<N>,
) -> impl Iterator<Item = (Option<Slot>, Option<Slot>)> {
    let (mut left, mut right) =
        (one.by_id.iter().copied().peekable(), other.by_id.iter().copied().peekable());
    core::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(&a), Some(&b)) => one.id(a).as_ref().cmp(other.id(b).as_ref()),
        };
        Some((left.next_if(|_| order.is_le()), right.next_if(|_| order.is_ge())))
    })
}
