//! Frames: what a record carries.
//!
//! ```text
//! frame = len varint | kind u8 | flags u8 | id varint | [head when FIRST] | body
//! head  = dst varint | src varint | ttl varint | total varint | ext len varint | ext
//! ```
//!
//! `len` counts what follows it. `dst` and `src` are names interned by earlier DEFINE frames (0: none), `ttl` is
//! the time left to a call in milliseconds, `total` the length of the whole message's body in bytes. The first
//! frame of a message carries FIRST and a head, its last carries LAST; a message that fits one frame carries both.
//! The frames between are CHUNKs of the same id. Kinds from 0x40 up are skipped by a receiver that does not know
//! them; an unknown kind below closes the session.

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use super::varint;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message that wants no reply.
    Cast = 0x01,
    /// A request; its id is the call's.
    Call = 0x02,
    /// The answer to the call of this id.
    Reply = 0x03,
    /// A further part of the message of this id.
    Chunk = 0x04,
    /// The caller of this id no longer waits.
    Cancel = 0x05,
    /// Casts that a server here has taken: the sender may send as many more (see `proto::credit`).
    Credit = 0x06,
    /// "Are you there?", answered with PONG of the same id.
    Ping = 0x07,
    /// The answer to a PING.
    Pong = 0x08,
    /// From now on, `id` stands for the server name in the body.
    Define = 0x09,
    /// The last frame of a session's direction; the body says why.
    Goaway = 0x0a,
    /// The rest of the message of this id will not come.
    Reset = 0x0b,
    /// The first frame of a session's direction: what follows comes after everything on the sessions its body
    /// names (see `proto::mark`).
    Mark = 0x0c,
}

impl Kind {
    fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Cast,
            0x02 => Self::Call,
            0x03 => Self::Reply,
            0x04 => Self::Chunk,
            0x05 => Self::Cancel,
            0x06 => Self::Credit,
            0x07 => Self::Ping,
            0x08 => Self::Pong,
            0x09 => Self::Define,
            0x0a => Self::Goaway,
            0x0b => Self::Reset,
            0x0c => Self::Mark,
            _ => return None,
        })
    }
}

/// Flags of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// The first frame of a message: a head follows the id.
    pub(crate) const FIRST: Self = Self(0x01);
    /// The last frame of a message.
    pub(crate) const LAST: Self = Self(0x02);
    /// A reply whose body is a refusal.
    pub(crate) const REFUSED: Self = Self(0x04);
    /// A chunk or reset of a reply: its id was minted by the receiver, not by the sender.
    pub(crate) const REPLY: Self = Self(0x08);
    /// A message in one frame.
    pub(crate) const WHOLE: Self = Self(0x03);

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the first frame of a message says of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The interned name of the server the message is for; 0 in a reply.
    pub(crate) destination: u64,
    /// The time left to the call, in milliseconds; 0 in a cast or reply.
    pub(crate) ttl_ms: u64,
    /// The length of the message's body, in bytes.
    pub(crate) total_bytes: u64,
}

/// One frame. Its body shares the record's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) id: u64,
    pub(crate) head: Option<Head>,
    pub(crate) body: Bytes,
}

/// Why bytes are not frames. The session that carried them is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    #[error("a frame ends outside its record")]
    Truncated,
    #[error("a frame of the unknown kind {0:#04x}")]
    UnknownKind(u8),
}

/// Appends a frame.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: Kind, flags: Flags, id: u64, head: Option<&Head>, body: &[u8]) {
    debug_assert_eq!(head.is_some(), flags.contains(Flags::FIRST));
    let head_bytes = head.map_or(0, head_size);
    // Gathered first: seven appends to a vector take longer than one.
    let mut envelope = [0; OVERHEAD_BYTES_MAX];
    let mut room = &mut envelope[..];
    varint::put(&mut room, (2 + varint::size(id) + head_bytes + body.len()) as u64);
    room.put_u8(kind as u8);
    room.put_u8(flags.0);
    varint::put(&mut room, id);
    if let Some(head) = head {
        varint::put(&mut room, head.destination);
        varint::put(&mut room, SOURCE_NONE);
        varint::put(&mut room, head.ttl_ms);
        varint::put(&mut room, head.total_bytes);
        varint::put(&mut room, EXTENSION_NONE);
    }
    let left = room.len();
    buffer.put_slice(&envelope[..OVERHEAD_BYTES_MAX - left]);
    buffer.put_slice(body);
}

/// The most bytes a frame adds to its body.
pub(crate) const OVERHEAD_BYTES_MAX: usize = 7 * varint::BYTES_MAX + 2;

/// Takes the next frame off a record's plaintext; `None` at its end. Unknown kinds that may be skipped are.
pub(crate) fn take(record: &mut Bytes) -> Result<Option<Frame>, FrameError> {
    loop {
        if record.is_empty() {
            return Ok(None);
        }
        let mut rest = &record[..];
        let bytes = varint::take(&mut rest).ok_or(FrameError::Truncated)?;
        let bytes = usize::try_from(bytes).map_err(|_| FrameError::Truncated)?;
        let length_bytes = record.len() - rest.len();
        let Some([kind, flags, fields @ ..]) = rest.get(..bytes) else { return Err(FrameError::Truncated) };
        let flags = Flags(*flags);
        let Some(kind) = Kind::from_wire(*kind) else {
            if *kind >= SKIPPABLE_KINDS {
                record.advance(length_bytes + bytes);
                continue;
            }
            return Err(FrameError::UnknownKind(*kind));
        };
        let mut body = fields;
        let id = varint::take(&mut body).ok_or(FrameError::Truncated)?;
        let head = if flags.contains(Flags::FIRST) { Some(take_head(&mut body)?) } else { None };
        let body_bytes = body.len();
        record.advance(length_bytes + bytes - body_bytes);
        return Ok(Some(Frame { kind, flags, id, head, body: record.split_to(body_bytes) }));
    }
}

fn take_head(frame: &mut &[u8]) -> Result<Head, FrameError> {
    let mut field = || varint::take(frame).ok_or(FrameError::Truncated);
    let (destination, _source, ttl_ms, total_bytes) = (field()?, field()?, field()?, field()?);
    let extension_bytes = usize::try_from(field()?).map_err(|_| FrameError::Truncated)?;
    *frame = frame.get(extension_bytes..).ok_or(FrameError::Truncated)?;
    Ok(Head { destination, ttl_ms, total_bytes })
}

fn head_size(head: &Head) -> usize {
    varint::size(head.destination)
        + varint::size(SOURCE_NONE)
        + varint::size(head.ttl_ms)
        + varint::size(head.total_bytes)
        + varint::size(EXTENSION_NONE)
}

/// Senders do not name a source server yet; receivers skip the field.
const SOURCE_NONE: u64 = 0;
/// No extension is defined yet; receivers skip the area.
const EXTENSION_NONE: u64 = 0;
const SKIPPABLE_KINDS: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, flags: Flags, id: u64, head: Option<Head>, body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        put(&mut buffer, kind, flags, id, head.as_ref(), body);
        buffer
    }

    #[test]
    fn golden_bytes_of_a_call() {
        let head = Head { destination: 3, ttl_ms: 5_000, total_bytes: 2 };
        let bytes = encoded(Kind::Call, Flags::WHOLE, 300, Some(head), b"hi");
        assert_eq!(bytes, [12, 0x02, 0x03, 0xac, 0x02, 3, 0, 0x88, 0x27, 2, 0, b'h', b'i']);
    }

    #[test]
    fn golden_bytes_of_control_frames() {
        assert_eq!(encoded(Kind::Ping, Flags::default(), 7, None, b""), [3, 0x07, 0, 7]);
        assert_eq!(encoded(Kind::Pong, Flags::default(), 7, None, b""), [3, 0x08, 0, 7]);
        assert_eq!(encoded(Kind::Cancel, Flags::default(), 1, None, b""), [3, 0x05, 0, 1]);
        assert_eq!(encoded(Kind::Define, Flags::default(), 1, None, b"e"), [4, 0x09, 0, 1, b'e']);
        assert_eq!(encoded(Kind::Goaway, Flags::default(), 0, None, &[1]), [4, 0x0a, 0, 0, 1]);
        assert_eq!(encoded(Kind::Mark, Flags::default(), 9, None, b""), [3, 0x0c, 0, 9]);
    }

    #[test]
    fn frames_of_a_record_come_back_in_order() {
        let head = Head { destination: 1, ttl_ms: 0, total_bytes: 5 };
        let mut record = encoded(Kind::Cast, Flags::FIRST, 4, Some(head), b"abc");
        record.extend(encoded(Kind::Chunk, Flags::LAST, 4, None, b"de"));
        let mut record = Bytes::from(record);
        let first = take(&mut record).unwrap().unwrap();
        assert_eq!((first.kind, first.head, &first.body[..]), (Kind::Cast, Some(head), &b"abc"[..]));
        let second = take(&mut record).unwrap().unwrap();
        assert_eq!((second.kind, second.head, &second.body[..]), (Kind::Chunk, None, &b"de"[..]));
        assert_eq!(take(&mut record).unwrap(), None);
    }

    #[test]
    fn unknown_kinds_are_skipped_only_from_0x40_up() {
        let mut record = Bytes::from_static(&[3, 0x40, 0, 0, 3, 0x07, 0, 1]);
        assert_eq!(take(&mut record).unwrap().unwrap().kind, Kind::Ping);
        let mut record = Bytes::from_static(&[3, 0x3f, 0, 0]);
        assert_eq!(take(&mut record), Err(FrameError::UnknownKind(0x3f)));
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused_without_a_panic() {
        let head = Head { destination: 3, ttl_ms: 5_000, total_bytes: 2 };
        let whole = encoded(Kind::Call, Flags::WHOLE, 300, Some(head), b"");
        for cut in 1..whole.len() {
            let mut record = Bytes::copy_from_slice(&whole[..cut]);
            assert_eq!(take(&mut record), Err(FrameError::Truncated), "cut at {cut}");
        }
        let mut bomb = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x02]);
        assert_eq!(take(&mut bomb), Err(FrameError::Truncated));
    }
}
