//! Callers who leave: what their handlers, and the calls those make, see of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::network::on_each_network;
use common::{Echo, Hold, Lab, MS, SECOND, pass, settle};
use genserver::{
    Addr, CallError, Cx, Executed, GenServer, HandleCall, InitError, Outcome, ReplyTo, Request, Routes,
    Stage, System, Wire,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Waits until its caller has left, and shows when that was.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Linger;

impl Request for Linger {
    type Reply = ();
}

impl Wire for Linger {
    const TAG: &'static str = "linger";
}

/// Answers how many milliseconds its handler has left.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Left;

impl Request for Left {
    type Reply = Option<u64>;
}

impl Wire for Left {
    const TAG: &'static str = "left";
}

/// Asks there, without a limit of its own, how much time is left, after taking so many milliseconds itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LeftThere(Addr<Host>, u64);

impl Request for LeftThere {
    type Reply = Option<u64>;
}

impl Wire for LeftThere {
    const TAG: &'static str = "left-there";
}

/// Calls `Hold` of a lab, which never answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HoldThere(Addr<Lab>);

impl Request for HoldThere {
    type Reply = ();
}

impl Wire for HoldThere {
    const TAG: &'static str = "hold-there";
}

struct Host(mpsc::Sender<(&'static str, Instant)>);

impl GenServer for Host {
    async fn init(&mut self, _cx: &mut Cx<Self>) -> Result<(), InitError> {
        Ok(())
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Linger>().call::<Left>().call::<LeftThere>().call::<HoldThere>();
    }
}

impl HandleCall<Linger> for Host {
    async fn call(&mut self, _: Linger, mut reply: ReplyTo<()>, _cx: &mut Cx<Self>) -> Outcome {
        self.0.send(("handling", Instant::now())).await.unwrap();
        reply.cancelled().await;
        assert!(reply.is_cancelled());
        self.0.send(("cancelled", Instant::now())).await.unwrap();
        Outcome::Continue
    }
}

impl HandleCall<Left> for Host {
    async fn call(&mut self, _: Left, reply: ReplyTo<Option<u64>>, cx: &mut Cx<Self>) -> Outcome {
        assert_eq!(reply.remaining(), cx.remaining());
        let left = cx.remaining().map(|left| u64::try_from(left.as_millis()).unwrap());
        reply.send(left)
    }
}

impl HandleCall<LeftThere> for Host {
    async fn call(
        &mut self,
        LeftThere(there, ms): LeftThere,
        reply: ReplyTo<Option<u64>>,
        _cx: &mut Cx<Self>,
    ) -> Outcome {
        pass(MS * u32::try_from(ms).unwrap()).await;
        reply.send(there.call(Left).without_timeout().await.unwrap())
    }
}

impl HandleCall<HoldThere> for Host {
    async fn call(&mut self, HoldThere(lab): HoldThere, reply: ReplyTo<()>, _cx: &mut Cx<Self>) -> Outcome {
        let held = lab.call(Hold).without_timeout().await;
        assert!(matches!(held, Err(CallError::Timeout { .. })), "{held:?}");
        self.0.send(("gave up", Instant::now())).await.unwrap();
        reply.send(())
    }
}

fn host() -> (Host, mpsc::Receiver<(&'static str, Instant)>) {
    let (sender, receiver) = mpsc::channel(8);
    (Host(sender), receiver)
}

#[test]
fn a_handler_learns_at_once_that_its_caller_left() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for node in [&a, &b] {
            let (server, mut seen) = host();
            node.system.spawn("host", server).await.unwrap();
            let host: Addr<Host> = a.system.addr(&node.id(), "host");
            // Its future is dropped.
            let call = JoinSet::from_iter([host.call(Linger).without_timeout()]);
            assert_eq!(seen.recv().await.unwrap().0, "handling");
            drop(call);
            assert_eq!(seen.recv().await.unwrap().0, "cancelled", "{host}");
            // Its deadline passes.
            let error = host.call(Linger).timeout(100 * MS).await.unwrap_err();
            assert_eq!(error.executed(), Executed::Maybe, "{host}");
            assert_eq!(seen.recv().await.unwrap().0, "handling");
            assert_eq!(seen.recv().await.unwrap().0, "cancelled", "{host}");
        }
    });
}

#[test]
fn a_handler_learns_at_once_that_the_link_to_its_caller_is_lost() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let (server, mut seen) = host();
        b.system.spawn("host", server).await.unwrap();
        let host: Addr<Host> = a.system.addr(&b.id(), "host");
        let call = JoinSet::from_iter([host.call(Linger).without_timeout()]);
        assert_eq!(seen.recv().await.unwrap().0, "handling");
        a.disconnect(&b);
        let ended = call.join_all().await.remove(0);
        assert_eq!(ended, Err(CallError::LinkDown { node: b.id() }));
        assert_eq!(seen.recv().await.unwrap().0, "cancelled");
    });
}

#[test]
fn the_time_that_is_left_shrinks_from_call_to_call() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for node in [&a, &b] {
            node.system.spawn("host", host().0).await.unwrap();
        }
        let (here, there): (Addr<Host>, Addr<Host>) =
            (a.system.addr(&a.id(), "host"), a.system.addr(&b.id(), "host"));
        let left = here.call(LeftThere(there.clone(), 400)).timeout(SECOND).await.unwrap().unwrap();
        assert!((570..=602).contains(&left), "{left} ms of 600");
        let left = there.call(LeftThere(here, 400)).timeout(SECOND).await.unwrap().unwrap();
        assert!((570..=602).contains(&left), "{left} ms of 600");
    });
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_there_is_none_to_inherit() {
    let host = System::local().spawn_unnamed(host().0).await.unwrap();
    assert_eq!(host.call(Left).without_timeout().await, Ok(None));
}

#[test]
fn a_nested_call_ends_with_the_deadline_it_inherited() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let (server, mut seen) = host();
        b.system.spawn("host", server).await.unwrap();
        let host: Addr<Host> = a.system.addr(&b.id(), "host");
        let (lab, began) = (a.lab_on(&a, "lab"), Instant::now());
        assert!(host.call(HoldThere(lab)).timeout(SECOND).await.is_err());
        assert_eq!(seen.recv().await.unwrap().0, "gave up");
        assert!(began.elapsed() < 2 * SECOND);
    });
}

#[test]
fn a_late_reply_from_another_node_reaches_nobody() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        let late = lab.call(Hold).timeout(100 * MS).await;
        assert_eq!(late, Err(CallError::Timeout { stage: Stage::Sent }));
        lab.cast(common::Release(9)).await.unwrap();
        let replies = JoinSet::from_iter((0..20).map(|number| lab.call(Echo(number)))).join_all().await;
        let mut replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
        replies.sort_unstable();
        assert_eq!(replies, Vec::from_iter(0..20));
        settle().await;
    });
}
