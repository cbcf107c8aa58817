//! What a session holds while nothing travels: one node with many peers, each of which has that session alone. Half of
//! what all of it adds to the heap is one end's.

use std::time::Duration;

use bench::Heap;
use netkernel::Net;

use crate::nodes::{end, id, nodes, settled, until};

const PEERS: usize = 200;

pub async fn bytes_per_end() -> f64 {
    let kernels = nodes(PEERS + 1).await;
    let before = Heap::now();
    for (number, kernel) in kernels.iter().enumerate().skip(1) {
        kernels[0].connect(&id(number), &kernel.local().address);
    }
    until(|| settled(&kernels[0], PEERS) && kernels[1..].iter().all(|kernel| settled(kernel, 1))).await;
    // Handshakes leave timers and buffers that end soon.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bytes = Heap::now().saturating_sub(before);
    end(kernels).await;
    bytes as f64 / (2 * PEERS) as f64
}
