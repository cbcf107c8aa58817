//! What waits to be sent to one peer, in lanes: control frames and the few messages that go ahead of all others,
//! messages, and messages so large that they are sent in pieces between the others.

mod dropping;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::turn::Batch;

use super::bulk::Bulk;
use super::message::{Control, MESSAGE_OVERHEAD_BYTES, Message};
use crate::node::ServerName;
use crate::proto::due::Grants;
use crate::proto::hello::Receives;
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

    /// A further session takes over from the one that carried messages.
    pub(super) fn handed_over(&mut self) {
        self.pace.handed_over();
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

    /// The peer sends nothing more, but reads what it is sent: no milestone will be answered, and bulk waits for none.
    pub(super) fn peer_has_ended(&mut self) {
        self.pace.answers_end();
    }

    /// Queues a heartbeat, unless one waits already. Says whether it did.
    pub(super) fn heartbeat(&mut self, ping: u64) -> bool {
        let waits = self.control.iter().any(|control| *control == Control::Ping(ping));
        !waits && self.control(Control::Ping(ping))
    }

    /// What the peer takes of large messages from now on.
    pub(super) fn keep_to(&mut self, receives: Receives) {
        self.bulk.keep_to(receives);
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
}

/// Servers that credit may wait for: as many as a session remembers names.
const CREDITED_MAX: usize = 4_096;
/// What may wait to go ahead of all others: some hundred of the small messages this is for.
const AHEAD_BYTES_MAX: usize = 64 * 1_024;
/// A larger message goes by the bulk lane, in pieces, so that the lanes can take turns.
pub(super) const WHOLE_BYTES_MAX: usize = 16 * 1_024;
/// What is written without the writer: so little that an idle session's buffer does not grow by it.
const DIRECT_BYTES_MAX: usize = 2 * 1_024;
#[cfg(test)]
mod tests;
