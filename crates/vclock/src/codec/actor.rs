//! How actors are written.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Input, Malformed, write_number, write_wide};

/// An actor with a canonical encoding: unsigned integers, byte arrays, strings. For a newtype of one of
/// those, whatever its order, hand on to it; for others there are [`write_number`](crate::write_number) and
/// [`write_wide`](crate::write_wide), and [`Input`] to read.
///
/// ```
/// use vclock::{ActorCodec, Input, Malformed, VClock};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
/// struct Node(u64);
///
/// impl ActorCodec for Node {
///     const BYTES_MIN: usize = u64::BYTES_MIN;
///
///     fn encode(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
///         self.0.encode(previous.map(|node| &node.0), out);
///     }
///
///     fn decode(previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
///         u64::decode(previous.map(|node| &node.0), input).map(Node)
///     }
/// }
///
/// let clock: VClock<Node> = [(Node(7), 2), (Node(9), 1)].into_iter().collect();
/// assert_eq!(VClock::from_bytes(&clock.to_bytes()), Ok(clock));
/// ```
pub trait ActorCodec: Ord + Sized {
    /// The fewest bytes an actor takes: what bounds how many an input can hold.
    const BYTES_MIN: usize;

    /// Appends the actor. `previous` is the one before it, if there is one; it is never greater, as this type's
    /// own order has it.
    fn encode(&self, previous: Option<&Self>, out: &mut Vec<u8>);

    /// Reads what [`encode`](Self::encode) wrote after the same `previous`, and nothing else.
    ///
    /// # Errors
    /// When the bytes end, or encoding would have written otherwise. The order of actors need not be checked.
    fn decode(previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        /// The difference from the one before, modulo the integer's range: nothing here knows that actors ascend,
        /// and those of a newtype may be ordered otherwise.
        impl ActorCodec for $integer {
            const BYTES_MIN: usize = 1;

            fn encode(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
                write_wide(u64::from(self.wrapping_sub(*previous.unwrap_or(&0))), out);
            }

            fn decode(previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
                let step = Self::try_from(input.wide()?).map_err(|_| Malformed::NotCanonical)?;
                Ok(previous.unwrap_or(&0).wrapping_add(step))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

/// The bytes as they are.
impl<const N: usize> ActorCodec for [u8; N] {
    const BYTES_MIN: usize = N;

    fn encode(&self, _previous: Option<&Self>, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode(_previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
        input.bytes(N)?.try_into().map_err(|_| Malformed::Truncated)
    }
}

/// Sixteen bytes, most significant first.
impl ActorCodec for u128 {
    const BYTES_MIN: usize = 16;

    fn encode(&self, _previous: Option<&Self>, out: &mut Vec<u8>) {
        self.to_be_bytes().encode(None, out);
    }

    fn decode(_previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
        <[u8; 16]>::decode(None, input).map(Self::from_be_bytes)
    }
}

macro_rules! strings {
    ($($string:ty),*) => {$(
        /// The length and the text. Common beginnings are not shared: a few bytes would then ask for many.
        impl ActorCodec for $string {
            const BYTES_MIN: usize = 1;

            fn encode(&self, _previous: Option<&Self>, out: &mut Vec<u8>) {
                write_number(self.len() as u64, out);
                out.extend_from_slice(self.as_bytes());
            }

            fn decode(_previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
                let length = usize::try_from(input.number()?).map_err(|_| Malformed::Truncated)?;
                let text = core::str::from_utf8(input.bytes(length)?).map_err(|_| Malformed::NotCanonical)?;
                Ok(text.into())
            }
        }
    )*};
}

strings!(String, Box<str>, Arc<str>);
