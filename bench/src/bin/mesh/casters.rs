//! Many tasks that cast to one node at once, more than there is room for: each waits for its turn.

use std::time::Duration;

use bytes::Bytes;
use netkernel::{Net, ServerName};
use tokio_util::task::TaskTracker;

use crate::nodes::{end, id, nodes, now, settled, until};

const CASTS: usize = 16_000;
const BYTES: usize = 64 << 10;

/// The casts of so many tasks, in MB/s as they arrive.
pub async fn megabytes_a_second(casters: usize) -> f64 {
    let kernels = nodes(2).await;
    kernels[0].connect(&id(1), &kernels[1].local().address);
    until(|| settled(&kernels[0], 1)).await;
    let server = ServerName::new("sink").expect("a good name");
    let tasks = TaskTracker::new();
    let start = now();
    for _ in 0..casters {
        let (kernel, server) = (kernels[0].clone(), server.clone());
        tasks.spawn(async move {
            let body = Bytes::from(vec![7; BYTES]);
            for _ in 0..CASTS / casters {
                let cast = kernel.cast(&id(1), &server, body.clone(), PATIENCE).await;
                cast.expect("a caster has its turn");
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    // It keeps its place behind the casts.
    let call = kernels[0].call(&id(1), &server, Bytes::new(), PATIENCE).await;
    call.expect("all have arrived");
    let seconds = start.elapsed().as_secs_f64();
    end(kernels).await;
    (CASTS / casters * casters * BYTES) as f64 / 1e6 / seconds
}

/// Longer than it takes, even where most of the turns are for nothing.
const PATIENCE: Duration = Duration::from_secs(60);
