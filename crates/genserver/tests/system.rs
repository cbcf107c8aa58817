//! Starting, naming, listing and ending servers.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::network::on_each_network;
use common::{Echo, Hold, Lab, Log, MS, PanicInCast, SECOND, Toil, lab, pass, settle};
use genserver::{
    CallError, CastFailure, Config, Cx, Exit, GenServer, HandleCall, HandleCast, InitError, Outcome, ReplyTo,
    Request, Routes, Stage, StartError, Stop, Stopped, System,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_one_server_at_a_time() {
    let system = System::local();
    let first = system.spawn("lab", Lab::default()).await.unwrap();
    let taken = system.spawn("lab", Lab::default()).await.unwrap_err();
    assert_eq!(taken.to_string(), "a server is already registered as `lab`");
    assert_eq!(system.whereis::<Lab>("lab"), Some(first.clone()));
    assert!(system.whereis::<Named>("lab").is_none(), "it is a lab");
    first.stop(Stop::graceful(SECOND)).await;
    assert!(system.whereis::<Lab>("lab").is_none());
    let second = system.spawn("lab", Lab::default()).await.unwrap();
    assert_ne!(first, second);
    second.cast(PanicInCast).await.unwrap();
    second.ended().await;
    system.spawn("lab", Lab::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn malformed_names_are_refused() {
    let system = System::local();
    for name in ["", "$lab", "a\nb", &"x".repeat(256)] {
        assert!(matches!(system.spawn(name, Lab::default()).await, Err(StartError::Name { .. })), "{name:?}");
    }
    assert!(matches!(system.spawn("#1", Lab::default()).await, Err(StartError::Reserved { .. })));
    assert!(system.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_leaves_nothing() {
    let system = System::local_with(Config::default().start_timeout(SECOND));
    let error = system.spawn("lab", Lab { refuse: true, ..Lab::default() }).await.unwrap_err();
    assert!(matches!(&error, StartError::Init { source } if source.to_string() == "not today"), "{error}");
    let error = system.spawn("named", Named::Panics).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Exited { exit: Exit::Panicked { message } } if message == "in init")
    );
    let error = system.spawn("named", Named::Hangs).await.unwrap_err();
    assert!(matches!(error, StartError::Timeout));
    assert!(system.servers().is_empty(), "the name is free when the error is known");
    // Dropped before it is done: the server does not go on alone.
    for unfinished in [Named::Slow, Named::Hangs] {
        assert!(tokio::time::timeout(MS, system.spawn("named", unfinished)).await.is_err());
        settle().await;
        assert!(system.servers().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn routes_that_contradict_each_other_do_not_start() {
    let system = System::local();
    assert!(matches!(system.spawn("twice", Twice).await, Err(StartError::Route { tag: "log", version: 1 })));
}

enum Named {
    Panics,
    Hangs,
    Slow,
}

impl GenServer for Named {
    async fn init(&mut self, _cx: &mut Cx<Self>) -> Result<(), InitError> {
        match self {
            Self::Panics => panic!("in init"),
            Self::Hangs => std::future::pending().await,
            Self::Slow => pass(100 * MS).await,
        }
        Ok(())
    }
}

struct Twice;

impl GenServer for Twice {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Log>().cast::<Log>();
    }
}

impl HandleCast<Log> for Twice {
    async fn cast(&mut self, _: Log, _cx: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_shows_what_each_server_does() {
    let system = System::local();
    let busy = system.spawn("busy", Lab::default()).mailbox(10).await.unwrap();
    system.spawn_unnamed(Lab::default()).await.unwrap();
    busy.cast(Toil(60_000)).await.unwrap();
    busy.cast(Log(1)).await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    busy.cast(Log(2)).await.unwrap();
    let servers = system.servers();
    let [busy, idle] = &servers[..] else { panic!("{servers:?}") };
    assert_eq!(busy.pid.to_string(), "busy@local");
    assert!(busy.type_name.ends_with("common::Lab"));
    assert_eq!((busy.mailbox_messages, busy.mailbox_capacity, busy.handled), (2, 10, 1));
    assert_eq!(busy.uptime.as_secs(), 5);
    let handling = busy.handling.as_ref().unwrap();
    assert!(handling.message.ends_with("common::Toil"));
    assert_eq!(handling.busy.as_secs(), 5);
    assert!(idle.pid.name().is_none() && idle.handling.is_none());
    assert_eq!((idle.mailbox_messages, idle.mailbox_capacity), (0, 1_024));
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_servers_finish_and_starts_no_more() {
    let system = System::local();
    let (server, mut ended) = Lab::shown();
    let lab = system.spawn("lab", server).await.unwrap();
    lab.cast(Toil(1_000)).await.unwrap();
    lab.cast(Log(1)).await.unwrap();
    let began = Instant::now();
    let (stopped, late) = tokio::join!(system.shutdown(10 * SECOND), async {
        settle().await;
        system.spawn("late", Lab::default()).await
    });
    assert_eq!((stopped, began.elapsed().as_secs()), (Stopped::Drained, 1));
    assert!(matches!(late, Err(StartError::ShuttingDown)));
    assert_eq!(ended.recv().await, Some(Exit::Shutdown));
    assert_eq!(lab.info().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_by_force_when_its_time_is_up() {
    let system = System::local();
    for name in ["a", "b", "c"] {
        system.spawn(name, Lab::default()).await.unwrap().cast(Toil(3_600_000)).await.unwrap();
    }
    settle().await;
    let began = Instant::now();
    assert_eq!(system.shutdown(2 * SECOND).await, Stopped::Forced);
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(system.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_servers_live_on_one_node() {
    let system = System::local();
    for number in 0..10_000 {
        system.spawn(format!("lab-{number}"), Lab::default()).await.unwrap();
    }
    let calls =
        (0..10_000).map(|number| system.whereis::<Lab>(format!("lab-{number}")).unwrap().call(Echo(number)));
    let replies = JoinSet::from_iter(calls).join_all().await;
    assert!(replies.iter().all(Result::is_ok));
    assert_eq!(system.shutdown(60 * SECOND).await, Stopped::Drained);
    assert!(system.servers().is_empty());
}

/// Carries something whose owners can be counted, to end as told.
struct Carry(Arc<()>, Ending);

#[derive(Clone, Copy)]
enum Ending {
    Reply,
    Drop,
    Hold,
    Work,
}

impl Request for Carry {
    type Reply = Arc<()>;
}

#[derive(Default)]
struct Porter(Vec<(Arc<()>, ReplyTo<Arc<()>>)>);

impl GenServer for Porter {}

impl HandleCall<Carry> for Porter {
    async fn call(
        &mut self,
        Carry(load, ending): Carry,
        reply: ReplyTo<Arc<()>>,
        _cx: &mut Cx<Self>,
    ) -> Outcome {
        self.0.retain(|(_, reply)| !reply.is_cancelled());
        match ending {
            Ending::Reply => return reply.send(load),
            Ending::Drop => {}
            Ending::Hold => self.0.push((load, reply)),
            Ending::Work => {
                pass(2 * MS).await;
                return reply.send(load);
            }
        }
        Outcome::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_calls_of_every_ending_leave_nothing() {
    let porter = System::local().spawn("porter", Porter::default()).mailbox(2).await.unwrap();
    let load = Arc::new(());
    let call = |ending| porter.call(Carry(Arc::clone(&load), ending));
    for _ in 0..20_000 {
        assert!(call(Ending::Reply).await.is_ok());
        assert_eq!(call(Ending::Drop).await, Err(CallError::NoReply));
        let held = call(Ending::Hold).timeout(MS).await;
        assert!(matches!(held, Err(CallError::Timeout { stage: Stage::Handling })), "{held:?}");
        // One is dropped while it is handled, and one while it waits behind it.
        let (working, waiting) = (call(Ending::Work), call(Ending::Work));
        assert!(tokio::time::timeout(MS, async { tokio::join!(working, waiting) }).await.is_err());
    }
    porter.idle().await;
    assert_eq!(porter.info().mailbox_messages, 0);
    assert!(call(Ending::Reply).await.is_ok(), "those held are forgotten");
    assert_eq!(Arc::strong_count(&load), 1);
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_no_mistake() {
    let system = System::local_with(
        Config::default().slow_handler(Duration::MAX).start_timeout(Duration::MAX).timeout(Duration::MAX),
    );
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    lab.cast(Toil(1_000)).timeout(Duration::MAX).await.unwrap();
    assert_eq!(lab.call(Echo(1)).timeout(Duration::MAX).await, Ok(1));
    let restless = system.spawn_unnamed(Restless).await.unwrap();
    settle().await;
    assert_eq!(restless.stop(Stop::graceful(Duration::MAX)).await, Exit::Shutdown);
    assert_eq!(system.shutdown(Duration::MAX).await, Stopped::Drained);
}

/// Has timers that are never due.
struct Restless;

impl GenServer for Restless {
    async fn init(&mut self, cx: &mut Cx<Self>) -> Result<(), InitError> {
        cx.cast_after(Duration::MAX, Log(1));
        cx.cast_every(Duration::MAX, Log(2));
        Ok(())
    }
}

impl HandleCast<Log> for Restless {
    async fn cast(&mut self, log: Log, _cx: &mut Cx<Self>) -> Outcome {
        panic!("{log:?} is not due")
    }
}

#[test]
fn multicall_gives_each_nodes_own_result() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let nodes = [a.id(), b.id(), common::id("c")];
        let results = a.system.multicall::<Lab, _>(&nodes, "lab", Echo(7)).timeout(SECOND).await;
        let not_connected = CallError::NotConnected { node: common::id("c") };
        assert_eq!(results, [(a.id(), Ok(7)), (b.id(), Ok(7)), (common::id("c"), Err(not_connected))]);
        let held = a.system.multicall::<Lab, _>(&nodes[..2], "lab", Hold).timeout(SECOND).await;
        assert!(held.iter().all(|(_, result)| matches!(result, Err(CallError::Timeout { .. }))), "{held:?}");
    });
}

#[test]
fn abcast_reaches_all_it_can_and_names_the_others() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        settle().await;
        let nodes = [a.id(), b.id(), common::id("c")];
        let failed = a.system.abcast::<Lab, _>(&nodes, "lab", &Log(7));
        let not_connected = CastFailure::NotConnected { node: common::id("c") };
        assert_eq!(failed, [(common::id("c"), not_connected)]);
        for node in [&a, &b] {
            assert_eq!(a.lab_on(node, "lab").call(common::Logged).await.unwrap(), [7]);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn an_address_does_not_keep_a_server() {
    let lab = lab().await;
    let again = lab.clone();
    assert!(lab.is_open());
    lab.stop(Stop::Now).await;
    assert!(!again.is_open());
    assert_eq!(again.ended().await, Exit::Killed);
}
