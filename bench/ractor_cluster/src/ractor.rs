//! ractor_cluster, in plain text: an actor in a process group at the receiver, found by the sender.

use ::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use bytes::Bytes;
use ractor_cluster::node::NodeConnectionMode;
use ractor_cluster::{NodeServer, RactorClusterMessage};

use crate::drive::{self, Client};

#[derive(RactorClusterMessage)]
pub enum Message {
    Cast(Vec<u8>),
    #[rpc]
    Call(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

struct Sink;

impl Actor for Sink {
    type Msg = Message;
    type State = u64;
    type Arguments = &'static str;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        group: &'static str,
    ) -> Result<u64, ActorProcessingErr> {
        ::ractor::pg::join(group.to_owned(), vec![myself.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        casts: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Cast(_body) => *casts += 1,
            Message::Call(body, reply) => reply.send(drive::reply(body.into(), *casts).to_vec())?,
        }
        Ok(())
    }
}

/// The actor that counts casts, and the one that answers calls, each alone in a group.
const SINK: &str = "sink";
const ECHO: &str = "echo";

async fn node(port: u16, name: &str) -> ActorRef<ractor_cluster::NodeServerMessage> {
    let server = NodeServer::new(
        port,
        "cookie".to_owned(),
        name.to_owned(),
        "localhost".to_owned(),
        None,
        Some(NodeConnectionMode::Isolated),
    );
    let (actor, _ended) = Actor::spawn(None, server, ()).await.expect("the node starts");
    actor
}

pub async fn serve() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.expect("a port is free");
    std::mem::forget(node(address.port(), "receiver").await);
    for group in [SINK, ECHO] {
        let (_server, _ended) = Actor::spawn(None, Sink, group).await.expect("the actor starts");
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    address.to_string()
}

#[derive(Clone)]
pub struct Remote {
    sink: ActorRef<Message>,
    echo: ActorRef<Message>,
}

pub async fn connect(address: &str) -> Remote {
    let server = node(0, "sender").await;
    ractor_cluster::client_connect(&server, address).await.expect("the receiver listens");
    std::mem::forget(server);
    Remote { sink: member(SINK).await, echo: member(ECHO).await }
}

/// The one member of a group, as soon as it is known here.
async fn member(group: &str) -> ActorRef<Message> {
    loop {
        if let Some(member) = ::ractor::pg::get_members(&group.to_owned()).into_iter().next() {
            return member.into();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

impl Client for Remote {
    async fn cast(&self, body: Bytes) {
        self.sink.cast(Message::Cast(body.to_vec())).expect("the actor lives");
    }

    async fn call(&self, body: Bytes) -> Bytes {
        let server = if body == drive::COUNT { &self.sink } else { &self.echo };
        let called = server.call(|reply| Message::Call(body.to_vec(), reply), None).await;
        match called.expect("the actor lives") {
            ::ractor::rpc::CallResult::Success(reply) => reply.into(),
            other => panic!("{other:?}"),
        }
    }
}
