//! How much of the ring each node owns.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use crate::node::RingNode;
use crate::ring::HashRing;

/// A share of the ring, exact: a number of tokens out of 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(u128);

impl Fraction {
    /// Nothing.
    pub const ZERO: Fraction = Fraction(0);
    /// The whole ring.
    pub const WHOLE: Fraction = Fraction(1 << 64);

    pub(crate) const fn of_tokens(tokens: u128) -> Self {
        Fraction(tokens)
    }

    /// How many of the 2^64 tokens.
    pub const fn tokens(self) -> u128 {
        self.0
    }

    /// Between 0 and 1, rounded.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Self::WHOLE.0 as f64
    }
}

impl fmt::Display for Fraction {
    /// In percent, with two decimals unless the formatter asks for others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decimals, width) = (f.precision().unwrap_or(2), f.width().unwrap_or(0));
        let percent = format!("{:.decimals$} %", self.as_f64() * 100.0);
        match f.align() {
            Some(fmt::Alignment::Left) => write!(f, "{percent:<width$}"),
            Some(fmt::Alignment::Center) => write!(f, "{percent:^width$}"),
            // As numbers are.
            Some(fmt::Alignment::Right) | None => write!(f, "{percent:>width$}"),
        }
    }
}

/// How evenly nodes are loaded for their weights. A node's load is its share of the ring over its share of the weights:
/// 1 when it owns just what is due to it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Balance {
    /// The load of the most loaded node.
    pub max: f64,
    /// The load of the least loaded node.
    pub min: f64,
    /// How far loads lie from 1, as the root of the mean square.
    pub deviation: f64,
}

impl<N: RingNode> HashRing<N> {
    /// The share of all tokens that the node owns: nothing for a draining node, and `None` for an unknown one. One pass
    /// over the points.
    pub fn ownership(&self, node: &N) -> Option<Fraction> {
        let (slot, points) = (self.slot_of(node)?, &self.inner.points);
        let own = (0..points.len()).filter(|&ix| points.slot(ix) == slot);
        Some(Fraction(own.map(|ix| points.gap(ix)).sum()))
    }

    /// The shares of all nodes, in the order of their ids, in one pass over the points.
    pub fn ownerships(&self) -> impl ExactSizeIterator<Item = (&N, Fraction)> {
        let tokens = self.tokens_by_slot();
        let members = &self.inner.members;
        members
            .iter()
            .zip(members.by_id())
            .map(move |(member, &slot)| (member.node, Fraction(tokens[slot as usize])))
    }

    /// How evenly the nodes with points are loaded. `None` when there are none.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(0..100_u32)?;
    /// let balance = ring.balance().expect("the ring has nodes");
    /// assert!(balance.max < 1.3 && balance.min > 0.7 && balance.deviation < 0.1);
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn balance(&self) -> Option<Balance> {
        Balance::of(self, &self.tokens_by_slot())
    }

    pub(crate) fn tokens_by_slot(&self) -> Vec<u128> {
        self.inner.points.tokens_by_slot(self.len())
    }
}

impl Balance {
    /// Of the nodes of a ring that own these tokens.
    pub(crate) fn of<N: RingNode>(ring: &HashRing<N>, tokens: &[u128]) -> Option<Self> {
        let weight = |slot| ring.inner.members.weight(slot as u32);
        let total = ring.point_count() as f64;
        let load = |(slot, &tokens): (usize, &u128)| {
            let due = f64::from(weight(slot)) / total;
            (due > 0.0).then(|| Fraction(tokens).as_f64() / due)
        };
        let (mut balance, mut squares, mut count) =
            (Balance { max: 0.0, min: f64::MAX, deviation: 0.0 }, 0.0, 0.0);
        for load in tokens.iter().enumerate().filter_map(load) {
            balance.max = balance.max.max(load);
            balance.min = balance.min.min(load);
            squares += (load - 1.0) * (load - 1.0);
            count += 1.0;
        }
        balance.deviation = square_root(squares / count);
        (count > 0.0).then_some(balance)
    }
}

/// Newton's method: `core` has no square root.
fn square_root(square: f64) -> f64 {
    let mut root = square.max(1.0);
    for _ in 0..64 {
        root = f64::midpoint(root, square / root);
    }
    root
}
