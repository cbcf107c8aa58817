//! Many callers at once, on several threads: nothing is lost, mixed up or left over.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::network::{Network, TestNode, on_each_network};
use common::{
    Drop, Echo, Hold, Lab, Log, Logged, MS, Relay, Release, SECOND, Unrouted, Work, patient, settle,
};
use genserver::{
    Addr, CallError, Cx, Executed, GenServer, HandleCall, LocalAddr, Outcome, ReplyTo, Request, Routes, Stop,
    Stopped, Wire,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// Answers what it was asked, twice as often from a task as from the handler.
struct Ask(Arc<u64>);

impl Request for Ask {
    type Reply = Arc<u64>;
}

struct Oracle;

impl GenServer for Oracle {}

impl HandleCall<Ask> for Oracle {
    async fn call(&mut self, Ask(load): Ask, reply: ReplyTo<Arc<u64>>, cx: &mut Cx<Self>) -> Outcome {
        if *load % 3 == 0 {
            return reply.send(load);
        }
        cx.spawn(async move {
            tokio::task::yield_now().await;
            reply.send(load);
        });
        Outcome::Continue
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_callers_gets_its_own_replies() {
    let oracle = patient().spawn("oracle", Oracle).mailbox(32).await.unwrap();
    let loads: Vec<_> = (0..64 * 500).map(Arc::new).collect();
    let callers = (0..64).map(|caller| {
        let (oracle, loads) = (oracle.clone(), loads[caller * 500..(caller + 1) * 500].to_vec());
        async move {
            for load in loads {
                let reply = oracle.call(Ask(Arc::clone(&load))).await.unwrap();
                assert!(Arc::ptr_eq(&reply, &load));
            }
        }
    });
    JoinSet::from_iter(callers).join_all().await;
    oracle.stop(Stop::graceful(SECOND)).await;
    assert!(loads.iter().all(|load| Arc::strong_count(load) == 1), "every message and reply is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_race_with_a_stop_each_get_one_answer() {
    for _ in 0..50 {
        let lab = patient().spawn("lab", Lab::default()).mailbox(4).await.unwrap();
        let callers = (0..16).map(|number| {
            let lab = lab.clone();
            async move { lab.call(Echo(number)).await }
        });
        let callers = JoinSet::from_iter(callers);
        let stop = if fast() { Stop::Now } else { Stop::graceful(SECOND) };
        lab.stop(stop).await;
        for ended in callers.join_all().await {
            match ended {
                Ok(_) | Err(CallError::Draining | CallError::Exited { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(lab.info().mailbox_messages, 0);
    }
}

/// Either way of stopping, in turn.
fn fast() -> bool {
    use std::sync::atomic::{AtomicBool, Ordering};
    static TURN: AtomicBool = AtomicBool::new(false);
    TURN.fetch_xor(true, Ordering::Relaxed)
}

#[test]
fn casts_to_another_node_keep_their_order_among_many_senders() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        let senders = (0..8_u64).map(|sender| {
            let lab = lab.clone();
            async move {
                for number in 0..100 {
                    lab.cast(Log(sender * 1_000 + number)).await.unwrap();
                    if number % 10 == 0 {
                        // A call is one more message of this sender, in its place.
                        assert_eq!(lab.call(Echo(number)).await, Ok(number));
                    }
                }
            }
        });
        JoinSet::from_iter(senders).join_all().await;
        let logged = lab.call(Logged).await.unwrap();
        assert_eq!(logged.len(), 800);
        for sender in 0..8 {
            let own: Vec<_> = logged.iter().filter(|number| *number / 1_000 == sender).copied().collect();
            assert_eq!(own, Vec::from_iter(sender * 1_000..sender * 1_000 + 100));
        }
    });
}

/// Calls of every way to end, each so often at a time.
async fn calls_of_every_ending(a: &TestNode, b: &TestNode, each: u64) {
    let lab = a.lab_on(b, "lab");
    let nobody = a.lab_on(b, "nobody");
    let mut calls = JoinSet::new();
    for number in 0..each {
        let (lab, nobody) = (lab.clone(), nobody.clone());
        calls.spawn(async move {
            assert_eq!(lab.call(Echo(number)).await, Ok(number));
            assert_eq!(lab.call(Drop).await, Err(CallError::NoReply));
            let (unrouted, missing) = (lab.call(Unrouted).await, nobody.call(Echo(number)).await);
            assert!(matches!(unrouted, Err(CallError::Unsupported { .. })), "{unrouted:?}");
            assert!(matches!(missing, Err(CallError::NoProc { .. })), "{missing:?}");
            let relayed = lab.call(Relay(lab.clone(), number)).await;
            assert!(
                matches!(&relayed, Ok(Err(circle)) if circle.starts_with("the call would wait for itself"))
            );
            let late = lab.call(Hold).timeout(5 * MS).await;
            assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
            // Dropped: the first of them while it is handled, the others while they wait behind it.
            assert!(tokio::time::timeout(2 * MS, lab.call(Work(4))).await.is_err());
        });
    }
    calls.join_all().await;
    lab.cast(Release(0)).await.expect("there is room");
}

#[test]
fn a_hundred_thousand_calls_of_every_ending_between_nodes_leave_nothing() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        // What turmoil adds is latency, and it is slow.
        let rounds = if matches!(network, Network::Memory(_)) { 145 } else { 10 };
        for _ in 0..rounds {
            calls_of_every_ending(&a, &b, 100).await;
        }
        settle().await;
        let there: LocalAddr<Lab> = b.system.whereis("lab").unwrap();
        there.idle().await;
        assert_eq!((there.info().mailbox_messages, there.info().handling.is_none()), (0, true));
        assert_eq!((a.calls_under_way(), b.calls_under_way()), (0, 0));
        assert_eq!(b.system.shutdown(SECOND).await, Stopped::Drained);
        assert_eq!(a.system.shutdown(SECOND).await, Stopped::Drained);
    });
}

/// Goes to and fro between two nodes until the count is down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bounce {
    left: u32,
    via: Vec<Addr<Wall>>,
}

impl Request for Bounce {
    type Reply = Result<u32, String>;
}

impl Wire for Bounce {
    const TAG: &'static str = "bounce";
}

struct Wall;

impl GenServer for Wall {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Bounce>();
    }
}

impl HandleCall<Bounce> for Wall {
    async fn call(
        &mut self,
        Bounce { left, mut via }: Bounce,
        reply: ReplyTo<Result<u32, String>>,
        _cx: &mut Cx<Self>,
    ) -> Outcome {
        let Some(next) = via.pop() else { return reply.send(Ok(left)) };
        let answer = next.call(Bounce { left: left + 1, via }).await;
        reply.send(answer.unwrap_or_else(|error| Err(error.to_string())))
    }
}

#[test]
fn a_long_way_round_is_found_to_be_a_circle_before_anyone_blocks() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let mut walls = Vec::new();
        for number in 0..10 {
            for node in [&a, &b] {
                let name = format!("wall-{number}");
                node.system.spawn(&name, Wall).await.unwrap();
                walls.push(a.system.addr::<Wall>(&node.id(), &name));
            }
        }
        let began = tokio::time::Instant::now();
        let (first, way) = walls.split_first().unwrap();
        let straight = Bounce { left: 0, via: way.iter().rev().cloned().collect() };
        assert_eq!(first.call(straight.clone()).await, Ok(Ok(19)));
        // And once more, back to the third of them at the end.
        let mut round = straight;
        round.via.insert(0, walls[2].clone());
        let circle = first.call(round).await.unwrap().unwrap_err();
        assert!(circle.starts_with("the call would wait for itself: wall-1@a → wall-1@b → "), "{circle}");
        assert!(circle.ends_with("wall-9@b → wall-1@a"), "{circle}");
        assert!(began.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn nobody_executes_what_says_it_was_not_executed() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let small: LocalAddr<Lab> = b.system.spawn("small", Lab::default()).mailbox(2).await.unwrap();
        let lab = a.lab_on(&b, "small");
        let calls = JoinSet::from_iter((0..50).map(|_| lab.call(Work(20)).timeout(100 * MS)));
        let ended = calls.join_all().await;
        let may_have_run = ended
            .iter()
            .filter(|ended| !ended.as_ref().is_err_and(|error| error.executed() == Executed::No))
            .count();
        small.idle().await;
        let handled = usize::try_from(small.info().handled).unwrap();
        assert!(handled >= 1 && handled <= may_have_run, "{handled} handled, {may_have_run} may have been");
    });
}
