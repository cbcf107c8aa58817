//! What of the lanes is dropped, and when.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Lanes;
use crate::link::calls::PendingCalls;
use crate::link::message::{Control, Cut, Message, Subject};
use crate::proto::hello::SessionId;

impl Lanes {
    /// A session broke, which `carried` messages or had before: those that were partly sent by it cannot be completed by
    /// another. Gives what was dropped, and which of it were casts.
    pub(in crate::link) fn session_lost(&mut self, session: SessionId, carried: bool) -> Vec<Option<Cut>> {
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
    pub(in crate::link) fn link_lost(&mut self, now: Instant) -> usize {
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

    /// Drops what has waited longer than `age` for a session, and calls that nobody waits for any more. Gives what was
    /// dropped, and which of it were casts.
    pub(in crate::link) fn expire(
        &mut self,
        now: Instant,
        age: Duration,
        calls: &PendingCalls,
    ) -> Vec<Option<Cut>> {
        self.retain(|message, _| match &message.subject {
            Subject::Call { id, deadline, .. } => *deadline > now && calls.awaits(*id),
            _ => message.waiting_since.is_none_or(|since| now.saturating_duration_since(since) <= age),
        })
    }

    /// Drops the cast that has waited longest and was not partly sent, and gives it.
    pub(in crate::link) fn drop_oldest_cast(&mut self) -> Option<Message> {
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
    pub(in crate::link) fn forget_abandoned(&mut self, calls: &PendingCalls) -> usize {
        let dropped = self.retain(|message, _| match &message.subject {
            Subject::Call { id, .. } => calls.awaits(*id),
            _ => true,
        });
        dropped.len()
    }

    /// Drops everything, and gives which of it were casts.
    pub(in crate::link) fn clear(&mut self) -> Vec<Option<Cut>> {
        let dropped = self.retain(|_, _| false);
        self.clear_control();
        self.control.clear();
        dropped
    }

    /// Takes out the messages over so many bytes of which nothing was sent.
    pub(in crate::link) fn drop_larger(&mut self, bytes_max: usize) -> Vec<Message> {
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
