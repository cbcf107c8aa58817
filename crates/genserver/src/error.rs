//! What can go wrong with a call, a cast and a start, and what each failure says of the message.

use std::fmt;

use netkernel::{Executed, Incarnation, NameError, NodeId};
use thiserror::Error;

use crate::chain::Path;
use crate::exit::Exit;
use crate::server::InitError;

/// How a call ended, other than with a reply.
///
/// [`executed`](Self::executed) says whether the server may have done what was asked, which is all that matters
/// for the decision to ask again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The deadline passed. A late reply is dropped. Ask again if `executed` says `No`, or if doing it twice is
    /// harmless.
    #[error("no reply before the deadline: {stage}")]
    Timeout {
        /// How far the call had come.
        stage: Stage,
    },
    /// No server has that name (or, of an address to one instance, that instance has ended). Start it, or look
    /// for the name.
    #[error("no server `{name}` on node `{node}`")]
    NoProc {
        /// Where it was looked for.
        node: NodeId,
        /// The server's name or number.
        name: String,
    },
    /// The link to the node was lost after the call had been sent. Ask again only what may happen twice.
    #[error("the link to node `{node}` went down while the call was under way")]
    LinkDown {
        /// The node.
        node: NodeId,
    },
    /// The address is one server of a run of the node that is over.
    #[error("the run {incarnation} of node `{node}` is over, and the server with it")]
    NodeDown {
        /// The node.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// There is no link to the node, and none is being made.
    #[error("no connection to node `{node}`")]
    NotConnected {
        /// The node.
        node: NodeId,
    },
    /// The server's mailbox, or the queue towards its node, is full. Ask again later, and less.
    #[error("the server is overloaded: its mailbox or the queue towards it is full")]
    Overloaded,
    /// The request is over the network's limit for one message.
    #[error("a message of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The request cannot be written: its `Serialize` failed.
    #[error("the request `{tag}` version {version} cannot be encoded")]
    Encode {
        /// The message's tag.
        tag: String,
        /// The message's version.
        version: u16,
    },
    /// The server could not read the request: its type has changed without a new version.
    #[error("the server could not decode `{tag}` version {version}: the two nodes disagree about its shape")]
    Decode {
        /// The message's tag.
        tag: String,
        /// The message's version.
        version: u16,
    },
    /// The request was carried out, but its reply did not survive the way back: it could not be written, or not be
    /// read here.
    #[error("`{tag}` version {version} was carried out, but its reply cannot be read")]
    Reply {
        /// The message's tag.
        tag: String,
        /// The message's version.
        version: u16,
    },
    /// The server takes no such message from other nodes: it has no route for it.
    #[error("the server does not take `{tag}` version {version}: it has no route for it")]
    Unsupported {
        /// The message's tag.
        tag: String,
        /// The message's version.
        version: u16,
    },
    /// The handler let go of its `ReplyTo` without an answer.
    #[error("the server dropped the call without a reply")]
    NoReply,
    /// The server ended before it answered.
    #[error("the server ended before it answered: {exit}")]
    Exited {
        /// How it ended.
        exit: Exit,
        /// How far the call had come.
        stage: Stage,
    },
    /// The server or its node is shutting down and takes nothing new.
    #[error("the server is shutting down and takes nothing new")]
    Draining,
    /// Another node owns the key.
    #[error("node `{owner}` owns the key now")]
    NotOwner {
        /// The owner.
        owner: NodeId,
    },
    /// The call would wait for a server that waits for this very call.
    #[error("the call would wait for itself: {0}")]
    Cycle(Path),
    /// The node takes no such message from this one: it is of another ring, or this one's role forbids it.
    #[error("node `{node}` takes no messages from this node")]
    Refused {
        /// The node.
        node: NodeId,
    },
}

impl CallError {
    /// Whether the server may have carried out what was asked.
    #[must_use]
    pub fn executed(&self) -> Executed {
        match self {
            Self::Timeout { stage } | Self::Exited { stage, .. } => stage.executed(),
            Self::LinkDown { .. } | Self::NoReply => Executed::Maybe,
            Self::Reply { .. } => Executed::Yes,
            Self::NoProc { .. }
            | Self::NodeDown { .. }
            | Self::NotConnected { .. }
            | Self::Overloaded
            | Self::TooLarge { .. }
            | Self::Encode { .. }
            | Self::Decode { .. }
            | Self::Unsupported { .. }
            | Self::Draining
            | Self::NotOwner { .. }
            | Self::Cycle(_)
            | Self::Refused { .. } => Executed::No,
        }
    }
}

/// How far a call had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It still waited: its handler had not begun, and never will.
    Queued,
    /// It was on its way to another node; nobody knows how far it came.
    Sent,
    /// Its handler had begun.
    Handling,
}

impl Stage {
    fn executed(self) -> Executed {
        match self {
            Self::Queued => Executed::No,
            Self::Sent | Self::Handling => Executed::Maybe,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Queued => "it still waited, and was not carried out",
            Self::Sent => "it had been sent, and may have been carried out",
            Self::Handling => "its handler had begun",
        })
    }
}

/// A cast that was not accepted: why, and the message itself.
pub struct CastError<M> {
    reason: CastFailure,
    message: M,
}

impl<M> CastError<M> {
    pub(crate) fn new(reason: CastFailure, message: M) -> Self {
        Self { reason, message }
    }

    /// Why.
    pub fn reason(&self) -> &CastFailure {
        &self.reason
    }

    /// The message, as it was given.
    pub fn into_message(self) -> M {
        self.message
    }
}

impl<M> fmt::Debug for CastError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CastError").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for CastError<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, formatter)
    }
}

impl<M> std::error::Error for CastError<M> {}

/// Why a cast was not accepted. In every case nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CastFailure {
    /// The server's mailbox, or the queue towards its node, stayed full.
    #[error("the server's mailbox or the queue towards it is full")]
    Busy,
    /// No server has that name on this node.
    #[error("no server `{name}` on node `{node}`")]
    NoProc {
        /// Where it was looked for.
        node: NodeId,
        /// The server's name or number.
        name: String,
    },
    /// There is no link to the node, and none is being made.
    #[error("no connection to node `{node}`")]
    NotConnected {
        /// The node.
        node: NodeId,
    },
    /// The message is over the network's limit for one message.
    #[error("a message of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The message cannot be written: its `Serialize` failed.
    #[error("the message `{tag}` version {version} cannot be encoded")]
    Encode {
        /// The message's tag.
        tag: &'static str,
        /// The message's version.
        version: u16,
    },
    /// The server has no route for the message.
    #[error("the server does not take `{tag}` version {version}: it has no route for it")]
    Unsupported {
        /// The message's tag.
        tag: &'static str,
        /// The message's version.
        version: u16,
    },
    /// The server has ended.
    #[error("the server has ended: {exit}")]
    Exited {
        /// How.
        exit: Exit,
    },
    /// The server or this node is shutting down and takes nothing new.
    #[error("the server is shutting down and takes nothing new")]
    Draining,
}

/// Why a server could not be started. Nothing of it is left.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its name is malformed.
    #[error("`{name}` cannot name a server")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// Its name starts with `#`, as those of the crate's own do.
    #[error("`{name}` cannot name a server: names that start with `#` are reserved")]
    Reserved {
        /// The name.
        name: String,
    },
    /// A server of that name runs on this node.
    #[error("a server is already registered as `{name}`")]
    AlreadyRegistered {
        /// The name.
        name: String,
    },
    /// Its `routes` name two messages alike, or one by a tag that is empty or over 64 bytes.
    #[error("the route `{tag}` version {version} is malformed or given twice")]
    Route {
        /// The tag.
        tag: &'static str,
        /// The version.
        version: u16,
    },
    /// Its `init` returned an error.
    #[error("the server's init failed")]
    Init {
        /// The error.
        source: InitError,
    },
    /// It ended while it started: its `init` panicked, or it was stopped.
    #[error("the server ended while it started: {exit}")]
    Exited {
        /// How.
        exit: Exit,
    },
    /// Its `init` took longer than the configuration allows; it was ended.
    #[error("the server's init did not finish in time")]
    Timeout,
    /// The system is shutting down.
    #[error("the system is shutting down")]
    ShuttingDown,
}
