//! What the two ends tell each other about themselves, inside the handshake's authenticated messages.
//!
//! Bodies are postcard; a reader ignores bytes after the fields it knows, so later versions may append some.

use std::fmt;

use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::node::{Incarnation, Node, Role};

/// What tells one session of a pair from all others; drawn at random by the accepting end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SessionId(pub(crate) u64);

/// One end's description of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) node: Node,
    pub(crate) role: Role,
    /// Random, one for each kernel: tells a node that reached itself from one that has a namesake.
    pub(crate) instance: u64,
    /// How many connections the kernel had dialed: of two by one dialer, the higher is the later one.
    pub(crate) connection: u64,
    /// Bits for optional abilities; none is defined yet.
    pub(crate) features: u64,
    pub(crate) receives: Receives,
}

/// What one end takes in; the other keeps to it, so that no session ends over limits that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receives {
    /// The bytes of one message.
    pub(crate) message_bytes: u64,
    /// The bytes of all messages in pieces that have begun and not ended, each counted whole.
    pub(crate) unfinished_bytes: u64,
    /// How many they may be.
    pub(crate) unfinished_messages: u64,
}

impl Receives {
    /// The largest message that can be sent: one that comes in pieces has to have room as an unfinished one.
    pub(crate) fn message_bytes_max(&self) -> usize {
        usize::try_from(self.message_bytes.min(self.unfinished_bytes)).unwrap_or(usize::MAX)
    }
}

/// The acceptor's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) hello: Hello,
    pub(crate) session: SessionId,
}

/// The first sealed record of the acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The session is installed: the dialer may send.
    Ready {
        /// Sessions of the pair that broke at the acceptor, for the dialer to give up too.
        #[serde(deserialize_with = "few")]
        lost: Vec<SessionId>,
    },
    /// The id already belongs to another live node of this incarnation.
    Duplicate(Incarnation),
    /// The dialer reached itself.
    Myself,
    /// The acceptor is shutting down.
    Unavailable,
}

/// Why a session's sender stops: the body of a GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Goaway {
    /// Another session of the pair goes on.
    Superseded,
    /// The node has no more use for the link.
    Closing,
}

/// The first sealed record of the dialer: proof that it holds the session's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finish {
    word: [u8; 6],
    /// Sessions of the pair that broke at the dialer, for the acceptor to give up too.
    #[serde(deserialize_with = "few")]
    pub(crate) lost: Vec<SessionId>,
}

impl Finish {
    pub(crate) fn new(lost: Vec<SessionId>) -> Self {
        Self { word: *b"FINISH", lost }
    }

    pub(crate) fn is_genuine(&self) -> bool {
        self.word == *b"FINISH"
    }
}

/// At most [`LOST_MAX`] sessions: a longer list is refused before it takes room.
fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SessionId>, D::Error> {
    struct Few;

    impl<'de> Visitor<'de> for Few {
        type Value = Vec<SessionId>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "at most {LOST_MAX} sessions")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut sessions = Vec::new();
            while let Some(session) = list.next_element()? {
                if sessions.len() == LOST_MAX {
                    return Err(A::Error::custom("too many sessions"));
                }
                sessions.push(session);
            }
            Ok(sessions)
        }
    }

    deserializer.deserialize_seq(Few)
}

/// Broken sessions that one end tells the other of: the last, which are those that may still seem alive there.
pub(crate) const LOST_MAX: usize = 8;

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain structs always encode")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_broken_sessions_are_taken_in_than_are_told() {
        for count in [0, 1, LOST_MAX] {
            let finish = Finish::new(vec![SessionId(u64::MAX); count]);
            assert_eq!(decode(&encode(&finish)), Some(finish));
            let ready = Answer::Ready { lost: vec![SessionId(7); count] };
            assert_eq!(decode(&encode(&ready)), Some(ready));
        }
        for count in [LOST_MAX + 1, 60_000] {
            assert_eq!(decode::<Finish>(&encode(&Finish::new(vec![SessionId(1); count]))), None);
            assert_eq!(decode::<Answer>(&encode(&Answer::Ready { lost: vec![SessionId(1); count] })), None);
        }
    }
}
