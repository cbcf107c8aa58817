//! Changes, looked at before they are made.

use alloc::vec;
use alloc::vec::Vec;

use crate::balance::{Balance, Fraction};
use crate::cells::Slot;
use crate::diff::{RangeMove, SlotMove, told};
use crate::error::RingError;
use crate::layout::Token;
use crate::members::by_id_of_both;
use crate::node::{NodeSpec, RingNode};
use crate::placement::Placement;
use crate::ring::HashRing;
use crate::slots::ZonesMet;

/// A change of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<N> {
    /// [`HashRing::insert`].
    Insert(NodeSpec<N>),
    /// [`HashRing::remove`]; of an unknown node it does nothing.
    Remove(N),
    /// [`HashRing::set_weight`].
    SetWeight(N, u32),
}

/// What some changes would do to a ring. See [`HashRing::plan`].
#[derive(Clone, Debug)]
pub struct Plan<N> {
    before: HashRing<N>,
    after: HashRing<N>,
    moves: Vec<SlotMove>,
}

/// What a node gains and loses. Most changes do one of the two to it.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeMove<'a, N> {
    /// The node.
    pub node: &'a N,
    /// The share of all keys that move to it.
    pub gained: Fraction,
    /// The share of all keys that move away from it.
    pub lost: Fraction,
}

impl<N: RingNode> HashRing<N> {
    /// Makes all changes, in turn, or none of them.
    ///
    /// ```
    /// use hashring::{HashRing, NodeSpec, Op, RingError};
    ///
    /// let mut ring = HashRing::from_nodes(["ash", "birch"])?;
    /// let ops = [Op::Insert(NodeSpec::new("cedar")), Op::SetWeight("elm", 80)];
    /// assert_eq!(ring.apply(&ops), Err(RingError::UnknownNode));
    /// assert!(!ring.contains(&"cedar"));
    /// # Ok::<(), RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the changes. The ring is then as it was before the first.
    pub fn apply(&mut self, ops: &[Op<N>]) -> Result<(), RingError> {
        let mut changed = self.clone();
        for op in ops {
            match op {
                Op::Insert(spec) => {
                    changed.insert(spec.clone())?;
                }
                Op::Remove(node) => {
                    changed.remove(node);
                }
                Op::SetWeight(node, weight) => {
                    changed.set_weight(node, *weight)?;
                }
            }
        }
        *self = changed;
        Ok(())
    }

    /// What the changes would do, made in turn, without making them.
    ///
    /// ```
    /// use hashring::{HashRing, NodeSpec, Op};
    ///
    /// let ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let plan = ring.plan(&[Op::Insert(NodeSpec::new("douglas"))])?;
    /// assert!(plan.moved().as_f64() < 0.35);
    /// assert!(plan.moves().all(|step| step.to == Some(&"douglas")));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the changes.
    pub fn plan(&self, ops: &[Op<N>]) -> Result<Plan<N>, RingError> {
        let mut after = self.clone();
        after.apply(ops)?;
        Ok(Plan { moves: self.diff_slots(&after)?, before: self.clone(), after })
    }
}

impl<N: RingNode> Plan<N> {
    /// The ring as it is.
    pub fn before(&self) -> &HashRing<N> {
        &self.before
    }

    /// The ring as it would be.
    pub fn after(&self) -> &HashRing<N> {
        &self.after
    }

    /// Which range moves from whom to whom: what [`HashRing::diff`] tells of the two rings.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = RangeMove<'_, N>> {
        told(&self.before, &self.after, self.moves.iter().copied())
    }

    /// The share of all keys that move.
    pub fn moved(&self) -> Fraction {
        Fraction::of_tokens(self.moves.iter().map(|(range, _)| range.share().tokens()).sum())
    }

    /// What each node gains and loses, in the order of ids; only of nodes that do.
    pub fn moves_by_node(&self) -> Vec<NodeMove<'_, N>> {
        let (mut gained, mut lost) = (vec![0; self.after.len()], vec![0; self.before.len()]);
        for (range, (from, to)) in &self.moves {
            for (of, slot) in [(&mut lost, from), (&mut gained, to)] {
                if let Some(sum) = of.get_mut(*slot as usize) {
                    *sum += range.share().tokens();
                }
            }
        }
        let (before, after) = (&self.before.inner.members, &self.after.inner.members);
        let of_node = |(old, new): (Option<Slot>, Option<Slot>)| {
            let tokens = |of: &[u128], slot: Option<Slot>| slot.map_or(0, |slot| of[slot as usize]);
            let (gained, lost) = (tokens(&gained, new), tokens(&lost, old));
            let node = new.and_then(|slot| after.node(slot)).or_else(|| before.node(old?))?;
            let step =
                NodeMove { node, gained: Fraction::of_tokens(gained), lost: Fraction::of_tokens(lost) };
            (gained + lost > 0).then_some(step)
        };
        by_id_of_both(before, after).filter_map(of_node).collect()
    }

    /// How evenly nodes are loaded, before and after. One pass over the points of one ring.
    pub fn balance(&self) -> (Option<Balance>, Option<Balance>) {
        let before = self.before.tokens_by_slot();
        let (mut after, mut new_slots) = (vec![0_u128; self.after.len()], vec![None; before.len()]);
        for (old, new) in by_id_of_both(&self.before.inner.members, &self.after.inner.members) {
            if let (Some(old), Some(new)) = (old, new) {
                after[new as usize] = before[old as usize];
                new_slots[old as usize] = Some(new);
            }
        }
        for (range, (from, to)) in &self.moves {
            let (tokens, kept) = (range.share().tokens(), new_slots.get(*from as usize).copied().flatten());
            if let Some(slot) = kept {
                after[slot as usize] -= tokens;
            }
            if let Some(owned) = after.get_mut(*to as usize) {
                *owned += tokens;
            }
        }
        (Balance::of(&self.before, &before), Balance::of(&self.after, &after))
    }

    /// The share of all keys whose replicas are in fewer zones than there are replicas, before and after. A placement for
    /// every point of both rings.
    ///
    /// # Errors
    ///
    /// Those of [`HashRing::replica_set`] for either ring.
    pub fn sharing_zones(&self, placement: &Placement) -> Result<(Fraction, Fraction), RingError> {
        Ok((self.before.sharing_zones(placement)?, self.after.sharing_zones(placement)?))
    }

    /// Both rings, for the time while keys move.
    pub fn transition(self) -> Transition<N> {
        Transition { before: self.before, after: self.after }
    }
}

impl<N: RingNode> HashRing<N> {
    /// The share of all keys two of whose replicas are in one zone.
    fn sharing_zones(&self, placement: &Placement) -> Result<Fraction, RingError> {
        self.inner.check_placement(placement)?;
        let (points, members) = (&self.inner.points, &self.inner.members);
        let shares_zone = |&ix: &usize| {
            let slots = self.replica_slots(points.range(ix).through(), placement);
            let mut met = ZonesMet::new();
            slots.as_slice().iter().any(|&slot| !met.insert(members.zone(slot)))
        };
        let tokens = (0..points.len()).filter(shares_zone).map(|ix| points.gap(ix)).sum();
        Ok(Fraction::of_tokens(tokens))
    }
}

/// A ring on its way to another: who owns a key now, and who will.
///
/// While keys move, read from the owner before and fall back to the owner after, or ask both; write to both. When all
/// moves are done, [`finish`](Self::finish) leaves the new ring.
///
/// ```
/// use hashring::{HashRing, Op, Owners};
///
/// let mut ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
/// let transition = ring.plan(&[Op::Remove("cedar")])?.transition();
/// match transition.owners(b"user:42") {
///     Owners::Settled(owner) => println!("{owner} keeps it"),
///     Owners::Moving { from, to } => println!("it is on its way from {from:?} to {to:?}"),
///     Owners::Nobody => unreachable!("there are nodes before and after"),
/// }
/// ring = transition.finish();
/// assert_eq!(ring.len(), 2);
/// # Ok::<(), hashring::RingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Transition<N> {
    before: HashRing<N>,
    after: HashRing<N>,
}

/// The owners of a key during a [`Transition`].
#[derive(Debug, PartialEq, Eq)]
pub enum Owners<'a, N> {
    /// No node has points, before or after.
    Nobody,
    /// The key stays where it is.
    Settled(&'a N),
    /// The key moves.
    Moving {
        /// Its owner before; `None` when no node had points.
        from: Option<&'a N>,
        /// Its owner after; `None` when no node has points.
        to: Option<&'a N>,
    },
}

impl<N: RingNode> Transition<N> {
    /// From one ring to another.
    ///
    /// # Errors
    ///
    /// [`RingError::LayoutMismatch`] when they were built with different seeds.
    pub fn new(before: HashRing<N>, after: HashRing<N>) -> Result<Self, RingError> {
        if before.same_layout(&after) {
            Ok(Transition { before, after })
        } else {
            Err(RingError::LayoutMismatch)
        }
    }

    /// Who owns a key.
    pub fn owners(&self, key: &[u8]) -> Owners<'_, N> {
        self.owners_at(self.before.token(key))
    }

    /// Who owns a token.
    pub fn owners_at(&self, token: Token) -> Owners<'_, N> {
        match (self.before.owner_at(token), self.after.owner_at(token)) {
            (None, None) => Owners::Nobody,
            (Some(from), Some(to)) if from.ring_id().as_ref() == to.ring_id().as_ref() => Owners::Settled(to),
            (from, to) => Owners::Moving { from, to },
        }
    }

    /// The ring at the start.
    pub fn before(&self) -> &HashRing<N> {
        &self.before
    }

    /// The ring at the end.
    pub fn after(&self) -> &HashRing<N> {
        &self.after
    }

    /// The ring at the end, the one at the start forgotten.
    pub fn finish(self) -> HashRing<N> {
        self.after
    }
}
