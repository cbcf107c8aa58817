//! What waits to be sent to one peer, in three lanes: control frames, messages, and messages so large that they
//! are sent in pieces between the others.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::bulk::Bulk;
use super::calls::PendingCalls;
use super::message::{Control, Message, Piece, Subject};
use crate::node::ServerName;
use crate::proto::hello::SessionId;

/// The three lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    control: VecDeque<Control>,
    normal: VecDeque<Message>,
    normal_bytes: usize,
    /// How many of the messages are calls, which have to be marked as written one by one.
    calls: usize,
    bulk: Bulk,
}

/// What a writer takes in one turn, in the order it is sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) control: Vec<Piece>,
    pub(crate) messages: VecDeque<Message>,
    pub(crate) bulk: Vec<Piece>,
}

impl Lanes {
    /// Messages that wait, control frames not counted.
    pub(super) fn messages(&self) -> usize {
        self.normal.len() + self.bulk.messages()
    }

    /// Bytes that wait, control frames not counted.
    pub(super) fn bytes(&self) -> usize {
        self.normal_bytes + self.bulk.bytes()
    }

    /// Control frames that wait; messages and bytes of the normal lane; of the bulk lane.
    pub(super) fn depths(&self) -> (usize, (usize, usize), (usize, usize)) {
        (
            self.control.len(),
            (self.normal.len(), self.normal_bytes),
            (self.bulk.messages(), self.bulk.bytes()),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.normal.is_empty() && self.bulk.is_empty()
    }

    /// Queues a message.
    pub(super) fn push(&mut self, message: Message) {
        let behind_bulk =
            !self.bulk.is_empty() && message.server().is_some_and(|server| self.bulk.serves(server));
        if message.body.len() > WHOLE_BYTES_MAX || behind_bulk {
            self.bulk.push(message);
            return;
        }
        self.normal_bytes += message.cost_bytes();
        self.calls += usize::from(matches!(message.subject, Subject::Call { .. }));
        self.normal.push_back(message);
    }

    /// Queues a control frame; false if so many wait that the peer must be flooding, and it was dropped.
    pub(super) fn control(&mut self, control: Control) -> bool {
        let room = self.control.len() < CONTROL_MAX;
        if room {
            self.control.push_back(control);
        }
        room
    }

    /// Moves about [`BATCH_BYTES`] into an empty `batch`: all control frames, then three parts of messages to one
    /// of bulk. Calls that nobody waits for any more are skipped.
    pub(super) fn take(&mut self, batch: &mut Batch, session: SessionId, calls: &PendingCalls) {
        let now = Instant::now();
        let wanted = |message: &Message| match &message.subject {
            Subject::Call { id, .. } => calls.written(*id, session),
            _ => true,
        };
        batch.control.extend(self.control.drain(..).map(Control::piece));
        let share = if self.bulk.is_empty() { BATCH_BYTES } else { BATCH_BYTES / 4 * 3 };
        let mut left = BATCH_BYTES;
        if self.normal_bytes <= share {
            left -= self.normal_bytes;
            self.normal_bytes = 0;
            std::mem::swap(&mut batch.messages, &mut self.normal);
        } else {
            while BATCH_BYTES - left < share {
                let Some(message) = self.normal.pop_front() else { break };
                self.normal_bytes -= message.cost_bytes();
                left = left.saturating_sub(message.cost_bytes());
                batch.messages.push_back(message);
            }
        }
        if self.calls > 0 {
            let taken =
                batch.messages.iter().filter(|message| matches!(message.subject, Subject::Call { .. }));
            self.calls -= taken.count();
            batch.messages.retain(wanted);
        }
        while left > 0 {
            let Some(piece) = self.bulk.piece(session, now, wanted) else { break };
            left = left.saturating_sub(piece.body.len());
            batch.bulk.push(piece);
        }
    }

    /// A session broke: messages that were partly sent by it cannot be completed by another. Says how many were
    /// dropped.
    pub(super) fn session_lost(&mut self, session: SessionId) -> usize {
        let resets = self.bulk.session_lost(session);
        let dropped = resets.len();
        for reset in resets {
            self.control(reset);
        }
        dropped
    }

    /// The peer's link is lost: control frames and replies concern calls that have ended with it, and a message
    /// that was partly sent cannot be completed. What is left begins to wait for a session now.
    pub(super) fn link_lost(&mut self, now: Instant) -> usize {
        self.control.clear();
        let dropped =
            self.retain(|message, begun| !begun && !matches!(message.subject, Subject::Reply { .. }));
        for message in self.normal.iter_mut().chain(self.bulk.iter_mut()) {
            message.waiting_since.get_or_insert(now);
        }
        dropped
    }

    /// Drops what has waited longer than `age` for a session, and calls past the deadlines at which their callers
    /// left.
    pub(super) fn expire(&mut self, now: Instant, age: Duration) -> usize {
        self.retain(|message, _| match &message.subject {
            Subject::Call { deadline, .. } => *deadline > now,
            _ => message.waiting_since.is_none_or(|since| now.saturating_duration_since(since) <= age),
        })
    }

    /// Drops the oldest cast of those small enough to be sent whole, and gives it.
    pub(super) fn drop_oldest_cast(&mut self) -> Option<Message> {
        let oldest = self.normal.iter().position(Message::is_cast)?;
        let message = self.normal.remove(oldest)?;
        self.normal_bytes -= message.cost_bytes();
        Some(message)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) -> usize {
        self.control.clear();
        self.retain(|_, _| false)
    }

    /// The casts that wait: their servers and their bodies' bytes.
    pub(super) fn casts(&self) -> impl Iterator<Item = (&ServerName, usize)> {
        let messages = self.normal.iter().chain(self.bulk.iter());
        messages
            .filter(|message| message.is_cast())
            .filter_map(|message| Some((message.server()?, message.body.len())))
    }

    fn retain(&mut self, keep: impl Fn(&Message, bool) -> bool) -> usize {
        let before = self.messages();
        self.normal.retain(|message| keep(message, false));
        self.bulk.retain(keep);
        self.normal_bytes = self.normal.iter().map(Message::cost_bytes).sum();
        self.calls =
            self.normal.iter().filter(|message| matches!(message.subject, Subject::Call { .. })).count();
        before - self.messages()
    }
}

/// A larger message goes by the bulk lane, in pieces, so that the lanes can take turns.
const WHOLE_BYTES_MAX: usize = 16 * 1_024;
/// What one turn of a writer takes: two records. More would make control frames wait, less costs system calls.
const BATCH_BYTES: usize = 128 * 1_024;
/// Control frames that may wait; a peer that makes more is flooding.
const CONTROL_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::bulk::PIECE_BYTES_MAX;
    use super::*;
    use crate::call::CallId;
    use crate::proto::frame::Kind;

    const SESSION: SessionId = SessionId(1);

    fn cast(server: &str, bytes: usize) -> Message {
        let server = ServerName::new(server).unwrap();
        Message::new(Subject::Cast { server }, vec![0; bytes].into())
    }

    /// What one turn of a writer takes: the kinds of control frames, then the sizes of bodies, in order.
    fn taken(lanes: &mut Lanes) -> (Vec<Kind>, Vec<usize>) {
        let mut batch = Batch::default();
        lanes.take(&mut batch, SESSION, &PendingCalls::new(8));
        let control = batch.control.iter().map(|piece| piece.kind).collect();
        let messages = batch.messages.iter().map(|message| message.body.len());
        (control, messages.chain(batch.bulk.iter().map(|piece| piece.body.len())).collect())
    }

    fn all_taken(lanes: &mut Lanes) -> Vec<usize> {
        let mut all = Vec::new();
        while !lanes.is_empty() {
            all.extend(taken(lanes).1);
        }
        all
    }

    #[tokio::test]
    async fn a_small_message_overtakes_bulk_for_another_server_only() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 5 * PIECE_BYTES_MAX));
        lanes.push(cast("big", 1));
        lanes.push(cast("small", 2));
        let full = PIECE_BYTES_MAX;
        assert_eq!(all_taken(&mut lanes), [2, full, full, full, full, full, 1]);
        assert_eq!(lanes.bytes(), 0);
    }

    #[tokio::test]
    async fn large_messages_for_different_servers_take_turns() {
        let mut lanes = Lanes::default();
        lanes.push(cast("a", 3 * PIECE_BYTES_MAX));
        lanes.push(cast("b", PIECE_BYTES_MAX + 1));
        lanes.push(cast("a", 20_000));
        let full = PIECE_BYTES_MAX;
        assert_eq!(all_taken(&mut lanes), [full, full, full, 1, full, 20_000]);
    }

    #[tokio::test]
    async fn bulk_gets_a_quarter_while_messages_wait() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 1 << 20));
        for _ in 0..1_000 {
            lanes.push(cast("small", 1_000));
        }
        let (mut small, mut bulk) = (0, 0);
        while lanes.messages() > 1 {
            for bytes in taken(&mut lanes).1 {
                if bytes == 1_000 { small += bytes } else { bulk += bytes }
            }
        }
        assert!(bulk > small / 4 && small > bulk, "{small} and {bulk} bytes");
    }

    #[tokio::test]
    async fn messages_half_sent_by_a_broken_session_are_dropped_and_reset() {
        let mut lanes = Lanes::default();
        lanes.push(cast("big", 5 * PIECE_BYTES_MAX));
        lanes.push(cast("big", 1));
        lanes.push(cast("bigger", 9 * PIECE_BYTES_MAX));
        assert!(taken(&mut lanes).1.len() > 1);
        assert_eq!(lanes.session_lost(SessionId(9)), 0);
        assert_eq!(lanes.session_lost(SESSION), 2);
        assert_eq!(taken(&mut lanes), (vec![Kind::Reset, Kind::Reset], vec![1]));
        assert!(lanes.is_empty());
    }

    #[tokio::test]
    async fn a_call_nobody_waits_for_is_not_sent() {
        let mut lanes = Lanes::default();
        let server = ServerName::new("server").unwrap();
        let subject = Subject::Call { id: CallId(1), server, deadline: Instant::now() };
        lanes.push(Message::new(subject, Bytes::new()));
        assert_eq!(taken(&mut lanes), (vec![], vec![]));
        assert_eq!(lanes.bytes(), 0);
    }

    #[tokio::test]
    async fn control_frames_are_bounded() {
        let mut lanes = Lanes::default();
        let admitted = (0..2 * CONTROL_MAX as u64).filter(|&id| lanes.control(Control::Pong(id))).count();
        assert_eq!(admitted, CONTROL_MAX);
    }
}
