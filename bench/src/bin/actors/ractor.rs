//! ractor: its mailbox is unbounded, its calls here have no deadline.

use peer_ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::local::Server;

struct Count;

pub(crate) enum Message {
    Add(u64),
    Total(RpcReplyPort<u64>),
}

impl Actor for Count {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        count: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(number) => *count += number,
            Message::Total(reply) => reply.send(*count)?,
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Counter(ActorRef<Message>);

impl Server for Counter {
    async fn start() -> Self {
        let (actor, _task) = Actor::spawn(None, Count, ()).await.expect("it starts");
        Self(actor)
    }

    async fn call(&self) -> u64 {
        self.0.call(Message::Total, None).await.expect("the actor runs").unwrap()
    }

    async fn cast(&self) {
        self.0.cast(Message::Add(1)).expect("the actor runs");
    }

    async fn stop(self) {
        self.0.stop_and_wait(None, None).await.expect("it stops");
    }
}
