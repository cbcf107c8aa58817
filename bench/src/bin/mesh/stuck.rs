//! A peer whose process is stopped in the middle of its work, sent all that it may be, beside a good one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bench::Heap;
use bytes::Bytes;
use netkernel::{Address, Kernel, Net, ServerName};
use tokio_util::task::TaskTracker;

use crate::nodes::{end, id, node, nodes, now, settled, until};

const CALLS: usize = 8_000;
const GOOD: usize = 1;
const STUCK: usize = 2;

/// What calls to the good peer take, and what waits for the stuck one.
pub struct Figures {
    pub p99_us: f64,
    pub heap_mb: f64,
}

/// With a peer that is stuck, or with the same peer unharmed and idle.
pub async fn figures(stuck: bool) -> Figures {
    let kernels = nodes(2).await;
    let peer = Third::start();
    kernels[0].connect(&id(GOOD), &kernels[1].local().address);
    kernels[0].connect(&id(STUCK), &peer.address);
    until(|| settled(&kernels[0], 2)).await;
    let (tasks, stop) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
    let before = Heap::now();
    if stuck {
        peer.freeze().await;
        for bytes in [64, 16_000, 1 << 20] {
            tasks.spawn(cast_until(kernels[0].clone(), bytes, Arc::clone(&stop)));
        }
    }
    let p99_us = tasks.spawn(p99(kernels[0].clone())).await.expect("a caller does not panic");
    let heap_mb = Heap::now().saturating_sub(before) as f64 / 1e6;
    stop.store(true, Ordering::Relaxed);
    tasks.close();
    tasks.wait().await;
    peer.end();
    end(kernels).await;
    Figures { p99_us, heap_mb }
}

/// Casts as fast as the kernel accepts them.
async fn cast_until(kernel: Kernel, bytes: usize, stop: Arc<AtomicBool>) {
    let server = ServerName::new(format!("sink-{bytes}")).expect("a good name");
    while !stop.load(Ordering::Relaxed) {
        let body = Bytes::from(vec![7; bytes]);
        // What has no room is what is measured: the peer takes nothing.
        let _busy = kernel.cast(&id(STUCK), &server, body, Duration::from_millis(20)).await;
    }
}

async fn p99(kernel: Kernel) -> f64 {
    let server = ServerName::new("echo").expect("a good name");
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = now();
        let reply =
            kernel.call(&id(GOOD), &server, Bytes::from_static(&[7; 64]), Duration::from_secs(5)).await;
        reply.expect("the good peer answers");
        latencies.push(start.elapsed().as_secs_f64() * 1e6);
    }
    latencies.sort_by(f64::total_cmp);
    latencies[CALLS * 99 / 100]
}

/// A node on a thread of its own, which can be made to stand still.
struct Third {
    address: Address,
    freeze: tokio::sync::mpsc::Sender<()>,
    over: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Third {
    fn start() -> Self {
        let (freeze, mut freezes) = tokio::sync::mpsc::channel(1);
        let (over, overs) = mpsc::channel::<()>();
        let (address, addresses) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().expect("a runtime starts").block_on(async {
                let kernel = node(STUCK).await;
                address.send(kernel.local().address).expect("the sample waits for it");
                if freezes.recv().await.is_some() {
                    // The only thread of this node: nothing of it runs until the sample is over.
                    let _over = overs.recv();
                }
                kernel.shutdown(Duration::from_secs(1)).await;
            });
        });
        let address = addresses.recv().expect("the node starts");
        Self { address, freeze, over, thread }
    }

    async fn freeze(&self) {
        self.freeze.send(()).await.expect("the node runs");
    }

    fn end(self) {
        drop((self.freeze, self.over));
        self.thread.join().expect("the node does not panic");
    }
}
