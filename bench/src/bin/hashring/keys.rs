//! What is looked up, and the nodes it is looked up in.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Random keys of 16 to 32 bytes, end to end in memory. There are enough that a lookup finds little of the ring in
/// the nearest cache, as it would in service.
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Keys {
    pub fn random() -> Self {
        let mut rng = StdRng::seed_from_u64(42);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..COUNT {
            let length = rng.random_range(16..=32);
            bytes.extend((0..length).map(|_| rng.random::<u8>()));
            ends.push(bytes.len() as u32);
        }
        Keys { bytes, ends }
    }

    /// Calls `lookup` with `n` keys, round and round.
    #[inline]
    pub fn each<'a>(&'a self, n: u64, mut lookup: impl FnMut(&'a [u8])) {
        let mut left = n;
        while left > 0 {
            let mut start = 0;
            for &end in self.ends.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                lookup(&self.bytes[start..end as usize]);
                start = end as usize;
            }
            left = left.saturating_sub(self.ends.len() as u64);
        }
    }
}

impl Keys {
    /// The tokens of all keys, sixteen together.
    pub fn batches(&self, mut token: impl FnMut(&[u8]) -> u64) -> Vec<[u64; 16]> {
        let mut tokens = Vec::with_capacity(COUNT);
        self.each(COUNT as u64, |key| tokens.push(token(key)));
        tokens.as_chunks().0.to_vec()
    }
}

/// Names of nodes as an operator would give them.
pub fn nodes(count: usize) -> Vec<String> {
    (0..count).map(|ix| format!("node-{ix:05}.example")).collect()
}

const COUNT: usize = 1 << 16;
