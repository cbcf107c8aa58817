//! Calls the server of whoever owns a key, and of those that stand in for it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, bail};
use clusterluck::Client;
use clusterluck::genserver::Locate;
use clusterluck::netkernel::{Executed, Net, NodeId};
use tokio::time::Instant;

use crate::echo::{self, Echo, Heard, Say};

/// Calls by way of a client of the cluster, which is no member.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Client,
}

/// A call that was answered.
pub(super) struct Answered {
    pub(super) owner: NodeId,
    pub(super) by: NodeId,
    pub(super) took: Duration,
}

impl Caller {
    /// Calls the server of the key's owner. Where that cannot be reached the next replica is asked: to be asked
    /// twice does an echo no harm.
    pub(super) async fn call(&self, key: &str) -> Result<Answered> {
        let began = Instant::now();
        let holders = self.holders(key);
        let Some(owner) = holders.first().cloned() else { bail!("the ring is empty") };
        let mut failures = Vec::new();
        for holder in self.reachable_first(holders) {
            let server = self.client.addr::<Echo>(&holder, echo::NAME);
            match server.call(Say { text: key.to_owned() }).timeout(ATTEMPT).await {
                Ok(Heard { text, node, .. }) => {
                    if text != key || node != holder.as_str() {
                        bail!("`{holder}` was asked `{key}`, and `{node}` answered `{text}`");
                    }
                    return Ok(Answered { owner, by: holder, took: began.elapsed() });
                }
                Err(error) if error.executed() == Executed::Yes => bail!("`{holder}` on `{key}`: {error}"),
                Err(error) => failures.push(format!("`{holder}`: {error}")),
            }
        }
        bail!("nobody answered for `{key}`: {}", failures.join("; "))
    }

    /// Whether there is a session with this node, which is kept from now on.
    pub(super) fn reaches(&self, node: &NodeId) -> bool {
        let _kept = self.client.addr::<Echo>(node, echo::NAME);
        self.client.is_connected(node)
    }

    /// The key's owner, then those that stand in for it.
    pub(super) fn holders(&self, key: &str) -> Vec<NodeId> {
        self.client.locate(key.as_bytes(), HOLDERS).nodes
    }

    /// The same in the same order, but those without a session last.
    fn reachable_first(&self, mut holders: Vec<NodeId>) -> Vec<NodeId> {
        let peers = self.client.kernel().peers();
        let connected: BTreeSet<NodeId> =
            peers.into_iter().filter(|peer| peer.connected).map(|peer| peer.id).collect();
        holders.sort_by_key(|holder| !connected.contains(holder));
        holders
    }
}

/// The owner and two more.
pub(super) const HOLDERS: usize = 3;
/// How long one node may take to answer before the next is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
