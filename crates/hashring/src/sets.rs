//! Rings as sets of members: union, intersection, and merging two that grew out of one.

use alloc::vec::Vec;
use core::fmt;

use crate::error::RingError;
use crate::members::{Member, by_id_of_both};
use crate::node::{NodeSpec, RingNode, Zone};
use crate::ring::HashRing;

/// Why two rings cannot be combined. Both are as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CombineError<N> {
    /// Both have a node of one id, with different payload: which one is right the ring cannot know. Those functions that
    /// end in `_with` ask.
    Conflict {
        /// The node in this ring.
        ours: N,
        /// The node in the other ring.
        theirs: N,
    },
    /// The rings have different seeds, or together they would be over a limit.
    Ring(RingError),
}

impl<N> fmt::Display for CombineError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CombineError::Conflict { .. } => "both rings have a node of one id, with different payload",
            CombineError::Ring(_) => "the rings cannot be combined",
        })
    }
}

impl<N: fmt::Debug> core::error::Error for CombineError<N> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            CombineError::Ring(error) => Some(error),
            CombineError::Conflict { .. } => None,
        }
    }
}

impl<N> From<RingError> for CombineError<N> {
    fn from(error: RingError) -> Self {
        CombineError::Ring(error)
    }
}

impl<N: RingNode> HashRing<N> {
    /// The members of either ring; where both have one, its larger weight and larger zone (by name, none being the least).
    /// Associative, commutative and idempotent.
    ///
    /// A union knows no history: a node that was removed from one ring comes back if the other still has it. To combine
    /// changes, [merge](Self::merge) them.
    ///
    /// # Errors
    ///
    /// [`CombineError::Conflict`] when the rings have different payload for an id, and otherwise those of
    /// [`union_with`](Self::union_with).
    pub fn union(&self, other: &Self) -> Result<Self, CombineError<N>>
    where
        N: PartialEq,
    {
        self.combine(other, Kind::Union, only_equal)
    }

    /// The same, `keep` choosing between the payloads of one id. When it takes no notice of which comes first, the laws
    /// hold of payloads too.
    ///
    /// # Errors
    ///
    /// When the rings have different seeds, or together they would be over a limit.
    pub fn union_with(&self, other: &Self, mut keep: impl FnMut(&N, &N) -> N) -> Result<Self, RingError> {
        self.combine(other, Kind::Union, |ours, theirs| Ok(keep(ours, theirs)))
    }

    /// The members that both rings have, with their smaller weights and smaller zones. Associative, commutative and
    /// idempotent.
    ///
    /// # Errors
    ///
    /// Those of [`union`](Self::union).
    pub fn intersection(&self, other: &Self) -> Result<Self, CombineError<N>>
    where
        N: PartialEq,
    {
        self.combine(other, Kind::Intersection, only_equal)
    }

    /// The same, `keep` choosing between the payloads of one id.
    ///
    /// # Errors
    ///
    /// Those of [`union_with`](Self::union_with).
    pub fn intersection_with(
        &self,
        other: &Self,
        mut keep: impl FnMut(&N, &N) -> N,
    ) -> Result<Self, RingError> {
        self.combine(other, Kind::Intersection, |ours, theirs| Ok(keep(ours, theirs)))
    }

    /// What became of `base` in this ring and in the other, together: a node that either removed stays removed, one that
    /// either added is added, and a weight or zone that one of them changed is changed. Where both changed it, the larger
    /// stands. Commutative in the two rings.
    ///
    /// ```
    /// use hashring::{HashRing, NodeSpec};
    ///
    /// let base = HashRing::from_nodes(["ash", "birch"])?;
    /// let (mut here, mut there) = (base.clone(), base.clone());
    /// here.remove(&"ash");
    /// there.insert(NodeSpec::new("cedar"))?;
    /// let merged = here.merge(&base, &there)?;
    /// assert!(merged.nodes().eq(&["birch", "cedar"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CombineError::Conflict`] when both rings gave an id other payload than `base` has, and not the same; and when the
    /// rings have different seeds, or together they would be over a limit.
    pub fn merge(&self, base: &Self, other: &Self) -> Result<Self, CombineError<N>>
    where
        N: PartialEq,
    {
        if !self.same_layout(base) || !self.same_layout(other) {
            return Err(RingError::LayoutMismatch.into());
        }
        let mut specs = Vec::new();
        for (ours, theirs) in by_id_of_both(&self.inner.members, &other.inner.members) {
            let ours = ours.map(|slot| self.inner.members.member(slot));
            let theirs = theirs.map(|slot| other.inner.members.member(slot));
            let Some(member) = ours.or(theirs) else { continue };
            let base = base.slot_of(member.node).map(|slot| base.inner.members.member(slot));
            specs.extend(merge_member(base, ours, theirs)?);
        }
        Ok(Self::with_members(self.inner.layout, self.inner.default_weight, specs)?)
    }

    fn combine<E: From<RingError>>(
        &self,
        other: &Self,
        kind: Kind,
        mut keep: impl FnMut(&N, &N) -> Result<N, E>,
    ) -> Result<Self, E> {
        if !self.same_layout(other) {
            return Err(RingError::LayoutMismatch.into());
        }
        let mut specs = Vec::new();
        for (ours, theirs) in by_id_of_both(&self.inner.members, &other.inner.members) {
            let ours = ours.map(|slot| self.inner.members.member(slot));
            let theirs = theirs.map(|slot| other.inner.members.member(slot));
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => {
                    let node = keep(ours.node, theirs.node)?;
                    specs.push(spec(
                        node,
                        kind.choose(ours.weight, theirs.weight),
                        kind.choose(ours.zone, theirs.zone),
                    ));
                }
                (one, other) if kind == Kind::Union => specs.extend(one.or(other).map(NodeSpec::from)),
                _ => {}
            }
        }
        Ok(Self::with_members(self.inner.layout, self.inner.default_weight, specs)?)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Union,
    Intersection,
}

impl Kind {
    fn choose<T: Ord>(self, ours: T, theirs: T) -> T {
        match self {
            Kind::Union => ours.max(theirs),
            Kind::Intersection => ours.min(theirs),
        }
    }
}

/// What became of one member in two rings.
fn merge_member<N: RingNode + PartialEq>(
    base: Option<Member<'_, N>>,
    ours: Option<Member<'_, N>>,
    theirs: Option<Member<'_, N>>,
) -> Result<Option<NodeSpec<N>>, CombineError<N>> {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        let added = ours.or(theirs).filter(|_| base.is_none());
        return Ok(added.map(NodeSpec::from));
    };
    let weight = settle(base.map(|base| base.weight), ours.weight, theirs.weight, Ord::max);
    let zone = settle(base.map(|base| base.zone), ours.zone, theirs.zone, Ord::max);
    let node = match base {
        Some(base) if ours.node == base.node => theirs.node.clone(),
        Some(base) if theirs.node == base.node => ours.node.clone(),
        _ => only_equal(ours.node, theirs.node)?,
    };
    Ok(Some(spec(node, weight, zone)))
}

/// The value that changed; of two that did, or of new ones, what `both` makes of them.
fn settle<T: PartialEq>(base: Option<T>, ours: T, theirs: T, both: fn(T, T) -> T) -> T {
    match base {
        Some(base) if ours == base => theirs,
        Some(base) if theirs == base => ours,
        _ => both(ours, theirs),
    }
}

fn only_equal<N: Clone + PartialEq>(ours: &N, theirs: &N) -> Result<N, CombineError<N>> {
    if ours == theirs {
        Ok(ours.clone())
    } else {
        Err(CombineError::Conflict { ours: ours.clone(), theirs: theirs.clone() })
    }
}

fn spec<N>(node: N, weight: u32, zone: Option<&Zone>) -> NodeSpec<N> {
    NodeSpec { node, weight: Some(weight), zone: zone.cloned() }
}
