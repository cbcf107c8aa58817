//! Links that break and sessions that are replaced, over and over, under load on several threads.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{SECOND, TestNode, config, id, node, server};
use netkernel::{
    Dispatch, Executed, Kernel, MemoryNetwork, Net, Peer, PeerEvent, Refusal, Responder, ServerName, Stopped,
};

/// Breaks the link, or makes a session that supersedes the present one, whenever `progress` has gone on.
async fn disturb(network: &MemoryNetwork, a: &Kernel, b: &Kernel, progress: &AtomicU32, over: &AtomicBool) {
    let (mut step, mut last) = (0u32, 0);
    while !over.load(Ordering::Relaxed) {
        let now = progress.load(Ordering::Relaxed);
        if now.wrapping_sub(last) < 500 {
            tokio::task::yield_now().await;
            continue;
        }
        last = now;
        step += 1;
        match step % 4 {
            0 => network.reset("a", "b"),
            1 | 3 => drop(a.dial(&b.local().address, None, SECOND).await),
            _ => drop(b.dial(&a.local().address, None, SECOND).await),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_is_in_order_and_never_twice() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    b.connect(&a);
    let count = 60_000u32;
    let (progress, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let receiving = async {
        let (mut arrived, mut last) = (0u32, None);
        loop {
            let (_, body) = b.casts.recv().await.unwrap();
            let number = u32::from_be_bytes(body[..4].try_into().unwrap());
            assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
            last = Some(number);
            arrived += 1;
            if number == count {
                return arrived;
            }
        }
    };
    let casting = async {
        let mut sent = u64::from(count);
        for number in 0..count {
            // Every so often a message that goes in pieces.
            let bytes = if number % 1_000 == 7 { 100_000 } else { 4 };
            let mut body = number.to_be_bytes().to_vec();
            body.resize(bytes, 0);
            a.kernel.cast(&id("b"), &server("sink"), body.into(), 30 * SECOND).await.unwrap();
            progress.fetch_add(1, Ordering::Relaxed);
            if number % 32 == 0 {
                tokio::task::yield_now().await;
            }
        }
        over.store(true, Ordering::Relaxed);
        // What was lost with a link stays lost: the last message is sent until it has arrived.
        loop {
            let last = Bytes::copy_from_slice(&count.to_be_bytes());
            a.kernel.cast(&id("b"), &server("sink"), last, 30 * SECOND).await.unwrap();
            sent += 1;
            if a.kernel.call(&id("b"), &server("echo"), Bytes::new(), 30 * SECOND).await.is_ok() {
                return sent;
            }
        }
    };
    let kernel_b = b.kernel.clone();
    let (arrived, sent, ()) =
        tokio::join!(receiving, casting, disturb(&network, &a.kernel, &kernel_b, &progress, &over));
    assert!(arrived > count / 2, "only {arrived} of {count} arrived");
    let arrived = u64::from(arrived) + std::iter::from_fn(|| b.casts.try_recv().ok()).count() as u64;
    let traffic = &a.kernel.peers()[0].traffic;
    let told = traffic.messages_dropped + traffic.casts_unconfirmed;
    assert!(arrived + told >= sent, "of {sent}, {arrived} arrived and {told} were told as lost");
}

/// Counts how often each call was executed.
#[derive(Default)]
struct Counting {
    executed: Mutex<HashMap<u32, u32>>,
}

impl Dispatch for Counting {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        let number = u32::from_be_bytes(body[..4].try_into().unwrap());
        *self.executed.lock().unwrap().entry(number).or_default() += 1;
        responder.reply(body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_executed_at_most_once_and_its_error_tells_the_truth() {
    let network = MemoryNetwork::new();
    let counting = Arc::new(Counting::default());
    let a: TestNode = node(&network, "a").await;
    let b = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    b.serve(Arc::clone(&counting) as Arc<dyn Dispatch>);
    a.kernel.connect(&id("b"), &b.local().address);
    let (progress, over, running) = (AtomicU32::new(0), AtomicBool::new(false), AtomicU32::new(16));
    let caller = |caller: u32| {
        let (a, progress, over, running) = (&a, &progress, &over, &running);
        async move {
            let mut outcomes = Vec::new();
            for round in 0..1_000 {
                let number = caller * 1_000 + round;
                let body = Bytes::copy_from_slice(&number.to_be_bytes());
                let outcome = a.kernel.call(&id("b"), &server("count"), body.clone(), 30 * SECOND).await;
                progress.fetch_add(1, Ordering::Relaxed);
                outcomes.push((number, outcome.map(|reply| assert_eq!(reply, body))));
            }
            if running.fetch_sub(1, Ordering::Relaxed) == 1 {
                over.store(true, Ordering::Relaxed);
            }
            outcomes
        }
    };
    let callers = async {
        let mut callers: Vec<_> = (0..16).map(|number| Box::pin(caller(number))).collect();
        let mut outcomes = Vec::new();
        std::future::poll_fn(|context| {
            callers.retain_mut(|caller| match caller.as_mut().poll(context) {
                std::task::Poll::Ready(done) => {
                    outcomes.extend(done);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if callers.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        outcomes
    };
    let (outcomes, ()) = tokio::join!(callers, disturb(&network, &a.kernel, &b, &progress, &over));
    let executed = counting.executed.lock().unwrap().clone();
    let mut failed = 0;
    for (number, outcome) in outcomes {
        let times = executed.get(&number).copied().unwrap_or(0);
        match outcome.map_err(|error| error.executed()) {
            Ok(()) | Err(Executed::Yes) => assert_eq!(times, 1, "call {number}"),
            Err(Executed::No) => assert_eq!(times, 0, "call {number}"),
            Err(Executed::Maybe) => assert!(times <= 1, "call {number} was executed {times} times"),
        }
        failed += u32::from(!executed.contains_key(&number));
    }
    assert!(failed < 4_000, "{failed} of 16,000 calls failed");
    assert_eq!(a.kernel.shutdown(5 * SECOND).await, Stopped::Drained);
    assert_eq!(b.shutdown(5 * SECOND).await, Stopped::Drained);
}

/// A link that is lost and comes back over and over is told as it is: up and down by turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ups_and_downs_are_told_in_the_order_they_happen() {
    let network = MemoryNetwork::new();
    let quick = |name| {
        let first = std::time::Duration::from_millis(1);
        common::start(config(&network, name, 1).backoff(first, first))
    };
    let (a, b) = (quick("a").await, quick("b").await);
    let mut events = a.kernel.events();
    a.connect(&b);
    b.connect(&a);
    let (mut is_up, mut changes) = (false, 0);
    while changes < 400 {
        // One session may break while another takes over, and then nothing is told: the link is broken again.
        let Ok(event) = tokio::time::timeout(SECOND / 50, events.recv()).await else {
            network.reset("a", "b");
            continue;
        };
        match event.unwrap().unwrap() {
            PeerEvent::Up { .. } => {
                assert!(!is_up, "up twice, after {changes} changes");
                is_up = true;
                network.reset("a", "b");
            }
            PeerEvent::Down { .. } => {
                assert!(is_up, "down before it was up, after {changes} changes");
                is_up = false;
            }
            _ => continue,
        }
        changes += 1;
    }
    // What is told last is how it is.
    let settled = async {
        while !is_up {
            match events.recv().await.unwrap().unwrap() {
                PeerEvent::Up { .. } => is_up = true,
                PeerEvent::Down { .. } => is_up = false,
                _ => {}
            }
        }
    };
    tokio::time::timeout(30 * SECOND, settled).await.expect("the link comes back");
}
