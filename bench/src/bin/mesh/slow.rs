//! Strangers that connect and send a byte now and then, and one good peer.

use std::time::Duration;

use netkernel::Net;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::nodes::{end, id, nodes, now, settled, until};

pub async fn seconds(strangers: usize) -> f64 {
    let kernels = nodes(2).await;
    let address = kernels[0].local().address;
    let tasks = TaskTracker::new();
    let stop = tokio_util::sync::CancellationToken::new();
    for _ in 0..strangers {
        let (address, stop) = (address.to_string(), stop.clone());
        tasks.spawn(async move { stop.run_until_cancelled(stranger(address)).await });
    }
    // All of them are connected, or waiting to be.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let start = now();
    kernels[1].connect(&id(0), &address);
    until(|| settled(&kernels[1], 1)).await;
    let seconds = start.elapsed().as_secs_f64();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    end(kernels).await;
    seconds
}

/// Sends a byte every 50 ms; hung up on, it comes again at once.
async fn stranger(address: String) {
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while stream.write_all(b"C").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
