//! A monitor that reacts to the death of a node: a standby takes over when the primary, on another node, is gone.
//!
//! Both nodes live in this process, on a network in memory.

use std::sync::Arc;
use std::time::Duration;

use genserver::{
    Addr, Config, Cx, Down, GenServer, HandleCall, Info, InitError, Outcome, ReplyTo, Request, Routes,
    System, Wire,
};
use netkernel::{Address, Cookie, Kernel, MemoryNetwork, Net, NodeId, Noise};
use serde::{Deserialize, Serialize};

struct Primary;

#[derive(Serialize, Deserialize)]
struct Ping;

impl Request for Ping {
    type Reply = String;
}

impl Wire for Ping {
    const TAG: &'static str = "ping";
}

impl GenServer for Primary {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Ping>();
    }
}

impl HandleCall<Ping> for Primary {
    async fn call(&mut self, _: Ping, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send("here".into())
    }
}

/// Waits for the primary's end, and takes over then.
struct Standby {
    primary: Addr<Primary>,
    active: bool,
    waiting: Vec<ReplyTo<()>>,
}

/// Answered as soon as the standby is at work.
struct WhenActive;

impl Request for WhenActive {
    type Reply = ();
}

impl GenServer for Standby {
    async fn init(&mut self, cx: &mut Cx<Self>) -> Result<(), InitError> {
        cx.monitor(&self.primary);
        cx.watch_nodes();
        Ok(())
    }

    async fn info(&mut self, info: Info, _cx: &mut Cx<Self>) -> Outcome {
        match info {
            Info::Down(Down { reason, .. }) => {
                println!("{} is down: {reason}", self.primary);
                self.active = true;
                for reply in self.waiting.drain(..) {
                    reply.send(());
                }
            }
            Info::NodeUp { node, .. } => println!("node {node} is up"),
            Info::NodeDown { node, .. } => println!("node {node} is down"),
            _ => {}
        }
        Outcome::Continue
    }
}

impl HandleCall<WhenActive> for Standby {
    async fn call(&mut self, _: WhenActive, reply: ReplyTo<()>, _cx: &mut Cx<Self>) -> Outcome {
        if self.active {
            return reply.send(());
        }
        self.waiting.push(reply);
        Outcome::Continue
    }
}

async fn node(network: &MemoryNetwork, id: &str, cookie: &Cookie) -> (Kernel, System) {
    let config = netkernel::Config::builder(NodeId::new(id).expect("a good id"), Noise::new(cookie))
        .transport(network.host(id))
        .listen(Address::new(id, 0).expect("a good address"))
        .build()
        .expect("the defaults work");
    let kernel = Kernel::bind(config).await.expect("a free port");
    let system = System::new(Arc::new(kernel.clone()), Config::default());
    kernel.serve(system.dispatch());
    (kernel, system)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (network, cookie) = (MemoryNetwork::new(), Cookie::generate()?);
    let (one, primaries) = node(&network, "one", &cookie).await;
    let (two, standbys) = node(&network, "two", &cookie).await;
    primaries.spawn("primary", Primary).await?;
    two.connect(&one.local().id, &one.local().address);

    let primary = standbys.addr::<Primary>(&one.local().id, "primary");
    let standby = Standby { primary: primary.clone(), active: false, waiting: Vec::new() };
    let standby = standbys.spawn("standby", standby).await?;
    println!("the primary answers: {}", primary.call(Ping).await?);

    one.shutdown(Duration::ZERO).await;
    standby.call(WhenActive).await?;
    println!("the standby is at work");
    Ok(())
}
