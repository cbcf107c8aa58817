//! What the tests share: a server that does as it is told, and nodes on simulated networks.
#![expect(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: each file uses its own part, and fails by panicking"
)]

pub(crate) mod network;
mod turmoil_transport;

use std::time::Duration;

use genserver::{
    Addr, Config, Cx, Exit, GenServer, HandleCall, HandleCast, InitError, LocalAddr, NodeId, Outcome,
    ReplyTo, Request, Routes, System, Wire,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

macro_rules! message {
    ($(#[$doc:meta])* $name:ident $(($($field:ty),+))?, $tag:literal $(, $reply:ty)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $name $(($(pub(crate) $field),+))?;

        impl Wire for $name {
            const TAG: &'static str = $tag;
        }

        $(impl Request for $name {
            type Reply = $reply;
        })?
    };
}

message!(/// Answers what it holds.
    Echo(u64), "echo", u64);
message!(/// Keeps the reply until `Release`.
    Hold, "hold", u64);
message!(/// Answers all that are held.
    Release(u64), "release");
message!(/// Drops all that are held.
    Forget, "forget");
message!(/// Drops its reply.
    Drop, "drop", u64);
message!(/// Panics in the call's handler.
    PanicInCall, "panic-in-call", u64);
message!(/// Panics in the cast's handler.
    PanicInCast, "panic-in-cast");
message!(/// Keeps the server busy for so many milliseconds, then answers whether the caller has left.
    Work(u64), "work", bool);
message!(/// Casts work.
    Toil(u64), "toil");
message!(/// Logs a number.
    Log(u64), "log");
message!(/// The numbers logged.
    Logged, "logged", Vec<u64>);
message!(/// Ends the server normally.
    Quit, "quit");
message!(/// Ends the server as a failure.
    Fail(String), "fail");
message!(/// Calls `Echo` there, and answers what came of it.
    Relay(Addr<Lab>, u64), "relay", Result<u64, String>);
message!(/// Calls `Relay` there.
    RelayRelay(Addr<Lab>, Addr<Lab>, u64), "relay-relay", Result<u64, String>);

/// A message of no route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unrouted;
impl Request for Unrouted {
    type Reply = u64;
}
impl Wire for Unrouted {
    const TAG: &'static str = "unrouted";
}

/// A server that does as it is told.
#[derive(Default)]
pub(crate) struct Lab {
    pub(crate) held: Vec<ReplyTo<u64>>,
    pub(crate) log: Vec<u64>,
    pub(crate) ended: Option<mpsc::Sender<Exit>>,
    pub(crate) refuse: bool,
}

impl Lab {
    /// A server that shows how it terminated.
    pub(crate) fn shown() -> (Self, mpsc::Receiver<Exit>) {
        let (ended, shown) = mpsc::channel(1);
        (Self { ended: Some(ended), ..Self::default() }, shown)
    }
}

impl GenServer for Lab {
    async fn init(&mut self, _cx: &mut Cx<Self>) -> Result<(), InitError> {
        if self.refuse { Err("not today".into()) } else { Ok(()) }
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Echo>().call::<Hold>().cast::<Release>().cast::<Forget>().call::<Drop>();
        routes.call::<PanicInCall>().cast::<PanicInCast>().call::<Work>().cast::<Toil>();
        routes.cast::<Log>().call::<Logged>().cast::<Quit>().cast::<Fail>();
        routes.call::<Relay>().call::<RelayRelay>();
    }

    async fn terminate(self, why: Exit) {
        if let Some(ended) = self.ended {
            ended.send(why).await.unwrap();
        }
    }
}

impl HandleCall<Echo> for Lab {
    async fn call(&mut self, Echo(number): Echo, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(number)
    }
}

impl HandleCall<Hold> for Lab {
    async fn call(&mut self, _: Hold, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        self.held.push(reply);
        Outcome::Continue
    }
}

impl HandleCast<Release> for Lab {
    async fn cast(&mut self, Release(number): Release, _cx: &mut Cx<Self>) -> Outcome {
        for reply in self.held.drain(..) {
            reply.send(number);
        }
        Outcome::Continue
    }
}

impl HandleCast<Forget> for Lab {
    async fn cast(&mut self, _: Forget, _cx: &mut Cx<Self>) -> Outcome {
        self.held.clear();
        Outcome::Continue
    }
}

impl HandleCall<Drop> for Lab {
    async fn call(&mut self, _: Drop, _reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

impl HandleCall<PanicInCall> for Lab {
    async fn call(&mut self, _: PanicInCall, _reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        panic!("told to")
    }
}

impl HandleCast<PanicInCast> for Lab {
    async fn cast(&mut self, _: PanicInCast, _cx: &mut Cx<Self>) -> Outcome {
        pass(MS).await;
        panic!("told {}", "to")
    }
}

impl HandleCall<Work> for Lab {
    async fn call(&mut self, Work(ms): Work, reply: ReplyTo<bool>, _cx: &mut Cx<Self>) -> Outcome {
        pass(MS * u32::try_from(ms).unwrap()).await;
        let left = reply.is_cancelled();
        reply.send(left)
    }
}

impl HandleCast<Toil> for Lab {
    async fn cast(&mut self, Toil(ms): Toil, _cx: &mut Cx<Self>) -> Outcome {
        pass(MS * u32::try_from(ms).unwrap()).await;
        Outcome::Continue
    }
}

impl HandleCast<Log> for Lab {
    async fn cast(&mut self, Log(number): Log, _cx: &mut Cx<Self>) -> Outcome {
        self.log.push(number);
        Outcome::Continue
    }
}

impl HandleCall<Logged> for Lab {
    async fn call(&mut self, _: Logged, reply: ReplyTo<Vec<u64>>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.log.clone())
    }
}

impl HandleCast<Quit> for Lab {
    async fn cast(&mut self, _: Quit, _cx: &mut Cx<Self>) -> Outcome {
        Outcome::Stop
    }
}

impl HandleCast<Fail> for Lab {
    async fn cast(&mut self, Fail(why): Fail, _cx: &mut Cx<Self>) -> Outcome {
        Outcome::fail(why)
    }
}

impl HandleCall<Relay> for Lab {
    async fn call(
        &mut self,
        Relay(to, number): Relay,
        reply: ReplyTo<Result<u64, String>>,
        _: &mut Cx<Self>,
    ) -> Outcome {
        reply.send(to.call(Echo(number)).await.map_err(|error| error.to_string()))
    }
}

impl HandleCall<RelayRelay> for Lab {
    async fn call(
        &mut self,
        RelayRelay(via, to, number): RelayRelay,
        reply: ReplyTo<Result<u64, String>>,
        _: &mut Cx<Self>,
    ) -> Outcome {
        let relayed = via.call(Relay(to, number)).await;
        reply.send(relayed.unwrap_or_else(|error| Err(error.to_string())))
    }
}

impl HandleCall<Unrouted> for Lab {
    async fn call(&mut self, _: Unrouted, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(0)
    }
}

/// A system for tests on the clock of the machine, which may stand still for long: nothing in it is late.
pub(crate) fn patient() -> System {
    System::local_with(Config::default().timeout(Duration::MAX).start_timeout(Duration::MAX))
}

/// A lab in a system of its own.
pub(crate) async fn lab() -> LocalAddr<Lab> {
    System::local().spawn("lab", Lab::default()).await.unwrap()
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Lets every task run until nothing is left to do but wait.
pub(crate) async fn settle() {
    pass(50 * MS).await;
}

/// Lets virtual time pass; a clock that is not paused is a mistake of the test.
pub(crate) async fn pass(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}
