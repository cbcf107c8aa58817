//! Nodes whose points lie at the same positions: what hashing gives nobody in a lifetime, and who chooses ids at will.

use hashring::{FromRingId, RingNode};

/// A node by its number, in whose order ids are. Under the default seed the points of the upper half lie at the same
/// positions, number by number, and those of the upper quarter all at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    /// With the number of a point, which comes last, a crafted id has 32 bytes. Of these XXH3 multiplies the second eight by
    /// the first eight and a constant in sum, and the fourth by the third and another: where that is made zero, what it is
    /// multiplied by does not count.
    fn id(self) -> [u8; 28] {
        const XXH3_SECRET: [u64; 2] = [0xbe4b_a423_396c_feb8, 0xdb97_9083_e96d_d4de];
        const SEED_POINTS: u64 = 0x012e_0e9f_b951_fda6;
        let zero = XXH3_SECRET.map(|secret| secret.wrapping_add(SEED_POINTS).to_le_bytes());
        let mut id = [0; 28];
        if self.0 >= 0x80 {
            id[..8].copy_from_slice(&zero[0]);
        }
        if self.0 >= 0xc0 {
            id[16..24].copy_from_slice(&zero[1]);
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
