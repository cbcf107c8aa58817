//! Messages between two nodes, sealed, over TCP on the loopback interface: through gen_servers at both ends, and
//! through netkernel's `Net` alone, driven alike. As in the table of messages, each node has one worker thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bench::{Measure, Report, Target};
use bytes::Bytes;
use genserver::{
    Addr, CallError, Config, Cx, GenServer, HandleCall, HandleCast, LocalAddr, Outcome, ReplyTo, Request,
    Routes, System, Wire,
};
use netkernel::{
    Cookie, Dispatch, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, SendError, ServerName,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::local::run;

const OURS: &str = "gen_servers at both ends";
const NET: &str = "netkernel alone";

pub(crate) fn measure(report: &mut Report) {
    const NAMES: [&str; 3] =
        ["call between nodes, one caller", "call between nodes, 64 callers", "64 B casts between nodes"];
    if !NAMES.iter().any(|name| report.wants(name)) {
        return;
    }
    let (servers, raw) = (Servers::new(), Raw::new());
    let mut measure = Measure::new(NAMES[0], "µs").target(Target::ratio_to(NET, 1.0 / 0.85));
    measure.contender(OURS, || servers.one_caller());
    measure.contender(NET, || raw.one_caller());
    report.run(measure);
    let mut measure = Measure::new(NAMES[1], "k/s").higher_is_better().target(Target::ratio_to(NET, 0.85));
    measure.contender(OURS, || servers.many_callers());
    measure.contender(NET, || raw.many_callers());
    report.run(measure);
    let mut measure = Measure::new(NAMES[2], "M/s").higher_is_better().target(Target::ratio_to(NET, 0.85));
    measure.contender(OURS, || servers.casts());
    measure.contender(NET, || raw.casts());
    report.run(measure);
}

/// A kernel on its own runtime, and what takes in its messages.
struct Node<T> {
    runtime: Runtime,
    kernel: Kernel,
    inside: T,
}

impl<T: Send + 'static> Node<T> {
    fn start(name: &str, cookie: &Cookie, serve: fn(&Kernel) -> T) -> Self {
        let runtime = crate::runtime(1);
        let config = netkernel::Config::builder(NodeId::new(name).expect("a good id"), Noise::new(cookie))
            .listen("127.0.0.1:0".parse().expect("a good address"))
            .build()
            .expect("the defaults work");
        let (kernel, inside) = run(&runtime, async move {
            let kernel = Kernel::bind(config).await.expect("a free port");
            let inside = serve(&kernel);
            (kernel, inside)
        });
        Self { runtime, kernel, inside }
    }

    /// Two nodes, connected.
    fn pair(serve: fn(&Kernel) -> T) -> (Self, Self) {
        let cookie = Cookie::generate().expect("randomness");
        let (a, b) = (Self::start("a", &cookie, serve), Self::start("b", &cookie, serve));
        let (kernel, peer) = (a.kernel.clone(), b.kernel.local());
        run(&a.runtime, async move {
            kernel.dial(&peer.address, Some(&peer.id), TIMEOUT).await.expect("they connect");
            kernel.connect(&peer.id, &peer.address);
        });
        (a, b)
    }
}

/// What is driven: one end of a link to a counting server. The loads below are the same code for every kind.
trait Ends: Clone + Send + Sync + 'static {
    /// Sends 64 bytes, and waits until they have come back.
    fn call(&self) -> impl Future<Output = ()> + Send;
    /// Sends 64 bytes.
    fn cast(&self) -> impl Future<Output = ()> + Send;
    /// How many casts have arrived since this was asked last.
    fn arrived(&self) -> impl Future<Output = u64> + Send;
}

/// Microseconds for a call: the median of many short batches.
async fn one_caller(ends: impl Ends) -> f64 {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let began = Instant::now();
        for _ in 0..BATCH {
            ends.call().await;
        }
        batches.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH));
    }
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

/// The calls of one of many callers.
async fn many_calls(ends: impl Ends) {
    for _ in 0..CALLS_EACH {
        ends.call().await;
    }
}

/// Millions of casts a second, until the last has arrived.
async fn casts(ends: impl Ends) -> f64 {
    let began = Instant::now();
    for _ in 0..CASTS {
        ends.cast().await;
    }
    let arrived = ends.arrived().await;
    let rate = f64::from(CASTS) / began.elapsed().as_secs_f64() / 1e6;
    assert_eq!(arrived, u64::from(CASTS), "no cast is lost");
    rate
}

/// netkernel alone: a body of 64 bytes, counted and, if it is a call, sent back.
struct Raw {
    a: Node<()>,
    _b: Node<()>,
    ends: RawEnds,
}

#[derive(Default)]
struct Counted(AtomicU64);

impl Dispatch for Counted {
    fn cast(&self, _: &Arc<Peer>, _: &ServerName, body: Bytes) -> Result<(), Refusal> {
        bench::consume(body);
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn call(&self, _: &Arc<Peer>, _: &ServerName, body: Bytes, responder: Responder) {
        let arrived = || Bytes::copy_from_slice(&self.0.swap(0, Ordering::Relaxed).to_be_bytes());
        responder.reply(if body.is_empty() { arrived() } else { body });
    }
}

#[derive(Clone)]
struct RawEnds {
    net: Kernel,
    to: NodeId,
    name: ServerName,
}

impl RawEnds {
    async fn ask(&self, body: Bytes) -> Bytes {
        self.net.call(&self.to, &self.name, body, TIMEOUT).await.expect("it is answered")
    }
}

impl Ends for RawEnds {
    async fn call(&self) {
        bench::consume(self.ask(Bytes::copy_from_slice(&BODY)).await);
    }

    async fn cast(&self) {
        // As a sender of messages does: a body of its own each time.
        let sent = self.net.try_cast(&self.to, &self.name, Bytes::copy_from_slice(&BODY));
        if let Err(SendError::Busy { body, .. }) = sent {
            self.net.cast(&self.to, &self.name, body, TIMEOUT).await.expect("there will be room");
        }
    }

    async fn arrived(&self) -> u64 {
        let arrived = self.ask(Bytes::new()).await;
        u64::from_be_bytes(arrived[..].try_into().expect("a count has eight bytes"))
    }
}

impl Raw {
    fn new() -> Self {
        let (a, b) = Node::pair(|kernel| {
            kernel.serve(Arc::new(Counted::default()));
        });
        let name = ServerName::new("count").expect("a good name");
        let ends = RawEnds { net: a.kernel.clone(), to: b.kernel.local().id, name };
        Self { a, _b: b, ends }
    }

    fn one_caller(&self) -> f64 {
        run(&self.a.runtime, one_caller(self.ends.clone()))
    }

    fn many_callers(&self) -> f64 {
        let ends = self.ends.clone();
        run(&self.a.runtime, async move {
            let began = Instant::now();
            let callers = (0..CALLERS).map(|_| many_calls(ends.clone()));
            JoinSet::from_iter(callers).join_all().await;
            f64::from(CALLERS * CALLS_EACH) / began.elapsed().as_secs_f64() / 1e3
        })
    }

    fn casts(&self) -> f64 {
        run(&self.a.runtime, casts(self.ends.clone()))
    }
}

/// gen_servers: a sink on one node, drivers on the other, whose handlers call and cast.
struct Servers {
    a: Node<System>,
    _b: Node<System>,
    drivers: Vec<LocalAddr<Driver>>,
}

impl Servers {
    fn new() -> Self {
        let (a, b) = Node::pair(|kernel| {
            let system = System::new(Arc::new(kernel.clone()), Config::default());
            kernel.serve(system.dispatch());
            system
        });
        let (here, there) = (a.inside.clone(), b.inside.clone());
        run(&b.runtime, async move {
            there.spawn("sink", Sink(0)).await.expect("it starts");
        });
        let to = b.kernel.local().id;
        let drivers = run(&a.runtime, async move {
            let mut drivers = Vec::new();
            for _ in 0..CALLERS {
                let driver = Driver(here.addr(&to, "sink"));
                drivers.push(here.spawn_unnamed(driver).await.expect("it starts"));
            }
            drivers
        });
        Self { a, _b: b, drivers }
    }

    fn one_caller(&self) -> f64 {
        let driver = self.drivers[0].clone();
        run(
            &self.a.runtime,
            async move { driver.call(Latency).without_timeout().await.expect("it is measured") },
        )
    }

    fn many_callers(&self) -> f64 {
        let drivers = self.drivers.clone();
        run(&self.a.runtime, async move {
            let began = Instant::now();
            let callers = drivers.iter().map(|driver| driver.call(Calls).without_timeout());
            JoinSet::from_iter(callers).join_all().await;
            f64::from(CALLERS * CALLS_EACH) / began.elapsed().as_secs_f64() / 1e3
        })
    }

    fn casts(&self) -> f64 {
        let driver = self.drivers[0].clone();
        run(
            &self.a.runtime,
            async move { driver.call(Casts).without_timeout().await.expect("it is measured") },
        )
    }
}

impl Ends for Addr<Sink> {
    async fn call(&self) {
        bench::consume(Addr::call(self, said()).await.expect("it is answered"));
    }

    async fn cast(&self) {
        Addr::cast(self, said()).await.expect("there will be room");
    }

    async fn arrived(&self) -> u64 {
        loop {
            match Addr::call(self, Heard).await {
                Ok(arrived) => return arrived,
                // Casts wait for room in the mailbox: a call does not overtake them, and does not wait.
                Err(CallError::Overloaded) => tokio::task::yield_now().await,
                Err(error) => panic!("it is answered: {error}"),
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Say(String);

impl Request for Say {
    type Reply = String;
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

/// Answers how many were heard since it was asked last.
#[derive(Serialize, Deserialize)]
struct Heard;

impl Request for Heard {
    type Reply = u64;
}

impl Wire for Heard {
    const TAG: &'static str = "heard";
}

struct Sink(u64);

impl GenServer for Sink {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>().cast::<Say>().call::<Heard>();
    }
}

impl HandleCall<Say> for Sink {
    async fn call(&mut self, Say(text): Say, reply: ReplyTo<String>, _: &mut Cx<Self>) -> Outcome {
        reply.send(text)
    }
}

impl HandleCast<Say> for Sink {
    async fn cast(&mut self, Say(text): Say, _: &mut Cx<Self>) -> Outcome {
        bench::consume(text);
        self.0 += 1;
        Outcome::Continue
    }
}

impl HandleCall<Heard> for Sink {
    async fn call(&mut self, _: Heard, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(std::mem::take(&mut self.0))
    }
}

struct Driver(Addr<Sink>);

impl GenServer for Driver {}

struct Latency;

impl Request for Latency {
    type Reply = f64;
}

struct Calls;

impl Request for Calls {
    type Reply = ();
}

struct Casts;

impl Request for Casts {
    type Reply = f64;
}

impl HandleCall<Latency> for Driver {
    async fn call(&mut self, _: Latency, reply: ReplyTo<f64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(one_caller(self.0.clone()).await)
    }
}

impl HandleCall<Calls> for Driver {
    async fn call(&mut self, _: Calls, reply: ReplyTo<()>, _: &mut Cx<Self>) -> Outcome {
        many_calls(self.0.clone()).await;
        reply.send(())
    }
}

impl HandleCall<Casts> for Driver {
    async fn call(&mut self, _: Casts, reply: ReplyTo<f64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(casts(self.0.clone()).await)
    }
}

/// A message that makes a body of 64 bytes.
fn said() -> Say {
    Say(TEXT.to_owned())
}

const TIMEOUT: Duration = Duration::from_secs(5);
const BODY: [u8; 64] = [b'x'; 64];
/// With the header of a cast of `Say`, 64 bytes.
const TEXT: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
const BATCH: u32 = 20;
const BATCHES: usize = 250;
const CALLERS: u32 = 64;
const CALLS_EACH: u32 = 3_000;
const CASTS: u32 = 1_000_000;
