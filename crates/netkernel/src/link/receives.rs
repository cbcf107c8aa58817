//! What the peer takes in, as it has said: nothing more is sent to it.

use super::message::{Control, Message, Subject, Verdict};
use super::{Link, State, count};
use crate::error::CallError;
use crate::proto::credit::Load;
use crate::proto::hello::Receives;

impl Link {
    /// From now on so much is sent. What waits and is too large for this peer is dropped and counted, a call with its
    /// error: it was queued when nothing was known of the peer, or under an earlier instance of it.
    pub(super) fn keep_to(&self, state: &mut State, receives: Receives) {
        let max = self.limits.message_bytes_max.min(receives.message_bytes_max());
        let before = std::mem::replace(&mut state.message_bytes_max, max);
        state.lanes.keep_to(receives);
        if max < before {
            for message in state.lanes.drop_larger(max) {
                self.too_large(state, &message, max);
            }
        }
    }

    fn too_large(&self, state: &mut State, message: &Message, max: usize) {
        let bytes = message.body.len();
        self.told.too_large(&self.id, bytes, max);
        match &message.subject {
            Subject::Cast { server } => {
                state.credit.unspend(server, Load::cast(bytes));
                count(&self.counters.dropped_too_large, 1);
            }
            Subject::Call { id, .. } => self.calls.complete(*id, Err(CallError::TooLarge { bytes, max })),
            Subject::Reply { id, .. } => {
                count(&self.counters.dropped_replies, 1);
                self.queue_control(state, Control::Refuse(id.0, Verdict::NoReply));
            }
        }
    }
}
