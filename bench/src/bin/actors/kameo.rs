//! kameo: with a mailbox as large as ours, and with an unbounded one; its calls here have no deadline.

use peer_kameo::Actor;
use peer_kameo::actor::{ActorRef, Spawn};
use peer_kameo::error::Infallible;
use peer_kameo::mailbox;
use peer_kameo::message::{Context, Message};

use crate::local::Server;

pub(crate) struct Count(u64);

impl Actor for Count {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(count: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(count)
    }
}

struct Add(u64);

struct Total;

impl Message<Add> for Count {
    type Reply = ();

    async fn handle(&mut self, Add(number): Add, _: &mut Context<Self, ()>) {
        self.0 += number;
    }
}

impl Message<Total> for Count {
    type Reply = u64;

    async fn handle(&mut self, _: Total, _: &mut Context<Self, u64>) -> u64 {
        self.0
    }
}

#[derive(Clone)]
pub(crate) struct Counter(ActorRef<Count>);

impl Server for Counter {
    async fn start() -> Self {
        let actor = Count::spawn_with_mailbox(Count(0), mailbox::bounded(MAILBOX));
        actor.wait_for_startup().await;
        Self(actor)
    }

    async fn call(&self) -> u64 {
        self.0.ask(Total).await.expect("the actor answers")
    }

    async fn cast(&self) {
        self.0.tell(Add(1)).await.expect("the actor runs");
    }

    async fn stop(self) {
        self.0.stop_gracefully().await.expect("it stops");
        self.0.wait_for_shutdown().await;
    }
}

#[derive(Clone)]
pub(crate) struct Unbounded(Counter);

impl Server for Unbounded {
    async fn start() -> Self {
        let actor = Count::spawn_with_mailbox(Count(0), mailbox::unbounded());
        actor.wait_for_startup().await;
        Self(Counter(actor))
    }

    async fn call(&self) -> u64 {
        self.0.call().await
    }

    async fn cast(&self) {
        self.0.cast().await;
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

const MAILBOX: usize = 1_024;
