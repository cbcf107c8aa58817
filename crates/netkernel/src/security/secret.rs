//! Bytes that are wiped when dropped, and stay in one place until then.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A secret of 32 bytes. It has its place on the heap: one that moved with its owner would leave a copy at each stop.
pub(super) struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// Where a secret is to be put.
    pub(super) fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    /// A secret for this use alone, made of another.
    pub(super) fn derive(label: &str, from: &[u8; 32]) -> Self {
        let mut secret = Self::zero();
        let mut derived = blake3::derive_key(label, from);
        secret.bytes_mut().copy_from_slice(&derived);
        derived.zeroize();
        secret
    }

    /// Becomes one made of itself, which does not give it away.
    pub(super) fn ratchet(&mut self, label: &str) {
        let next = Self::derive(label, self.bytes());
        self.bytes_mut().copy_from_slice(next.bytes());
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8; 32] {
        &mut self.0
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        let mut clone = Self::zero();
        clone.bytes_mut().copy_from_slice(self.bytes());
        clone
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_in_its_place_while_its_owner_moves() {
        let secret = Secret::derive("test", &[7; 32]);
        let place = secret.bytes().as_ptr();
        let moved = [Some(secret)];
        assert_eq!(moved[0].as_ref().map(|secret| secret.bytes().as_ptr()), Some(place));
    }

    #[test]
    fn what_is_derived_depends_on_the_label_and_the_secret() {
        let derived = |label, byte| *Secret::derive(label, &[byte; 32]).bytes();
        assert_eq!(derived("a", 1), derived("a", 1));
        assert!(derived("a", 1) != derived("b", 1) && derived("a", 1) != derived("a", 2));
        let mut secret = Secret::zero();
        secret.ratchet("a");
        assert_eq!(*secret.bytes(), derived("a", 0));
    }
}
