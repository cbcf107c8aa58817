//! What waits for full servers leaves nothing with the layer above when it gives up, and is told together when there is room.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, server, settle};
use netkernel::{
    Builder, Dispatch, Kernel, MemoryNetwork, Net, Peer, Refusal, Responder, Role, SendError, ServerName,
};
use tokio::time::Instant;

/// A mailbox for each name, which keeps the wakers of those who wait, none twice, until there is room.
#[derive(Default)]
struct Full(Mutex<State>);

#[derive(Default)]
struct State {
    room: usize,
    taken: Vec<Bytes>,
    wakers: Vec<(ServerName, Waker)>,
}

impl Full {
    fn wakers(&self) -> usize {
        self.0.lock().unwrap().wakers.len()
    }

    fn make_room(&self, messages: usize) {
        let mut state = self.0.lock().unwrap();
        state.room += messages;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn taken(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().taken.clone()
    }
}

impl Dispatch for Full {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        let mut state = self.0.lock().unwrap();
        state.room = state.room.checked_sub(1).ok_or(Refusal::Overloaded)?;
        state.taken.push(body);
        Ok(())
    }

    fn wake_with_room(&self, server: &ServerName, _next: &Bytes, waker: &Waker) {
        let mut state = self.0.lock().unwrap();
        if !state.wakers.iter().any(|(name, known)| name == server && known.will_wake(waker)) {
            state.wakers.push((server.clone(), waker.clone()));
        }
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

async fn kernel(config: Builder, full: &Arc<Full>) -> Kernel {
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    kernel.serve(Arc::clone(full) as Arc<dyn Dispatch>);
    kernel
}

#[tokio::test(start_paused = true)]
async fn casts_that_give_up_at_a_full_server_of_their_node_leave_one_waker_with_it() {
    let full = Arc::new(Full::default());
    let a = kernel(config(&MemoryNetwork::new(), "a", 1), &full).await;
    for number in 0..1_000 {
        let name = server(&format!("full {}", number % 5));
        let late = a.cast(&id("a"), &name, Bytes::from("late"), Duration::from_millis(3)).await;
        assert!(matches!(late, Err(SendError::Busy { body, .. }) if body == "late"));
    }
    assert_eq!(full.wakers(), 5, "one a server");
}

/// Clients come under ever new ids.
#[tokio::test(start_paused = true)]
async fn links_that_go_leave_one_waker_with_a_full_server() {
    let (network, full) = (MemoryNetwork::new(), Arc::new(Full::default()));
    let b = kernel(config(&network, "b", 1), &full).await;
    for number in 0..50 {
        let (name, nobody) = (format!("client-{number}"), Arc::new(Full::default()));
        let a = kernel(config(&network, &name, 1).role(Role::Client), &nobody).await;
        a.dial(&b.local().address, None, SECOND).await.unwrap();
        a.cast(&id("b"), &server("full"), Bytes::from("held"), SECOND).await.unwrap();
        a.call(&id("b"), &server("up"), Bytes::new(), SECOND).await.unwrap();
        assert_eq!(b.peers()[0].casts_held.messages, 1);
        a.shutdown(SECOND).await;
        settle().await;
        assert!(b.peers().is_empty());
    }
    assert_eq!(full.wakers(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_full_server_go_when_it_tells_of_room() {
    let (network, full) = (MemoryNetwork::new(), Arc::new(Full::default()));
    let (a, b) =
        (kernel(config(&network, "a", 1), &full).await, kernel(config(&network, "b", 1), &full).await);
    a.connect(&id("b"), &b.local().address);
    let (b_id, name) = (id("b"), server("full"));
    a.cast(&b_id, &name, Bytes::from("of a peer"), SECOND).await.unwrap();
    let local = |body: &'static str| b.cast(&b_id, &name, Bytes::from(body), 10 * SECOND);
    let emptying = async {
        // At a moment at which nobody would look by the clock.
        tokio::time::sleep(SECOND + Duration::from_micros(300)).await;
        assert_eq!(full.wakers(), 1);
        full.make_room(3);
        Instant::now()
    };
    let (one, other, begun) = tokio::join!(local("one"), local("other"), emptying);
    one.and(other).unwrap();
    assert_eq!(begun, Instant::now());
    settle().await;
    let mut taken = full.taken();
    taken.sort();
    assert_eq!(taken, ["of a peer", "one", "other"]);
    // Room for one of three: the others wait on, and are told again.
    let making = async {
        for _ in 0..3 {
            tokio::time::sleep(SECOND).await;
            assert_eq!(full.wakers(), 1);
            full.make_room(1);
        }
    };
    let (one, other, third, ()) = tokio::join!(local("1"), local("2"), local("3"), making);
    one.and(other).and(third).unwrap();
    assert_eq!((full.taken().len(), full.wakers()), (6, 0));
}
