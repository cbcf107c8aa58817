//! Monitors and node events: told exactly once, here and across nodes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::network::on_each_network;
use common::{Fail, Hold, Lab, MS, PanicInCast, SECOND, id, settle};
use genserver::{
    Addr, CallError, Config, Cx, Down, DownReason, Exit, GenServer, HandleCast, Info, LocalAddr, MonitorRef,
    Outcome, Stage, Stop, System, Watch,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Shows all it is told, and monitors what it is asked to.
struct Guard {
    seen: mpsc::Sender<Info>,
    set: mpsc::Sender<MonitorRef>,
}

/// Monitor this.
struct Monitor(Set);

type Set = Arc<dyn Fn(&mut Cx<Guard>) -> MonitorRef + Send + Sync>;

/// After a while, do not monitor it any more.
struct Demonitor(MonitorRef, Duration);

/// Tell which nodes come and go.
struct Nodes;

impl GenServer for Guard {
    async fn info(&mut self, info: Info, _cx: &mut Cx<Self>) -> Outcome {
        self.seen.send(info).await.unwrap();
        Outcome::Continue
    }
}

impl HandleCast<Monitor> for Guard {
    async fn cast(&mut self, Monitor(set): Monitor, cx: &mut Cx<Self>) -> Outcome {
        self.set.send(set(cx)).await.unwrap();
        Outcome::Continue
    }
}

impl HandleCast<Demonitor> for Guard {
    async fn cast(&mut self, Demonitor(monitor, after): Demonitor, cx: &mut Cx<Self>) -> Outcome {
        tokio::time::sleep(after).await;
        cx.demonitor(monitor);
        Outcome::Continue
    }
}

impl HandleCast<Nodes> for Guard {
    async fn cast(&mut self, _: Nodes, cx: &mut Cx<Self>) -> Outcome {
        cx.watch_nodes();
        Outcome::Continue
    }
}

/// A guard, and what it sees.
struct Tower {
    guard: LocalAddr<Guard>,
    seen: mpsc::Receiver<Info>,
    set: mpsc::Receiver<MonitorRef>,
}

impl Tower {
    async fn new(system: &System) -> Self {
        let ((seen, seen_here), (set, set_here)) = (mpsc::channel(100_000), mpsc::channel(1));
        let guard = system.spawn_unnamed(Guard { seen, set }).await.unwrap();
        Self { guard, seen: seen_here, set: set_here }
    }

    async fn monitor<T: Watch + Clone + Send + Sync + 'static>(&mut self, server: &T) -> MonitorRef {
        let server = server.clone();
        self.guard.cast(Monitor(Arc::new(move |cx| cx.monitor(&server)))).await.unwrap();
        self.set.recv().await.unwrap()
    }

    async fn down(&mut self) -> Down {
        match self.seen.recv().await {
            Some(Info::Down(down)) => down,
            other => panic!("{other:?} instead of Down"),
        }
    }

    async fn quiet(&mut self) {
        settle().await;
        assert!(self.seen.try_recv().is_err(), "something was told that should not be");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_server_is_told_once_to_each_monitor() {
    let system = System::local();
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    let mut tower = Tower::new(&system).await;
    let monitors = [tower.monitor(&lab).await, tower.monitor(&lab).await, tower.monitor(&lab.addr()).await];
    tower.quiet().await;
    lab.cast(PanicInCast).await.unwrap();
    for monitor in monitors {
        let down = tower.down().await;
        assert_eq!((down.monitor, down.pid.as_ref()), (monitor, Some(lab.pid())));
        assert_eq!(down.reason, DownReason::Exited(Exit::Panicked { message: "told to".into() }));
    }
    tower.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_monitor_of_what_has_ended_or_never_was_is_told_at_once() {
    let system = System::local();
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    let mut tower = Tower::new(&system).await;
    lab.stop(Stop::Now).await;
    tower.monitor(&lab).await;
    assert_eq!(tower.down().await.reason, DownReason::Exited(Exit::Killed));
    tower.monitor(&lab.addr()).await;
    assert_eq!(tower.down().await.reason, DownReason::NoProc);
    tower.monitor(&system.addr::<Lab>(system.node(), "lab")).await;
    assert_eq!(tower.down().await.reason, DownReason::NoProc);
    tower.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn after_demonitor_nothing_is_told_even_if_it_waits_already() {
    let system = System::local();
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    let mut tower = Tower::new(&system).await;
    let (one, other) = (tower.monitor(&lab).await, tower.monitor(&lab).await);
    tower.guard.cast(Demonitor(one, Duration::ZERO)).await.unwrap();
    // The lab ends while the guard is busy; when it demonitors, what it would be told waits already.
    tower.guard.cast(Demonitor(other, SECOND)).await.unwrap();
    settle().await;
    lab.stop(Stop::Now).await;
    tower.guard.idle().await;
    tower.quiet().await;
}

#[test]
fn the_end_of_a_server_on_another_node_is_told_once() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = b.system.whereis::<Lab>("lab").unwrap();
        let mut tower = Tower::new(&a.system).await;
        let monitor = tower.monitor(&a.lab_on(&b, "lab")).await;
        tower.quiet().await;
        lab.cast(PanicInCast).await.unwrap();
        let down = tower.down().await;
        let reason = DownReason::Exited(Exit::Panicked { message: "told to".into() });
        assert_eq!((down.monitor, down.pid.as_ref(), down.reason), (monitor, Some(lab.pid()), reason));
        a.disconnect(&b);
        tower.quiet().await;
    });
}

#[test]
fn however_much_is_said_of_an_end_it_reaches_the_other_node() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = b.system.whereis::<Lab>("lab").unwrap();
        let mut tower = Tower::new(&a.system).await;
        tower.monitor(&a.lab_on(&b, "lab")).await;
        let held = JoinSet::from_iter([a.lab_on(&b, "lab").call(Hold)]);
        settle().await;
        // More than the network takes in one message.
        lab.cast(Fail("x".repeat(5 << 20))).await.unwrap();
        let failed = Exit::Failed { reason: "x".repeat(1_024) };
        assert_eq!(tower.down().await.reason, DownReason::Exited(failed.clone()));
        let exited = CallError::Exited { exit: failed, stage: Stage::Handling };
        assert_eq!(held.join_all().await, [Err(exited)]);
    });
}

#[test]
fn there_is_no_such_server_on_the_other_node() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let mut tower = Tower::new(&a.system).await;
        tower.monitor(&a.lab_on(&b, "nobody")).await;
        let down = tower.down().await;
        assert_eq!((down.pid, down.reason), (None, DownReason::NoProc));
    });
}

#[test]
fn a_lost_session_ends_its_monitors_once() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = b.system.whereis::<Lab>("lab").unwrap();
        let mut tower = Tower::new(&a.system).await;
        tower.monitor(&a.lab_on(&b, "lab")).await;
        tower.quiet().await;
        a.disconnect(&b);
        let down = tower.down().await;
        assert_eq!((down.pid.as_ref(), down.reason), (Some(lab.pid()), DownReason::NoConnection));
        // The other side has forgotten too: its later end is told to nobody, connected again or not.
        a.connect(&b);
        settle().await;
        lab.stop(Stop::Now).await;
        tower.quiet().await;
    });
}

#[test]
fn an_unknown_node_is_no_connection() {
    on_each_network(|network| async move {
        let (a, _b) = network.pair().await;
        let mut tower = Tower::new(&a.system).await;
        let stranger: Addr<Lab> = a.system.addr(&id("c"), "lab");
        tower.monitor(&stranger).await;
        assert_eq!(tower.down().await.reason, DownReason::NoConnection);
    });
}

#[test]
fn demonitoring_reaches_the_other_node() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = b.system.whereis::<Lab>("lab").unwrap();
        let mut tower = Tower::new(&a.system).await;
        let early = tower.monitor(&a.lab_on(&b, "lab")).await;
        tower.guard.cast(Demonitor(early, Duration::ZERO)).await.unwrap();
        let late = tower.monitor(&a.lab_on(&b, "lab")).await;
        tower.quiet().await;
        tower.guard.cast(Demonitor(late, Duration::ZERO)).await.unwrap();
        tower.quiet().await;
        lab.stop(Stop::Now).await;
        tower.quiet().await;
    });
}

#[test]
fn the_end_of_a_watching_server_ends_its_monitors() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        let lab = b.system.whereis::<Lab>("lab").unwrap();
        let mut tower = Tower::new(&a.system).await;
        tower.monitor(&a.lab_on(&b, "lab")).await;
        tower.guard.stop(Stop::Now).await;
        settle().await;
        lab.stop(Stop::Now).await;
        assert!(tower.seen.recv().await.is_none());
    });
}

#[tokio::test(start_paused = true)]
async fn many_monitors_are_each_told_once() {
    let system = System::local();
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    let mut tower = Tower::new(&system).await;
    let watched = lab.clone();
    tower
        .guard
        .cast(Monitor(Arc::new(move |cx| (0..100_000).map(|_| cx.monitor(&watched)).last().unwrap())))
        .await
        .unwrap();
    tower.set.recv().await.unwrap();
    lab.stop(Stop::Now).await;
    tower.guard.idle().await;
    let mut told: Vec<MonitorRef> = Vec::new();
    while let Ok(Info::Down(down)) = tower.seen.try_recv() {
        told.push(down.monitor);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 100_000);
}

#[test]
fn nodes_that_come_and_go_are_told() {
    on_each_network(|network| async move {
        let a = network.start("a", Config::default()).await;
        let b = network.start("b", Config::default()).await;
        let c = network.start("c", Config::default()).await;
        a.connect(&b);
        settle().await;
        let mut tower = Tower::new(&a.system).await;
        tower.guard.cast(Nodes).await.unwrap();
        let told = |info| match info {
            Some(Info::NodeUp { node, .. }) => format!("{node} up"),
            Some(Info::NodeDown { node, .. }) => format!("{node} down"),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(tower.seen.recv().await), "b up");
        tower.guard.cast(Nodes).await.unwrap();
        tower.quiet().await;
        a.connect(&c);
        assert_eq!(told(tower.seen.recv().await), "c up");
        b.shutdown().await;
        assert_eq!(told(tower.seen.recv().await), "b down");
        tokio::time::sleep(100 * MS).await;
        tower.quiet().await;
    });
}
