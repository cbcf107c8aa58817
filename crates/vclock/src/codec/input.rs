//! Bytes being read, and the two forms of numbers.

use alloc::vec::Vec;

/// What is left of the bytes being decoded.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
}

/// A part of an entry that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end before it does.
    Truncated,
    /// It is not what encoding would have written.
    NotCanonical,
}

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// How many bytes are left.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no byte is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when none is left.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    /// A number of seven bits a byte, least significant first.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::NotCanonical`] for more bytes or bits than the number needs.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let last = byte < 0x80;
            if (bits << shift) >> shift != bits || (last && bits == 0 && shift > 0) {
                return Err(Malformed::NotCanonical);
            }
            number |= bits << shift;
            if last {
                return Ok(number);
            }
        }
        Err(Malformed::NotCanonical)
    }

    /// A number of four bits and as many whole bytes as the upper half of the first byte tells.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::NotCanonical`] for more bytes or bits than the number needs.
    pub fn wide(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        let (more, top) = (first >> 4, u64::from(first & 0x0f));
        let rest = self.bytes(usize::from(more))?;
        if more > 8 || (more == 8 && top != 0) {
            return Err(Malformed::NotCanonical);
        }
        let number = rest.iter().fold(top, |number, byte| number << 8 | u64::from(*byte));
        if wide_bytes(number) != rest.len() { Err(Malformed::NotCanonical) } else { Ok(number) }
    }
}

/// Appends what [`Input::number`] reads: seven bits a byte, so one byte up to 127. For an
/// [`ActorCodec`](crate::ActorCodec) of one's own.
pub fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends what [`Input::wide`] reads: half a byte more than the bytes that the number needs, so at most nine. For
/// an [`ActorCodec`](crate::ActorCodec) of one's own, whose numbers are random.
pub fn write_wide(number: u64, out: &mut Vec<u8>) {
    let more = wide_bytes(number);
    let top = if more == 8 { 0 } else { (number >> (8 * more)) as u8 };
    out.push((more as u8) << 4 | top);
    out.extend_from_slice(&number.to_be_bytes()[8 - more..]);
}

/// How many whole bytes a number needs beyond its top four bits.
fn wide_bytes(number: u64) -> usize {
    let bits = 64 - number.leading_zeros() as usize;
    bits.saturating_sub(4).div_ceil(8)
}
