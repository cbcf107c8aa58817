//! Calls of the peer that are being executed here, and their replies.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::message::{Control, Message, Subject, Verdict};
use super::{Link, count};
use crate::call::{CallId, Inbound, ReplySink};
use crate::error::Refusal;
use crate::proto::hello::SessionId;
use crate::proto::refusal;

/// Whether a call of the peer begins.
pub(crate) enum Begun {
    Now(Arc<Inbound>),
    /// As many as may be are being executed.
    TooMany,
    /// One of this id is being executed: the peer broke the protocol.
    Twice,
}

impl Link {
    /// A call of the peer begins.
    pub(crate) fn begin_inbound(
        self: &Arc<Self>,
        id: CallId,
        deadline: Instant,
        session: SessionId,
    ) -> Begun {
        let mut state = self.state();
        if state.inbound.contains_key(&id) {
            return Begun::Twice;
        }
        if state.inbound.len() >= self.limits.calls_max {
            return Begun::TooMany;
        }
        let inbound = Inbound::new(id, deadline, Arc::clone(self) as Arc<dyn ReplySink>);
        if state.closed {
            // Its caller is told so already; a reader that is about to stop learns of it here.
            inbound.cancel();
            return Begun::Now(inbound);
        }
        state.direct.record_begins();
        state.inbound.insert(id, (Arc::clone(&inbound), session));
        Begun::Now(inbound)
    }

    /// The peer no longer waits for a call.
    pub(crate) fn cancel_inbound(&self, id: CallId) {
        let entry = self.state().inbound.remove(&id);
        if let Some((inbound, _)) = entry {
            inbound.cancel();
        }
    }
}

impl ReplySink for Link {
    /// A reply over a limit is dropped, counted, and its caller told; one whose caller's link is lost is dropped.
    fn reply(&self, id: CallId, outcome: Result<Bytes, Refusal>) {
        let mut state = self.state();
        if state.inbound.remove(&id).is_none() {
            return;
        }
        let (refused, body) = match outcome {
            Ok(body) => (false, body),
            Err(refusal) => (true, refusal::encode(&refusal)),
        };
        let too_large = body.len() > state.message_bytes_max;
        if too_large || state.lanes.bytes() + body.len() > self.limits.queue_bytes_max {
            self.told.reply_dropped(&self.id, body.len(), too_large);
            count(&self.counters.dropped_replies, 1);
            self.draw_attention();
            self.queue_control(&mut state, Control::Refuse(id.0, Verdict::NoReply));
        } else {
            let reply = Message::new(Subject::Reply { id, refused }, body);
            let late = state.sessions.drains();
            state.lanes.push(if late { reply.waiting_since(Instant::now()) } else { reply });
        }
        let lonely = state.inbound.is_empty();
        self.send(state, lonely);
    }
}
