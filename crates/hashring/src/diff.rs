//! What moves between two rings.

use alloc::vec;
use alloc::vec::Vec;

use crate::cells::Slot;
use crate::error::RingError;
use crate::layout::Token;
use crate::members::by_id_of_both;
use crate::node::RingNode;
use crate::placement::Placement;
use crate::range::{Stretches, TokenRange};
use crate::ring::HashRing;

/// A range of tokens that changes hands as a whole.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RangeMove<'a, N> {
    /// The tokens.
    pub range: TokenRange,
    /// Their owner before; `None` when no node had points.
    pub from: Option<&'a N>,
    /// Their owner after; `None` when no node has points.
    pub to: Option<&'a N>,
}

/// A range of tokens whose keys are kept by other nodes than before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaMove<'a, N> {
    /// The tokens.
    pub range: TokenRange,
    /// Who kept them before, the owner first.
    pub before: Vec<&'a N>,
    /// Who keeps them after, the owner first.
    pub after: Vec<&'a N>,
}

impl<'a, N: RingNode> ReplicaMove<'a, N> {
    /// Who must fetch the keys: nodes that keep them after and did not before.
    pub fn gaining(&self) -> impl Iterator<Item = &'a N> {
        without(&self.after, &self.before)
    }

    /// Who may drop the keys once they are fetched: nodes that kept them before and do not after.
    pub fn losing(&self) -> impl Iterator<Item = &'a N> {
        without(&self.before, &self.after)
    }

    /// Whom to fetch the keys from: nodes that kept them before, those that stay first.
    pub fn sources(&self) -> impl Iterator<Item = &'a N> {
        let staying = self.before.iter().copied().filter(|node| is_among(*node, &self.after));
        staying.chain(self.losing())
    }
}

fn without<'s, 'a, N: RingNode>(
    nodes: &'s [&'a N],
    others: &'s [&'a N],
) -> impl Iterator<Item = &'a N> + use<'s, 'a, N> {
    nodes.iter().copied().filter(|node| !is_among(*node, others))
}

fn is_among<N: RingNode>(node: &N, others: &[&N]) -> bool {
    others.iter().any(|other| other.ring_id().as_ref() == node.ring_id().as_ref())
}

impl<N: RingNode> HashRing<N> {
    /// What moves when this ring becomes the other: the fewest ranges, in ascending order, with their owners before and
    /// after. Everything between them stays.
    ///
    /// Takes one pass over the points of both rings, or, when few nodes differ, a few lookups for each of their points.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let mut without = ring.clone();
    /// without.remove(&"birch");
    /// for step in ring.diff(&without)? {
    ///     println!("{} moves from {:?} to {:?}", step.range, step.from, step.to);
    ///     assert_eq!(step.from, Some(&"birch"));
    /// }
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RingError::LayoutMismatch`] when the rings were built with different seeds: then every key has another token.
    pub fn diff<'a>(&'a self, other: &'a Self) -> Result<Vec<RangeMove<'a, N>>, RingError> {
        Ok(told(self, other, self.diff_slots(other)?.into_iter()).collect())
    }

    /// The same with the slots of owners: out of range of the members when no node has points.
    pub(crate) fn diff_slots(&self, other: &Self) -> Result<Vec<SlotMove>, RingError> {
        let pair = Pair::new(self, other)?;
        let changed = pair.changed_points();
        let most = changed.as_ref().map_or(self.point_count() + other.point_count(), Vec::len);
        let mut stretches = Stretches::with_capacity(most);
        let mut visit = |at: PairRange| {
            if pair.differ(at.old, at.new) {
                stretches.push(at.range, (at.old, at.new));
            }
        };
        match changed {
            Some(changed) => changed.into_iter().for_each(|token| visit(pair.range_through(token))),
            None => pair.ranges().for_each(visit),
        }
        Ok(stretches.finish())
    }

    /// Who must fetch which range from whom when this ring becomes the other: the ranges whose sets of replicas differ, in
    /// ascending order, as few as their lists of replicas allow. A set that is only in another order is the same.
    ///
    /// Takes a placement in either ring for every point of both.
    ///
    /// ```
    /// use hashring::{HashRing, NodeSpec, Placement};
    ///
    /// let ring = HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let mut grown = ring.clone();
    /// grown.insert(NodeSpec::new("douglas"))?;
    /// for step in ring.diff_replicas(&grown, &Placement::anywhere(2))? {
    ///     assert!(step.gaining().eq(&["douglas"]));
    ///     let from = step.sources().next().expect("two have kept it");
    ///     println!("douglas fetches {} from {from}", step.range);
    /// }
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RingError::LayoutMismatch`] when the rings were built with different seeds, and the errors of
    /// [`replica_set`](Self::replica_set) for either ring.
    pub fn diff_replicas<'a>(
        &'a self,
        other: &'a Self,
        placement: &Placement,
    ) -> Result<Vec<ReplicaMove<'a, N>>, RingError> {
        self.inner.check_placement(placement)?;
        other.inner.check_placement(placement)?;
        let pair = Pair::new(self, other)?;
        let mut stretches = Stretches::new();
        for PairRange { range, .. } in pair.ranges() {
            let before = self.replica_slots(range.through(), placement);
            let after = other.replica_slots(range.through(), placement);
            if !pair.same_set(before.as_slice(), after.as_slice()) {
                stretches.push(range, (before.as_slice().to_vec(), after.as_slice().to_vec()));
            }
        }
        let nodes = |ring: &'a Self, slots: Vec<Slot>| {
            slots.into_iter().filter_map(|slot| ring.inner.members.node(slot)).collect()
        };
        let with_nodes = |(range, (before, after))| ReplicaMove {
            range,
            before: nodes(self, before),
            after: nodes(other, after),
        };
        Ok(stretches.finish().into_iter().map(with_nodes).collect())
    }
}

/// A range, and the slots of its owners in one ring and in the other.
pub(crate) type SlotMove = (TokenRange, (Slot, Slot));

/// Moves with the nodes that the slots stand for.
pub(crate) fn told<'a, N: RingNode>(
    old: &'a HashRing<N>,
    new: &'a HashRing<N>,
    moves: impl ExactSizeIterator<Item = SlotMove>,
) -> impl ExactSizeIterator<Item = RangeMove<'a, N>> {
    let (old, new) = (&old.inner.members, &new.inner.members);
    moves.map(|(range, (from, to))| RangeMove { range, from: old.node(from), to: new.node(to) })
}

/// Two rings of one layout, and which slots of them are of one id.
struct Pair<'a, N> {
    old: &'a HashRing<N>,
    new: &'a HashRing<N>,
    /// The new slot of each old one.
    new_slots: Vec<Option<Slot>>,
    /// Nodes with another weight than before, or none: and the weights before and after.
    reweighted: Vec<(&'a N, u32, u32)>,
}

/// Tokens that one node owned before, and one owns after: out of range of the members when no node has points.
struct PairRange {
    range: TokenRange,
    old: Slot,
    new: Slot,
}

impl<'a, N: RingNode> Pair<'a, N> {
    fn new(old: &'a HashRing<N>, new: &'a HashRing<N>) -> Result<Self, RingError> {
        if !old.same_layout(new) {
            return Err(RingError::LayoutMismatch);
        }
        let (mut new_slots, mut reweighted) = (vec![None; old.len()], Vec::new());
        let (olds, news) = (&old.inner.members, &new.inner.members);
        for (a, b) in by_id_of_both(olds, news) {
            if let Some(a) = a {
                new_slots[a as usize] = b;
            }
            let (from, to) = (a.map_or(0, |a| olds.weight(a)), b.map_or(0, |b| news.weight(b)));
            let node = a.and_then(|a| olds.node(a)).or_else(|| news.node(b?));
            reweighted.extend(node.filter(|_| from != to).map(|node| (node, from, to)));
        }
        Ok(Pair { old, new, new_slots, reweighted })
    }

    fn differ(&self, old: Slot, new: Slot) -> bool {
        let new = ((new as usize) < self.new.len()).then_some(new);
        self.new_slots.get(old as usize).map_or(new.is_some(), |&kept| kept.is_none() || kept != new)
    }

    /// Whether these old slots are of the same nodes as those new ones, in whatever order.
    fn same_set(&self, old: &[Slot], new: &[Slot]) -> bool {
        if old.len() != new.len() {
            return false;
        }
        // As a rule all are the same up to a few at the end.
        let differs = |(&old, &new): (&Slot, &Slot)| self.differ(old, new);
        let Some(first) = old.iter().zip(new).position(differs) else { return true };
        let kept: Option<Vec<Slot>> = old[first..].iter().map(|&old| self.new_slots[old as usize]).collect();
        kept.is_some_and(|mut kept| {
            let mut new = new[first..].to_vec();
            kept.sort_unstable();
            new.sort_unstable();
            kept == new
        })
    }

    /// The points that are in one ring only, in ascending order; `None` when they are so many that going through all
    /// points is faster. Only ranges that end at one of them can change hands.
    fn changed_points(&self) -> Option<Vec<Token>> {
        let count: usize = self.reweighted.iter().map(|&(_, from, to)| from.abs_diff(to) as usize).sum();
        if count > (self.old.point_count() + self.new.point_count()) / LOOKUPS_PER_STEP {
            return None;
        }
        let points = |&(node, from, to): &(&N, u32, u32)| {
            self.old.inner.layout.points(node.ring_id().as_ref(), from.min(to), from.max(to)).map(Token::new)
        };
        let mut changed: Vec<Token> = self.reweighted.iter().flat_map(points).collect();
        changed.sort_unstable();
        changed.dedup();
        Some(changed)
    }

    /// The longest range that ends here and has no other point of either ring in it.
    fn range_through(&self, token: Token) -> PairRange {
        let before = |ring: &HashRing<N>| {
            let (points, ix) = (ring.inner.points.as_slice(), ring.inner.points.successor(token.get()));
            ix.checked_sub(1).map_or(points.last(), |ix| points.get(ix)).copied()
        };
        let nearest = [before(self.old), before(self.new)].into_iter().flatten();
        // Of distances clockwise 0 is the longest: a lap.
        let after = nearest.min_by_key(|&point| token.get().wrapping_sub(point).wrapping_sub(1));
        let range = TokenRange::new(after.map_or(token, Token::new), token);
        let slot = |ring: &HashRing<N>| ring.inner.points.find(token.get()).1;
        PairRange { range, old: slot(self.old), new: slot(self.new) }
    }

    /// All ranges between points of either ring, in ascending order.
    fn ranges(&self) -> impl Iterator<Item = PairRange> {
        let (olds, news) = (&self.old.inner.points, &self.new.inner.points);
        let last = olds.as_slice().last().max(news.as_slice().last());
        let mut after = Token::new(last.copied().unwrap_or_default());
        let (mut old, mut new) = (0, 0);
        core::iter::from_fn(move || {
            let next = match (olds.as_slice().get(old), news.as_slice().get(new)) {
                (Some(&a), Some(&b)) => a.min(b),
                (a, b) => *a.or(b)?,
            };
            let range = TokenRange::new(after, Token::new(next));
            after = Token::new(next);
            let here = PairRange { range, old: olds.slot(old), new: news.slot(new) };
            (old, new) = (past(olds.as_slice(), old, next), past(news.as_slice(), new, next));
            Some(here)
        })
    }
}

/// The index after the points at this position, of which there may be none at `ix`.
fn past(points: &[u64], mut ix: usize, position: u64) -> usize {
    while points.get(ix) == Some(&position) {
        ix += 1;
    }
    ix
}

/// Looking up a changed point, in two rings and with its hash, takes as long as this many steps along all points.
const LOOKUPS_PER_STEP: usize = 16;
