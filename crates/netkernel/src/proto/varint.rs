//! Unsigned LEB128: seven bits a byte, least significant first.

use bytes::BufMut;

/// The longest encoding of a `u64`, in bytes.
pub(crate) const BYTES_MAX: usize = 10;

/// Appends `value`.
#[inline]
pub(crate) fn put(buffer: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// The encoded size of `value`, in bytes.
pub(crate) fn size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes a value off the front; `None` if the bytes end early, overflow 64 bits or are padded.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    take_long(bytes)
}

fn take_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return (byte != 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_round_trips() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put(&mut bytes, value);
                assert_eq!(bytes.len(), size(value));
                let mut rest = &bytes[..];
                assert_eq!(take(&mut rest), Some(value));
                assert!(rest.is_empty());
            }
        }
    }

    #[test]
    fn malformed_encodings_are_refused() {
        for bytes in [&[][..], &[0x80], &[0x80, 0x00], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(take(&mut &bytes[..]), None, "{bytes:?}");
        }
    }
}
