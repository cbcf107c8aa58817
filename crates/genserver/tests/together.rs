//! Casts that come together from another node share one envelope: each is still handled as if it had come alone.

mod common;

use common::network::{Network, TestNode, on_each_network};
use common::settle;
use genserver::{
    Addr, Config, Cx, DownReason, Exit, GenServer, HandleCall, HandleCast, Info, LocalAddr, Outcome, ReplyTo,
    Request, Routes, Stop, System, Wire,
};
use netkernel::{MemoryNetwork, Net};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// A number to write down, and what else to do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Write(u64, Then);

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Then {
    GoOn,
    Pause,
    /// Monitors a server that has ended, of which the system tells at once.
    HearOfAnEnd,
    Wait,
    Stop,
    Panic,
    Odd(Odd),
}

/// Cannot be read, or harms who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
enum Odd {
    Unreadable,
    Harmful,
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(D::Error::custom("unreadable")),
            _ => panic!("harmed by reading"),
        }
    }
}

impl Wire for Write {
    const TAG: &'static str = "write";
}

/// What was written, the ends heard of as 999.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Read;

impl Request for Read {
    type Reply = Vec<u64>;
}

impl Wire for Read {
    const TAG: &'static str = "read";
}

struct Ledger {
    written: Vec<u64>,
    ended: LocalAddr<Idle>,
}

struct Idle;

impl GenServer for Idle {}

impl GenServer for Ledger {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Write>().call::<Read>();
    }

    async fn info(&mut self, info: Info, _cx: &mut Cx<Self>) -> Outcome {
        if let Info::Down(down) = info {
            assert_eq!(down.reason, DownReason::Exited(Exit::Killed));
            self.written.push(999);
        }
        Outcome::Continue
    }
}

impl HandleCast<Write> for Ledger {
    async fn cast(&mut self, Write(number, then): Write, cx: &mut Cx<Self>) -> Outcome {
        self.written.push(number);
        match then {
            Then::GoOn | Then::Odd(_) => {}
            Then::Pause => cx.addr().pause(),
            Then::HearOfAnEnd => {
                cx.monitor(&self.ended);
            }
            Then::Wait => settle().await,
            Then::Stop => return Outcome::Stop,
            Then::Panic => panic!("as told"),
        }
        Outcome::Continue
    }
}

impl HandleCall<Read> for Ledger {
    async fn call(&mut self, _: Read, reply: ReplyTo<Vec<u64>>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.written.clone())
    }
}

/// A ledger on `b`, with room for so many messages, seen from there and from `a`.
async fn ledger(network: &Network, messages: usize) -> (TestNode, TestNode, LocalAddr<Ledger>, Addr<Ledger>) {
    let (a, b) = network.pair().await;
    let ended = System::local_with(Config::default()).spawn_unnamed(Idle).await.expect("it starts");
    ended.stop(Stop::Now).await;
    let ledger = Ledger { written: Vec::new(), ended };
    let here = b.system.spawn("ledger", ledger).mailbox(messages).await.expect("it starts");
    let there = a.system.addr(&b.id(), "ledger");
    (a, b, here, there)
}

/// Sends ten numbers while the ledger is paused, so that they wait together; the fifth does something else, too.
async fn send_ten(here: &LocalAddr<Ledger>, there: &Addr<Ledger>, fifth: Then) {
    here.pause();
    for number in 0..10 {
        let then = if number == 4 { fifth } else { Then::GoOn };
        there.cast(Write(number, then)).await.expect("there is room");
    }
    settle().await;
}

#[test]
fn all_are_counted_while_they_wait_and_handled_in_order() {
    on_each_network(|network| async move {
        let (_a, _b, here, there) = ledger(&network, 100).await;
        send_ten(&here, &there, Then::GoOn).await;
        assert_eq!((here.info().mailbox_messages, here.info().handled), (10, 0));
        here.resume();
        assert_eq!(there.call(Read).await, Ok(Vec::from_iter(0..10)));
        assert_eq!((here.info().mailbox_messages, here.info().handled), (0, 11));
    });
}

#[test]
fn a_pause_holds_between_two_of_them() {
    on_each_network(|network| async move {
        let (_a, _b, here, there) = ledger(&network, 100).await;
        send_ten(&here, &there, Then::Pause).await;
        here.resume();
        settle().await;
        assert_eq!((here.info().mailbox_messages, here.info().handled), (5, 5));
        here.resume();
        assert_eq!(there.call(Read).await, Ok(Vec::from_iter(0..10)));
    });
}

#[test]
fn what_the_system_says_comes_between_two_of_them() {
    on_each_network(|network| async move {
        let (_a, _b, here, there) = ledger(&network, 100).await;
        send_ten(&here, &there, Then::HearOfAnEnd).await;
        here.resume();
        assert_eq!(there.call(Read).await, Ok(vec![0, 1, 2, 3, 4, 999, 5, 6, 7, 8, 9]));
    });
}

#[test]
fn one_that_cannot_be_read_is_left_out() {
    on_each_network(|network| async move {
        let (_a, _b, here, there) = ledger(&network, 100).await;
        send_ten(&here, &there, Then::Odd(Odd::Unreadable)).await;
        here.resume();
        assert_eq!(there.call(Read).await, Ok(vec![0, 1, 2, 3, 5, 6, 7, 8, 9]));
        assert_eq!(here.info().mailbox_messages, 0);
    });
}

#[test]
fn one_that_ends_the_server_ends_it_before_the_next() {
    on_each_network(|network| async move {
        let panicked = |message: &str| Exit::Panicked { message: message.into() };
        for (then, exit, handled) in [
            (Then::Stop, Exit::Normal, 5),
            (Then::Panic, panicked("as told"), 5),
            (Then::Odd(Odd::Harmful), panicked("harmed by reading"), 4),
        ] {
            let (a, b, here, there) = ledger(&network, 100).await;
            send_ten(&here, &there, then).await;
            here.resume();
            assert_eq!((here.ended().await, here.info().handled), (exit, handled));
            assert_eq!(here.info().mailbox_messages, 0);
            a.shutdown().await;
            b.shutdown().await;
        }
    });
}

#[test]
fn a_stop_at_once_is_felt_between_two_of_them_and_a_graceful_one_after_all() {
    on_each_network(|network| async move {
        for (stop, handled) in [(Stop::Now, 5), (Stop::graceful(common::SECOND), 10)] {
            let (a, b, here, there) = ledger(&network, 100).await;
            send_ten(&here, &there, Then::Wait).await;
            here.resume();
            common::pass(10 * common::MS).await;
            here.stop(stop).await;
            assert_eq!(here.info().handled, handled);
            a.shutdown().await;
            b.shutdown().await;
        }
    });
}

#[test]
fn those_without_room_wait_in_their_place() {
    on_each_network(|network| async move {
        let (_a, _b, here, there) = ledger(&network, 3).await;
        send_ten(&here, &there, Then::GoOn).await;
        assert_eq!(here.info().mailbox_messages, 3);
        here.resume();
        settle().await;
        settle().await;
        assert_eq!(there.call(Read).await, Ok(Vec::from_iter(0..10)));
    });
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_with_room_again_is_filled_at_once() {
    let network = Network::Memory(MemoryNetwork::new());
    let (_a, _b, here, there) = ledger(&network, 8).await;
    let began = tokio::time::Instant::now();
    for number in 0..2_000 {
        there.cast(Write(number, Then::GoOn)).await.expect("there will be room");
    }
    while here.info().handled < 2_000 {
        tokio::time::sleep(common::MS).await;
    }
    // One look a millisecond at 8 messages would take a quarter of a second.
    assert!(began.elapsed() < 50 * common::MS, "{:?}", began.elapsed());
    assert_eq!(there.call(Read).await, Ok(Vec::from_iter(0..2_000)));
}

#[test]
fn casts_that_wait_for_a_server_that_ends_are_refused_at_once() {
    on_each_network(|network| async move {
        let (a, _b, here, there) = ledger(&network, 3).await;
        send_ten(&here, &there, Then::GoOn).await;
        here.stop(Stop::Now).await;
        settle().await;
        assert_eq!(a.kernel.peers()[0].traffic.casts_refused_by_peer, 7);
    });
}
