//! What a server does beside handling messages: tasks, timers, deadlines.

mod common;

use std::time::Duration;

use common::{Echo, Hold, Lab, MS, SECOND, settle};
use genserver::{
    CallError, Config, Cx, Executed, GenServer, HandleCall, HandleCast, InitError, LocalAddr, Outcome,
    ReplyTo, Request, Stop, System, Timer,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Answers after so many milliseconds, from a task.
struct Slow(u64);
impl Request for Slow {
    type Reply = u64;
}

/// As `Slow`, by way of the state.
struct SlowThroughState(u64);
impl Request for SlowThroughState {
    type Reply = u64;
}

/// What `SlowThroughState` comes back as.
struct Finished(ReplyTo<u64>, u64);

/// Answers how often it ticked.
struct Ticks;
impl Request for Ticks {
    type Reply = u64;
}

/// Tick after, or every, so many milliseconds.
#[derive(Clone)]
struct TickAfter(u64);
struct TickEvery(u64);
struct Cancel;
#[derive(Clone)]
struct Tick;

/// Calls the lab's `Hold` from a task, and answers what came of it.
struct HoldElsewhere(LocalAddr<Lab>);
impl Request for HoldElsewhere {
    type Reply = Result<u64, CallError>;
}

/// Start a task that panics.
struct PanicInTask;
impl Request for PanicInTask {
    type Reply = ();
}

/// Keep busy.
struct Busy(u64);

/// Keep busy, then cancel the timers.
struct BusyThenCancel(u64);

#[derive(Default)]
struct Clerk {
    done: u64,
    ticks: u64,
    timers: Vec<Timer>,
    dropped: Option<mpsc::Sender<()>>,
}

impl GenServer for Clerk {
    async fn init(&mut self, cx: &mut Cx<Self>) -> Result<(), InitError> {
        if let Some(dropped) = self.dropped.take() {
            cx.spawn(async move {
                dropped.closed().await;
            });
        }
        Ok(())
    }
}

impl HandleCall<Slow> for Clerk {
    async fn call(&mut self, Slow(ms): Slow, reply: ReplyTo<u64>, cx: &mut Cx<Self>) -> Outcome {
        cx.spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            reply.send(ms);
        });
        Outcome::Continue
    }
}

impl HandleCall<SlowThroughState> for Clerk {
    async fn call(
        &mut self,
        SlowThroughState(ms): SlowThroughState,
        reply: ReplyTo<u64>,
        cx: &mut Cx<Self>,
    ) -> Outcome {
        cx.cast_when(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Finished(reply, ms)
        });
        Outcome::Continue
    }
}

impl HandleCast<Finished> for Clerk {
    async fn cast(&mut self, Finished(reply, ms): Finished, _cx: &mut Cx<Self>) -> Outcome {
        self.done += ms;
        reply.send(self.done)
    }
}

impl HandleCall<Ticks> for Clerk {
    async fn call(&mut self, _: Ticks, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.ticks)
    }
}

impl HandleCast<Tick> for Clerk {
    async fn cast(&mut self, _: Tick, _cx: &mut Cx<Self>) -> Outcome {
        self.ticks += 1;
        Outcome::Continue
    }
}

impl HandleCast<TickAfter> for Clerk {
    async fn cast(&mut self, TickAfter(ms): TickAfter, cx: &mut Cx<Self>) -> Outcome {
        self.timers.push(cx.cast_after(Duration::from_millis(ms), Tick));
        Outcome::Continue
    }
}

impl HandleCast<TickEvery> for Clerk {
    async fn cast(&mut self, TickEvery(ms): TickEvery, cx: &mut Cx<Self>) -> Outcome {
        self.timers.push(cx.cast_every(Duration::from_millis(ms), Tick));
        Outcome::Continue
    }
}

impl HandleCast<Cancel> for Clerk {
    async fn cast(&mut self, _: Cancel, _cx: &mut Cx<Self>) -> Outcome {
        for timer in self.timers.drain(..) {
            timer.cancel();
        }
        Outcome::Continue
    }
}

impl HandleCast<Busy> for Clerk {
    async fn cast(&mut self, Busy(ms): Busy, _cx: &mut Cx<Self>) -> Outcome {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Outcome::Continue
    }
}

impl HandleCast<BusyThenCancel> for Clerk {
    async fn cast(&mut self, BusyThenCancel(ms): BusyThenCancel, _cx: &mut Cx<Self>) -> Outcome {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.timers.drain(..).for_each(|timer| timer.cancel());
        Outcome::Continue
    }
}

impl HandleCall<HoldElsewhere> for Clerk {
    async fn call(
        &mut self,
        HoldElsewhere(lab): HoldElsewhere,
        reply: ReplyTo<Result<u64, CallError>>,
        cx: &mut Cx<Self>,
    ) -> Outcome {
        cx.spawn(async move {
            let held = lab.call(Hold).without_timeout().await;
            reply.send(held);
        });
        Outcome::Continue
    }
}

impl HandleCall<PanicInTask> for Clerk {
    async fn call(&mut self, _: PanicInTask, reply: ReplyTo<()>, cx: &mut Cx<Self>) -> Outcome {
        cx.spawn(async move {
            let _kept = reply;
            panic!("in a task");
        });
        Outcome::Continue
    }
}

async fn clerk() -> LocalAddr<Clerk> {
    System::local().spawn("clerk", Clerk::default()).await.expect("it starts")
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_does_not_keep_the_server() {
    let clerk = clerk().await;
    let slow = JoinSet::from_iter([clerk.call(Slow(1_000)), clerk.call(Slow(500))]);
    let began = Instant::now();
    settle().await;
    assert_eq!(clerk.call(Ticks).await, Ok(0));
    let mut slow = slow.join_all().await;
    slow.sort_by_key(|reply| reply.clone().unwrap());
    assert_eq!((slow, began.elapsed().as_millis()), (vec![Ok(500), Ok(1_000)], 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_tasks_result_comes_back_to_the_state() {
    let clerk = clerk().await;
    let (one, other) = tokio::join!(clerk.call(SlowThroughState(10)), clerk.call(SlowThroughState(5)));
    assert_eq!((one, other), (Ok(15), Ok(5)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_task_costs_its_caller_the_reply_and_nothing_else() {
    let clerk = clerk().await;
    assert_eq!(clerk.call(PanicInTask).await, Err(CallError::NoReply));
    assert_eq!(clerk.call(Ticks).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_their_server() {
    let (sender, mut receiver) = mpsc::channel(1);
    let clerk =
        System::local().spawn("clerk", Clerk { dropped: Some(sender), ..Clerk::default() }).await.unwrap();
    settle().await;
    assert!(receiver.try_recv().is_err_and(|error| error == mpsc::error::TryRecvError::Empty));
    let waiting = JoinSet::from_iter([clerk.call(Slow(3_600_000))]);
    settle().await;
    clerk.stop(Stop::graceful(SECOND)).await;
    assert_eq!(receiver.recv().await, None);
    assert_eq!(waiting.join_all().await, [Err(CallError::NoReply)]);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_too_many_tasks_lets_messages_wait() {
    let system = System::local_with(Config::default().tasks_max(2));
    let clerk = system.spawn("clerk", Clerk::default()).await.unwrap();
    let began = Instant::now();
    let slow = JoinSet::from_iter((0..6).map(|_| clerk.call(Slow(100))));
    assert!(slow.join_all().await.iter().all(Result::is_ok));
    assert_eq!(began.elapsed().as_millis(), 300);
}

#[tokio::test(start_paused = true)]
async fn timers_tick_on_time() {
    let clerk = clerk().await;
    clerk.cast(TickAfter(1_000)).await.unwrap();
    clerk.cast(TickEvery(400)).await.unwrap();
    clerk.idle().await;
    tokio::time::sleep(950 * MS).await;
    assert_eq!(clerk.call(Ticks).await, Ok(2));
    tokio::time::sleep(100 * MS).await;
    assert_eq!(clerk.call(Ticks).await, Ok(3));
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(clerk.call(Ticks).await, Ok(28));
}

#[tokio::test(start_paused = true)]
async fn cancelled_timers_do_not_tick_even_if_they_were_due() {
    let clerk = clerk().await;
    clerk.cast(TickAfter(100)).await.unwrap();
    clerk.cast(TickEvery(100)).await.unwrap();
    settle().await;
    clerk.cast(Busy(300)).await.unwrap();
    settle().await;
    // Both are due while the server is busy. What the system says comes first, so they are handled before this.
    clerk.cast(Cancel).await.unwrap();
    clerk.idle().await;
    assert_eq!(clerk.call(Ticks).await, Ok(2));
    tokio::time::sleep(SECOND).await;
    assert_eq!(clerk.call(Ticks).await, Ok(2));
    // A handler that cancels while a tick waits already has the last word.
    clerk.cast(TickAfter(10)).await.unwrap();
    clerk.cast(BusyThenCancel(100)).await.unwrap();
    clerk.idle().await;
    assert_eq!(clerk.call(Ticks).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_gets_one_tick_for_many_missed() {
    let clerk = clerk().await;
    clerk.cast(TickEvery(10)).await.unwrap();
    clerk.cast(Busy(1_000)).await.unwrap();
    clerk.idle().await;
    assert_eq!(clerk.call(Ticks).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn tasks_inherit_the_deadline_of_the_call_that_started_them() {
    let clerk = clerk().await;
    let lab = clerk.info();
    assert_eq!(lab.handled, 0);
    let lab = System::local().spawn("lab", Lab::default()).await.unwrap();
    let error = clerk.call(HoldElsewhere(lab.clone())).timeout(SECOND).await.unwrap_err();
    assert_eq!(error.executed(), Executed::Maybe);
    settle().await;
    // The task's own call has ended with it: the clerk has no task left, and the lab sees a caller who left.
    let began = Instant::now();
    clerk.idle().await;
    assert_eq!(lab.call(Echo(1)).await, Ok(1));
    assert_eq!(began.elapsed().as_millis(), 0);
}
