//! What a writer takes of the lanes in one turn.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Lanes;
use crate::link::calls::PendingCalls;
use crate::link::message::{Control, Message, Piece};
use crate::proto::hello::SessionId;

/// What a writer takes in one turn, in the order it is sent.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) control: Vec<Piece>,
    pub(crate) messages: VecDeque<Message>,
    pub(crate) bulk: Vec<Piece>,
    /// Follows the bulk.
    pub(crate) milestone: Option<Piece>,
}

impl Lanes {
    /// Moves about [`BATCH_BYTES`] into an empty `batch`: all control frames and what goes ahead, then three parts of
    /// messages to one of bulk, as far as the peer has read of it. A few small messages come alone, every other time: they need not wait
    /// until bulk is sealed with them. Calls that nobody waits for any more are skipped.
    pub(in crate::link) fn take(
        &mut self,
        batch: &mut Batch,
        session: SessionId,
        calls: &PendingCalls,
        now: Instant,
    ) {
        self.start.get_or_insert(now);
        let bulk_waits = !self.bulk.is_empty() && self.pace.is_open();
        let alone = bulk_waits && !self.alone && self.has_small() && self.normal_bytes < ALONE_BYTES_MAX;
        self.alone = alone;
        if self.has_urgent() {
            self.take_urgent(batch, now);
        }
        let share = if bulk_waits { BATCH_BYTES / 4 * 3 } else { BATCH_BYTES };
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
            batch.messages.retain(|message| {
                self.calls -= usize::from(message.is_call());
                message.is_wanted(calls, session)
            });
        }
        if bulk_waits && !alone {
            self.take_bulk(batch, left, session, calls, now);
        }
    }

    /// Moves what goes before all messages.
    fn take_urgent(&mut self, batch: &mut Batch, now: Instant) {
        batch.control.extend(self.answer.take().map(Control::Pong).map(Control::piece));
        batch.control.extend(self.control.drain(..).map(Control::piece));
        (self.pongs, self.verdicts) = (0, 0);
        batch.control.extend(self.credit.take().map(Control::Credit).map(Control::piece));
        batch.control.extend(self.ahead.drain(..).map(|message| message.whole(now)));
        self.ahead_bytes = 0;
    }

    /// Moves so many bytes of bulk, as far as the next milestone.
    fn take_bulk(
        &mut self,
        batch: &mut Batch,
        mut left: usize,
        session: SessionId,
        calls: &PendingCalls,
        now: Instant,
    ) {
        let elapsed = self.since_start(now);
        let wanted = |message: &Message| message.is_wanted(calls, session);
        while left > 0 && self.pace.is_open() {
            let Some(piece) = self.bulk.piece(self.pace.piece_bytes(), session, now, wanted) else { break };
            left = left.saturating_sub(piece.body.len());
            if let Some(ping) = self.pace.wrote(piece.body.len(), elapsed) {
                batch.milestone = Some(Control::Ping(ping).piece());
                batch.bulk.push(piece);
                break;
            }
            batch.bulk.push(piece);
        }
    }
}

/// What one turn of a writer takes: two or three records. More would make control frames wait, less costs system calls.
const BATCH_BYTES: usize = 128 * 1_024;
/// So many bytes of messages may be worth a write of their own while bulk waits.
const ALONE_BYTES_MAX: usize = 16 * 1_024;
