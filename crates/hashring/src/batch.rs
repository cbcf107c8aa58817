//! Many lookups together.

use crate::layout::Token;
use crate::node::RingNode;
use crate::ring::HashRing;

impl<N: RingNode> HashRing<N> {
    /// The owners of several tokens. In a ring that is larger than the cache this is up to twice as fast as asking for one
    /// after the other: it waits for memory once instead of each time. 16 at once is a good number.
    ///
    /// ```
    /// let ring = hashring::HashRing::from_nodes(["ash", "birch", "cedar"])?;
    /// let keys = ["one", "two", "three"];
    /// let owners = ring.owners_batch(keys.map(|key| ring.token(key.as_bytes())));
    /// assert_eq!(owners[0], ring.owner(b"one"));
    /// # Ok::<(), hashring::RingError>(())
    /// ```
    pub fn owners_batch<const COUNT: usize>(&self, tokens: [Token; COUNT]) -> [Option<&N>; COUNT] {
        let inner = &*self.inner;
        inner.points.find_batch(tokens.map(Token::get)).map(|slot| inner.members.node(slot))
    }
}
