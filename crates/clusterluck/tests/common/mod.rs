//! What the tests of a cluster share: nodes on a network in memory.
#![expect(clippy::unwrap_used, reason = "test support fails by panicking")]

use std::time::Duration;

use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use clusterluck::gossip::View;
use clusterluck::netkernel::{Cookie, MemoryNetwork};
use clusterluck::{Builder, Cluster};
use serde::{Deserialize, Serialize};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A cluster's cookie, the same for all tests; `other` gives one of another cluster.
pub(crate) fn cookie(other: bool) -> Cookie {
    (if other { "1" } else { "0" }).repeat(64).parse().unwrap()
}

/// A node in memory, listening on any port of the host of its name.
pub(crate) fn builder(network: &MemoryNetwork, name: &str) -> Builder {
    Cluster::builder(name).cookie(cookie(false)).transport(network.host(name)).listen(format!("{name}:0"))
}

pub(crate) async fn node(network: &MemoryNetwork, name: &str) -> Cluster {
    builder(network, name).start().await.unwrap()
}

/// Nodes named `n0`, `n1`, … that have met in a chain and agree.
pub(crate) async fn ring_of(network: &MemoryNetwork, size: usize) -> Vec<Cluster> {
    let mut nodes: Vec<Cluster> = Vec::new();
    for index in 0..size {
        let node = node(network, &format!("n{index}")).await;
        if let Some(last) = nodes.last() {
            node.meet(last.address().to_string()).await.unwrap();
        }
        nodes.push(node);
    }
    agree(&nodes, size).await;
    nodes
}

/// Waits until all nodes see the same ring of so many members, for at most a (virtual) minute.
pub(crate) async fn agree(nodes: &[Cluster], size: usize) {
    for node in nodes {
        let mut views = node.gossip().watch();
        let agreed = views.until(|view| complete(view, size));
        let agreed = tokio::time::timeout(60 * SECOND, agreed).await;
        assert!(agreed.is_ok(), "{:?} sees {:?}", node.id(), node.view().members());
    }
    let fingerprint = |node: &Cluster| node.view().ring().fingerprint();
    assert!(nodes.iter().all(|node| fingerprint(node) == fingerprint(&nodes[0])));
}

fn complete(view: &View, size: usize) -> bool {
    view.members().len() == size && view.ring().len() == size
}

/// Says what it was sent, and on which node.
pub(crate) struct Echo {
    node: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Say(pub(crate) String);

impl Request for Say {
    type Reply = (String, String);
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

impl Echo {
    /// One that says it is on this node.
    pub(crate) fn of(node: impl Into<String>) -> Self {
        Self { node: node.into() }
    }
}

impl GenServer for Echo {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>();
    }
}

impl HandleCall<Say> for Echo {
    async fn call(
        &mut self,
        Say(text): Say,
        reply: ReplyTo<(String, String)>,
        _cx: &mut Cx<Self>,
    ) -> Outcome {
        reply.send((self.node.clone(), text))
    }
}

/// Starts an echo server on each node.
pub(crate) async fn serve_echo(nodes: &[Cluster]) {
    for node in nodes {
        node.spawn("echo", Echo::of(node.id())).await.unwrap();
    }
}
