//! genserver, as its front page shows it: named by address, with the default deadline and mailbox.

use std::sync::OnceLock;

use genserver::{Cx, GenServer, HandleCall, HandleCast, LocalAddr, Outcome, ReplyTo, Request, Stop, System};

use crate::local::Server;

pub(crate) struct Count(u64);

struct Add(u64);

struct Total;

impl Request for Total {
    type Reply = u64;
}

impl GenServer for Count {}

impl HandleCast<Add> for Count {
    async fn cast(&mut self, Add(number): Add, _cx: &mut Cx<Self>) -> Outcome {
        self.0 += number;
        Outcome::Continue
    }
}

impl HandleCall<Total> for Count {
    async fn call(&mut self, _: Total, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.0)
    }
}

#[derive(Clone)]
pub(crate) struct Counter(LocalAddr<Count>);

impl Server for Counter {
    async fn start() -> Self {
        static SYSTEM: OnceLock<System> = OnceLock::new();
        Self(SYSTEM.get_or_init(System::local).spawn_unnamed(Count(0)).await.expect("it starts"))
    }

    async fn call(&self) -> u64 {
        self.0.call(Total).await.expect("the server answers")
    }

    async fn cast(&self) {
        self.0.cast(Add(1)).await.expect("the server runs");
    }

    async fn stop(self) {
        self.0.stop(Stop::graceful(std::time::Duration::from_secs(5))).await;
    }
}
