//! What waits to be sent to one peer, in three lanes: control frames, messages, and messages so large that they
//! are sent in pieces between the others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::calls::PendingCalls;
use crate::call::CallId;
use crate::error::Refusal;
use crate::node::ServerName;
use crate::proto::frame::{Flags, Head, Kind};
use crate::proto::hello::SessionId;
use crate::proto::refusal;

/// A message that waits.
pub(super) struct Message {
    subject: Subject,
    body: Bytes,
    queued: Instant,
    /// How much of the body has been sent, and by which session last. Only the first of the bulk lane is ever
    /// partly sent.
    sent_bytes: usize,
    sent_by: Option<SessionId>,
}

/// What a message is about.
pub(super) enum Subject {
    Cast { server: ServerName },
    Call { id: CallId, server: ServerName, deadline: Instant },
    Reply { id: CallId, refused: bool },
}

/// A control frame that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Ping(u64),
    Pong(u64),
    Cancel(u64),
    /// A refused reply that takes no room among the messages.
    Refuse(u64, Verdict),
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
}

/// One frame's worth of a message, ready to be encoded.
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) id: u64,
    /// The server's name, to be interned, and the rest of the head; in a message's first piece only.
    pub(crate) head: Option<(Option<ServerName>, Head)>,
    pub(crate) body: Bytes,
}

/// The three lanes.
#[derive(Default)]
pub(super) struct Lanes {
    control: VecDeque<Control>,
    normal: VecDeque<Message>,
    bulk: VecDeque<Message>,
    /// How many messages of the bulk lane each server is to get: a small message for such a server joins them,
    /// so that it does not overtake.
    bulk_servers: BTreeMap<ServerName, usize>,
    bytes: usize,
    casts: u64,
}

impl Message {
    pub(super) fn new(subject: Subject, body: Bytes) -> Self {
        Self { subject, body, queued: Instant::now(), sent_bytes: 0, sent_by: None }
    }

    fn server(&self) -> Option<&ServerName> {
        match &self.subject {
            Subject::Cast { server } | Subject::Call { server, .. } => Some(server),
            Subject::Reply { .. } => None,
        }
    }

    fn cost_bytes(&self) -> usize {
        self.body.len() + MESSAGE_OVERHEAD_BYTES
    }

    /// The next piece of at most `bytes_max` bytes of body.
    fn piece(&mut self, cast_id: u64, bytes_max: usize, now: Instant) -> Piece {
        let (kind, id, reply, refused) = match &self.subject {
            Subject::Cast { .. } => (Kind::Cast, cast_id, false, false),
            Subject::Call { id, .. } => (Kind::Call, id.0, false, false),
            Subject::Reply { id, refused } => (Kind::Reply, id.0, true, *refused),
        };
        let first = self.sent_bytes == 0;
        let end = self.body.len().min(self.sent_bytes + bytes_max);
        let body = self.body.slice(self.sent_bytes..end);
        self.sent_bytes = end;
        let mut flags = if first { Flags::FIRST } else { Flags::default() };
        for (set, flag) in [
            (end == self.body.len(), Flags::LAST),
            (refused, Flags::REFUSED),
            (!first && reply, Flags::REPLY),
        ] {
            if set {
                flags = flags.with(flag);
            }
        }
        let head = first.then(|| (self.server().cloned(), self.head(now)));
        Piece { kind: if first { kind } else { Kind::Chunk }, flags, id, head, body }
    }

    fn head(&self, now: Instant) -> Head {
        let ttl_ms = match &self.subject {
            // Rounded up, so that no call arrives with the 0 that means "no deadline".
            Subject::Call { deadline, .. } => {
                let left = deadline.saturating_duration_since(now);
                u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
            }
            _ => 0,
        };
        Head { destination: 0, ttl_ms, total_bytes: self.body.len() as u64 }
    }
}

impl Lanes {
    /// Messages that wait, control frames not counted.
    pub(super) fn messages(&self) -> usize {
        self.normal.len() + self.bulk.len()
    }

    /// Bytes that wait, control frames not counted.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.normal.is_empty() && self.bulk.is_empty()
    }

    /// Queues a message.
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.cost_bytes();
        let behind_bulk = message.server().is_some_and(|server| self.bulk_servers.contains_key(server));
        if message.body.len() <= PIECE_BYTES_MAX && !behind_bulk {
            self.normal.push_back(message);
            return;
        }
        if let Some(server) = message.server() {
            *self.bulk_servers.entry(server.clone()).or_default() += 1;
        }
        self.bulk.push_back(message);
    }

    /// Queues a control frame; false if so many wait that the peer must be flooding, and it was dropped.
    pub(super) fn control(&mut self, control: Control) -> bool {
        let room = self.control.len() < CONTROL_MAX;
        if room {
            self.control.push_back(control);
        }
        room
    }

    /// Moves up to about `budget_bytes` into `pieces`, control frames first, then three parts of messages to one
    /// of bulk. Calls that nobody waits for any more are skipped.
    pub(super) fn take(
        &mut self,
        pieces: &mut Vec<Piece>,
        session: SessionId,
        calls: &PendingCalls,
        budget_bytes: usize,
    ) {
        let now = Instant::now();
        pieces.extend(self.control.drain(..).map(Control::piece));
        let bulk_share = if self.bulk.is_empty() { 0 } else { budget_bytes / 4 };
        let mut left = budget_bytes - bulk_share;
        while left > 0 {
            let Some(mut message) = self.normal.pop_front() else { break };
            self.bytes -= message.cost_bytes();
            left = left.saturating_sub(message.cost_bytes());
            if still_wanted(&message, session, calls) {
                pieces.push(message.piece(0, PIECE_BYTES_MAX, now));
            }
        }
        self.take_bulk(pieces, session, calls, left + bulk_share, now);
    }

    fn take_bulk(
        &mut self,
        pieces: &mut Vec<Piece>,
        session: SessionId,
        calls: &PendingCalls,
        mut left: usize,
        now: Instant,
    ) {
        while left > 0 {
            let Some(message) = self.bulk.front_mut() else { break };
            if message.sent_bytes == 0 {
                self.casts += 1;
                if !still_wanted(message, session, calls) {
                    self.pop_bulk();
                    continue;
                }
            }
            message.sent_by = Some(session);
            let piece = message.piece(self.casts | CAST_IDS, PIECE_BYTES_MAX, now);
            left = left.saturating_sub(piece.body.len() + MESSAGE_OVERHEAD_BYTES);
            if piece.flags.contains(Flags::LAST) {
                self.pop_bulk();
            }
            pieces.push(piece);
        }
    }

    fn pop_bulk(&mut self) -> Option<Message> {
        let message = self.bulk.pop_front()?;
        self.bytes -= message.cost_bytes();
        if let Some(server) = message.server()
            && let Some(count) = self.bulk_servers.get_mut(server)
        {
            *count -= 1;
            if *count == 0 {
                self.bulk_servers.remove(server);
            }
        }
        Some(message)
    }

    /// A session broke: a message that was partly sent by it cannot be completed by another. Says how many
    /// messages were dropped.
    pub(super) fn session_lost(&mut self, session: SessionId) -> usize {
        let partly = self.bulk.front().is_some_and(|first| first.sent_by == Some(session));
        if !partly {
            return 0;
        }
        let Some(message) = self.pop_bulk() else { return 0 };
        let (id, reply) = match &message.subject {
            Subject::Cast { .. } => (self.casts | CAST_IDS, false),
            Subject::Call { id, .. } => (id.0, false),
            Subject::Reply { id, .. } => (id.0, true),
        };
        self.control(Control::Reset { id, reply });
        1
    }

    /// The peer's link is lost: control frames and replies concern calls that have ended with it, and a message
    /// that was partly sent cannot be completed.
    pub(super) fn link_lost(&mut self) -> usize {
        self.control.clear();
        self.retain(|message| message.sent_bytes == 0 && !matches!(message.subject, Subject::Reply { .. }))
    }

    /// Drops what was queued longer than `age` ago, and calls past the deadlines at which their callers left.
    pub(super) fn expire(&mut self, now: Instant, age: Duration) -> usize {
        self.retain(|message| match &message.subject {
            Subject::Call { deadline, .. } => *deadline > now,
            _ => now.saturating_duration_since(message.queued) <= age,
        })
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) -> usize {
        self.control.clear();
        self.retain(|_| false)
    }

    fn retain(&mut self, keep: impl Fn(&Message) -> bool) -> usize {
        let before = self.messages();
        self.normal.retain(&keep);
        self.bulk.retain(&keep);
        self.bytes = self.normal.iter().chain(&self.bulk).map(Message::cost_bytes).sum();
        self.bulk_servers.clear();
        for server in self.bulk.iter().filter_map(Message::server) {
            *self.bulk_servers.entry(server.clone()).or_default() += 1;
        }
        before - self.messages()
    }
}

impl Control {
    fn piece(self) -> Piece {
        let (kind, flags, id, body) = match self {
            Self::Ping(id) => (Kind::Ping, Flags::default(), id, Bytes::new()),
            Self::Pong(id) => (Kind::Pong, Flags::default(), id, Bytes::new()),
            Self::Cancel(id) => (Kind::Cancel, Flags::default(), id, Bytes::new()),
            Self::Reset { id, reply: false } => (Kind::Reset, Flags::default(), id, Bytes::new()),
            Self::Reset { id, reply: true } => (Kind::Reset, Flags::REPLY, id, Bytes::new()),
            Self::Refuse(id, verdict) => {
                let body = refusal::encode(&match verdict {
                    Verdict::NoReply => Refusal::NoReply,
                    Verdict::Overloaded => Refusal::Overloaded,
                });
                let head = Head { total_bytes: body.len() as u64, ..Head::default() };
                let flags = Flags::WHOLE.with(Flags::REFUSED);
                return Piece { kind: Kind::Reply, flags, id, head: Some((None, head)), body };
            }
        };
        Piece { kind, flags, id, head: None, body }
    }
}

fn still_wanted(message: &Message, session: SessionId, calls: &PendingCalls) -> bool {
    match &message.subject {
        Subject::Call { id, .. } => calls.written(*id, session),
        _ => true,
    }
}

/// A larger message goes by the bulk lane, in pieces of this size, so that the lanes can take turns.
const PIECE_BYTES_MAX: usize = 16 * 1_024;
/// What a queued message costs beyond its body.
const MESSAGE_OVERHEAD_BYTES: usize = 96;
/// Control frames that may wait; a peer that makes more is flooding.
const CONTROL_MAX: usize = 4_096;
/// Casts sent in pieces are numbered from here, calls from below, so the two do not meet at the receiver.
const CAST_IDS: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(1);

    fn cast(server: &str, bytes: usize) -> Message {
        let server = ServerName::new(server).unwrap();
        Message::new(Subject::Cast { server }, vec![0; bytes].into())
    }

    fn taken(lanes: &mut Lanes, budget: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        lanes.take(&mut pieces, SESSION, &PendingCalls::new(8), budget);
        pieces
    }

    #[tokio::test]
    async fn a_small_message_overtakes_bulk_for_another_server_only() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 5 * PIECE_BYTES_MAX));
        lanes.push(cast("big", 1));
        lanes.push(cast("small", 2));
        let pieces = taken(&mut lanes, 1 << 20);
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.body.len()).collect();
        let full = PIECE_BYTES_MAX;
        assert_eq!(sizes, [2, full, full, full, full, full, 1]);
        assert!(lanes.is_empty());
        assert_eq!(lanes.bytes(), 0);
        assert!(lanes.bulk_servers.is_empty());
    }

    #[tokio::test]
    async fn bulk_gets_a_quarter_while_messages_wait() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 1 << 20));
        for _ in 0..1_000 {
            lanes.push(cast("small", 1_000));
        }
        let pieces = taken(&mut lanes, 128 * 1_024);
        let bulk: usize = pieces.iter().map(|piece| piece.body.len()).filter(|&bytes| bytes > 1_000).sum();
        let small: usize = pieces.iter().map(|piece| piece.body.len()).filter(|&bytes| bytes == 1_000).sum();
        assert!(small > 2 * bulk && bulk > 0, "{small} and {bulk} bytes");
    }

    #[tokio::test]
    async fn a_message_half_sent_by_a_broken_session_is_dropped_and_reset() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 3 * PIECE_BYTES_MAX));
        lanes.push(cast("big", 1));
        assert_eq!(taken(&mut lanes, 1).len(), 1);
        assert_eq!(lanes.session_lost(SessionId(9)), 0);
        assert_eq!(lanes.session_lost(SESSION), 1);
        let pieces = taken(&mut lanes, 1 << 20);
        assert_eq!(pieces[0].kind, Kind::Reset);
        assert_eq!(pieces[1].body.len(), 1);
        assert_eq!(pieces.len(), 2);
    }

    #[tokio::test]
    async fn a_call_nobody_waits_for_is_not_sent() {
        let mut lanes = Lanes::default();
        let server = ServerName::new("server").unwrap();
        let subject = Subject::Call { id: CallId(1), server, deadline: Instant::now() };
        lanes.push(Message::new(subject, Bytes::new()));
        assert!(taken(&mut lanes, 1 << 20).is_empty());
        assert_eq!(lanes.bytes(), 0);
    }

    #[tokio::test]
    async fn control_frames_are_bounded() {
        let mut lanes = Lanes::default();
        let admitted = (0..2 * CONTROL_MAX as u64).filter(|&id| lanes.control(Control::Pong(id))).count();
        assert_eq!(admitted, CONTROL_MAX);
    }
}
