//! Puts messages that came in several frames together again.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

/// A message whose parts are still arriving, with what is needed to deliver it.
#[derive(Debug)]
struct Partial<T> {
    about: T,
    total_bytes: usize,
    body: Vec<u8>,
}

/// The messages of one peer that are still arriving. Memory grows with the bytes received, not with the length
/// a frame claims.
#[derive(Debug)]
pub(crate) struct Reassembly<T> {
    partial: BTreeMap<PartialKey, Partial<T>>,
    bytes: usize,
    message_bytes_max: usize,
    bytes_max: usize,
}

/// What tells apart messages that arrive side by side: requests and casts are numbered by the sender, replies by
/// the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartialKey {
    pub(crate) reply: bool,
    pub(crate) id: u64,
}

/// Why a part was refused. The session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ReassemblyError {
    #[error("a message over the limit")]
    TooLarge,
    #[error("too many bytes of unfinished messages")]
    TooMuch,
    #[error("a message that began twice")]
    Duplicate,
    #[error("a message that is not as long as it said")]
    Length,
}

impl<T> Partial<T> {
    /// Makes room for a part: twice what is there, but no more than the message takes, so that nothing is wasted
    /// while it waits in a mailbox.
    fn reserve(&mut self, bytes: usize) {
        let (held, wanted) = (self.body.len(), self.body.len() + bytes);
        if self.body.capacity() < wanted {
            self.body.reserve_exact((2 * wanted).min(self.total_bytes).max(wanted) - held);
        }
    }
}

impl<T> Reassembly<T> {
    pub(crate) fn new(message_bytes_max: usize, bytes_max: usize) -> Self {
        Self { partial: BTreeMap::new(), bytes: 0, message_bytes_max, bytes_max }
    }

    /// The first part of a message that has more.
    pub(crate) fn begin(
        &mut self,
        key: PartialKey,
        about: T,
        total_bytes: u64,
        first: &[u8],
    ) -> Result<(), ReassemblyError> {
        let total_bytes = usize::try_from(total_bytes).map_err(|_| ReassemblyError::TooLarge)?;
        if total_bytes > self.message_bytes_max {
            return Err(ReassemblyError::TooLarge);
        }
        if self.partial.contains_key(&key) {
            return Err(ReassemblyError::Duplicate);
        }
        if self.partial.len() == MESSAGES_MAX {
            return Err(ReassemblyError::TooMuch);
        }
        self.partial.insert(key, Partial { about, total_bytes, body: Vec::new() });
        self.extend(key, first)
    }

    /// A further part; the whole message once it is complete. Parts of a message that is not known are passed
    /// over: its beginning was lost with an earlier session. So is a message that lost a part in the middle.
    pub(crate) fn proceed(
        &mut self,
        key: PartialKey,
        part: &[u8],
        last: bool,
    ) -> Result<Option<(T, Bytes)>, ReassemblyError> {
        if !self.partial.contains_key(&key) {
            return Ok(None);
        }
        self.extend(key, part)?;
        if !last {
            return Ok(None);
        }
        let Some(partial) = self.partial.remove(&key) else { return Ok(None) };
        self.bytes -= partial.body.len();
        let whole = partial.body.len() == partial.total_bytes;
        Ok(whole.then(|| (partial.about, Bytes::from(partial.body))))
    }

    /// The rest of a message will not come.
    pub(crate) fn forget(&mut self, key: PartialKey) {
        if let Some(partial) = self.partial.remove(&key) {
            self.bytes -= partial.body.len();
        }
    }

    /// Forgets what has begun: its link is lost, so the rest will not come.
    pub(crate) fn clear(&mut self) {
        self.partial.clear();
        self.bytes = 0;
    }

    /// Bytes of unfinished messages.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn held_bytes(&self) -> usize {
        debug_assert_eq!(self.bytes, self.partial.values().map(|partial| partial.body.len()).sum::<usize>());
        self.bytes
    }

    fn extend(&mut self, key: PartialKey, part: &[u8]) -> Result<(), ReassemblyError> {
        let Some(partial) = self.partial.get_mut(&key) else { return Ok(()) };
        if partial.body.len() + part.len() > partial.total_bytes {
            return Err(ReassemblyError::Length);
        }
        if self.bytes + part.len() > self.bytes_max {
            return Err(ReassemblyError::TooMuch);
        }
        partial.reserve(part.len());
        partial.body.extend_from_slice(part);
        self.bytes += part.len();
        Ok(())
    }
}

/// Unfinished messages of one peer, which it is told of: more is an attempt to waste memory.
pub(crate) const MESSAGES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PartialKey = PartialKey { reply: false, id: 1 };

    fn reassembly() -> Reassembly<&'static str> {
        Reassembly::new(10, 16)
    }

    #[test]
    fn parts_become_the_message() {
        let mut parts = reassembly();
        parts.begin(KEY, "about", 5, b"he").unwrap();
        assert_eq!(parts.proceed(KEY, b"ll", false).unwrap(), None);
        let (about, body) = parts.proceed(KEY, b"o", true).unwrap().unwrap();
        assert_eq!((about, &body[..]), ("about", &b"hello"[..]));
        assert_eq!(parts.bytes, 0);
    }

    #[test]
    fn a_reply_and_a_request_of_one_number_do_not_mix() {
        let mut parts = reassembly();
        let reply = PartialKey { reply: true, ..KEY };
        parts.begin(KEY, "request", 2, b"a").unwrap();
        parts.begin(reply, "reply", 2, b"x").unwrap();
        assert_eq!(&parts.proceed(reply, b"y", true).unwrap().unwrap().1[..], b"xy");
        assert_eq!(&parts.proceed(KEY, b"b", true).unwrap().unwrap().1[..], b"ab");
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        assert_eq!(reassembly().begin(KEY, "", 11, b""), Err(ReassemblyError::TooLarge));
        assert_eq!(reassembly().begin(KEY, "", u64::MAX, b""), Err(ReassemblyError::TooLarge));
        assert_eq!(reassembly().begin(KEY, "", 1, b"ab"), Err(ReassemblyError::Length));
        let mut parts = reassembly();
        parts.begin(KEY, "", 5, b"a").unwrap();
        assert_eq!(parts.begin(KEY, "", 5, b"a"), Err(ReassemblyError::Duplicate));
        assert_eq!(parts.proceed(KEY, b"bcdef", false), Err(ReassemblyError::Length));
    }

    #[test]
    fn a_message_that_lost_a_part_is_dropped() {
        let mut parts = reassembly();
        parts.begin(KEY, "", 5, b"a").unwrap();
        assert_eq!(parts.proceed(KEY, b"b", true), Ok(None));
        assert_eq!(parts.proceed(KEY, b"b", true), Ok(None));
        parts.begin(KEY, "", 5, b"a").unwrap();
        parts.forget(KEY);
        assert_eq!(parts.bytes, 0);
        assert_eq!(parts.proceed(KEY, b"bcde", true), Ok(None));
    }

    #[test]
    fn unfinished_bytes_are_bounded() {
        let mut parts = reassembly();
        parts.begin(KEY, "", 10, &[0; 9]).unwrap();
        let other = PartialKey { id: 2, ..KEY };
        assert_eq!(parts.begin(other, "", 10, &[0; 8]), Err(ReassemblyError::TooMuch));
        parts.clear();
        assert_eq!(parts.bytes, 0);
    }
}
