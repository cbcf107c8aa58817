//! Walks along the points, and from node to neighbouring node.

use alloc::vec;
use alloc::vec::Vec;

use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::HashRing;

/// A point: a position, and the node that owns the tokens from the point before it up to this one.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point<'a, N> {
    /// Where the point is.
    pub token: Token,
    /// Whose it is.
    pub node: &'a N,
}

impl<N: RingNode> HashRing<N> {
    /// All points, in ascending order; with `.rev()`, descending.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(["ash", "birch"])?;
    /// assert_eq!(ring.points().len(), 2 * 160);
    /// let point = ring.points().next().expect("there are 320");
    /// assert_eq!(ring.owner_at(point.token), Some(point.node));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn points(&self) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        self.lap(0)
    }

    /// All points once, clockwise from the first one at or after the token; with `.rev()`, the same ones from the
    /// last, which is the one before the token, counterclockwise.
    pub fn points_from(
        &self,
        token: Token,
    ) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        self.lap(self.inner.points.successor(token.get()))
    }

    fn lap(&self, start: usize) -> impl ExactSizeIterator<Item = Point<'_, N>> + DoubleEndedIterator + Clone {
        let (inner, len) = (&*self.inner, self.point_count());
        (0..len).map(move |step| {
            let position = if start + step < len { start + step } else { start + step - len };
            let node = inner.members.node(inner.points.slot(position)).expect("points belong to members");
            Point { token: Token::new(inner.points.as_slice()[position]), node }
        })
    }

    /// Distinct nodes, up to `count`, that own the first points after this node's own: who would take over its keys if it
    /// left. In the order in which they are met clockwise, from the node's point of number 0 on. None when the node has
    /// no points, or is the only one that has.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let mut without = ring.clone();
    /// without.remove(&"ash");
    /// let heirs = ring.successors(&"ash", 9);
    /// assert!(ring.diff(&without)?.iter().all(|step| heirs.contains(&step.to.expect("two are left"))));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn successors(&self, node: &N, count: usize) -> Vec<&N> {
        self.neighbours(node, count, |ix, len| if ix + 1 == len { 0 } else { ix + 1 })
    }

    /// Distinct nodes, up to `count`, that own the last points before this node's own: whose keys it would take over if
    /// they left. In the order in which they are met counterclockwise, from the node's point of number 0 on.
    pub fn predecessors(&self, node: &N, count: usize) -> Vec<&N> {
        self.neighbours(node, count, |ix, len| if ix == 0 { len - 1 } else { ix - 1 })
    }

    fn neighbours(&self, node: &N, count: usize, step: impl Fn(usize, usize) -> usize) -> Vec<&N> {
        let (inner, len) = (&*self.inner, self.point_count());
        let Some(slot) = self.slot_of(node).filter(|&slot| inner.members.weight(slot) > 0) else {
            return Vec::new();
        };
        let first = inner.layout.points(node.ring_id().as_ref(), 0, 1).next();
        let Some(start) = first.and_then(|point| inner.points.place_of(point, slot)) else {
            return Vec::new();
        };
        let most = count.min(inner.members.placed() - 1);
        let (mut met, mut neighbours) = (vec![false; inner.members.len()], Vec::new());
        let (mut ix, mut own) = (start, true);
        for _ in 0..len {
            if neighbours.len() == most {
                break;
            }
            ix = step(ix, len);
            let here = inner.points.slot(ix);
            if here == slot {
                own = true;
            } else if own {
                own = false;
                if !met[here as usize] {
                    met[here as usize] = true;
                    neighbours.extend(inner.members.node(here));
                }
            }
        }
        neighbours
    }
}
