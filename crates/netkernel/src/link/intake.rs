//! Casts that have arrived and that a full mailbox has not taken yet. A sender that keeps to its credit fits in here
//! whole; one that does not loses what exceeds it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

use super::message::MESSAGE_OVERHEAD_BYTES;
use super::{Link, count};
use crate::net::{Accepted, Dispatch, Peer};
use crate::node::ServerName;
use crate::proto::credit::{Grant, Load, WINDOW};
use crate::proto::due::Due;

/// The casts that wait here for their mailboxes, in order for each server.
#[derive(Default)]
pub(super) struct Intake {
    waiting: BTreeMap<ServerName, VecDeque<Group>>,
    messages: usize,
    bytes: usize,
}

/// Rung when a mailbox that had no room may have some.
#[derive(Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    /// Completes when it is rung, or was since this last completed. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Casts that wait and came by one session, one after the other.
struct Group {
    from: Arc<Peer>,
    bodies: Vec<Bytes>,
}

impl Intake {
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// Takes the first casts of a server out. Its entry stays, so that what comes meanwhile waits behind them.
    fn take_first(&mut self, server: &ServerName) -> Option<Group> {
        self.waiting.get_mut(server)?.pop_front()
    }

    /// Puts back what is left of casts that were taken out, of which their server took so many. Says whether none waits
    /// there any more.
    fn put_back(&mut self, server: &ServerName, left: Group, taken: Load) -> bool {
        self.less(taken);
        if !left.bodies.is_empty() {
            self.waiting.entry(server.clone()).or_default().push_front(left);
        } else if self.waiting.get(server).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(server);
            return true;
        }
        false
    }

    fn less(&mut self, casts: Load) {
        self.messages -= usize::try_from(casts.messages).unwrap_or(usize::MAX);
        self.bytes -= usize::try_from(casts.cost_bytes()).unwrap_or(usize::MAX);
    }

    fn add(&mut self, from: &Arc<Peer>, server: &ServerName, body: &Bytes, bytes_max: usize) -> bool {
        let groups = self.waiting.get(server);
        let waiting: usize = groups.into_iter().flatten().map(|group| group.bodies.len()).sum();
        if self.bytes + cost_bytes(body) > bytes_max || waiting as u64 >= 2 * WINDOW.messages {
            return false;
        }
        let groups = self.waiting.entry(server.clone()).or_default();
        // A body that came in one frame would keep what its reader read with it, many times its size.
        let body = if body.len() < COPIED_BYTES_MAX { Bytes::copy_from_slice(body) } else { body.clone() };
        self.messages += 1;
        self.bytes += cost_bytes(&body);
        match groups.back_mut().filter(|group| Arc::ptr_eq(&group.from, from)) {
            Some(group) => group.bodies.push(body),
            None => groups.push_back(Group { from: Arc::clone(from), bodies: vec![body] }),
        }
        true
    }
}

/// What a cast that waits takes, so that empty ones are bounded, too.
fn cost_bytes(body: &Bytes) -> usize {
    body.len() + MESSAGE_OVERHEAD_BYTES
}

/// Casts that their server is being offered: taken out, for the layer above may ask for anything meanwhile. What it leaves
/// goes back to the front, also when it panics.
struct OnOffer<'a> {
    link: &'a Link,
    server: &'a ServerName,
    group: Group,
    taken: Load,
}

impl OnOffer<'_> {
    fn took(&mut self, messages: usize) {
        self.taken.add(Load::casts(&self.group.bodies[..messages]));
        self.group.bodies.drain(..messages);
    }
}

impl Drop for OnOffer<'_> {
    fn drop(&mut self) {
        let left =
            Group { from: Arc::clone(&self.group.from), bodies: std::mem::take(&mut self.group.bodies) };
        let mut intake = self.link.intake();
        let is_last = intake.put_back(self.server, left, self.taken);
        self.link.pressed.release(self.server, self.taken, is_last);
        self.link.parked.store(intake.messages, Ordering::Relaxed);
    }
}

impl Link {
    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands casts that came together to their server, and keeps those it has no room for until it has. Says how
    /// many were refused: that is final.
    pub(crate) fn take_in(
        &self,
        dispatch: &dyn Dispatch,
        from: &Arc<Peer>,
        server: &ServerName,
        bodies: &[Bytes],
        due: &mut Due,
    ) -> usize {
        let accepted = if self.holds_casts_for(server) {
            Accepted::default()
        } else {
            dispatch.casts(from, server, bodies)
        };
        let taken = accepted.messages.min(bodies.len());
        due.took(server, Load::casts(&bodies[..taken]), accepted.refused as u64);
        let left = &bodies[taken..];
        let exceeding = self.hold(from, server, left, due);
        if let Some(next) = left.first() {
            dispatch.wake_with_room(server, next, &self.mailboxes_waker());
        }
        accepted.refused + exceeding
    }

    /// Keeps casts until their server has room. Says how many exceed what may wait.
    fn hold(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes], due: &mut Due) -> usize {
        if bodies.is_empty() {
            return 0;
        }
        let mut intake = self.intake();
        let is_first = !intake.waiting.contains_key(server);
        let (mut held, mut exceeding) = (Load::default(), Vec::new());
        for body in bodies {
            if intake.add(from, server, body, self.limits.held_bytes_max()) {
                held.add(Load::cast(body.len()));
            } else {
                exceeding.push(body.len());
            }
        }
        self.parked.store(intake.messages, Ordering::Relaxed);
        if held.messages > 0 {
            self.pressed.hold(server, held, is_first);
        }
        drop(intake);
        for bytes in &exceeding {
            due.took(server, Load::cast(*bytes), 1);
        }
        exceeding.len()
    }

    /// Completes when a mailbox that casts wait for may have room. Cancel safe.
    pub(crate) async fn mailbox_room(&self) {
        self.mailboxes.rung().await;
    }

    fn mailboxes_waker(&self) -> Waker {
        Arc::clone(&self.mailboxes).into()
    }

    /// Whether casts wait here for their mailboxes.
    pub(crate) fn holds_casts(&self) -> bool {
        self.parked.load(Ordering::Relaxed) > 0
    }

    /// Whether casts for this server wait here: a call would overtake them.
    pub(crate) fn holds_casts_for(&self, server: &ServerName) -> bool {
        self.holds_casts() && self.intake().waiting.contains_key(server)
    }

    /// Offers the servers what waits for them, until they take no more. True if any was taken.
    pub(crate) fn offer_casts(&self, dispatch: &dyn Dispatch, due: &mut Due) -> bool {
        let _one_at_a_time = self.offering();
        self.offer_all(dispatch, due)
    }

    /// Two readers that offered side by side could hand a server its casts out of order.
    fn offering(&self) -> MutexGuard<'_, ()> {
        self.offering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer_all(&self, dispatch: &dyn Dispatch, due: &mut Due) -> bool {
        let servers: Vec<ServerName> = self.intake().waiting.keys().cloned().collect();
        let mut any = false;
        for server in &servers {
            while let Some(group) = self.take_first(server) {
                let mut offer = OnOffer { link: self, server, group, taken: Load::default() };
                any |= self.offer(dispatch, &mut offer, due);
                if let Some(next) = offer.group.bodies.first() {
                    dispatch.wake_with_room(server, next, &self.mailboxes_waker());
                    break;
                }
            }
        }
        any
    }

    /// By itself, so that the lock is given back before anything is done with them.
    fn take_first(&self, server: &ServerName) -> Option<Group> {
        self.intake().take_first(server)
    }

    /// The credit that is worth a frame.
    pub(crate) fn grants(&self, due: &mut Due) -> Vec<Grant> {
        self.pressed.grants(due, || self.intake().waiting.keys().cloned().collect())
    }

    /// Offers a server some of its casts. True if any was taken.
    fn offer(&self, dispatch: &dyn Dispatch, offer: &mut OnOffer<'_>, due: &mut Due) -> bool {
        let bodies = &offer.group.bodies;
        let accepted = dispatch.casts(&offer.group.from, offer.server, bodies);
        let taken = accepted.messages.min(bodies.len());
        due.took(offer.server, Load::casts(&bodies[..taken]), accepted.refused as u64);
        count(&self.counters.casts_refused, accepted.refused);
        offer.took(taken);
        taken > 0
    }

    /// The link is lost: what no mailbox takes now is dropped, so that nothing arrives after its end.
    pub(super) fn end_intake(&self, dispatch: &dyn Dispatch) {
        // To the end: what a reader of a session in the making had taken out to offer would come back to an empty intake.
        let _one_at_a_time = self.offering();
        // Whatever the layer above does, the link's end is told.
        let offer = || self.offer_all(dispatch, &mut Due::default());
        if catch_unwind(AssertUnwindSafe(offer)).is_err() {
            tracing::error!(peer = %self.id, "the layer above panicked at casts held for its servers");
        }
        self.clear_intake();
    }

    /// Drops what waits for mailboxes here, which is counted.
    pub(super) fn clear_intake(&self) {
        let mut intake = self.intake();
        let left = std::mem::take(&mut *intake);
        self.parked.store(0, Ordering::Relaxed);
        for (server, groups) in &left.waiting {
            let mut held = Load::default();
            groups.iter().for_each(|group| held.add(Load::casts(&group.bodies)));
            self.pressed.release(server, held, true);
        }
        drop(intake);
        if left.messages > 0 {
            tracing::warn!(peer = %self.id, casts = left.messages, "casts lost with their link before their servers had room");
            count(&self.counters.casts_refused, left.messages);
        }
    }

    pub(super) fn parked(&self) -> (usize, usize) {
        self.intake().depth()
    }
}

/// A larger body came in pieces and has memory of its own.
const COPIED_BYTES_MAX: usize = 64 * 1_024;
