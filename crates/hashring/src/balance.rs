//! How much of the ring each node owns.

use core::fmt;

use crate::cells::Slot;
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
        let decimals = f.precision().unwrap_or(2);
        write!(f, "{:.decimals$} %", self.as_f64() * 100.0)
    }
}

impl<N: RingNode> HashRing<N> {
    /// The share of all tokens that the node owns: nothing for a draining node, and `None` for an unknown one. One
    /// pass over the points.
    pub fn ownership(&self, node: &N) -> Option<Fraction> {
        let slot = self.slot_of(node)?;
        Some(Fraction(self.gaps().filter(|&(owner, _)| owner == slot).map(|(_, tokens)| tokens).sum()))
    }

    /// For each point the slot that owns it, and how many tokens it owns through it.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (Slot, u128)> {
        let points = &self.inner.points;
        let positions = points.as_slice();
        let mut before = positions.last().copied().unwrap_or_default();
        positions.iter().enumerate().map(move |(ix, &position)| {
            let tokens = match position.wrapping_sub(before) {
                // The last point is where the first one is, so all are, and the first has the whole ring. Elsewhere
                // the second of two points at one position has nothing.
                0 if ix == 0 => Fraction::WHOLE.0,
                distance => u128::from(distance),
            };
            before = position;
            (points.slot(ix), tokens)
        })
    }
}
