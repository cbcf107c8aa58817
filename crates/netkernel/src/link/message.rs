//! Messages and control frames that wait to be sent.

use bytes::Bytes;
use tokio::time::Instant;

use super::calls::PendingCalls;
use crate::call::CallId;
use crate::error::Refusal;
use crate::node::ServerName;
use crate::proto::credit::{CAST_OVERHEAD_BYTES, Grant};
use crate::proto::frame::{Flags, Head, Kind};
use crate::proto::hello::SessionId;
use crate::proto::refusal;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Message {
    pub(super) subject: Subject,
    pub(crate) body: Bytes,
    /// Since when it has waited for a session; `None` while there is one.
    pub(super) waiting_since: Option<Instant>,
}

/// What a message is about.
#[derive(Debug)]
pub(super) enum Subject {
    Cast { server: ServerName },
    Call { id: CallId, server: ServerName, deadline: Instant },
    Reply { id: CallId, refused: bool },
}

/// A cast that was cut short: its server and its bytes.
pub(super) type Cut = (ServerName, usize);

/// A control frame that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    Ping(u64),
    Pong(u64),
    Cancel(u64),
    /// A refused reply that takes no room among the messages.
    Refuse(u64, Verdict),
    /// Casts that a server here has taken.
    Credit(Grant),
    /// The rest of a message will not come.
    Reset {
        id: u64,
        reply: bool,
    },
}

/// Why a call is refused by the kernel itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its reply could not be sent.
    NoReply,
    /// It was never begun: too many are.
    Overloaded,
    /// The caller's role does not allow it.
    NotAllowed,
}

/// One frame, ready to be encoded.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) id: u64,
    /// The server's name, to be interned, and the rest of the head; in a message's first piece only.
    pub(crate) head: Option<(Option<ServerName>, Head)>,
    pub(crate) body: Bytes,
}

/// What frames of a message have in common.
pub(crate) struct Envelope<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) refused: bool,
    pub(crate) server: Option<&'a ServerName>,
    pub(crate) head: Head,
}

impl Message {
    pub(super) fn new(subject: Subject, body: Bytes) -> Self {
        Self { subject, body, waiting_since: None }
    }

    /// The same message, queued while there is no session.
    pub(super) fn waiting_since(self, now: Instant) -> Self {
        Self { waiting_since: Some(now), ..self }
    }

    /// The server it is for; none if it is a reply.
    pub(super) fn server(&self) -> Option<&ServerName> {
        match &self.subject {
            Subject::Cast { server } | Subject::Call { server, .. } => Some(server),
            Subject::Reply { .. } => None,
        }
    }

    /// Its server and its body's bytes, if it is a cast.
    pub(super) fn as_cast(&self) -> Option<Cut> {
        self.server().filter(|_| self.is_cast()).map(|server| (server.clone(), self.body.len()))
    }

    pub(super) fn is_cast(&self) -> bool {
        matches!(self.subject, Subject::Cast { .. })
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.subject, Subject::Call { .. })
    }

    /// About to be written to this session: false for a call that nobody waits for any more.
    pub(super) fn is_wanted(&self, calls: &PendingCalls, session: SessionId) -> bool {
        match &self.subject {
            Subject::Call { id, .. } => calls.written(*id, session),
            _ => true,
        }
    }

    pub(super) fn cost_bytes(&self) -> usize {
        self.body.len() + MESSAGE_OVERHEAD_BYTES
    }

    /// A cast or a call as one frame.
    pub(super) fn whole(&self, now: Instant) -> Piece {
        let Envelope { kind, id, refused, server, head } = self.envelope(0, now);
        let flags = if refused { Flags::WHOLE.with(Flags::REFUSED) } else { Flags::WHOLE };
        Piece { kind, flags, id, head: Some((server.cloned(), head)), body: self.body.clone() }
    }

    /// What its frames say. Casts have no number of their own; one that goes in pieces is given `cast_id`.
    pub(crate) fn envelope(&self, cast_id: u64, now: Instant) -> Envelope<'_> {
        let total_bytes = self.body.len() as u64;
        let head = Head { destination: 0, ttl_ms: 0, total_bytes };
        match &self.subject {
            Subject::Cast { server } => {
                Envelope { kind: Kind::Cast, id: cast_id, refused: false, server: Some(server), head }
            }
            Subject::Call { id, server, deadline } => {
                let left = deadline.saturating_duration_since(now).as_millis();
                // Rounded up: 0 would say that it is over, and a part of a millisecond is left.
                let ttl_ms = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
                let head = Head { ttl_ms, ..head };
                Envelope { kind: Kind::Call, id: id.0, refused: false, server: Some(server), head }
            }
            Subject::Reply { id, refused } => {
                Envelope { kind: Kind::Reply, id: id.0, refused: *refused, server: None, head }
            }
        }
    }
}

impl Control {
    pub(super) fn piece(self) -> Piece {
        let (kind, flags, id, body) = match self {
            Self::Ping(id) => (Kind::Ping, Flags::default(), id, Bytes::new()),
            Self::Pong(id) => (Kind::Pong, Flags::default(), id, Bytes::new()),
            Self::Cancel(id) => (Kind::Cancel, Flags::default(), id, Bytes::new()),
            Self::Credit(grant) => (Kind::Credit, Flags::default(), 0, grant.encode()),
            Self::Reset { id, reply: false } => (Kind::Reset, Flags::default(), id, Bytes::new()),
            Self::Reset { id, reply: true } => (Kind::Reset, Flags::REPLY, id, Bytes::new()),
            Self::Refuse(id, verdict) => {
                let body = refusal::encode(&match verdict {
                    Verdict::NoReply => Refusal::NoReply,
                    Verdict::Overloaded => Refusal::Overloaded,
                    Verdict::NotAllowed => Refusal::NotAllowed,
                });
                let head = Head { total_bytes: body.len() as u64, ..Head::default() };
                let flags = Flags::WHOLE.with(Flags::REFUSED);
                return Piece { kind: Kind::Reply, flags, id, head: Some((None, head)), body };
            }
        };
        Piece { kind, flags, id, head: None, body }
    }
}

/// What a queued message costs beyond its body.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = CAST_OVERHEAD_BYTES as usize;
