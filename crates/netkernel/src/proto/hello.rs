//! What the two ends tell each other about themselves, inside the handshake's authenticated messages.
//!
//! Bodies are postcard; a reader ignores bytes after the fields it knows, so later versions may append some.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

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

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain structs always encode")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().map(|(value, _)| value)
}
