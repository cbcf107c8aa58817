//! Bodies of messages between nodes.

use bytes::Bytes;
use netkernel::Incarnation;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::chain::{Chain, LINKS_MAX};
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
    chain: Option<&Chain>,
    message: &M,
) -> Result<Bytes, postcard::Error> {
    let mut body = Vec::with_capacity(CAPACITY);
    body.push(LAYOUT);
    match target {
        Target::Named => body.push(NAMED),
        Target::Number { incarnation, number } => {
            body.push(NUMBER);
            body = postcard::to_extend(&(incarnation, number), body)?;
        }
    }
    body = postcard::to_extend(&(M::TAG, M::VERSION), body)?;
    let links = chain.map_or(&[][..], Chain::links);
    body.push(u8::try_from(links.len()).expect("a chain has at most 32 links"));
    for link in links {
        body = postcard::to_extend(link, body)?;
    }
    postcard::to_extend(message, body).map(Bytes::from)
}

/// Splits a body into its header and the message.
pub(crate) fn split(body: &Bytes) -> Result<(Header<'_>, Bytes), HeaderError> {
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
    Ok((Header { target, tag, version, chain }, keep(body, rest)))
}

fn take<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), HeaderError> {
    postcard::take_from_bytes(bytes).map_err(|_| HeaderError::Malformed)
}

/// A small message is copied, so that it does not keep the whole record it came in; a large one is shared.
fn keep(body: &Bytes, message: &[u8]) -> Bytes {
    if message.len() < COPY_BELOW { Bytes::copy_from_slice(message) } else { body.slice_ref(message) }
}

/// What a message that waits in a mailbox counts for.
pub(crate) fn held(body: &Bytes) -> i64 {
    i64::try_from(body.len()).unwrap_or(i64::MAX)
}

pub(crate) fn encode_reply<R: Serialize>(reply: &R) -> Result<Bytes, postcard::Error> {
    postcard::to_extend(reply, Vec::new()).map(Bytes::from)
}

/// Reads a whole message or reply. Addresses in it belong to `system`.
pub(crate) fn decode<T: DeserializeOwned>(system: &System, body: &Bytes) -> Result<T, DecodeError> {
    let (value, rest) = system.scope(|| postcard::take_from_bytes(body))?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::Surplus(rest.len())) }
}

const LAYOUT: u8 = 1;
const NAMED: u8 = 0;
const NUMBER: u8 = 1;
/// Header and message of most calls.
const CAPACITY: usize = 64;
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
        let plain = encode(Target::Named, None, &Add(5)).unwrap();
        assert_eq!(&plain[..], b"\x01\x00\x03add\x02\x00\x05");
        let number = Target::Number { incarnation: Incarnation(300), number: 7 };
        let chained = encode(number, Some(&Chain::new(vec![pid(9)])), &Add(5)).unwrap();
        assert_eq!(&chained[..], b"\x01\x01\xac\x02\x07\x03add\x02\x01\x01a\x01\x09\x00\x05");
        let (header, message) = split(&chained).unwrap();
        assert_eq!(header, Header { target: number, tag: "add", version: 2, chain: vec![pid(9)] });
        assert_eq!(&message[..], b"\x05");
    }

    #[test]
    fn a_cut_or_foreign_header_is_an_error() {
        let whole = encode(Target::Named, Some(&Chain::new(vec![pid(9), pid(10)])), &Add(5)).unwrap();
        for end in 0..whole.len() - 1 {
            assert_eq!(split(&whole.slice(..end)), Err(HeaderError::Malformed), "cut at {end}");
        }
        let mut other = whole.to_vec();
        other[0] = 2;
        assert_eq!(split(&other.into()), Err(HeaderError::Layout));
        assert!(split(&Bytes::from_static(b"\x01\x00\x01a\x00\x21")).is_err(), "33 links");
        assert!(split(&Bytes::from_static(b"\x01\x00\x00\x00\x00")).is_err(), "an empty tag");
        assert!(split(&Bytes::from_static(b"\x01\x02\x01a\x00\x00")).is_err(), "an unknown target");
    }
}
