//! Sealed records: AES-256-GCM with a counter for a nonce and a key that is replaced long before its limits.
//!
//! Each direction of a session has a key of its own, owned by the one task that uses it, so no two records are
//! ever sealed under one key and nonce. After 2^20 records the key is replaced by one derived from it; both ends
//! count alike, so no message announces it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::secret::Secret;
use super::{Open, RecordError, Seal};

/// The secret of one direction, from which its keys are made.
pub(super) struct DirectionKey(Secret);

impl DirectionKey {
    /// Makes the secret of one direction out of one half of a Noise split.
    pub(super) fn derive(label: &str, half: &[u8; 32]) -> Self {
        Self(Secret::derive(label, half))
    }

    fn ratchet(&mut self) {
        self.0.ratchet("clusterluck netkernel v1 rekey");
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, self.0.bytes()).expect("the key has the length AES-256 takes"),
        )
    }
}

/// One direction's key and how many records it has gone through.
struct Cipher {
    key: DirectionKey,
    cipher: LessSafeKey,
    counter: u64,
}

impl Cipher {
    fn new(key: DirectionKey) -> Self {
        Self { cipher: key.cipher(), key, counter: 0 }
    }

    /// The nonce of the next record, after replacing the key where its time has come.
    fn advance(&mut self) -> Result<Nonce, RecordError> {
        if self.counter > 0 && self.counter.is_multiple_of(RECORDS_PER_KEY) {
            self.key.ratchet();
            self.cipher = self.key.cipher();
        }
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter = self.counter.checked_add(1).ok_or(RecordError)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Seals one direction's records.
pub(super) struct Sealer(Cipher);

impl Sealer {
    pub(super) fn new(key: DirectionKey) -> Self {
        Self(Cipher::new(key))
    }
}

impl Seal for Sealer {
    fn overhead_bytes(&self) -> usize {
        AES_256_GCM.tag_len()
    }

    fn seal(&mut self, header: [u8; 2], record: &mut Vec<u8>, start: usize) -> Result<(), RecordError> {
        let nonce = self.0.advance()?;
        let tag = self
            .0
            .cipher
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut record[start..])
            .map_err(|_| RecordError)?;
        record.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

/// Opens one direction's records.
pub(super) struct Opener(Cipher);

impl Opener {
    pub(super) fn new(key: DirectionKey) -> Self {
        Self(Cipher::new(key))
    }
}

impl Open for Opener {
    fn overhead_bytes(&self) -> usize {
        AES_256_GCM.tag_len()
    }

    fn open(&mut self, header: [u8; 2], record: &mut [u8]) -> Result<usize, RecordError> {
        let nonce = self.0.advance()?;
        let plain = self.0.cipher.open_in_place(nonce, Aad::from(header), record).map_err(|_| RecordError)?;
        Ok(plain.len())
    }
}

/// AES-GCM allows some 2^32 records a key; 2^20 records of 64 KiB keep the odds of an attack below 2^-50.
const RECORDS_PER_KEY: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sealer, Opener) {
        let key = || DirectionKey::derive("test", &[7; 32]);
        (Sealer::new(key()), Opener::new(key()))
    }

    /// The last record under a direction's first key, and the first under the next.
    #[test]
    fn golden_bytes_of_records_around_the_change_of_key() {
        let label = "clusterluck netkernel v1 dialer to acceptor";
        let mut sealer = Sealer::new(DirectionKey::derive(label, &[0x33; 32]));
        sealer.0.counter = RECORDS_PER_KEY - 1;
        for name in ["record 1048575 of a half of 33", "record 1048576 of a half of 33"] {
            let header = 21u16.to_be_bytes();
            let mut record = [&header[..], b"hello"].concat();
            sealer.seal(header, &mut record, 2).unwrap();
            crate::golden::assert_bytes(name, &record);
        }
    }

    fn sealed(sealer: &mut Sealer, text: &[u8]) -> ([u8; 2], Vec<u8>) {
        let header = [0, 9];
        let mut record = text.to_vec();
        sealer.seal(header, &mut record, 0).unwrap();
        (header, record)
    }

    #[test]
    fn records_open_in_the_order_they_were_sealed() {
        let (mut sealer, mut opener) = pair();
        for text in [&b"one"[..], b"", b"three"] {
            let (header, mut record) = sealed(&mut sealer, text);
            let bytes = opener.open(header, &mut record).unwrap();
            assert_eq!(&record[..bytes], text);
        }
    }

    #[test]
    fn a_replayed_record_is_refused() {
        let (mut sealer, mut opener) = pair();
        let (header, record) = sealed(&mut sealer, b"one");
        opener.open(header, &mut record.clone()).unwrap();
        assert_eq!(opener.open(header, &mut record.clone()), Err(RecordError));
    }

    #[test]
    fn a_reordered_record_is_refused() {
        let (mut sealer, mut opener) = pair();
        let _first = sealed(&mut sealer, b"one");
        let (header, mut second) = sealed(&mut sealer, b"two");
        assert_eq!(opener.open(header, &mut second), Err(RecordError));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for index in 0..b"hello".len() + AES_256_GCM.tag_len() + 2 {
            let (mut sealer, mut opener) = pair();
            let (mut header, mut record) = sealed(&mut sealer, b"hello");
            match record.get_mut(index) {
                Some(byte) => *byte ^= 1,
                None => header[index - record.len()] ^= 1,
            }
            assert_eq!(opener.open(header, &mut record), Err(RecordError), "byte {index}");
        }
    }

    #[test]
    fn a_record_is_refused_in_the_other_direction() {
        let mut sealer = Sealer::new(DirectionKey::derive("a to b", &[7; 32]));
        let mut opener = Opener::new(DirectionKey::derive("b to a", &[7; 32]));
        let (header, mut record) = sealed(&mut sealer, b"hello");
        assert_eq!(opener.open(header, &mut record), Err(RecordError));
    }

    #[test]
    fn both_ends_replace_the_key_at_the_same_record() {
        let (mut sealer, mut opener) = pair();
        sealer.0.counter = RECORDS_PER_KEY - 1;
        opener.0.counter = RECORDS_PER_KEY - 1;
        let before = *sealer.0.key.0.bytes();
        for _ in 0..3 {
            let (header, mut record) = sealed(&mut sealer, b"hello");
            opener.open(header, &mut record).unwrap();
        }
        assert_ne!(*sealer.0.key.0.bytes(), before);
    }
}
