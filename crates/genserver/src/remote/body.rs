//! Bodies of messages between nodes.

use std::cell::RefCell;
use std::ops::Deref;

use bytes::Bytes;
use netkernel::Incarnation;
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chain::LINKS_MAX;
use crate::message::Wire;
use crate::pid::Pid;
use crate::routes::TAG_BYTES_MAX;
use crate::system::System;

/// What a message is and whom it is for; the message itself follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) target: Target,
    pub(crate) tag: &'a str,
    pub(crate) version: u16,
    pub(crate) chain: Vec<Pid>,
}

/// Which server of a node is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one the envelope names.
    Named,
    /// One instance.
    Number { incarnation: Incarnation, number: u64 },
}

/// Why a body's header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("a message of an unknown layout")]
    Layout,
    #[error("a malformed message header")]
    Malformed,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
    #[error("{0} bytes are left over")]
    Surplus(usize),
}

/// The whole body: header and message.
pub(crate) fn encode<M: Wire>(
    target: Target,
    waiting: &[Pid],
    message: &M,
) -> Result<Bytes, postcard::Error> {
    written(|body| {
        body.push(LAYOUT);
        match target {
            Target::Named => body.push(NAMED),
            Target::Number { incarnation, number } => {
                body.push(NUMBER);
                append(body, &(incarnation, number))?;
            }
        }
        append(body, &(M::TAG, M::VERSION))?;
        body.push(u8::try_from(waiting.len()).expect("a chain has at most 32 links"));
        waiting.iter().try_for_each(|link| append(body, link))?;
        append(body, message)
    })
}

/// What `write` writes, in one allocation of its size, unless it is large.
fn written(
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), postcard::Error>,
) -> Result<Bytes, postcard::Error> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Taken, not borrowed: a user's `Serialize` may come back here.
    let mut scratch = SCRATCH.take();
    let outcome = write(&mut scratch);
    if outcome.is_ok() && scratch.len() >= COPY_BELOW {
        return Ok(Bytes::from(scratch));
    }
    let body = outcome.map(|()| Bytes::copy_from_slice(&scratch));
    if scratch.capacity() <= 2 * COPY_BELOW {
        scratch.clear();
        SCRATCH.set(scratch);
    }
    body
}

fn append<T: Serialize + ?Sized>(body: &mut Vec<u8>, value: &T) -> Result<(), postcard::Error> {
    postcard::serialize_with_flavor(value, Appending(body))
}

/// Appends whole slices, where postcard's own flavour of a growing buffer goes byte by byte.
struct Appending<'a>(&'a mut Vec<u8>);

impl Flavor for Appending<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Splits a body into its header and the message.
pub(crate) fn split(body: &[u8]) -> Result<(Header<'_>, &[u8]), HeaderError> {
    let (&layout, rest) = body.split_first().ok_or(HeaderError::Malformed)?;
    if layout != LAYOUT {
        return Err(HeaderError::Layout);
    }
    let (&kind, rest) = rest.split_first().ok_or(HeaderError::Malformed)?;
    let (target, rest) = match kind {
        NAMED => (Target::Named, rest),
        NUMBER => {
            let ((incarnation, number), rest) = take(rest)?;
            (Target::Number { incarnation, number }, rest)
        }
        _ => return Err(HeaderError::Malformed),
    };
    let ((tag, version), rest): ((&str, u16), _) =
        postcard::take_from_bytes(rest).map_err(|_| HeaderError::Malformed)?;
    let (&links, mut rest) = rest.split_first().ok_or(HeaderError::Malformed)?;
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX || usize::from(links) > LINKS_MAX {
        return Err(HeaderError::Malformed);
    }
    let mut chain = Vec::with_capacity(links.into());
    for _ in 0..links {
        let (link, after) = take(rest)?;
        chain.push(link);
        rest = after;
    }
    Ok((Header { target, tag, version, chain }, rest))
}

fn take<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), HeaderError> {
    postcard::take_from_bytes(bytes).map_err(|_| HeaderError::Malformed)
}

/// A message that waits to be read. One that is not large is copied, so that it does not keep the whole record it
/// came in; the smallest need no memory of their own.
#[derive(Debug)]
pub(crate) enum Held {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Apart(Bytes),
}

impl Held {
    /// The message at the end of a body.
    pub(crate) fn of(body: &Bytes, message: &[u8]) -> Self {
        if message.len() >= COPY_BELOW {
            return Self::Apart(body.slice_ref(message));
        }
        match u8::try_from(message.len()) {
            Ok(length) if message.len() <= INLINE_BYTES => {
                let mut bytes = [0; INLINE_BYTES];
                bytes[..message.len()].copy_from_slice(message);
                Self::Inline { length, bytes }
            }
            _ => Self::Apart(Bytes::copy_from_slice(message)),
        }
    }

    /// What it counts for in a mailbox.
    pub(crate) fn bytes(&self) -> i64 {
        i64::try_from(self.len()).unwrap_or(i64::MAX)
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Apart(bytes) => bytes,
        }
    }
}

/// Messages that came together, one after the other in memory of their own.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// Each after its length.
    bytes: Vec<u8>,
    next: usize,
}

impl Parcel {
    /// The ends of some bodies, from `start` on, that take `bytes` together.
    pub(crate) fn of(bodies: &[Bytes], start: usize, bytes: usize) -> Self {
        let mut parcel = Vec::with_capacity(bytes + bodies.len() * size_of::<u32>());
        for message in bodies.iter().map(|body| &body[start..]) {
            let length = u32::try_from(message.len()).expect("what goes into a parcel is small");
            parcel.extend_from_slice(&length.to_le_bytes());
            parcel.extend_from_slice(message);
        }
        Self { bytes: parcel, next: 0 }
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.bytes[self.next..].split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        self.next += size_of::<u32>() + length;
        rest.get(..length)
    }
}

/// How many of these bodies begin as the first does, up to `start`, and go into one parcel.
pub(crate) fn alike(bodies: &[Bytes], start: usize) -> usize {
    let Some(first) = bodies.first() else { return 0 };
    let goes_along = |body: &&Bytes| body.len() < COPY_BELOW && body.starts_with(&first[..start]);
    bodies.iter().take_while(goes_along).count()
}

pub(crate) fn encode_reply<R: Serialize>(reply: &R) -> Result<Bytes, postcard::Error> {
    written(|body| append(body, reply))
}

/// Reads a whole message or reply. Addresses in it belong to `system`.
pub(crate) fn decode<T: DeserializeOwned>(system: &System, body: &[u8]) -> Result<T, DecodeError> {
    system.scope(|| decode_here(body))
}

/// Reads a whole message in its server's scope, whose system the addresses in it belong to.
pub(crate) fn decode_here<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(body)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Surplus(rest.len())) }
}

const LAYOUT: u8 = 1;
const NAMED: u8 = 0;
const NUMBER: u8 = 1;
/// Most messages of a few fields. With its length, and the variant beside it, ten words.
const INLINE_BYTES: usize = 78;
/// As netkernel's `Config` counts what is retained.
const COPY_BELOW: usize = 4_096;

#[cfg(test)]
mod tests {
    use netkernel::NodeId;
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Add(u32);

    impl Wire for Add {
        const TAG: &'static str = "add";
        const VERSION: u16 = 2;
    }

    fn pid(number: u64) -> Pid {
        Pid::new(NodeId::new("a").unwrap(), Incarnation(1), number, None)
    }

    #[test]
    fn bodies_have_these_bytes() {
        let plain = encode(Target::Named, &[], &Add(5)).unwrap();
        assert_eq!(&plain[..], b"\x01\x00\x03add\x02\x00\x05");
        let number = Target::Number { incarnation: Incarnation(300), number: 7 };
        let chained = encode(number, &[pid(9)], &Add(5)).unwrap();
        assert_eq!(&chained[..], b"\x01\x01\xac\x02\x07\x03add\x02\x01\x01a\x01\x09\x00\x05");
        let (header, message) = split(&chained).unwrap();
        assert_eq!(header, Header { target: number, tag: "add", version: 2, chain: vec![pid(9)] });
        assert_eq!(message, b"\x05");
    }

    #[test]
    fn messages_of_one_header_go_into_one_parcel() {
        let bodies: Vec<_> = (0..5).map(|number| encode(Target::Named, &[], &Add(number)).unwrap()).collect();
        let start = bodies[0].len() - split(&bodies[0]).unwrap().1.len();
        assert_eq!(alike(&bodies, start), 5);
        let mut parcel = Parcel::of(&bodies, start, 5);
        let messages: Vec<_> = std::iter::from_fn(|| parcel.next().map(<[u8]>::to_vec)).collect();
        assert_eq!(messages, [[0], [1], [2], [3], [4]]);
        let large = Bytes::from([&bodies[0][..], &[0; COPY_BELOW]].concat());
        let other = encode(Target::Named, &[pid(9)], &Add(5)).unwrap();
        for odd in [large, other, bodies[0].slice(..start - 1)] {
            assert_eq!(alike(&[bodies[0].clone(), odd, bodies[1].clone()], start), 1);
        }
        assert_eq!(alike(&[], 0), 0);
    }

    #[test]
    fn a_cut_or_foreign_header_is_an_error() {
        let whole = encode(Target::Named, &[pid(9), pid(10)], &Add(5)).unwrap();
        for end in 0..whole.len() - 1 {
            assert_eq!(split(&whole.slice(..end)).unwrap_err(), HeaderError::Malformed, "cut at {end}");
        }
        let mut other = whole.to_vec();
        other[0] = 2;
        assert_eq!(split(&other).unwrap_err(), HeaderError::Layout);
        assert!(split(&Bytes::from_static(b"\x01\x00\x01a\x00\x21")).is_err(), "33 links");
        assert!(split(&Bytes::from_static(b"\x01\x00\x00\x00\x00")).is_err(), "an empty tag");
        assert!(split(&Bytes::from_static(b"\x01\x02\x01a\x00\x00")).is_err(), "an unknown target");
    }

    #[test]
    fn messages_of_every_size_are_held_as_they_came() {
        for size in
            [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 255, 256, COPY_BELOW - 1, COPY_BELOW, 3 * COPY_BELOW]
        {
            let text = "x".repeat(size);
            let body = written(|body| {
                body.extend_from_slice(text.as_bytes());
                Ok(())
            });
            let held = Held::of(body.as_ref().unwrap(), body.as_ref().unwrap());
            assert_eq!((&held[..], held.bytes()), (text.as_bytes(), i64::try_from(size).unwrap()));
        }
    }
}
