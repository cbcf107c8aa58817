//! What waits to be sent to one peer, in lanes: control frames and the few messages that go ahead of all others,
//! messages, and messages so large that they are sent in pieces between the others.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::bulk::Bulk;
use super::calls::PendingCalls;
use super::message::{Control, Cut, MESSAGE_OVERHEAD_BYTES, Message, Piece, Subject};
use crate::node::ServerName;
use crate::proto::due::Grants;
use crate::proto::hello::{Receives, SessionId};
use crate::proto::pace::{self, Pace};

/// The lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    control: VecDeque<Control>,
    /// How many of them answer PINGs, and how many refuse calls: what a peer makes more of than it reads.
    pongs: usize,
    verdicts: usize,
    /// So many of either may wait.
    answers_max: usize,
    credit: Grants,
    ahead: VecDeque<Message>,
    ahead_bytes: usize,
    normal: VecDeque<Message>,
    normal_bytes: usize,
    /// How many of the messages are calls, which have to be marked as written one by one.
    calls: usize,
    bulk: Bulk,
    pace: Pace,
    /// From when the times of `pace` are counted.
    start: Option<Instant>,
    /// The last milestone of the peer that was read here and is to be answered; it answers for all before it.
    answer: Option<u64>,
    /// Small messages were the last to be taken, while bulk waited.
    alone: bool,
}

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
    /// Empty lanes, in which so many answers to one kind of the peer's frames may wait.
    pub(super) fn new(answers_max: usize) -> Self {
        Self {
            control: VecDeque::new(),
            pongs: 0,
            verdicts: 0,
            answers_max,
            credit: Grants::default(),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            normal: VecDeque::new(),
            normal_bytes: 0,
            calls: 0,
            bulk: Bulk::default(),
            pace: Pace::default(),
            start: None,
            answer: None,
            alone: false,
        }
    }

    /// Messages that wait, control frames not counted.
    pub(super) fn messages(&self) -> usize {
        self.ahead.len() + self.normal.len() + self.bulk.messages()
    }

    /// Bytes that wait, control frames not counted.
    pub(super) fn bytes(&self) -> usize {
        self.ahead_bytes + self.normal_bytes + self.bulk.bytes()
    }

    /// Control frames that wait; messages and bytes of the normal lane; of the bulk lane.
    pub(super) fn depths(&self) -> (usize, (usize, usize), (usize, usize)) {
        (
            self.control.len() + self.credit.len(),
            (self.ahead.len() + self.normal.len(), self.ahead_bytes + self.normal_bytes),
            (self.bulk.messages(), self.bulk.bytes()),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bulk.is_empty() && !self.has_small()
    }

    /// Whether a writer would take anything now. Bulk may have to wait until the peer has read more of it.
    pub(super) fn is_ready(&self) -> bool {
        self.has_small() || (!self.bulk.is_empty() && self.pace.is_open())
    }

    /// Whether nothing waits but one small message.
    pub(super) fn holds_one_small(&self) -> bool {
        self.normal.len() == 1
            && self.normal_bytes <= DIRECT_BYTES_MAX
            && !self.has_urgent()
            && self.bulk.is_empty()
    }

    fn has_small(&self) -> bool {
        self.has_urgent() || !self.normal.is_empty()
    }

    /// Whether anything waits that goes before all messages.
    fn has_urgent(&self) -> bool {
        self.answer.is_some() || !self.control.is_empty() || !self.credit.is_empty() || !self.ahead.is_empty()
    }

    /// The peer has read as far as a milestone: true if bulk may go on.
    pub(super) fn milestone_read(&mut self, ping: u64, now: Instant) -> bool {
        self.pace.read(ping, self.since_start(now)) && !self.bulk.is_empty()
    }

    /// Whether the peer has yet to read bulk before what is sent now.
    pub(super) fn is_behind_bulk(&self) -> bool {
        self.pace.is_under_way()
    }

    /// For how long bulk has waited for the peer to read what it was sent before.
    pub(super) fn held_up(&self, now: Instant) -> Duration {
        if self.bulk.is_empty() { Duration::ZERO } else { self.pace.held_up(self.since_start(now)) }
    }

    fn since_start(&self, now: Instant) -> Duration {
        self.start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start))
    }

    /// Whether a message of this many bytes may go ahead of all others.
    pub(super) fn has_room_ahead(&self, bytes: usize) -> bool {
        self.ahead_bytes + bytes + MESSAGE_OVERHEAD_BYTES <= AHEAD_BYTES_MAX
    }

    /// Queues a cast ahead of all other messages.
    pub(super) fn push_ahead(&mut self, message: Message) {
        self.ahead_bytes += message.cost_bytes();
        self.ahead.push_back(message);
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
        self.calls += usize::from(message.is_call());
        self.normal.push_back(message);
    }

    /// Queues a control frame; false if it answers the peer and so many such answers wait that it must be flooding: then
    /// it was dropped. What this node begins itself is bounded by what it has begun, and credit is one frame a server.
    pub(super) fn control(&mut self, control: Control) -> bool {
        let waiting = match control {
            Control::Pong(ping) if pace::is_milestone(ping) => {
                self.answer = Some(ping);
                return true;
            }
            Control::Credit(grant) => {
                self.credit.add(grant);
                return true;
            }
            Control::Pong(_) => Some(&mut self.pongs),
            Control::Refuse(..) => Some(&mut self.verdicts),
            Control::Ping(_) | Control::Cancel(_) | Control::Reset { .. } => None,
        };
        if let Some(waiting) = waiting {
            if *waiting >= self.answers_max {
                return false;
            }
            *waiting += 1;
        }
        self.control.push_back(control);
        true
    }

    /// Takes a PING back that nobody awaits any more. False if it was taken to be written.
    pub(super) fn take_back(&mut self, ping: u64) -> bool {
        let waits = self.control.iter().position(|control| *control == Control::Ping(ping));
        waits.and_then(|at| self.control.remove(at)).is_some()
    }

    /// Whether credit for so many servers waits that the peer cannot be reading it.
    pub(super) fn is_crowded_with_credit(&self) -> bool {
        self.credit.len() > CREDITED_MAX
    }

    /// Moves about [`BATCH_BYTES`] into an empty `batch`: all control frames and what goes ahead, then three parts of
    /// messages to one of bulk, as far as the peer has read of it. A few small messages come alone, every other time: they need not wait
    /// until bulk is sealed with them. Calls that nobody waits for any more are skipped.
    pub(super) fn take(&mut self, batch: &mut Batch, session: SessionId, calls: &PendingCalls, now: Instant) {
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

    /// A further session takes over from the one that carried messages.
    pub(super) fn handed_over(&mut self) {
        self.pace.handed_over();
    }

    /// A session broke, which `carried` messages or had before: those that were partly sent by it cannot be completed by
    /// another. Gives what was dropped, and which of it were casts.
    pub(super) fn session_lost(&mut self, session: SessionId, carried: bool) -> Vec<Option<Cut>> {
        if carried {
            self.pace.clear();
        } else {
            self.pace.lost_before();
        }
        let (resets, cut): (Vec<_>, Vec<_>) = self.bulk.session_lost(session).into_iter().unzip();
        for reset in resets {
            self.control(reset);
        }
        cut
    }

    /// The peer's link is lost: control frames and replies concern calls that have ended with it, and a message
    /// that was partly sent cannot be completed. What is left begins to wait for a session now.
    pub(super) fn link_lost(&mut self, now: Instant) -> usize {
        self.clear_control();
        self.answer = None;
        self.pace.clear();
        let dropped =
            self.retain(|message, begun| !begun && !matches!(message.subject, Subject::Reply { .. })).len();
        for message in self.ahead.iter_mut().chain(&mut self.normal).chain(self.bulk.iter_mut()) {
            message.waiting_since.get_or_insert(now);
        }
        dropped
    }

    /// There is a session: nothing waits for one any more.
    pub(super) fn waits_no_more(&mut self) {
        for message in self.ahead.iter_mut().chain(&mut self.normal).chain(self.bulk.iter_mut()) {
            message.waiting_since = None;
        }
    }

    /// Whether any message was queued before those that wait for the next session.
    pub(super) fn hold_older(&self) -> bool {
        let older = |message: &Message| message.waiting_since.is_none();
        // Each queue is in order.
        self.ahead.front().is_some_and(older)
            || self.normal.front().is_some_and(older)
            || self.bulk.firsts().any(older)
    }

    /// Drops what has waited longer than `age` for a session, and calls that nobody waits for any more. Gives what was
    /// dropped, and which of it were casts.
    pub(super) fn expire(&mut self, now: Instant, age: Duration, calls: &PendingCalls) -> Vec<Option<Cut>> {
        self.retain(|message, _| match &message.subject {
            Subject::Call { id, deadline, .. } => *deadline > now && calls.awaits(*id),
            _ => message.waiting_since.is_none_or(|since| now.saturating_duration_since(since) <= age),
        })
    }

    /// Drops the cast that has waited longest and was not partly sent, and gives it.
    pub(super) fn drop_oldest_cast(&mut self) -> Option<Message> {
        let small = self.normal.iter().position(Message::is_cast);
        let since = small.and_then(|index| self.normal[index].waiting_since);
        let Some(small) = small else { return self.bulk.drop_oldest_cast(None) };
        if let Some(large) = self.bulk.drop_oldest_cast(since) {
            return Some(large);
        }
        let message = self.normal.remove(small)?;
        self.normal_bytes -= message.cost_bytes();
        Some(message)
    }

    /// Drops calls that nobody waits for any more, and says how many.
    pub(super) fn forget_abandoned(&mut self, calls: &PendingCalls) -> usize {
        let dropped = self.retain(|message, _| match &message.subject {
            Subject::Call { id, .. } => calls.awaits(*id),
            _ => true,
        });
        dropped.len()
    }

    /// The peer sends nothing more, but reads what it is sent: no milestone will be answered, and bulk waits for none.
    pub(super) fn peer_has_ended(&mut self) {
        self.pace.answers_end();
    }

    /// Queues a heartbeat, unless one waits already. Says whether it did.
    pub(super) fn heartbeat(&mut self, ping: u64) -> bool {
        let waits = self.control.iter().any(|control| *control == Control::Ping(ping));
        !waits && self.control(Control::Ping(ping))
    }

    /// Drops everything, and gives which of it were casts.
    pub(super) fn clear(&mut self) -> Vec<Option<Cut>> {
        let dropped = self.retain(|_, _| false);
        self.clear_control();
        self.control.clear();
        dropped
    }

    /// What the peer takes of large messages from now on.
    pub(super) fn keep_to(&mut self, receives: Receives) {
        self.bulk.keep_to(receives);
    }

    /// Takes out the messages over so many bytes of which nothing was sent.
    pub(super) fn drop_larger(&mut self, bytes_max: usize) -> Vec<Message> {
        let mut dropped = self.bulk.drop_larger(bytes_max);
        for lane in [&mut self.ahead, &mut self.normal] {
            let larger;
            (larger, *lane) =
                std::mem::take(lane).into_iter().partition(|message| message.body.len() > bytes_max);
            dropped.extend::<VecDeque<Message>>(larger);
        }
        self.recount();
        dropped
    }

    /// Drops the control frames that concern what has ended with the link. A RESET does not: where the peer has not taken
    /// the link for lost, it still holds what had begun.
    fn clear_control(&mut self) {
        self.control.retain(|control| matches!(control, Control::Reset { .. }));
        (self.pongs, self.verdicts) = (0, 0);
        self.credit.clear();
    }

    /// The casts that wait: their servers and their bodies' bytes.
    pub(super) fn casts(&self) -> impl Iterator<Item = (&ServerName, usize)> {
        let messages = self.ahead.iter().chain(&self.normal).chain(self.bulk.iter());
        messages
            .filter(|message| message.is_cast())
            .filter_map(|message| Some((message.server()?, message.body.len())))
    }

    /// Those of which nothing was sent.
    pub(super) fn unbegun_casts(&self) -> impl Iterator<Item = (&ServerName, usize)> {
        let messages = self.ahead.iter().chain(&self.normal).chain(self.bulk.unbegun());
        messages
            .filter(|message| message.is_cast())
            .filter_map(|message| Some((message.server()?, message.body.len())))
    }

    /// Keeps what `keep` accepts, and gives what was dropped, and which of it were casts. The peer is told of what it has
    /// begun to receive.
    fn retain(&mut self, keep: impl Fn(&Message, bool) -> bool) -> Vec<Option<Cut>> {
        let mut dropped = Vec::new();
        let mut keep = |message: &Message, begun: bool| {
            let kept = keep(message, begun);
            if !kept {
                dropped.push(message.as_cast());
            }
            kept
        };
        self.ahead.retain(|message| keep(message, false));
        self.normal.retain(|message| keep(message, false));
        for reset in self.bulk.retain(keep) {
            self.control(reset);
        }
        self.recount();
        dropped
    }

    fn recount(&mut self) {
        self.ahead_bytes = self.ahead.iter().map(Message::cost_bytes).sum();
        self.normal_bytes = self.normal.iter().map(Message::cost_bytes).sum();
        self.calls = self.normal.iter().filter(|message| message.is_call()).count();
    }
}

/// Servers that credit may wait for: as many as a session remembers names.
const CREDITED_MAX: usize = 4_096;
/// What may wait to go ahead of all others: some hundred of the small messages this is for.
const AHEAD_BYTES_MAX: usize = 64 * 1_024;
/// A larger message goes by the bulk lane, in pieces, so that the lanes can take turns.
pub(super) const WHOLE_BYTES_MAX: usize = 16 * 1_024;
/// What one turn of a writer takes: two or three records. More would make control frames wait, less costs system calls.
const BATCH_BYTES: usize = 128 * 1_024;
/// What is written without the writer: so little that an idle session's buffer does not grow by it.
const DIRECT_BYTES_MAX: usize = 2 * 1_024;
/// So many bytes of messages may be worth a write of their own while bulk waits.
const ALONE_BYTES_MAX: usize = 16 * 1_024;

#[cfg(test)]
mod tests;
