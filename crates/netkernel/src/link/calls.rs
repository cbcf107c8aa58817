//! The calls this node has made to one peer and not yet seen the end of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::PoisonError;

use bytes::Bytes;

use crate::call::{CallId, ReplySlot};
use crate::error::{CallError, Stage};
use crate::proto::hello::SessionId;
use crate::sync::{Mutex, MutexGuard};

/// Calls by their ids. Each is taken out once, by whatever ends it: a reply, its caller, or the link.
pub(super) struct PendingCalls {
    calls: Mutex<HashMap<CallId, Pending, BuildHasherDefault<OwnIds>>>,
    max: usize,
}

struct Pending {
    slot: ReplySlot,
    /// It asks for a sign of life: a PONG ends it, and no reply.
    is_ping: bool,
    /// The session the request was written to, if any byte of it was.
    session: Option<SessionId>,
}

impl PendingCalls {
    pub(super) fn new(max: usize) -> Self {
        Self { calls: Mutex::new(HashMap::default()), max }
    }

    /// Takes a call in, or hands its slot back when there are too many.
    pub(super) fn insert(&self, id: CallId, slot: ReplySlot) -> Result<(), ReplySlot> {
        let mut calls = self.calls();
        if calls.len() >= self.max {
            return Err(slot);
        }
        calls.insert(id, Pending { slot, is_ping: false, session: None });
        Ok(())
    }

    /// Takes a PING in, which goes by this session, or hands its slot back when there are too many calls; one that is
    /// `urgent` is taken in however many there are.
    pub(super) fn insert_ping(
        &self,
        id: CallId,
        slot: ReplySlot,
        session: SessionId,
        urgent: bool,
    ) -> Result<(), ReplySlot> {
        let mut calls = self.calls();
        if calls.len() >= self.max && !urgent {
            return Err(slot);
        }
        calls.insert(id, Pending { slot, is_ping: true, session: Some(session) });
        Ok(())
    }

    /// The request is about to be written to a session. False if nobody waits for it any more.
    pub(super) fn written(&self, id: CallId, session: SessionId) -> bool {
        let mut calls = self.calls();
        let pending = calls.get_mut(&id);
        pending.is_some_and(|pending| {
            pending.session = Some(session);
            true
        })
    }

    /// Whether somebody waits for a call.
    pub(super) fn awaits(&self, id: CallId) -> bool {
        self.calls().contains_key(&id)
    }

    /// Ends a call with its outcome.
    pub(super) fn complete(&self, id: CallId, outcome: Result<Bytes, CallError>) {
        self.end(id, false, outcome);
    }

    /// Ends a PING: the peer lives.
    pub(super) fn answered(&self, id: CallId) {
        self.end(id, true, Ok(Bytes::new()));
    }

    /// A peer that mistakes one for the other ends neither.
    fn end(&self, id: CallId, is_ping: bool, outcome: Result<Bytes, CallError>) {
        let pending = match self.calls().entry(id) {
            Entry::Occupied(pending) if pending.get().is_ping == is_ping => Some(pending.remove()),
            _ => None,
        };
        if let Some(pending) = pending {
            // A caller that has gone meanwhile needs no answer.
            let _gone = pending.slot.send(outcome);
        }
    }

    /// Takes a call back for its caller.
    pub(super) fn remove(&self, id: CallId) -> Option<Stage> {
        let pending = self.calls().remove(&id)?;
        Some(if pending.session.is_some() { Stage::Sent } else { Stage::Queued })
    }

    /// The calls written to sessions that `ended` are from now on answered by `heir`.
    pub(super) fn adopt(&self, ended: impl Fn(SessionId) -> bool, heir: SessionId) {
        for pending in self.calls().values_mut() {
            if pending.session.is_some_and(&ended) {
                pending.session = Some(heir);
            }
        }
    }

    /// Ends the calls written to sessions that are lost.
    pub(super) fn fail(&self, is_lost: impl Fn(SessionId) -> bool) {
        self.fail_those(|call| call.session.is_some_and(&is_lost), &CallError::LinkDown);
    }

    /// Ends the calls of which nothing was written.
    pub(super) fn fail_unsent(&self, error: &CallError) {
        self.fail_those(|call| call.session.is_none(), error);
    }

    fn fail_those(&self, fails: impl Fn(&Pending) -> bool, error: &CallError) {
        let failed: Vec<Pending> =
            self.calls().extract_if(|_, call| fails(call)).map(|(_, call)| call).collect();
        for pending in failed {
            let _gone = pending.slot.send(Err(error.clone()));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls().is_empty()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Pending, BuildHasherDefault<OwnIds>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spreads ids that this kernel counts up itself: nobody chooses them so that they collide.
#[derive(Default)]
struct OwnIds(u64);

impl Hasher for OwnIds {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4); the upper bits are the best, and the table uses both ends.
        let spread = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
