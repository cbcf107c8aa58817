//! Casts that have arrived and that a full mailbox has not taken yet. A sender that keeps to its credit fits in here
//! whole; one that does not loses what exceeds it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::message::MESSAGE_OVERHEAD_BYTES;
use super::{Link, count};
use crate::net::{Accepted, Dispatch, Peer};
use crate::node::ServerName;
use crate::proto::credit::{Grant, Load, WINDOW};
use crate::proto::due::Due;

/// The casts that wait here for their mailboxes, in order for each server.
#[derive(Default)]
pub(super) struct Intake {
    waiting: BTreeMap<ServerName, Waiting>,
    messages: usize,
    bytes: usize,
    /// The link is gone: nothing is to wait here any more.
    closed: bool,
}

/// The casts that wait for one server.
#[derive(Default)]
struct Waiting {
    groups: VecDeque<Group>,
    /// All of them, those on offer included.
    held: Load,
}

/// Casts that wait and came by one session, one after the other.
struct Group {
    from: Arc<Peer>,
    bodies: Vec<Bytes>,
    /// So many of them were taken: the rest is moved to the front rarely, not for each cast.
    taken: usize,
}

impl Group {
    fn left(&self) -> &[Bytes] {
        &self.bodies[self.taken..]
    }

    fn took(&mut self, messages: usize) -> Load {
        let taken = &mut self.bodies[self.taken..][..messages];
        let load = Load::casts(taken);
        taken.fill(Bytes::new());
        self.taken += messages;
        if self.taken > self.bodies.len() / 2 {
            self.bodies.drain(..self.taken);
            self.taken = 0;
        }
        load
    }
}

impl Intake {
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// Takes the first casts of a server out. Its entry stays, so that what comes meanwhile waits behind them.
    fn take_first(&mut self, server: &ServerName) -> Option<Group> {
        self.waiting.get_mut(server)?.groups.pop_front()
    }

    /// Puts back what is left of casts that were taken out, of which their server took so many. Says whether none waits
    /// there any more; nothing if all were given up meanwhile, with their link.
    fn put_back(&mut self, server: &ServerName, left: Group, taken: Load) -> Option<bool> {
        let waiting = self.waiting.get_mut(server)?;
        waiting.held = waiting.held.less(taken);
        if !left.left().is_empty() {
            waiting.groups.push_front(left);
        }
        let is_last = waiting.groups.is_empty();
        if is_last {
            self.waiting.remove(server);
        }
        self.less(taken);
        Some(is_last)
    }

    fn take_all(&mut self) -> Self {
        let closed = self.closed;
        std::mem::replace(self, Self { closed, ..Self::default() })
    }

    fn less(&mut self, casts: Load) {
        self.messages -= usize::try_from(casts.messages).unwrap_or(usize::MAX);
        self.bytes -= usize::try_from(casts.cost_bytes()).unwrap_or(usize::MAX);
    }

    fn add(&mut self, from: &Arc<Peer>, server: &ServerName, body: &Bytes, bytes_max: usize) -> bool {
        let held = self.waiting.get(server).map_or(0, |waiting| waiting.held.messages);
        if self.closed || self.bytes + cost_bytes(body) > bytes_max || held >= 2 * WINDOW.messages {
            return false;
        }
        let waiting = self.waiting.entry(server.clone()).or_default();
        // A body that came in one frame would keep what its reader read with it, many times its size.
        let body = if body.len() < COPIED_BYTES_MAX { Bytes::copy_from_slice(body) } else { body.clone() };
        self.messages += 1;
        self.bytes += cost_bytes(&body);
        waiting.held.add(Load::cast(body.len()));
        match waiting.groups.back_mut().filter(|group| Arc::ptr_eq(&group.from, from)) {
            Some(group) => group.bodies.push(body),
            None => {
                waiting.groups.push_back(Group { from: Arc::clone(from), bodies: vec![body], taken: 0 });
            }
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
        self.taken.add(self.group.took(messages));
    }
}

impl Drop for OnOffer<'_> {
    fn drop(&mut self) {
        let bodies = std::mem::take(&mut self.group.bodies);
        let left = Group { from: Arc::clone(&self.group.from), bodies, taken: self.group.taken };
        let mut intake = self.link.intake();
        let Some(is_last) = intake.put_back(self.server, left, self.taken) else { return };
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
            self.pressed.bells.ask(dispatch, server, next, &self.mailboxes);
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
                if let Some(next) = offer.group.left().first() {
                    self.pressed.bells.ask(dispatch, server, next, &self.mailboxes);
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
        self.pressed.grants(due, |server| self.holds_casts_for(server))
    }

    /// Offers a server some of its casts. True if any was taken.
    fn offer(&self, dispatch: &dyn Dispatch, offer: &mut OnOffer<'_>, due: &mut Due) -> bool {
        let bodies = offer.group.left();
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
        self.drop_intake();
    }

    /// Drops all that is held here, counts it, and releases it where the holdings of all peers are counted.
    fn drop_intake(&self) {
        let mut intake = self.intake();
        let left = intake.take_all();
        self.parked.store(0, Ordering::Relaxed);
        for (server, waiting) in &left.waiting {
            self.pressed.release(server, waiting.held, true);
        }
        drop(intake);
        if left.messages > 0 {
            self.told.held_lost(&self.id, left.messages);
            count(&self.counters.casts_refused, left.messages);
        }
    }

    /// The link is being removed: nothing is held here any more, nor ever again.
    pub(super) fn close_intake(&self) {
        self.intake().closed = true;
        self.drop_intake();
    }

    pub(super) fn parked(&self) -> (usize, usize) {
        self.intake().depth()
    }
}

/// A larger body came in pieces and has memory of its own.
const COPIED_BYTES_MAX: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::call::Responder;
    use crate::config::Limits;
    use crate::error::Refusal;
    use crate::link::Pressed;
    use crate::metrics::Labels;
    use crate::node::{Address, Incarnation, Node, NodeId, Role};
    use crate::told::Told;

    /// Takes so many casts.
    struct Takes(Mutex<Vec<Bytes>>, usize);

    impl Dispatch for Takes {
        fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
            let mut taken = self.0.lock().unwrap();
            if taken.len() == self.1 {
                return Err(Refusal::Overloaded);
            }
            taken.push(body);
            Ok(())
        }

        fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
            responder.refuse(Refusal::NoProc);
        }
    }

    fn link(pressed: &Arc<Pressed>) -> (Arc<Link>, Arc<Peer>) {
        let id = NodeId::new("peer").unwrap();
        let labels = Labels::of_peer(&id, &id, Role::Node);
        let address = Address::new("peer", 1).unwrap();
        let node = Node { id: id.clone(), address, incarnation: Incarnation(1) };
        let peer = Arc::new(Peer { node, role: Role::Node });
        (Link::new(labels, id.clone(), Limits::default(), pressed, &Arc::new(Told::new())), peer)
    }

    fn casts(count: u32) -> Vec<Bytes> {
        (0..count).map(|number| Bytes::copy_from_slice(&number.to_be_bytes())).collect()
    }

    #[test]
    fn what_a_link_that_is_removed_held_is_released_and_nothing_is_held_again() {
        let pressed = Arc::new(Pressed::new());
        let ((link, peer), server) = (link(&pressed), ServerName::new("full").unwrap());
        let full = Takes(Mutex::default(), 0);
        for _ in 0..2 {
            link.take_in(&full, &peer, &server, &casts(10), &mut Due::default());
            link.close();
            assert_eq!(link.parked(), (0, 0));
            assert!(pressed.is_at_rest());
        }
        assert_eq!(link.counters.casts_refused.value(), 10);
    }

    #[test]
    fn casts_of_a_slow_server_are_offered_in_order_and_counted_each_once() {
        let pressed = Arc::new(Pressed::new());
        let ((link, peer), server) = (link(&pressed), ServerName::new("slow").unwrap());
        let all = casts(1_000);
        let mut slow = Takes(Mutex::default(), 0);
        let mut due = Due::default();
        link.take_in(&slow, &peer, &server, &all[..600], &mut due);
        for room in (0..=1_000).step_by(7) {
            if room == 350 {
                link.take_in(&slow, &peer, &server, &all[600..], &mut due);
            }
            slow.1 = room;
            link.offer_casts(&slow, &mut due);
            let came = if room < 350 { 600 } else { 1_000 };
            let left: usize = all[room.min(came)..came].iter().map(cost_bytes).sum();
            assert_eq!(link.parked(), (came - room.min(came), left));
        }
        slow.1 = usize::MAX;
        link.offer_casts(&slow, &mut due);
        assert_eq!(*slow.0.lock().unwrap(), all);
        assert_eq!((link.parked(), link.holds_casts_for(&server)), ((0, 0), false));
        assert!(pressed.is_at_rest());
    }
}
