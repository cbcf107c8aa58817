//! Every node dials every other in the same moment.

use netkernel::Net;

use crate::nodes::{end, id, nodes, now, settled, until};

pub async fn seconds(count: usize) -> f64 {
    let kernels = nodes(count).await;
    let start = now();
    for (number, kernel) in kernels.iter().enumerate() {
        for (other, peer) in kernels.iter().enumerate().filter(|(other, _)| *other != number) {
            kernel.connect(&id(other), &peer.local().address);
        }
    }
    until(|| kernels.iter().all(|kernel| settled(kernel, count - 1))).await;
    let seconds = start.elapsed().as_secs_f64();
    end(kernels).await;
    seconds
}
