//! Servers on other nodes, over the real kernel on a network in memory.

mod common;

use common::network::on_each_network;
use common::{
    Drop, Echo, Fail, Hold, Lab, Log, Logged, MS, PanicInCall, Relay, RelayRelay, Release, SECOND, Toil,
    Unrouted, Work, id, settle,
};
use genserver::{Addr, CallError, CastFailure, Config, Executed, Exit, Incarnation, Stage, Stop};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[test]
fn calls_and_casts_reach_another_node() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        assert_eq!(lab.call(Echo(7)).await, Ok(7));
        for number in 0..100 {
            lab.cast(Log(number)).await.unwrap();
        }
        assert_eq!(lab.call(Logged).await.unwrap(), Vec::from_iter(0..100));
    });
}

#[test]
fn an_address_of_a_name_here_behaves_like_one_elsewhere() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for lab in [a.lab_on(&a, "lab"), a.lab_on(&b, "lab")] {
            assert_eq!(lab.call(Echo(7)).await, Ok(7), "{lab}");
            let unsupported = CallError::Unsupported { tag: "unrouted".into(), version: 1 };
            assert_eq!(lab.call(Unrouted).await, Err(unsupported), "{lab}");
            assert_eq!(lab.call(Drop).await, Err(CallError::NoReply), "{lab}");
            let timeout = lab.call(Hold).timeout(SECOND).await.unwrap_err();
            assert_eq!(timeout.executed(), Executed::Maybe, "{lab}");
        }
        for nobody in
            [a.lab_on(&a, "nobody"), a.lab_on(&b, "nobody"), a.lab_on(&b, ""), a.lab_on(&b, "$gossip")]
        {
            let error = nobody.call(Echo(7)).await.unwrap_err();
            assert!(matches!(error, CallError::NoProc { .. }), "{nobody}: {error}");
        }
    });
}

#[test]
fn an_address_of_one_instance_does_not_reach_its_successor() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let first = b.system.whereis::<Lab>("lab").unwrap();
        let instance = a.system.scope(|| sent(&first.addr()));
        assert_eq!(instance.call(Echo(1)).await, Ok(1));
        first.stop(Stop::Now).await;
        b.system.spawn("lab", Lab::default()).await.unwrap();
        let error = instance.call(Echo(1)).await.unwrap_err();
        assert!(matches!(error, CallError::NoProc { .. }), "{error}");
        assert_eq!(a.lab_on(&b, "lab").call(Echo(1)).await, Ok(1));
    });
}

#[test]
fn an_address_of_an_earlier_run_of_the_node_is_known_to_be_down() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let before = network.start("b", Config::default()).await;
        let earlier = before.system.spawn("lab", Lab::default()).await.unwrap();
        let mut bytes = postcard(&earlier.addr());
        // The run is the varint after the node's id: another one.
        assert_eq!(&bytes[..4], [1, 1, b'b', 0]);
        bytes[3] = 9;
        let stale: Addr<Lab> = a.system.scope(|| postcard::from_bytes(&bytes)).unwrap();
        let wanted = CallError::NodeDown { node: b.id(), incarnation: Incarnation(9) };
        assert_eq!(stale.call(Echo(1)).await, Err(wanted));
        // Even where the run bears the same number, the server does not.
        let same: Addr<Lab> = a.system.scope(|| sent(&earlier.addr()));
        assert!(matches!(same.call(Echo(1)).await, Err(CallError::NoProc { .. })));
    });
}

#[tokio::test(start_paused = true)]
async fn an_address_read_outside_a_system_is_an_error() {
    let system = genserver::System::local();
    let bytes = postcard(&system.addr::<Lab>(&id("b"), "lab"));
    assert!(postcard::from_bytes::<Addr<Lab>>(&bytes).is_err());
    let addr: Addr<Lab> = system.scope(|| postcard::from_bytes(&bytes)).unwrap();
    assert_eq!(addr, system.addr(&id("b"), "lab"));
}

#[test]
fn a_remote_caller_learns_of_a_panic() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let error = a.lab_on(&b, "lab").call(PanicInCall).await.unwrap_err();
        let exit = Exit::Panicked { message: "told to".into() };
        assert_eq!(error, CallError::Exited { exit, stage: Stage::Handling });
    });
}

#[test]
fn a_remote_caller_whose_call_was_held_learns_of_the_end() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        let held = JoinSet::from_iter([lab.call(Hold)]);
        settle().await;
        lab.cast(Fail("worn out".into())).await.unwrap();
        let exit = Exit::Failed { reason: "worn out".into() };
        assert_eq!(held.join_all().await, [Err(CallError::Exited { exit, stage: Stage::Handling })]);
    });
}

#[test]
fn a_full_mailbox_elsewhere_is_overloaded_for_calls() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let server = b.system.spawn("small", Lab::default()).mailbox(1).await.unwrap();
        let small = a.lab_on(&b, "small");
        small.cast(Toil(10_000)).await.unwrap();
        settle().await;
        server.try_cast(Log(1)).unwrap();
        let error = small.call(Echo(1)).await.unwrap_err();
        assert_eq!((error.executed(), error), (Executed::No, CallError::Overloaded));
    });
}

#[test]
fn mailbox_bytes_are_limited_too() {
    on_each_network(|network| async move {
        let a = network.start("a", Config::default()).await;
        let b = network.start("b", Config::default().mailbox_bytes(1_000)).await;
        a.connect(&b);
        b.system.spawn("lab", Lab::default()).await.unwrap();
        let lab = a.lab_on(&b, "lab");
        lab.cast(Toil(10_000)).await.unwrap();
        settle().await;
        lab.cast(Fail("x".repeat(600))).await.unwrap();
        lab.cast(Fail("x".repeat(600))).await.unwrap();
        settle().await;
        assert_eq!(lab.call(Echo(1)).await, Err(CallError::Overloaded));
    });
}

#[test]
fn the_other_node_sees_that_the_caller_left() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        assert!(tokio::time::timeout(100 * MS, lab.call(Work(1_000))).await.is_err());
        // Still busy with the first; this one is given up before it begins, and never does.
        assert!(lab.call(Work(0)).timeout(100 * MS).await.is_err());
        b.system.whereis::<Lab>("lab").unwrap().idle().await;
        assert_eq!(b.system.servers()[0].handled, 1);
    });
}

#[test]
fn a_lost_link_ends_calls_at_once() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        let held = JoinSet::from_iter([lab.call(Hold)]);
        settle().await;
        let began = Instant::now();
        a.disconnect(&b);
        let error = held.join_all().await.remove(0).unwrap_err();
        assert_eq!((error.executed(), &error), (Executed::Maybe, &CallError::LinkDown { node: b.id() }));
        assert!(began.elapsed() < SECOND);
    });
}

#[test]
fn an_unknown_node_is_not_connected() {
    on_each_network(|network| async move {
        let (a, _b) = network.pair().await;
        let stranger = a.system.addr::<Lab>(&id("c"), "lab");
        let error = stranger.call(Echo(1)).await.unwrap_err();
        assert_eq!((error.executed(), error), (Executed::No, CallError::NotConnected { node: id("c") }));
        let error = stranger.cast(Log(1)).await.unwrap_err();
        assert_eq!(*error.reason(), CastFailure::NotConnected { node: id("c") });
        assert_eq!(error.into_message(), Log(1));
        let alone = genserver::System::local().addr::<Lab>(&id("c"), "lab").call(Echo(1)).await;
        assert_eq!(alone, Err(CallError::NotConnected { node: id("c") }));
    });
}

#[test]
fn a_message_over_the_limit_stays_here() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let huge = Fail("x".repeat(5 << 20));
        let error = a.lab_on(&b, "lab").cast(huge.clone()).await.unwrap_err();
        assert!(matches!(error.reason(), CastFailure::TooLarge { .. }), "{error}");
        assert_eq!(error.into_message(), huge);
    });
}

#[test]
fn an_address_travels_in_a_message() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        // b is asked to call back a server of a.
        let home = a.system.spawn("home", Lab::default()).await.unwrap();
        let relayed = a.lab_on(&b, "lab").call(Relay(home.addr(), 3)).await;
        assert_eq!(relayed, Ok(Ok(3)));
    });
}

#[test]
fn nested_calls_end_by_the_first_callers_deadline() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let busy = a.system.spawn("busy", Lab::default()).await.unwrap();
        busy.cast(Toil(60_000)).await.unwrap();
        settle().await;
        // Its own timeout would be five seconds; the caller waits for one.
        let relay = a.lab_on(&b, "lab").call(Relay(busy.addr(), 3)).timeout(SECOND);
        assert!(relay.await.is_err());
        settle().await;
        assert_eq!(
            a.lab_on(&b, "lab").call(Echo(1)).timeout(100 * MS).await,
            Ok(1),
            "the relay is free again"
        );
    });
}

#[test]
fn a_call_that_would_wait_for_itself_is_refused_at_once() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let here = a.system.whereis::<Lab>("lab").unwrap();
        let began = Instant::now();
        // a → b → a.
        let error = here.call(Relay(a.lab_on(&b, "lab"), 1)).await;
        assert_eq!(error, Ok(Ok(1)), "b answers by itself");
        let circle = here.call(RelayRelay(a.lab_on(&b, "lab"), a.lab_on(&a, "lab"), 1)).await.unwrap();
        assert_eq!(circle, Err("the call would wait for itself: lab@a → lab@b → lab@a".into()));
        // Directly, and by name as well as by instance.
        for myself in [a.lab_on(&a, "lab"), here.addr()] {
            let circle = here.call(Relay(myself, 1)).await.unwrap();
            assert_eq!(circle, Err("the call would wait for itself: lab@a → lab@a".into()));
        }
        assert!(began.elapsed() < SECOND);
    });
}

#[test]
fn replies_held_on_another_node_arrive() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = a.lab_on(&b, "lab");
        let held = JoinSet::from_iter([lab.call(Hold), lab.call(Hold)]);
        settle().await;
        lab.cast(Release(4)).await.unwrap();
        assert_eq!(held.join_all().await, [Ok(4), Ok(4)]);
    });
}

fn postcard<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, Vec::new()).expect("plain data")
}

/// What arrives of an address.
fn sent(addr: &Addr<Lab>) -> Addr<Lab> {
    postcard::from_bytes(&postcard(addr)).expect("what was just written")
}
