//! Casts that have arrived and that a full mailbox has not taken yet. A sender that keeps to its credit fits in here
//! whole; one that does not loses what exceeds it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::message::MESSAGE_OVERHEAD_BYTES;
use super::{Link, count};
use crate::error::Refusal;
use crate::net::{Dispatch, Peer};
use crate::node::ServerName;
use crate::proto::credit::{Due, WINDOW};

/// The casts that wait here for their mailboxes, in order for each server.
#[derive(Default)]
pub(super) struct Intake {
    waiting: BTreeMap<ServerName, VecDeque<(Arc<Peer>, Bytes)>>,
    messages: usize,
    bytes: usize,
}

impl Intake {
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    fn add(&mut self, from: &Arc<Peer>, server: &ServerName, body: &Bytes, bytes_max: usize) -> bool {
        let full = self.bytes + cost_bytes(body) > bytes_max
            || self.waiting.get(server).is_some_and(|waiting| waiting.len() as u64 >= 2 * WINDOW.messages);
        if full {
            return false;
        }
        // A small body would keep the whole record it came in.
        let body = if body.len() < COPIED_BYTES_MAX { Bytes::copy_from_slice(body) } else { body.clone() };
        self.messages += 1;
        self.bytes += cost_bytes(&body);
        self.waiting.entry(server.clone()).or_default().push_back((Arc::clone(from), body));
        true
    }

    /// Offers every server what waits for it, until it takes no more.
    fn offer(&mut self, dispatch: &dyn Dispatch, due: &mut Due) -> Offered {
        let mut offered = Offered::default();
        self.waiting.retain(|server, waiting| {
            while let Some((from, body)) = waiting.front() {
                let outcome = dispatch.cast(from, server, body.clone());
                if matches!(outcome, Err(Refusal::Overloaded)) {
                    return true;
                }
                due.took(server, body.len(), outcome.is_err());
                self.messages -= 1;
                self.bytes -= cost_bytes(body);
                offered.refused += usize::from(outcome.is_err());
                offered.any = true;
                waiting.pop_front();
            }
            false
        });
        offered
    }
}

/// What a cast that waits takes, so that empty ones are bounded, too.
fn cost_bytes(body: &Bytes) -> usize {
    body.len() + MESSAGE_OVERHEAD_BYTES
}

/// What became of an offer.
#[derive(Default)]
struct Offered {
    any: bool,
    refused: usize,
}

impl Link {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a cast to its server, or keeps it until its server has room. A refusal is final.
    pub(crate) fn take_in(
        &self,
        dispatch: &dyn Dispatch,
        from: &Arc<Peer>,
        server: &ServerName,
        body: &Bytes,
        due: &mut Due,
    ) -> Result<(), Refusal> {
        let behind_others = self.holds_casts() && self.intake().waiting.contains_key(server);
        let outcome =
            if behind_others { Err(Refusal::Overloaded) } else { dispatch.cast(from, server, body.clone()) };
        if matches!(outcome, Err(Refusal::Overloaded)) {
            let mut intake = self.intake();
            if intake.add(from, server, body, self.limits.parked_bytes_max) {
                self.parked.store(intake.messages, Ordering::Relaxed);
                return Ok(());
            }
        }
        due.took(server, body.len(), outcome.is_err());
        outcome
    }

    /// Whether casts wait here for their mailboxes.
    pub(crate) fn holds_casts(&self) -> bool {
        self.parked.load(Ordering::Relaxed) > 0
    }

    /// Whether casts for this server wait here: a call would overtake them.
    pub(crate) fn holds_casts_for(&self, server: &ServerName) -> bool {
        self.holds_casts() && self.intake().waiting.contains_key(server)
    }

    /// Offers the servers what waits for them. True if any was taken.
    pub(crate) fn offer_casts(&self, dispatch: &dyn Dispatch, due: &mut Due) -> bool {
        let mut intake = self.intake();
        let offered = intake.offer(dispatch, due);
        self.parked.store(intake.messages, Ordering::Relaxed);
        count(&self.counters.casts_refused, offered.refused);
        offered.any
    }

    /// The link is lost: what no mailbox takes now is dropped, so that nothing arrives after its end.
    pub(super) fn end_intake(&self, dispatch: &dyn Dispatch) {
        self.offer_casts(dispatch, &mut Due::default());
        let left = std::mem::take(&mut *self.intake());
        self.parked.store(0, Ordering::Relaxed);
        if left.messages > 0 {
            tracing::warn!(peer = %self.id, casts = left.messages, "casts lost with their link before their servers had room");
            count(&self.counters.casts_refused, left.messages);
        }
    }

    pub(super) fn parked(&self) -> (usize, usize) {
        self.intake().depth()
    }
}

/// Bodies smaller than this are copied out of their record.
const COPIED_BYTES_MAX: usize = 4 * 1_024;
