//! What every [`Dispatch`] has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;

use super::PATIENCE;
use super::served::{Asked, Served, Taken};
use crate::call::{Call, Inbound, Responder};
use crate::error::{CallError, Refusal, Stage};
use crate::net::{Dispatch, Peer};
use crate::node::{Node, Role, ServerName};

/// A [`Dispatch`] delivers every cast that it takes, once and in order; takes as many as there is room for, from the front,
/// and says how many; tells when there is room again; refuses what it has no server for. It delivers every call behind the
/// casts before it, gives its caller the answer that was meant for it, and tells the callee when its caller leaves; a call
/// that is not answered, to a full server or to one that ends, it refuses. `absent` names a server that it does not have,
/// `served` is one that it has, and that has ended afterwards.
///
/// Run it on a current-thread runtime: it gives the server turns, and takes it to have used them.
///
/// # Panics
///
/// Where the dispatch does not conform.
pub async fn dispatch(dispatch: &dyn Dispatch, from: &Node, absent: &ServerName, served: &mut dyn Served) {
    let peer = Arc::new(Peer { node: from.clone(), role: Role::Client });
    refuses_what_is_for_nobody(dispatch, &peer, absent).await;
    let mut suite =
        Suite { dispatch, peer, name: served.name(), served, tells: false, sent: 0, dealt_with: 0 };
    suite.delivers_one_by_one_and_together().await;
    suite.counts_what_it_refuses_among_what_it_takes().await;
    suite.gives_every_caller_the_answer_to_its_call().await;
    suite.delivers_calls_behind_the_casts_before_them().await;
    suite.tells_the_callee_that_its_caller_has_left().await;
    suite.refuses_a_call_that_is_not_answered().await;
    suite.takes_what_there_is_room_for_and_tells_of_more().await;
    suite.ends_the_calls_of_a_server_that_ends().await;
}

async fn refuses_what_is_for_nobody(dispatch: &dyn Dispatch, peer: &Arc<Peer>, absent: &ServerName) {
    let bodies = [Bytes::new(), Bytes::from("nonsense"), Bytes::from(vec![0xff; 100_000])];
    for body in &bodies {
        refuses_all(dispatch, peer, absent, body, body).await;
    }
    let accepted = dispatch.casts(peer, absent, &bodies);
    assert_eq!((accepted.messages, accepted.refused), (3, 3), "casts to nobody are refused for good");
}

/// There is no such server, and casts and calls to it are told so.
async fn refuses_all(
    dispatch: &dyn Dispatch,
    peer: &Arc<Peer>,
    absent: &ServerName,
    cast: &Bytes,
    call: &Bytes,
) {
    let refused = dispatch.cast(peer, absent, cast.clone());
    assert!(refused.is_err(), "a cast to nobody was accepted");
    assert_ne!(refused, Err(Refusal::Overloaded), "a cast to nobody would be offered for ever");
    let outcome = start(dispatch, peer, absent, call.clone()).await;
    assert!(matches!(outcome, Err(CallError::Refused(_))), "a call to nobody was answered or forgotten");
}

/// A call as a kernel hands it on.
fn start(dispatch: &dyn Dispatch, peer: &Arc<Peer>, server: &ServerName, body: Bytes) -> Call {
    Call::start(PATIENCE, |slot, deadline| {
        let inbound = Inbound::local(slot, deadline);
        dispatch.call(peer, server, body, Responder::new(Arc::clone(&inbound)));
        Ok(Box::new(move || {
            inbound.cancel();
            Stage::Sent
        }))
    })
}

/// What has been answered reaches its caller at once.
async fn reply(call: Call) -> Bytes {
    let outcome = tokio::time::timeout(PATIENCE / 1_000, call).await;
    outcome.expect("an answer did not reach its caller").expect("a call that was answered failed")
}

/// What will not be answered ends at once, and says why.
async fn refusal(call: Call) -> Refusal {
    match tokio::time::timeout(PATIENCE / 1_000, call).await {
        Ok(Err(CallError::Refused(refusal))) => refusal,
        Ok(outcome) => panic!("a call that nobody answered ended as {outcome:?}"),
        Err(_) => panic!("a call that nobody will answer was forgotten"),
    }
}

struct Suite<'a> {
    dispatch: &'a dyn Dispatch,
    peer: Arc<Peer>,
    name: ServerName,
    served: &'a mut dyn Served,
    /// It tells of room. What waits for one that never does is offered now and then.
    tells: bool,
    /// Casts and calls taken, and those the server has dealt with: each says its number.
    sent: u32,
    dealt_with: u32,
}

impl Suite<'_> {
    fn bodies(&self, count: u32) -> Vec<Bytes> {
        (self.sent..self.sent + count).map(|number| self.served.cast_body(number)).collect()
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

    /// The next message in order, with which the server deals.
    async fn next(&mut self) -> Taken {
        let next = tokio::time::timeout(PATIENCE, self.served.next()).await;
        let taken = next.expect("a message that was taken was not delivered");
        let (Taken::Cast(number) | Taken::Call(number, _)) = taken;
        assert_eq!(number, self.dealt_with, "messages were lost, repeated or out of order");
        self.dealt_with += 1;
        taken
    }

    /// Lets the server deal with so many casts: they are the next in order.
    async fn deal_with(&mut self, count: u32) {
        for _ in 0..count {
            let taken = self.next().await;
            assert!(matches!(taken, Taken::Cast(_)), "a cast arrived as a call");
        }
    }

    /// Lets the server deal with a call: it is the next in order.
    async fn deal_with_call(&mut self) -> Box<dyn Asked> {
        match self.next().await {
            Taken::Call(_, asked) => asked,
            Taken::Cast(_) => panic!("a call arrived as a cast"),
        }
    }

    fn call(&mut self) -> Call {
        let body = self.served.call_body(self.sent);
        self.sent += 1;
        start(self.dispatch, &self.peer, &self.name, body)
    }

    async fn delivers_one_by_one_and_together(&mut self) {
        for _ in 0..5 {
            let body = self.served.cast_body(self.sent);
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

    async fn gives_every_caller_the_answer_to_its_call(&mut self) {
        let calls = [self.call(), self.call(), self.call()];
        let mut asked = Vec::new();
        for _ in &calls {
            asked.push(self.deal_with_call().await);
        }
        let numbers = [u32::MAX, 0, 7];
        for (asked, number) in asked.into_iter().zip(numbers).rev() {
            assert!(!asked.is_cancelled(), "a call was cancelled that somebody waits for");
            asked.reply(number);
        }
        for (call, number) in calls.into_iter().zip(numbers) {
            assert_eq!(
                reply(call).await,
                self.served.reply_body(number),
                "a caller has another answer than its own"
            );
        }
    }

    async fn delivers_calls_behind_the_casts_before_them(&mut self) {
        assert_eq!(self.offer(3), 3, "there is room");
        let first = self.call();
        let body = self.served.cast_body(self.sent);
        assert_eq!(self.dispatch.cast(&self.peer, &self.name, body), Ok(()), "there is room");
        self.sent += 1;
        let second = self.call();
        self.deal_with(3).await;
        self.deal_with_call().await.reply(1);
        self.deal_with(1).await;
        self.deal_with_call().await.reply(2);
        assert_eq!(reply(first).await, self.served.reply_body(1), "a caller has another answer than its own");
        assert_eq!(
            reply(second).await,
            self.served.reply_body(2),
            "a caller has another answer than its own"
        );
    }

    async fn tells_the_callee_that_its_caller_has_left(&mut self) {
        let call = self.call();
        let mut asked = self.deal_with_call().await;
        assert!(!asked.is_cancelled(), "a call was cancelled that somebody waits for");
        let leaving = async {
            tokio::task::yield_now().await;
            drop(call);
        };
        let told = async { tokio::join!(asked.cancelled(), leaving) };
        let told = tokio::time::timeout(PATIENCE, told).await;
        assert!(told.is_ok() && asked.is_cancelled(), "a callee was not told that its caller has left");
        asked.reply(0);
        // One that leaves before the server comes to its call.
        assert_eq!(self.offer(1), 1, "there is room");
        drop(self.call());
        assert_eq!(self.offer(1), 1, "there is room");
        self.deal_with(1).await;
        let next = tokio::time::timeout(PATIENCE, self.served.next()).await;
        let cast = match next.expect("a message that was taken was not delivered") {
            Taken::Call(number, asked) => {
                assert_eq!(number, self.dealt_with, "messages were lost, repeated or out of order");
                assert!(asked.is_cancelled(), "a callee was not told that its caller has left");
                self.dealt_with += 1;
                return self.deal_with(1).await;
            }
            Taken::Cast(number) => number,
        };
        assert_eq!(cast, self.dealt_with + 1, "messages were lost, repeated or out of order");
        self.dealt_with += 2;
    }

    async fn refuses_a_call_that_is_not_answered(&mut self) {
        let call = self.call();
        drop(self.deal_with_call().await);
        assert_eq!(refusal(call).await, Refusal::NoReply, "a call was dropped without an answer");
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
        let body = self.served.cast_body(self.sent);
        let full = self.dispatch.cast(&self.peer, &self.name, body);
        assert_eq!(full, Err(Refusal::Overloaded), "a full server is not refused for good");
        let call = start(self.dispatch, &self.peer, &self.name, self.served.call_body(self.sent));
        assert_eq!(refusal(call).await, Refusal::Overloaded, "a full server takes no calls");
    }

    async fn takes_what_there_is_room_for_and_tells_of_more(&mut self) {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let next = self.served.cast_body(self.sent);
        self.dispatch.wake_with_room(&self.name, &next, &waker);
        self.tells = bell.is_rung_before_long().await;
        for _ in 0..3 {
            self.fill().await;
            let next = self.served.cast_body(self.sent);
            bell.silence();
            self.dispatch.wake_with_room(&self.name, &next, &waker);
            assert!(!bell.is_rung_before_long().await, "room was told of, and there is none");
            self.deal_with(2).await;
            assert_eq!(bell.is_rung_before_long().await, self.tells, "nobody was told of room");
            assert!(self.offer(2) >= 1, "there is room, and nothing was taken");
        }
        self.deal_with(self.sent - self.dealt_with).await;
        let none = tokio::time::timeout(PATIENCE / 1_000, self.served.next()).await;
        assert!(none.is_err(), "the server has dealt with more than was taken");
    }

    async fn ends_the_calls_of_a_server_that_ends(&mut self) {
        let answered = self.call();
        let asked = self.deal_with_call().await;
        let waiting = [self.call(), self.call()];
        self.fill().await;
        let bell = Arc::new(Bell::default());
        let next = self.served.cast_body(self.sent);
        self.dispatch.wake_with_room(&self.name, &next, &Waker::from(Arc::clone(&bell)));
        assert!(!bell.is_rung_before_long().await, "room was told of, and there is none");
        self.served.end().await;
        for call in waiting {
            refusal(call).await;
        }
        assert_eq!(bell.is_rung_before_long().await, self.tells, "nobody was told that a full server ended");
        // The right to answer it was given away: who has it decides, whatever became of the server.
        asked.reply(3);
        assert_eq!(
            reply(answered).await,
            self.served.reply_body(3),
            "a caller has another answer than its own"
        );
        let call = self.served.call_body(self.sent);
        refuses_all(self.dispatch, &self.peer, &self.name, &next, &call).await;
        let accepted = self.dispatch.casts(&self.peer, &self.name, &[next.clone(), next]);
        assert_eq!((accepted.messages, accepted.refused), (2, 2), "casts to nobody are refused for good");
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
