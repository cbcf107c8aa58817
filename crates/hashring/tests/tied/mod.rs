//! Nodes whose points lie at the same positions: what hashing gives nobody in a lifetime, and who chooses ids at will.

use hashring::{FromRingId, RingNode};

/// A node by its number, in whose order ids are. The points of the upper half lie at the same positions, number by number,
/// under the default seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    /// With the number of a point a crafted id has 32 bytes. Of these XXH3 multiplies the second eight by the first eight and
    /// a constant in sum, which is made zero here: so the second eight do not count.
    fn id(self) -> [u8; 28] {
        const XXH3_SECRET: u64 = 0xbe4b_a423_396c_feb8;
        const SEED_POINTS: u64 = 0x012e_0e9f_b951_fda6;
        let mut id = [0; 28];
        if self.0 >= 0x80 {
            id[..8].copy_from_slice(&XXH3_SECRET.wrapping_add(SEED_POINTS).to_le_bytes());
        }
        id[15] = self.0;
        id
    }
}

impl RingNode for Node {
    type Id<'a> = [u8; 28];

    fn ring_id(&self) -> [u8; 28] {
        self.id()
    }
}

impl FromRingId for Node {
    fn from_ring_id(id: &[u8]) -> Option<Self> {
        id.get(15).map(|&number| Node(number)).filter(|node| node.id() == id)
    }
}
