//! Meets the nodes a cluster was told to meet at its start, however long they take to appear.

use std::time::Duration;

use gossip::Gossip;
use netkernel::Address;

/// Tries one address until it was met, or turns out to be this node itself.
pub(crate) async fn meet(gossip: Gossip, seed: Address) {
    let mut wait = FIRST_WAIT;
    loop {
        match gossip.meet(&seed).await {
            Ok(_operation) => return,
            Err(error) => tracing::info!(%seed, %error, "seed not met yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
