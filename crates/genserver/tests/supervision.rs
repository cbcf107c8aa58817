//! Supervisors: what is started again, in which order, and how often.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use common::{Echo, Fail, Lab, PanicInCall, Quit, SECOND, settle};
use genserver::{
    CallError, Child, Children, Cx, Exit, GenServer, InitError, LocalAddr, Pid, Restart, StartChild,
    StartError, Stop, StopChild, Stopped, Strategy, Supervisor, System,
};
use tokio::time::Instant;

/// What happened, in order.
type Log = Arc<Mutex<Vec<String>>>;

/// A server that logs its start and its end.
struct Logged {
    name: &'static str,
    log: Log,
}

impl GenServer for Logged {
    async fn init(&mut self, _cx: &mut Cx<Self>) -> Result<(), InitError> {
        self.log.lock().unwrap().push(format!("+{}", self.name));
        Ok(())
    }

    async fn terminate(self, _why: Exit) {
        self.log.lock().unwrap().push(format!("-{}", self.name));
    }
}

impl genserver::HandleCast<Quit> for Logged {
    async fn cast(&mut self, _: Quit, _cx: &mut Cx<Self>) -> genserver::Outcome {
        genserver::Outcome::Stop
    }
}

fn logged(name: &'static str, log: &Log) -> Child {
    let log = Arc::clone(log);
    Child::new(name, move || Logged { name, log: Arc::clone(&log) })
}

fn taken(log: &Log) -> String {
    std::mem::take(&mut *log.lock().unwrap()).join(" ")
}

fn lab(name: &str) -> Child {
    Child::new(name, Lab::default)
}

async fn pid_of(system: &System, name: &str) -> Option<Pid> {
    settle().await;
    system.whereis::<Lab>(name).map(|lab| lab.pid().clone())
}

async fn ended_by(strategy: Strategy) -> String {
    let log = Log::default();
    let supervisor = Supervisor::new(strategy)
        .child(logged("a", &log))
        .child(logged("b", &log))
        .child(logged("t", &log).restart(Restart::Temporary))
        .child(logged("c", &log));
    let system = System::local();
    system.spawn("supervisor", supervisor).await.unwrap();
    assert_eq!(taken(&log), "+a +b +t +c");
    system.whereis::<Logged>("b").unwrap().cast(Quit).await.unwrap();
    settle().await;
    let restarted = taken(&log);
    assert_eq!(system.shutdown(SECOND).await, Stopped::Drained);
    format!("{restarted} | {}", taken(&log))
}

#[tokio::test(start_paused = true)]
async fn one_for_one_starts_the_one_again() {
    assert_eq!(ended_by(Strategy::OneForOne).await, "-b +b | -c -t -b -a");
}

#[tokio::test(start_paused = true)]
async fn one_for_all_stops_all_in_reverse_and_starts_all_in_order() {
    assert_eq!(ended_by(Strategy::OneForAll).await, "-b -c -t -a +a +b +c | -c -b -a");
}

#[tokio::test(start_paused = true)]
async fn rest_for_one_starts_the_one_and_those_after_it() {
    assert_eq!(ended_by(Strategy::RestForOne).await, "-b -c -t +b +c | -c -b -a");
}

#[tokio::test(start_paused = true)]
async fn a_child_started_again_is_another_server_under_the_same_name() {
    let system = System::local();
    system.spawn("pool", Supervisor::new(Strategy::OneForOne).child(lab("lab"))).await.unwrap();
    let first = system.whereis::<Lab>("lab").unwrap();
    assert!(first.call(PanicInCall).await.is_err());
    let second = pid_of(&system, "lab").await.unwrap();
    assert_ne!(*first.pid(), second);
    assert!(matches!(first.call(Echo(1)).await, Err(CallError::Exited { .. })));
    assert_eq!(system.instance::<Lab>(&second).unwrap().call(Echo(1)).await, Ok(1));
    assert!(system.instance::<Lab>(first.pid()).is_none());
}

#[tokio::test(start_paused = true)]
async fn restart_kinds_differ_by_how_the_child_ended() {
    let system = System::local();
    let pool = Supervisor::new(Strategy::OneForOne)
        .intensity(10, SECOND)
        .child(lab("permanent"))
        .child(lab("transient").restart(Restart::Transient))
        .child(lab("temporary").restart(Restart::Temporary));
    let pool = system.spawn("pool", pool).await.unwrap();
    let lab = |name| system.whereis::<Lab>(name).unwrap();

    lab("transient").cast(Fail("worn out".into())).await.unwrap();
    assert!(pid_of(&system, "transient").await.is_some());
    lab("transient").stop(Stop::Now).await;
    assert!(pid_of(&system, "transient").await.is_some());
    for name in ["permanent", "transient", "temporary"] {
        lab(name).cast(Quit).await.unwrap();
    }
    assert!(pid_of(&system, "permanent").await.is_some());
    assert!(pid_of(&system, "transient").await.is_none());
    assert!(pid_of(&system, "temporary").await.is_none());

    let children = pool.call(Children).await.unwrap();
    let seen: Vec<_> = children
        .iter()
        .map(|child| (child.name.as_deref().unwrap(), child.pid.is_some(), child.restarts))
        .collect();
    assert_eq!(seen, [("permanent", true, 1), ("transient", false, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_restarts_ends_the_supervisor_and_its_children() {
    let system = System::local();
    let pool =
        Supervisor::new(Strategy::OneForOne).intensity(3, SECOND).child(lab("lab")).child(lab("other"));
    let pool = system.spawn("pool", pool).await.unwrap();
    for _ in 0..3 {
        system.whereis::<Lab>("lab").unwrap().stop(Stop::Now).await;
        assert!(pid_of(&system, "lab").await.is_some());
    }
    system.whereis::<Lab>("lab").unwrap().stop(Stop::Now).await;
    let reason = "its children had to be started again too often".into();
    assert_eq!(pool.ended().await, Exit::Failed { reason });
    assert!(system.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn restarts_far_apart_are_no_storm() {
    let system = System::local();
    let pool = Supervisor::new(Strategy::OneForOne).intensity(1, SECOND).child(lab("lab"));
    system.spawn("pool", pool).await.unwrap();
    for _ in 0..20 {
        system.whereis::<Lab>("lab").unwrap().stop(Stop::Now).await;
        assert!(pid_of(&system, "lab").await.is_some());
        tokio::time::sleep(SECOND).await;
    }
}

/// A lab, the first time; afterwards its init fails.
fn fails_later(starts: &Arc<AtomicU32>) -> Child {
    let starts = Arc::clone(starts);
    Child::new("lab", move || Lab { refuse: starts.fetch_add(1, Ordering::Relaxed) > 0, ..Lab::default() })
}

#[tokio::test(start_paused = true)]
async fn a_child_that_cannot_be_started_again_counts_each_try() {
    let (system, starts) = (System::local(), Arc::default());
    let pool = Supervisor::new(Strategy::OneForOne).intensity(5, SECOND).child(fails_later(&starts));
    let pool = system.spawn("pool", pool).await.unwrap();
    system.whereis::<Lab>("lab").unwrap().stop(Stop::Now).await;
    assert!(pool.ended().await.is_failure());
    assert_eq!(starts.load(Ordering::Relaxed), 1 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_whose_child_cannot_start_does_not_start() {
    let (system, log) = (System::local(), Log::default());
    let refuses = Child::new("lab", || Lab { refuse: true, ..Lab::default() });
    let panics = Child::new("lab", || -> Lab { panic!("no lab today") });
    let absent = Child::with("lab", || async { Err::<Lab, _>("no connection".into()) });
    for bad in [refuses, panics, absent] {
        let pool = Supervisor::new(Strategy::OneForOne).child(logged("a", &log)).child(bad);
        assert!(matches!(system.spawn("pool", pool).await, Err(StartError::Init { .. })));
        assert_eq!(taken(&log), "+a -a");
        assert!(system.servers().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn children_are_added_and_removed_while_it_runs() {
    let system = System::local();
    let pool: LocalAddr<Supervisor> =
        system.spawn("pool", Supervisor::new(Strategy::OneForOne)).await.unwrap();
    let added = pool.call(StartChild(Child::unnamed(Lab::default))).await.unwrap().unwrap();
    let lab = system.instance::<Lab>(&added).unwrap();
    assert_eq!(lab.call(Echo(1)).await, Ok(1));
    lab.cast(Quit).await.unwrap();
    settle().await;
    let children = pool.call(Children).await.unwrap();
    let now = children[0].pid.clone().unwrap();
    assert_eq!((children.len(), children[0].restarts, now == added), (1, 1, false));
    assert_eq!(pool.call(StopChild(added)).await, Ok(false));
    assert_eq!(pool.call(StopChild(now)).await, Ok(true));
    assert!(pool.call(Children).await.unwrap().is_empty());
    let taken = pool.call(StartChild(Child::new("pool", Lab::default))).await.unwrap();
    assert!(matches!(taken, Err(StartError::AlreadyRegistered { .. })));
    assert!(pool.call(Children).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_takes_its_children_along() {
    let system = System::local();
    let pool = Supervisor::new(Strategy::OneForOne).child(lab("a")).child(lab("b"));
    let inner = Child::new("inner", || Supervisor::new(Strategy::OneForOne).child(lab("c")));
    let pool = system.spawn("pool", pool.child(inner)).await.unwrap();
    assert_eq!(system.servers().len(), 5);
    pool.stop(Stop::Now).await;
    settle().await;
    assert!(system.servers().is_empty(), "{:?}", system.servers());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_in_time_is_ended() {
    let system = System::local();
    let pool = Supervisor::new(Strategy::OneForOne).child(lab("lab").shutdown(2 * SECOND));
    let pool = system.spawn("pool", pool).await.unwrap();
    system.whereis::<Lab>("lab").unwrap().cast(common::Toil(3_600_000)).await.unwrap();
    settle().await;
    let began = Instant::now();
    assert_eq!(pool.stop(Stop::graceful(60 * SECOND)).await, Exit::Shutdown);
    assert_eq!(began.elapsed().as_secs(), 2);
}
