//! A server that is not known to be here: how its node is reached, and what the node's answers mean.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use netkernel::{Net, NodeId, SendError, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{CallError, CastFailure, Stage};
use crate::message::{Request, Wire};
use crate::pid::Pid;
use crate::remote::body::{self, DecodeError, Target};
use crate::remote::refusal;
use crate::system::System;

/// A server by node and name or number.
pub(crate) struct Destination {
    pub(crate) system: System,
    pub(crate) node: NodeId,
    pub(crate) server: Server,
}

/// How a server is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// Whichever has the name when a message arrives.
    Name(ServerName),
    /// One instance.
    Instance(Pid),
    /// A name no server can have.
    Malformed(String),
}

/// How a message is written, taken where its type is known to be [`Wire`].
pub(crate) struct Writer<M> {
    pub(crate) tag: &'static str,
    pub(crate) version: u16,
    encode: fn(Target, &[Pid], &M) -> Result<Bytes, postcard::Error>,
}

/// How the reply to a message is read.
pub(crate) type Reader<M> = fn(&System, &[u8]) -> Result<<M as Request>::Reply, DecodeError>;

impl<M: Wire> Writer<M> {
    const OF_MESSAGE: &'static Self = &Self { tag: M::TAG, version: M::VERSION, encode: body::encode::<M> };

    pub(crate) fn new() -> &'static Self {
        Self::OF_MESSAGE
    }
}

pub(crate) fn reader<M: Request>() -> Reader<M>
where
    M::Reply: DeserializeOwned + Serialize,
{
    body::decode::<M::Reply>
}

/// A body ready to go, and the name it goes to.
pub(crate) struct Outgoing<'a> {
    pub(crate) net: &'a Arc<dyn Net>,
    pub(crate) name: &'a ServerName,
    pub(crate) body: Bytes,
}

/// Why a message cannot go.
#[derive(Clone, Copy)]
pub(crate) enum Unsendable {
    NoProc,
    NotConnected,
    Encode,
}

impl Destination {
    pub(crate) fn prepare<M>(
        &self,
        writer: &Writer<M>,
        waiting: Option<&[Pid]>,
        message: &M,
    ) -> Result<Outgoing<'_>, Unsendable> {
        let (net, name, target) = self.way()?;
        let body =
            (writer.encode)(target, waiting.unwrap_or_default(), message).map_err(|_| Unsendable::Encode)?;
        Ok(Outgoing { net, name, body })
    }

    /// A body that was made for another node's server of the same name.
    pub(crate) fn reuse(&self, body: Result<&Bytes, &Unsendable>) -> Result<Outgoing<'_>, Unsendable> {
        let (net, name, _) = self.way()?;
        body.map(|body| Outgoing { net, name, body: body.clone() }).map_err(|why| *why)
    }

    fn way(&self) -> Result<(&Arc<dyn Net>, &ServerName, Target), Unsendable> {
        let (name, target) = match &self.server {
            Server::Name(name) => (name, Target::Named),
            Server::Instance(pid) => {
                let (incarnation, number) = (pid.incarnation(), pid.number());
                (self.system.direct(), Target::Number { incarnation, number })
            }
            Server::Malformed(_) => return Err(Unsendable::NoProc),
        };
        Ok((self.system.net().ok_or(Unsendable::NotConnected)?, name, target))
    }

    /// The server's name or number, for errors.
    pub(crate) fn label(&self) -> Cow<'_, str> {
        match &self.server {
            Server::Name(name) => Cow::Borrowed(name.as_str()),
            Server::Instance(pid) => Cow::Owned(pid.label()),
            Server::Malformed(name) => Cow::Borrowed(name),
        }
    }

    pub(crate) fn no_proc(&self) -> CallError {
        CallError::NoProc { node: self.node.clone(), name: self.label().into_owned() }
    }

    /// What a call ends with that could not go.
    pub(crate) fn unsendable<M>(&self, why: Unsendable, writer: &Writer<M>) -> CallError {
        match why {
            Unsendable::NoProc => self.no_proc(),
            Unsendable::NotConnected => CallError::NotConnected { node: self.node.clone() },
            Unsendable::Encode => CallError::Encode { tag: writer.tag.to_owned(), version: writer.version },
        }
    }

    /// What a call ends with that the network ended.
    pub(crate) fn call_error(&self, error: netkernel::CallError) -> CallError {
        use netkernel::CallError as Net;
        let node = self.node.clone();
        match error {
            Net::Timeout { stage: netkernel::Stage::Queued } => CallError::Timeout { stage: Stage::Queued },
            Net::Timeout { stage: netkernel::Stage::Sent } => CallError::Timeout { stage: Stage::Sent },
            Net::NotConnected { .. } => CallError::NotConnected { node },
            Net::Busy { .. } => CallError::Overloaded,
            Net::TooLarge { bytes, max } => CallError::TooLarge { bytes, max },
            Net::Refused(refusal) => refusal::error(refusal, &node, &self.label()),
            Net::ShuttingDown => CallError::Draining,
            // Whatever else a later kernel says: the link is what is known to have failed.
            _ => CallError::LinkDown { node },
        }
    }

    /// Why a cast did not go.
    pub(crate) fn cast_failure<M>(&self, why: Unsendable, writer: &Writer<M>) -> CastFailure {
        let node = self.node.clone();
        match why {
            Unsendable::NoProc => CastFailure::NoProc { node, name: self.label().into_owned() },
            Unsendable::NotConnected => CastFailure::NotConnected { node },
            Unsendable::Encode => CastFailure::Encode { tag: writer.tag, version: writer.version },
        }
    }

    /// Why the network took no cast.
    pub(crate) fn send_failure<M>(&self, error: SendError, writer: &Writer<M>) -> CastFailure {
        let node = self.node.clone();
        match error {
            SendError::Busy { .. } => CastFailure::Busy,
            SendError::TooLarge { bytes, max, .. } => CastFailure::TooLarge { bytes, max },
            SendError::ShuttingDown { .. } => CastFailure::Draining,
            SendError::Refused { refusal, .. } => match refusal::error(refusal, &node, &self.label()) {
                CallError::Overloaded => CastFailure::Busy,
                CallError::Draining => CastFailure::Draining,
                CallError::NoProc { node, name } => CastFailure::NoProc { node, name },
                CallError::Exited { exit, .. } => CastFailure::Exited { exit },
                _ => CastFailure::Unsupported { tag: writer.tag, version: writer.version },
            },
            _ => CastFailure::NotConnected { node },
        }
    }
}
