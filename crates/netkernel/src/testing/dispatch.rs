//! What every [`Dispatch`] has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;

use super::PATIENCE;
use crate::call::{Call, Inbound, Responder};
use crate::error::{CallError, Refusal, Stage};
use crate::net::{BoxFuture, Dispatch, Peer};
use crate::node::{Node, Role, ServerName};

/// A server that a [`Dispatch`] under test has, with a mailbox for some messages, 20 at least and 100,000 at most.
pub trait Served: Send {
    /// Its name.
    fn name(&self) -> ServerName;

    /// A cast that says this number, as the dispatch reads it.
    fn body(&self, number: u32) -> Bytes;

    /// A cast that the dispatch refuses for good, though the server is there, if there are such.
    fn refused_body(&self) -> Option<Bytes> {
        None
    }

    /// Completes when the server has dealt with its next message, and gives its number. It deals with none but for this,
    /// though it may take one out of its mailbox in advance.
    fn next(&mut self) -> BoxFuture<'_, u32>;
}

/// A [`Dispatch`] delivers every cast that it takes, once and in order; takes as many as there is room for, from the front,
/// and says how many; tells when there is room again; refuses what it has no server for, and answers every call or drops its
/// responder. `absent` names a server that it does not have, `served` is one that it has.
///
/// Run it on a current-thread runtime: it gives the server turns, and takes it to have used them.
///
/// # Panics
///
/// Where the dispatch does not conform.
pub async fn dispatch(dispatch: &dyn Dispatch, from: &Node, absent: &ServerName, served: &mut dyn Served) {
    let peer = Arc::new(Peer { node: from.clone(), role: Role::Client });
    refuses_what_is_for_nobody(dispatch, &peer, absent).await;
    let mut suite = Suite { dispatch, peer, name: served.name(), served, sent: 0, dealt_with: 0 };
    suite.delivers_one_by_one_and_together().await;
    suite.counts_what_it_refuses_among_what_it_takes().await;
    suite.takes_what_there_is_room_for_and_tells_of_more().await;
}

async fn refuses_what_is_for_nobody(dispatch: &dyn Dispatch, peer: &Arc<Peer>, absent: &ServerName) {
    let bodies = [Bytes::new(), Bytes::from("nonsense"), Bytes::from(vec![0xff; 100_000])];
    for body in &bodies {
        let refused = dispatch.cast(peer, absent, body.clone());
        assert!(refused.is_err(), "a cast to nobody was accepted");
        assert_ne!(refused, Err(Refusal::Overloaded), "a cast to nobody would be offered for ever");
        let outcome = Call::start(PATIENCE, |slot, deadline| {
            let inbound = Inbound::local(slot, deadline);
            dispatch.call(peer, absent, body.clone(), Responder::new(Arc::clone(&inbound)));
            Ok(Box::new(move || {
                inbound.cancel();
                Stage::Sent
            }))
        });
        assert!(
            matches!(outcome.await, Err(CallError::Refused(_))),
            "a call to nobody was answered or forgotten"
        );
    }
    let accepted = dispatch.casts(peer, absent, &bodies);
    assert_eq!((accepted.messages, accepted.refused), (3, 3), "casts to nobody are refused for good");
}

struct Suite<'a> {
    dispatch: &'a dyn Dispatch,
    peer: Arc<Peer>,
    name: ServerName,
    served: &'a mut dyn Served,
    /// Casts taken, and those the server has dealt with: each says its number.
    sent: u32,
    dealt_with: u32,
}

impl Suite<'_> {
    fn bodies(&self, count: u32) -> Vec<Bytes> {
        (self.sent..self.sent + count).map(|number| self.served.body(number)).collect()
    }

    /// Offers so many casts together, and says how many were taken.
    fn offer(&mut self, count: u32) -> u32 {
        let bodies = self.bodies(count);
        let accepted = self.dispatch.casts(&self.peer, &self.name, &bodies);
        assert_eq!(accepted.refused, 0, "a cast to a server that is there was refused");
        assert!(accepted.messages <= bodies.len(), "more casts were taken than there were");
        let taken = u32::try_from(accepted.messages).expect("no more than were offered");
        self.sent += taken;
        taken
    }

    /// Lets the server deal with so many messages: they are the next in order.
    async fn deal_with(&mut self, count: u32) {
        for _ in 0..count {
            let next = tokio::time::timeout(PATIENCE, self.served.next()).await;
            let number = next.expect("a cast that was taken was not delivered");
            assert_eq!(number, self.dealt_with, "casts were lost, repeated or out of order");
            self.dealt_with += 1;
        }
    }

    async fn delivers_one_by_one_and_together(&mut self) {
        for _ in 0..5 {
            let body = self.served.body(self.sent);
            assert_eq!(self.dispatch.cast(&self.peer, &self.name, body), Ok(()), "there is room");
            self.sent += 1;
        }
        assert_eq!((self.offer(10), self.offer(0), self.offer(1)), (10, 0, 1), "there is room");
        self.deal_with(16).await;
    }

    async fn counts_what_it_refuses_among_what_it_takes(&mut self) {
        let Some(refused) = self.served.refused_body() else { return };
        let outcome = self.dispatch.cast(&self.peer, &self.name, refused.clone());
        assert!(!matches!(outcome, Ok(()) | Err(Refusal::Overloaded)), "{outcome:?}");
        let good = self.bodies(3);
        let mixed = [&refused, &good[0], &good[1], &refused, &refused, &good[2]].map(Bytes::clone);
        let accepted = self.dispatch.casts(&self.peer, &self.name, &mixed);
        assert_eq!((accepted.messages, accepted.refused), (6, 3), "all are dealt with, and three refused");
        self.sent += 3;
        self.deal_with(3).await;
    }

    /// Offers casts until none is taken, however often the server has turns.
    async fn fill(&mut self) {
        let mut refusals = 0;
        while refusals < TURNS {
            assert!(self.sent - self.dealt_with <= 100_000, "the mailbox has no bound");
            if self.offer(7) == 0 {
                refusals += 1;
                tokio::task::yield_now().await;
            } else {
                refusals = 0;
            }
        }
        let body = self.served.body(self.sent);
        let full = self.dispatch.cast(&self.peer, &self.name, body);
        assert_eq!(full, Err(Refusal::Overloaded), "a full server is not refused for good");
    }

    async fn takes_what_there_is_room_for_and_tells_of_more(&mut self) {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let next = self.served.body(self.sent);
        self.dispatch.wake_with_room(&self.name, &next, &waker);
        // One that never tells is offered what waits now and then.
        let tells = bell.is_rung_before_long().await;
        for _ in 0..3 {
            self.fill().await;
            let next = self.served.body(self.sent);
            bell.silence();
            self.dispatch.wake_with_room(&self.name, &next, &waker);
            assert!(!bell.is_rung_before_long().await, "room was told of, and there is none");
            self.deal_with(2).await;
            assert_eq!(bell.is_rung_before_long().await, tells, "nobody was told of room");
            assert!(self.offer(2) >= 1, "there is room, and nothing was taken");
        }
        self.deal_with(self.sent - self.dealt_with).await;
        let none = tokio::time::timeout(PATIENCE / 1_000, self.served.next()).await;
        assert!(none.is_err(), "the server has dealt with more than was taken");
    }
}

/// Counts how often it is rung.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn silence(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    async fn is_rung_before_long(&self) -> bool {
        for _ in 0..TURNS {
            if self.0.load(Ordering::Relaxed) > 0 {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }
}

/// Turns that the server is given, in which it does what it can.
const TURNS: usize = 50;
