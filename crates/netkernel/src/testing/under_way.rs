//! A call between two nodes of a [`LocalMesh`](super::LocalMesh), which ends with their connection.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{CallId, Inbound, ReplySink, ReplySlot};
use crate::error::{CallError, Refusal};

/// A call under way: who waits for it, and who executes it.
#[derive(Clone)]
pub(super) struct UnderWay {
    pub(super) inbound: Arc<Inbound>,
    caller: Arc<Caller>,
}

/// Whoever waits for the reply, until there is an outcome.
struct Caller(Mutex<Option<ReplySlot>>);

impl UnderWay {
    pub(super) fn new(slot: ReplySlot, deadline: Instant) -> Self {
        let caller = Arc::new(Caller(Mutex::new(Some(slot))));
        let inbound = Inbound::new(CallId(0), deadline, Arc::clone(&caller) as Arc<dyn ReplySink>);
        Self { inbound, caller }
    }

    /// Whether it has an outcome, or nobody waits for one.
    pub(super) fn is_over(&self) -> bool {
        self.caller.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(ReplySlot::is_closed)
    }

    /// The connection it was made by has ended.
    pub(super) fn link_down(&self) {
        self.caller.end(Err(CallError::LinkDown));
        self.inbound.cancel();
    }
}

impl Caller {
    fn end(&self, outcome: Result<Bytes, CallError>) {
        if let Some(slot) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _gone = slot.send(outcome);
        }
    }
}

impl ReplySink for Caller {
    fn reply(&self, _id: CallId, outcome: Result<Bytes, Refusal>) {
        self.end(outcome.map_err(CallError::from));
    }
}
