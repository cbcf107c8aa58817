//! What each error tells: constructed the way it happens, and read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::network::on_each_network;
use common::{Drop, Echo, Fail, Hold, Lab, MS, PanicInCall, Relay, SECOND, Toil, Unrouted, id, settle};
use genserver::{
    Addr, CallError, CastFailure, Config, Cx, Executed, Exit, GenServer, HandleCall, HandleCast, LocalAddr,
    Outcome, Path, ReplyTo, Request, Routes, Stop, System, Wire,
};
use netkernel::{Dispatch, Peer, Refusal, Responder, ServerName};
use serde::{Deserialize, Serialize, Serializer};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The same tag and version as `Echo`, and another shape.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct WrongEcho(String, u64);
impl Request for WrongEcho {
    type Reply = u64;
}
impl Wire for WrongEcho {
    const TAG: &'static str = "echo";
}

/// The same message, and another reply.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct EchoForText(u64);
impl Request for EchoForText {
    type Reply = String;
}
impl Wire for EchoForText {
    const TAG: &'static str = "echo";
}

/// Cannot be written.
#[derive(Debug, PartialEq, Deserialize)]
struct Unwritable;
impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not this"))
    }
}
impl Request for Unwritable {
    type Reply = Unwritable;
}
impl Wire for Unwritable {
    const TAG: &'static str = "unwritable";
}

/// Answers what cannot be written.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct AskUnwritable;
impl Request for AskUnwritable {
    type Reply = Unwritable;
}
impl Wire for AskUnwritable {
    const TAG: &'static str = "ask-unwritable";
}

/// What another program makes of the lab.
struct Misunderstood;

impl GenServer for Misunderstood {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<WrongEcho>().call::<AskUnwritable>().cast::<Unwritable>();
    }
}

impl HandleCall<WrongEcho> for Misunderstood {
    async fn call(&mut self, _: WrongEcho, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(0)
    }
}

impl HandleCall<EchoForText> for Misunderstood {
    async fn call(&mut self, _: EchoForText, reply: ReplyTo<String>, _: &mut Cx<Self>) -> Outcome {
        reply.send(String::new())
    }
}

impl HandleCall<Unwritable> for Misunderstood {
    async fn call(&mut self, _: Unwritable, reply: ReplyTo<Unwritable>, _: &mut Cx<Self>) -> Outcome {
        reply.send(Unwritable)
    }
}

impl HandleCast<Unwritable> for Misunderstood {
    async fn cast(&mut self, _: Unwritable, _: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

impl HandleCall<AskUnwritable> for Misunderstood {
    async fn call(&mut self, _: AskUnwritable, reply: ReplyTo<Unwritable>, _: &mut Cx<Self>) -> Outcome {
        reply.send(Unwritable)
    }
}

fn check<T: std::fmt::Debug>(result: Result<T, CallError>, executed: Executed, message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.executed(), error.to_string().as_str()), (executed, message));
}

#[test]
fn a_message_whose_shape_changed_without_a_version_is_a_decode_error_and_the_session_stays() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab: Addr<Misunderstood> = a.system.addr(&b.id(), "lab");
        check(
            lab.call(WrongEcho("x".into(), 1)).await,
            Executed::No,
            "the server could not decode `echo` version 1: the two nodes disagree about its shape",
        );
        check(
            lab.call(EchoForText(300)).await,
            Executed::Yes,
            "`echo` version 1 was carried out, but its reply cannot be read",
        );
        assert_eq!(a.lab_on(&b, "lab").call(Echo(1)).await, Ok(1));
    });
}

#[test]
fn what_cannot_be_written_stays_where_it_is() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        b.system.spawn("odd", Misunderstood).await.unwrap();
        let odd: Addr<Misunderstood> = a.system.addr(&b.id(), "odd");
        check(
            odd.call(Unwritable).await,
            Executed::No,
            "the request `unwritable` version 1 cannot be encoded",
        );
        let error = odd.cast(Unwritable).await.unwrap_err();
        assert_eq!(*error.reason(), CastFailure::Encode { tag: "unwritable", version: 1 });
        check(
            odd.call(AskUnwritable).await,
            Executed::Yes,
            "`ask-unwritable` version 1 was carried out, but its reply cannot be read",
        );
    });
}

#[test]
fn a_request_over_the_limit_is_too_large() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab: Addr<Misunderstood> = a.system.addr(&b.id(), "lab");
        let error = lab.call(WrongEcho("x".repeat(5 << 20), 1)).await.unwrap_err();
        assert!(matches!(error, CallError::TooLarge { max: 4_194_304, .. }), "{error}");
        assert_eq!(error.executed(), Executed::No);
    });
}

#[test]
fn two_types_that_speak_the_same_messages_understand_each_other() {
    on_each_network(|network| async move {
        let a = network.start("a", Config::default()).await;
        a.system.spawn("lab", Lab::default()).await.unwrap();
        // The server here is a Lab, and is called as something else that knows its messages: as from elsewhere.
        let lab: Addr<Misunderstood> = a.system.addr(&a.id(), "lab");
        check(
            lab.call(WrongEcho("x".into(), 1)).await,
            Executed::No,
            "the server could not decode `echo` version 1: the two nodes disagree about its shape",
        );
        let fail = Fail("as told".into());
        let error = a.system.addr::<Lab>(&a.id(), "nobody").cast(fail).await.unwrap_err();
        assert_eq!(error.to_string(), "no server `nobody` on node `a`");
    });
}

#[test]
fn errors_of_reaching_nobody_name_whom() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        check(a.lab_on(&b, "nobody").call(Echo(1)).await, Executed::No, "no server `nobody` on node `b`");
        let stranger: Addr<Lab> = a.system.addr(&id("c"), "lab");
        check(stranger.call(Echo(1)).await, Executed::No, "no connection to node `c`");
        let held = JoinSet::from_iter([a.lab_on(&b, "lab").call(Hold)]);
        settle().await;
        a.disconnect(&b);
        let held = held.join_all().await.remove(0);
        check(held, Executed::Maybe, "the link to node `b` went down while the call was under way");
    });
}

#[test]
fn a_timeout_says_how_far_the_call_had_come() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let held = a.lab_on(&b, "lab").call(Hold).timeout(SECOND).await;
        let sent = "no reply before the deadline: it had been sent, and may have been carried out";
        check(held, Executed::Maybe, sent);
        let held = a.lab_on(&a, "lab").call(Hold).timeout(SECOND).await;
        check(held, Executed::Maybe, "no reply before the deadline: its handler had begun");
    });
}

#[tokio::test(start_paused = true)]
async fn calls_that_cross_end_by_their_deadlines() {
    let system = System::local();
    let one: LocalAddr<Lab> = system.spawn("one", Lab::default()).await.unwrap();
    let two: LocalAddr<Lab> = system.spawn("two", Lab::default()).await.unwrap();
    let began = Instant::now();
    let (from_one, from_two) = tokio::join!(
        one.call(Relay(two.addr(), 1)).timeout(SECOND),
        two.call(Relay(one.addr(), 1)).timeout(SECOND),
    );
    assert!(from_one.is_err() && from_two.is_err());
    settle().await;
    assert_eq!((one.call(Echo(1)).await, two.call(Echo(1)).await), (Ok(1), Ok(1)));
    assert!(began.elapsed() < 2 * SECOND);
}

#[test]
fn calls_that_cross_between_nodes_end_by_their_deadlines() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let (here, there) = (a.lab_on(&a, "lab"), a.lab_on(&b, "lab"));
        let began = Instant::now();
        let crossing = tokio::join!(
            here.call(Relay(there.clone(), 1)).timeout(SECOND),
            there.call(Relay(here.clone(), 1)).timeout(SECOND),
        );
        for ended in [crossing.0, crossing.1] {
            // Its own deadline, or that of the call it made, whichever is noticed first.
            let late = ended.map_or_else(|error| error.to_string(), |relayed| relayed.unwrap_err());
            assert!(late.starts_with("no reply before the deadline: "), "{late}");
        }
        settle().await;
        assert_eq!((here.call(Echo(1)).await, there.call(Echo(1)).await), (Ok(1), Ok(1)));
        assert!(began.elapsed() < 2 * SECOND);
    });
}

#[test]
fn errors_of_full_and_ending_servers_say_so() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for node in [&a, &b] {
            let small = node.system.spawn("small", Lab::default()).mailbox(1).await.unwrap();
            let there = a.lab_on(node, "small");
            there.cast(Toil(2_000)).await.unwrap();
            settle().await;
            small.try_cast(Toil(1)).unwrap();
            // Here a caller waits for room, until its deadline; elsewhere nobody may wait for it in the reader.
            let (error, message) = if node.id() == a.id() {
                let late = "no reply before the deadline: it still waited, and was not carried out";
                (there.call(Echo(1)).timeout(MS).await, late)
            } else {
                let full = "the server is overloaded: its mailbox or the queue towards it is full";
                (there.call(Echo(1)).await, full)
            };
            check(error, Executed::No, message);
            let stopped = JoinSet::from_iter([{
                let small = small.clone();
                async move { small.stop(Stop::graceful(5 * SECOND)).await }
            }]);
            settle().await;
            let draining = "the server is shutting down and takes nothing new";
            check(there.call(Echo(1)).await, Executed::No, draining);
            assert_eq!(stopped.join_all().await, [Exit::Shutdown]);
            let name = node.id();
            check(there.call(Echo(1)).await, Executed::No, &format!("no server `small` on node `{name}`"));
            check(
                small.call(Echo(1)).await,
                Executed::No,
                "the server ended before it answered: it was shut down",
            );
        }
    });
}

#[test]
fn errors_of_handlers_say_what_they_did() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for node in [&a, &b] {
            let lab = a.lab_on(node, "lab");
            check(lab.call(Drop).await, Executed::Maybe, "the server dropped the call without a reply");
            check(
                lab.call(Unrouted).await,
                Executed::No,
                "the server does not take `unrouted` version 1: it has no route for it",
            );
            let circle = lab.call(Relay(lab.clone(), 1)).await.unwrap().unwrap_err();
            let name = node.id();
            assert_eq!(circle, format!("the call would wait for itself: lab@{name} → lab@{name}"));
            check(
                lab.call(PanicInCall).await,
                Executed::Maybe,
                "the server ended before it answered: it panicked: told to",
            );
        }
    });
}

#[test]
fn a_circle_is_an_error_that_names_its_servers() {
    let path = on_a_circle();
    let error = CallError::Cycle(path.clone());
    assert_eq!((error.executed(), path.servers().len()), (Executed::No, 2));
    assert_eq!(error.to_string(), "the call would wait for itself: ring@local → ring@local");
}

/// The path of a server that calls itself.
fn on_a_circle() -> Path {
    struct Ring;
    struct Round;
    impl Request for Round {
        type Reply = CallError;
    }
    impl GenServer for Ring {}
    impl HandleCall<Round> for Ring {
        async fn call(&mut self, _: Round, reply: ReplyTo<CallError>, cx: &mut Cx<Self>) -> Outcome {
            let circle = cx.addr().call(Round).await;
            reply.send(circle.unwrap_err())
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime
        .block_on(async { System::local().spawn("ring", Ring).await.unwrap().call(Round).await.unwrap() });
    match error {
        CallError::Cycle(path) => path,
        other => panic!("{other}"),
    }
}

#[test]
fn a_size_and_a_run_that_is_over_are_named() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab: Addr<Misunderstood> = a.system.addr(&b.id(), "lab");
        let error = lab.call(WrongEcho("x".repeat(5 << 20), 1)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("a message of 52428"), "{message}");
        assert!(message.ends_with(" bytes is over the limit of 4194304"), "{message}");
        // An address of one server, as it would have been in the ninth run of the node.
        let now = b.system.whereis::<Lab>("lab").unwrap().addr();
        let mut bytes = postcard::to_extend(&now, Vec::new()).unwrap();
        assert_eq!(&bytes[..4], [1, 1, b'b', 0], "an instance, of node b, in its run 0");
        bytes[3] = 9;
        let earlier: Addr<Lab> = a.system.scope(|| postcard::from_bytes(&bytes)).unwrap();
        let over = "the run 9 of node `b` is over, and the server with it";
        check(earlier.call(Echo(1)).await, Executed::No, over);
    });
}

/// What takes the messages of a node that talks to nobody.
struct Closed(Refusal);

impl Dispatch for Closed {
    fn cast(&self, _: &Arc<Peer>, _: &ServerName, _: Bytes) -> Result<(), Refusal> {
        Err(self.0.clone())
    }

    fn call(&self, _: &Arc<Peer>, _: &ServerName, _: Bytes, responder: Responder) {
        responder.refuse(self.0.clone());
    }
}

#[test]
fn a_node_that_takes_no_messages_says_so() {
    on_each_network(|network| async move {
        for refusal in [Refusal::ForeignRing, Refusal::NotAllowed] {
            let a = network.start("a", Config::default()).await;
            let b = network.start_closed("b", Arc::new(Closed(refusal))).await;
            a.connect(&b);
            let lab = a.lab_on(&b, "lab");
            check(lab.call(Echo(1)).await, Executed::No, "node `b` takes no messages from this node");
            a.shutdown().await;
            b.shutdown().await;
        }
    });
}

/// Said by whoever places keys, above this layer.
#[test]
fn a_node_that_does_not_own_a_key_names_the_one_that_does() {
    let not_owner = CallError::NotOwner { owner: id("c") };
    check::<()>(Err(not_owner), Executed::No, "node `c` owns the key now");
}
