//! Nodes of one process.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use netkernel::{Config, Cookie, Dispatch, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName};

struct Silent;

impl Dispatch for Silent {
    fn cast(&self, _from: &Arc<Peer>, _to: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _to: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

pub fn id(number: usize) -> NodeId {
    NodeId::new(&format!("node-{number}")).expect("a good name")
}

pub async fn node(number: usize) -> Kernel {
    let cookie: Cookie = "5a".repeat(32).parse().expect("a cookie is 64 digits");
    let config =
        Config::builder(id(number), Noise::new(&cookie)).listen("127.0.0.1:0".parse().expect("an address"));
    let kernel = Kernel::bind(config.build().expect("the defaults work")).await.expect("a port is free");
    kernel.serve(Arc::new(Silent));
    kernel
}

pub async fn nodes(count: usize) -> Vec<Kernel> {
    let mut kernels = Vec::with_capacity(count);
    for number in 0..count {
        kernels.push(node(number).await);
    }
    kernels
}

/// Whether a kernel has exactly one session with each of so many peers, and none besides.
pub fn settled(kernel: &Kernel, peers: usize) -> bool {
    let status = kernel.peers();
    status.len() == peers && status.iter().all(|peer| peer.connected && peer.sessions == 1)
}

pub async fn until(condition: impl Fn() -> bool) {
    let start = now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "the mesh settles");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ends them all, so that the next sample begins with nothing.
pub async fn end(kernels: Vec<Kernel>) {
    for kernel in kernels {
        kernel.shutdown(Duration::from_secs(1)).await;
    }
}

/// Runs a sample on a runtime of its own.
pub fn run<T>(sample: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime starts").block_on(sample)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is a driver of its own")]
pub fn now() -> Instant {
    Instant::now()
}
