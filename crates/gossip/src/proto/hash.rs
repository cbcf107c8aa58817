//! Short fingerprints of state, for two nodes to find out cheaply that they agree.

use std::fmt;
use std::ops::BitXorAssign;

use serde::{Deserialize, Serialize};

/// 128 bits of BLAKE3. Fingerprints of a set's items combine with `^=`, in any order, into that of the set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hash([u8; 16]);

impl Hash {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let value = postcard::to_allocvec(value).expect("the types hashed here always serialise");
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(&value).as_bytes()[..16]);
        Self(bytes)
    }
}

impl BitXorAssign for Hash {
    fn bitxor_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine ^= theirs);
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}…", u128::from_be_bytes(self.0) >> 96)
    }
}
