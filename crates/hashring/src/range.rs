//! Stretches of the ring.

use alloc::vec::Vec;
use core::fmt;

use crate::balance::Fraction;
use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::HashRing;

/// The tokens after one up to and including another, clockwise: `(after, through]`. When both are the same it is the
/// whole ring; there is no empty range.
///
/// ```
/// use hashring::{Token, TokenRange};
///
/// let range = TokenRange::new(Token::MAX, Token::new(9));
/// assert!(range.contains(Token::MIN) && !range.contains(Token::MAX));
/// assert_eq!(range.share().tokens(), 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenRange {
    after: Token,
    through: Token,
}

impl TokenRange {
    /// The tokens after `after` up to and including `through`.
    pub const fn new(after: Token, through: Token) -> Self {
        TokenRange { after, through }
    }

    /// The token before the first one of the range.
    pub const fn after(self) -> Token {
        self.after
    }

    /// The last token of the range.
    pub const fn through(self) -> Token {
        self.through
    }

    /// Whether the token is in the range.
    pub fn contains(self, token: Token) -> bool {
        // Distances clockwise, of which 0 is the longest: a lap.
        let distance = |to: Token| to.get().wrapping_sub(self.after.get()).wrapping_sub(1);
        distance(token) <= distance(self.through)
    }

    /// How much of the ring it is.
    pub const fn share(self) -> Fraction {
        match self.through.get().wrapping_sub(self.after.get()) {
            0 => Fraction::WHOLE,
            tokens => Fraction::of_tokens(tokens as u128),
        }
    }
}

impl fmt::Display for TokenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {}]", self.after, self.through)
    }
}

/// Ranges in clockwise order, each with what holds there; neighbours with the same are joined.
pub(crate) struct Stretches<T>(Vec<(TokenRange, T)>);

impl<T: PartialEq> Stretches<T> {
    pub(crate) fn new() -> Self {
        Stretches(Vec::new())
    }

    /// With room for so many ranges.
    pub(crate) fn with_capacity(ranges: usize) -> Self {
        Stretches(Vec::with_capacity(ranges))
    }

    /// Adds a range that begins at the end of the last one, or after it.
    pub(crate) fn push(&mut self, range: TokenRange, value: T) {
        match self.0.last_mut() {
            Some((last, same)) if last.through == range.after && *same == value => {
                last.through = range.through;
            }
            _ => self.0.push((range, value)),
        }
    }

    /// The ranges, after joining the last one to the first, over the top of the ring.
    pub(crate) fn finish(mut self) -> Vec<(TokenRange, T)> {
        if let [first, .., last] = &mut self.0[..]
            && last.0.through == first.0.after
            && last.1 == first.1
        {
            first.0.after = last.0.after;
            self.0.pop();
        }
        self.0
    }
}

impl<N: RingNode> HashRing<N> {
    /// What the node owns, as the fewest ranges. The ranges of all nodes together cover every token once.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(["ash", "birch"])?;
    /// let token = ring.token(b"user:42");
    /// let owner = ring.owner_at(token).expect("the ring has nodes");
    /// assert!(ring.ranges_of(owner).any(|range| range.contains(token)));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn ranges_of(&self, node: &N) -> impl ExactSizeIterator<Item = TokenRange> + use<N> {
        let (slot, points) = (self.slot_of(node), &self.inner.points);
        let mut stretches = Stretches::new();
        for ix in 0..points.len() {
            if Some(points.slot(ix)) == slot && points.gap(ix) > 0 {
                stretches.push(points.range(ix), ());
            }
        }
        stretches.finish().into_iter().map(|(range, ())| range)
    }
}
