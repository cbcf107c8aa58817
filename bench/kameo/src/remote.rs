//! kameo's remote actors: two actors registered at the receiver, looked up by the sender, over TCP with Noise and yamux.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use kameo::prelude::*;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::drive::{self, Client};

#[derive(Default, Actor, RemoteActor)]
pub struct Sink {
    casts: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Cast(Bytes);

#[derive(Serialize, Deserialize)]
pub struct Call(Bytes);

#[derive(Serialize, Deserialize, Reply)]
pub struct Answer(Bytes);

#[remote_message]
impl Message<Cast> for Sink {
    type Reply = ();

    async fn handle(&mut self, _: Cast, _: &mut Context<Self, ()>) {
        self.casts += 1;
    }
}

#[remote_message]
impl Message<Call> for Sink {
    type Reply = Answer;

    async fn handle(&mut self, Call(body): Call, _: &mut Context<Self, Answer>) -> Answer {
        Answer(drive::reply(body, self.casts))
    }
}

/// The actor that counts casts, and the one that answers calls.
const SINK: &str = "sink";
const ECHO: &str = "echo";

fn swarm() -> Swarm<remote::Behaviour> {
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("the transport starts")
        .with_behaviour(|key| {
            let config = remote::messaging::Config::default()
                .with_request_timeout(PATIENCE)
                .with_request_size_maximum(REQUEST_BYTES);
            remote::Behaviour::new(key.public().to_peer_id(), config)
        })
        .expect("the behaviour needs nothing")
        .with_swarm_config(|config| config.with_idle_connection_timeout(10 * PATIENCE))
        .build();
    swarm.behaviour().init_global();
    swarm
}

/// Drives the swarm for as long as the process lives.
fn drive_on(mut swarm: Swarm<remote::Behaviour>) {
    drop(drive::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    }));
}

pub async fn serve() -> String {
    let mut swarm = swarm();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port is free");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    drive_on(swarm);
    for name in [SINK, ECHO] {
        let actor = Sink::spawn(Sink::default());
        actor.register(name).await.expect("the name is free");
    }
    address.to_string()
}

#[derive(Clone)]
pub struct Remote {
    sink: RemoteActorRef<Sink>,
    echo: RemoteActorRef<Sink>,
    room: Arc<Semaphore>,
}

pub async fn connect(address: &str) -> Remote {
    let mut swarm = swarm();
    let address: Multiaddr = address.parse().expect("an address");
    swarm.dial(address.clone()).expect("the receiver listens");
    let receiver = loop {
        if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
            break peer_id;
        }
    };
    // Its registry asks those peers alone that it was told of.
    swarm.add_peer_address(receiver, address);
    drive_on(swarm);
    let (sink, echo) = (registered(SINK).await, registered(ECHO).await);
    Remote { sink, echo, room: Arc::new(Semaphore::new(IN_FLIGHT)) }
}

/// The actor of this name, as soon as it is known here.
async fn registered(name: &str) -> RemoteActorRef<Sink> {
    loop {
        if let Ok(Some(actor)) = RemoteActorRef::lookup(name).await {
            return actor;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Client for Remote {
    /// With its acknowledgement: `send` alone waits for nothing, and loses what exceeds the streams that may be open.
    async fn cast(&self, body: Bytes) {
        let permit = Arc::clone(&self.room).acquire_owned().await.expect("nobody closes it");
        let sink = self.sink.clone();
        drop(drive::spawn(async move {
            let _lost = sink.tell(&Cast(body)).send_ack().await;
            drop(permit);
        }));
    }

    async fn call(&self, body: Bytes) -> Bytes {
        let server = if body == drive::COUNT { &self.sink } else { &self.echo };
        server.ask(&Call(body)).await.expect("the actor answers").0
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
/// Over the default of 1 MiB: a body is an array of numbers on its wire, up to two bytes for each of its own.
const REQUEST_BYTES: u64 = 4 << 20;
/// Under the default of 100 open streams.
const IN_FLIGHT: usize = 64;
