//! What can go wrong with a message, and what each failure says about whether it was carried out.

use std::{fmt, io};

use bytes::Bytes;
use thiserror::Error;

use crate::node::{Address, Incarnation, NodeId};

/// Why a cast was not accepted. The message was not sent, and is handed back; `Debug` shows its size alone.
#[derive(Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue towards the node is at its limit, or the server is full, where it is one of this node; try again, or
    /// use the waiting `cast`.
    #[error("the queue to `{node}` is full")]
    Busy {
        /// Where the message was to go.
        node: NodeId,
        /// The message.
        body: Bytes,
    },
    /// The node is neither connected nor being connected to.
    #[error("no connection to `{node}`, and none was asked for")]
    NotConnected {
        /// Where the message was to go.
        node: NodeId,
        /// The message.
        body: Bytes,
    },
    /// The message is over the limit for one message.
    #[error("a message of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit: the lower of the two nodes' [`message_bytes_max`](crate::Builder::message_bytes_max).
        max: usize,
        /// The message.
        body: Bytes,
    },
    /// The server on this very node did not take the message.
    #[error("refused on this node: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The message.
        body: Bytes,
    },
    /// This kernel is shutting down.
    #[error("this node is shutting down")]
    ShuttingDown {
        /// The message.
        body: Bytes,
    },
}

impl SendError {
    /// The message, as it was given.
    #[must_use]
    pub fn into_body(self) -> Bytes {
        match self {
            Self::Busy { body, .. }
            | Self::NotConnected { body, .. }
            | Self::TooLarge { body, .. }
            | Self::Refused { body, .. }
            | Self::ShuttingDown { body } => body,
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { node, body } => with_size(formatter, "Busy", body).field("node", node).finish(),
            Self::NotConnected { node, body } => {
                with_size(formatter, "NotConnected", body).field("node", node).finish()
            }
            Self::TooLarge { max, body, .. } => {
                with_size(formatter, "TooLarge", body).field("max", max).finish()
            }
            Self::Refused { refusal, body } => {
                with_size(formatter, "Refused", body).field("refusal", refusal).finish()
            }
            Self::ShuttingDown { body } => with_size(formatter, "ShuttingDown", body).finish(),
        }
    }
}

fn with_size<'a, 'b>(
    formatter: &'a mut fmt::Formatter<'b>,
    name: &str,
    body: &Bytes,
) -> fmt::DebugStruct<'a, 'b> {
    let mut shown = formatter.debug_struct(name);
    shown.field("bytes", &body.len());
    shown
}

/// How a call ended, other than with a reply.
///
/// It does not hand the request back, for most of these are found only when that has been given to a session: who may want
/// to send it again keeps a clone, which shares its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The deadline passed. A late reply is dropped.
    #[error("no reply before the deadline ({stage})")]
    Timeout {
        /// How far the call had come.
        stage: Stage,
    },
    /// The session ended after the call was written to it: the peer may or may not have executed it.
    #[error("the link went down while the call was under way")]
    LinkDown,
    /// The node is neither connected nor being connected to.
    #[error("no connection to `{node}`, and none was asked for")]
    NotConnected {
        /// Where the call was to go.
        node: NodeId,
    },
    /// The queue towards the node is at its limit.
    #[error("the queue to `{node}` is full")]
    Busy {
        /// Where the call was to go.
        node: NodeId,
    },
    /// The request is over the limit for one message.
    #[error("a message of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit: the lower of the two nodes' [`message_bytes_max`](crate::Builder::message_bytes_max).
        max: usize,
    },
    /// The peer answered that it will not, or could not, reply.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This kernel is shutting down; nothing was sent.
    #[error("this node is shutting down")]
    ShuttingDown,
}

impl CallError {
    /// Whether the peer may have carried out the call.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::Timeout { stage: Stage::Sent } | Self::LinkDown => Executed::Maybe,
            Self::Refused(refusal) => refusal.executed(),
            Self::Timeout { stage: Stage::Queued }
            | Self::NotConnected { .. }
            | Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::ShuttingDown => Executed::No,
        }
    }
}

/// Whether a failed call was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Executed {
    /// It was not, so it may be sent again.
    No,
    /// It is not known: send again only what may safely happen twice.
    Maybe,
    /// It was.
    Yes,
}

/// How far a call had come when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Not a byte of it had been written.
    Queued,
    /// It had been written to the session, in part or whole.
    Sent,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Queued => "it was still queued",
            Self::Sent => "it had been sent",
        })
    }
}

/// Why the receiving end of a message did not take it, or did not answer it. `Debug` shows the size alone of what a layer says.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No server has that name there.
    #[error("no server of that name on the node")]
    NoProc,
    /// The server's mailbox is full.
    #[error("the server's mailbox is full")]
    Overloaded,
    /// The server dropped the call without a reply.
    #[error("the server did not reply")]
    NoReply,
    /// Sender and receiver are not of one ring.
    #[error("the node is of another ring")]
    ForeignRing,
    /// The node or server is stopping.
    #[error("the node is draining")]
    Draining,
    /// The peer's role does not allow this message.
    #[error("not allowed for this role")]
    NotAllowed,
    /// A code of the layer above, which alone knows its meaning.
    #[error("refused with code {code}")]
    Layer {
        /// The layer's code.
        code: u8,
        /// Whether the message was carried out.
        executed: Executed,
        /// What the layer says of it, in its own encoding.
        detail: Bytes,
    },
}

impl fmt::Debug for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NoProc => "NoProc",
            Self::Overloaded => "Overloaded",
            Self::NoReply => "NoReply",
            Self::ForeignRing => "ForeignRing",
            Self::Draining => "Draining",
            Self::NotAllowed => "NotAllowed",
            Self::Layer { code, executed, detail } => {
                let mut shown = with_size(formatter, "Layer", detail);
                return shown.field("code", code).field("executed", executed).finish();
            }
        };
        formatter.write_str(name)
    }
}

impl Refusal {
    /// Whether the message was carried out.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::NoReply => Executed::Maybe,
            Self::Layer { executed, .. } => *executed,
            _ => Executed::No,
        }
    }
}

/// Why a session could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answered at the address.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The address tried.
        address: Address,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something answered, but the handshake failed.
    #[error("handshake with {address} failed")]
    Handshake {
        /// The address tried.
        address: Address,
        /// What went wrong.
        source: HandshakeError,
    },
    /// Another node than the one asked for answers at the address.
    #[error("{address} is `{found}`, not `{expected}`")]
    WrongNode {
        /// The address tried.
        address: Address,
        /// The node asked for.
        expected: NodeId,
        /// The node that answered.
        found: NodeId,
    },
    /// The address is this node's own.
    #[error("{address} is this node itself")]
    Myself {
        /// The address tried.
        address: Address,
    },
    /// The deadline passed.
    #[error("no session with {address} before the deadline")]
    Timeout {
        /// The address tried.
        address: Address,
    },
    /// This kernel is shutting down.
    #[error("this node is shutting down")]
    ShuttingDown,
}

/// Why a handshake failed. No state changed on either side.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer closed the connection in mid-handshake without a word: it does not speak this protocol, or has too
    /// many connections to look at. One whose cookie differs says so, see
    /// [`Authentication`](HandshakeError::Authentication).
    #[error("the peer closed the connection during the handshake without an answer")]
    Closed,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The first bytes are not of this protocol.
    #[error("the peer does not speak this protocol")]
    NotClusterluck,
    /// The peer is of a release that speaks another version of the protocol; none is negotiated down.
    #[error("version mismatch: the peer speaks version {version} of the protocol, this node version {ours}")]
    Version {
        /// The peer's protocol version.
        version: u8,
        /// This node's.
        ours: u8,
    },
    /// The peer speaks this protocol with another security; none is negotiated down.
    #[error("the peer's security has mode {theirs}, this node's {ours} (0 none, 1 cookie)")]
    Mode {
        /// The peer's security mode.
        theirs: u8,
        /// This node's.
        ours: u8,
    },
    /// The first or second message does not open: the cookies differ, or it was changed on its way.
    #[error("authentication failed: the cookies differ")]
    Authentication,
    /// The cookies agree, but a record after the first two messages was damaged or changed on its way.
    #[error("a record of the handshake was damaged or forged")]
    Damaged,
    /// A message is longer than the protocol allows, or cannot be decoded.
    #[error("the peer sent a malformed handshake")]
    Malformed,
    /// It took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// Two live nodes use one id: the peer keeps the one that already answers.
    #[error("another live node has this id (incarnation {incarnation})")]
    DuplicateNode {
        /// The incumbent's incarnation.
        incarnation: Incarnation,
    },
    /// The peer is this node.
    #[error("the peer is this node itself")]
    Myself,
    /// The peer is shutting down or takes no more sessions.
    #[error("the peer takes no new sessions now")]
    Unavailable,
    /// The dialer's first message came before: it was recorded and played again.
    #[error("a first message was played again")]
    Replayed,
}
