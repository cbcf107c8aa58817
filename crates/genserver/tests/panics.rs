//! A panic ends the server it happens in, wherever that is, and nothing else.

mod common;

use std::time::Duration;

use common::{Echo, Hold, Lab, MS, PanicInCall, SECOND, settle};
use genserver::{
    CallError, CastFailure, Cx, Exit, GenServer, HandleCall, HandleCast, Info, InitError, LocalAddr, Outcome,
    ReplyTo, Request, Stage, StartError, Stop, Stopped, System,
};
use tokio::task::JoinSet;

/// Where to panic.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Init,
    Info,
    Terminate,
    DropOfState,
    Timer,
    ResultOfTask,
}

struct Bomb {
    place: Place,
    lab: Option<LocalAddr<Lab>>,
    held: Vec<ReplyTo<u64>>,
}

struct Tick;

struct Wait;

impl Request for Wait {
    type Reply = u64;
}

impl Bomb {
    fn at(place: Place) -> Self {
        Self { place, lab: None, held: Vec::new() }
    }

    fn explode_at(&self, place: Place) {
        assert!(self.place != place, "at {place:?}");
    }
}

impl GenServer for Bomb {
    async fn init(&mut self, cx: &mut Cx<Self>) -> Result<(), InitError> {
        self.explode_at(Place::Init);
        if let Some(lab) = &self.lab {
            cx.monitor(lab);
        }
        match self.place {
            Place::Timer => drop(cx.cast_after(SECOND, Tick)),
            Place::ResultOfTask => cx.cast_when(async {
                tokio::time::sleep(SECOND).await;
                Tick
            }),
            _ => {}
        }
        Ok(())
    }

    async fn info(&mut self, _: Info, _cx: &mut Cx<Self>) -> Outcome {
        self.explode_at(Place::Info);
        Outcome::Continue
    }

    async fn terminate(self, _why: Exit) {
        self.explode_at(Place::Terminate);
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        // A second panic while one unwinds would end the whole process, here as in any Rust program.
        if !std::thread::panicking() {
            self.explode_at(Place::DropOfState);
        }
    }
}

impl HandleCast<Tick> for Bomb {
    async fn cast(&mut self, _: Tick, _cx: &mut Cx<Self>) -> Outcome {
        panic!("at {:?}", self.place)
    }
}

impl HandleCall<Wait> for Bomb {
    async fn call(&mut self, _: Wait, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        self.held.push(reply);
        Outcome::Continue
    }
}

fn panicked(place: Place) -> Exit {
    Exit::Panicked { message: format!("at {place:?}") }
}

#[tokio::test(start_paused = true)]
async fn in_init_it_is_the_starters_error() {
    let system = System::local();
    let error = system.spawn("bomb", Bomb::at(Place::Init)).await.unwrap_err();
    assert!(matches!(&error, StartError::Exited { exit } if *exit == panicked(Place::Init)), "{error}");
    assert_eq!(error.to_string(), "the server ended while it started: it panicked: at Init");
    assert!(system.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_any_handler_it_ends_the_server_and_its_callers_learn_why() {
    for place in [Place::Info, Place::Timer, Place::ResultOfTask] {
        let system = System::local();
        let lab = system.spawn("lab", Lab::default()).await.unwrap();
        let bomb = Bomb { place, lab: Some(lab.clone()), held: Vec::new() };
        let bomb = system.spawn("bomb", bomb).await.unwrap();
        let waiting = JoinSet::from_iter([bomb.call(Wait)]);
        settle().await;
        lab.stop(Stop::Now).await;
        assert_eq!(bomb.ended().await, panicked(place));
        let error = waiting.join_all().await.remove(0).unwrap_err();
        assert_eq!(error, CallError::Exited { exit: panicked(place), stage: Stage::Handling });
        assert!(system.servers().is_empty(), "the name is free");
    }
}

#[tokio::test(start_paused = true)]
async fn in_terminate_it_is_how_the_server_ended() {
    let system = System::local();
    let bomb = system.spawn("bomb", Bomb::at(Place::Terminate)).await.unwrap();
    let waiting = JoinSet::from_iter([bomb.call(Wait)]);
    settle().await;
    assert_eq!(bomb.stop(Stop::graceful(SECOND)).await, panicked(Place::Terminate));
    assert!(waiting.join_all().await.remove(0).is_err());
    assert!(system.servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_the_drop_of_the_state_it_harms_nobody() {
    let system = System::local();
    let bomb = system.spawn("bomb", Bomb::at(Place::DropOfState)).await.unwrap();
    let waiting = JoinSet::from_iter([bomb.call(Wait)]);
    settle().await;
    assert_eq!(bomb.stop(Stop::Now).await, Exit::Killed);
    assert!(waiting.join_all().await.remove(0).is_err());
    assert_eq!(system.shutdown(SECOND).await, Stopped::Drained);
}

#[tokio::test(start_paused = true)]
async fn other_servers_of_the_node_do_not_notice() {
    let system = System::local();
    let (one, other) =
        tokio::join!(system.spawn("one", Lab::default()), system.spawn("other", Lab::default()));
    let (one, other) = (one.unwrap(), other.unwrap());
    let held = JoinSet::from_iter([other.call(Hold)]);
    settle().await;
    assert!(one.call(PanicInCall).await.is_err());
    other.cast(common::Release(3)).await.unwrap();
    assert_eq!(held.join_all().await, [Ok(3)]);
    assert_eq!(other.call(Echo(1)).await, Ok(1));
}

/// Panics when it is dropped unread, as a badly made message might.
struct Glass;

impl Drop for Glass {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "broken");
    }
}

impl HandleCast<Glass> for Lab {
    async fn cast(&mut self, glass: Glass, _cx: &mut Cx<Self>) -> Outcome {
        std::mem::forget(glass);
        Outcome::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_drop_of_a_message_that_waits_it_does_not_keep_the_others_from_their_end() {
    let system = System::local();
    let lab = system.spawn("lab", Lab::default()).await.unwrap();
    lab.cast(common::Toil(60_000)).await.unwrap();
    settle().await;
    lab.cast(Glass).await.unwrap();
    let waiting = JoinSet::from_iter([lab.call(Echo(1))]);
    settle().await;
    assert_eq!(lab.stop(Stop::Now).await, Exit::Killed);
    let refused = CallError::Exited { exit: Exit::Killed, stage: Stage::Queued };
    assert_eq!(waiting.join_all().await, [Err(refused)]);
    let error = lab.cast(common::Log(1)).await.unwrap_err();
    assert_eq!(*error.reason(), CastFailure::Exited { exit: Exit::Killed });
    assert!(tokio::time::timeout(Duration::from_millis(1), lab.ended()).await.is_ok());
    tokio::time::sleep(MS).await;
}
