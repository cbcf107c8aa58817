//! Local calls and casts beside a plain task with tokio's channels, in turn, as medians of several rounds.
//!
//! Prints; asserts nothing. Everything is called from spawned tasks: `block_on` itself pays a thread hop for each
//! wake, whatever is called. An argument picks the rows whose name holds it.

use std::time::Duration;

use genserver::{Cx, GenServer, HandleCall, HandleCast, LocalAddr, Outcome, ReplyTo, Request, System};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

struct Sum(u64);

struct Add(u64);

struct Total;

impl Request for Total {
    type Reply = u64;
}

impl GenServer for Sum {}

impl HandleCast<Add> for Sum {
    async fn cast(&mut self, Add(number): Add, _cx: &mut Cx<Self>) -> Outcome {
        self.0 = self.0.wrapping_add(number);
        Outcome::Continue
    }
}

impl HandleCall<Total> for Sum {
    async fn call(&mut self, _: Total, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.0)
    }
}

/// The same server by hand.
enum Plain {
    Add(u64),
    Total(oneshot::Sender<u64>),
}

fn plain(tasks: &TaskTracker) -> mpsc::Sender<Plain> {
    let (sender, mut receiver) = mpsc::channel(MAILBOX);
    let task = async move {
        let mut sum = 0_u64;
        while let Some(message) = receiver.recv().await {
            match message {
                Plain::Add(number) => sum = sum.wrapping_add(number),
                Plain::Total(reply) => {
                    let _gone = reply.send(sum);
                }
            }
        }
    };
    tasks.spawn(task);
    sender
}

async fn plain_call(server: &mpsc::Sender<Plain>) -> u64 {
    let (reply, answer) = oneshot::channel();
    assert!(server.send(Plain::Total(reply)).await.is_ok());
    answer.await.expect("the server answers")
}

async fn call(server: LocalAddr<Sum>, calls: u32) {
    for _ in 0..calls {
        server.call(Total).await.expect("the server answers");
    }
}

async fn cast(server: LocalAddr<Sum>, casts: u32) {
    for _ in 0..casts {
        server.cast(Add(1)).await.expect("the server runs");
    }
    server.call(Total).await.expect("the server answers");
}

async fn call_plain(server: mpsc::Sender<Plain>, calls: u32) {
    for _ in 0..calls {
        plain_call(&server).await;
    }
}

async fn cast_plain(server: mpsc::Sender<Plain>, casts: u32) {
    for _ in 0..casts {
        assert!(server.send(Plain::Add(1)).await.is_ok());
    }
    plain_call(&server).await;
}

/// How long so many copies of a task take together.
async fn time<F: Future<Output = ()> + Send + 'static>(copies: usize, task: impl Fn() -> F) -> Duration {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..copies {
        tasks.spawn(task());
    }
    tasks.join_all().await;
    began.elapsed()
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

async fn compare<A, B>(what: &str, copies: usize, each: u32, ours: impl Fn() -> A, plain: impl Fn() -> B)
where
    A: Future<Output = ()> + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    if std::env::args().nth(1).is_some_and(|wanted| !wanted.starts_with('-') && !what.contains(&wanted)) {
        return;
    }
    let (mut us, mut them) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        us.push(time(copies, &ours).await);
        them.push(time(copies, &plain).await);
    }
    let messages = f64::from(each) * f64::from(u32::try_from(copies).expect("a few copies"));
    let nanoseconds = |rounds| median(rounds).as_secs_f64() * 1e9 / messages;
    let (us, them) = (nanoseconds(us), nanoseconds(them));
    println!("{what:<28} {us:>8.0} ns  plain tokio {them:>8.0} ns  ratio {:>5.2}", us / them);
}

async fn rates(workers: usize) {
    println!("{workers} worker threads, per message");
    let system = System::local();
    let server = system.spawn_unnamed(Sum(0)).await.expect("it starts");
    let tasks = TaskTracker::new();
    let hand_made = plain(&tasks);
    let ours = |each| {
        let server = server.clone();
        move || call(server.clone(), each)
    };
    let theirs = |each| {
        let server = hand_made.clone();
        move || call_plain(server.clone(), each)
    };
    compare("calls, one caller", 1, 200_000, ours(200_000), theirs(200_000)).await;
    compare("calls, 64 callers", 64, 10_000, ours(10_000), theirs(10_000)).await;
    let ours = |each| {
        let server = server.clone();
        move || cast(server.clone(), each)
    };
    let theirs = |each| {
        let server = hand_made.clone();
        move || cast_plain(server.clone(), each)
    };
    compare("casts, one sender", 1, 1_000_000, ours(1_000_000), theirs(1_000_000)).await;
    compare("casts, 64 senders", 64, 20_000, ours(20_000), theirs(20_000)).await;
}

/// Starts and stops many servers.
async fn lives() {
    let system = System::local();
    let began = Instant::now();
    let mut servers = Vec::with_capacity(SERVERS);
    for _ in 0..SERVERS {
        servers.push(system.spawn_unnamed(Sum(0)).await.expect("it starts"));
    }
    let started = began.elapsed();
    system.shutdown(Duration::from_secs(60)).await;
    println!("{SERVERS} servers started in {started:?}, stopped in {:?}", began.elapsed() - started);
}

fn main() {
    for workers in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .expect("a runtime");
        let rates = runtime.spawn(rates(workers));
        runtime.block_on(rates).expect("the measurement ends");
        if workers == 2 {
            let lives = runtime.spawn(lives());
            runtime.block_on(lives).expect("the measurement ends");
        }
    }
}

const ROUNDS: usize = 5;
const MAILBOX: usize = 1_024;
const SERVERS: usize = 100_000;
