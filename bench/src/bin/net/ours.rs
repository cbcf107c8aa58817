//! The mesh itself, at the level of `Net` and `Dispatch`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use netkernel::{
    Config, Cookie, Dispatch, Insecure, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName,
};

use crate::contender::Contender;
use crate::drive::{self, Client};

#[derive(Default)]
struct Counting(AtomicU64);

impl Dispatch for Counting {
    fn cast(&self, _from: &Arc<Peer>, _to: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _to: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(drive::reply(body, self.0.load(Ordering::Relaxed)));
    }
}

#[derive(Clone)]
pub struct Mesh {
    kernel: Kernel,
    to: NodeId,
    sink: ServerName,
    echo: ServerName,
}

async fn kernel(contender: Contender, name: &str) -> Kernel {
    let id = NodeId::new(name).expect("a good name");
    let cookie: Cookie = "5a".repeat(32).parse().expect("a cookie is 64 digits");
    let config = match contender {
        Contender::Insecure => Config::builder(id, Insecure),
        _ => Config::builder(id, Noise::new(&cookie)),
    };
    let config = config.listen("127.0.0.1:0".parse().expect("an address"));
    let kernel = Kernel::bind(config.build().expect("the defaults work")).await.expect("a port is free");
    kernel.serve(Arc::new(Counting::default()));
    kernel
}

pub async fn serve(contender: Contender) -> String {
    let kernel = kernel(contender, "receiver").await;
    let address = kernel.local().address.to_string();
    // Lives as long as the process.
    std::mem::forget(kernel);
    address
}

pub async fn connect(contender: Contender, address: &str) -> Mesh {
    let kernel = kernel(contender, "sender").await;
    let to = NodeId::new("receiver").expect("a good name");
    kernel.connect(&to, &address.parse().expect("an address"));
    let server = |name| ServerName::new(name).expect("a good name");
    Mesh { kernel, to, sink: server("sink"), echo: server("echo") }
}

impl Client for Mesh {
    async fn cast(&self, body: Bytes) {
        self.kernel.cast(&self.to, &self.sink, body, PATIENCE).await.expect("a cast is accepted");
    }

    async fn call(&self, body: Bytes) -> Bytes {
        let server = if body == drive::COUNT { &self.sink } else { &self.echo };
        self.kernel.call(&self.to, server, body, PATIENCE).await.expect("a call is answered")
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
