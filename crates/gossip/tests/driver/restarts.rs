//! Rings whose nodes are restarted: one after the other, all at once, and into a later version of the protocol.

use std::sync::Arc;

use gossip::{Config, MemoryStore, Reach};
use netkernel::MemoryNetwork;

use super::common::{SECOND, TestNode, id, ring, start_with};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Nodes with a disk each.
struct Ring {
    network: MemoryNetwork,
    disks: Vec<Arc<MemoryStore>>,
    nodes: Vec<Option<TestNode>>,
}

impl Ring {
    async fn formed() -> Self {
        let disks = NAMES.iter().map(|_| Arc::default()).collect();
        let nodes = NAMES.iter().map(|_| None).collect();
        let mut formed = Self { network: MemoryNetwork::new(), disks, nodes };
        for at in 0..NAMES.len() {
            formed.start(at, config()).await;
            if at > 0 {
                let before = formed.node(at - 1).address();
                formed.node(at).gossip.meet(&before).await.unwrap();
            }
        }
        formed.agree(NAMES.len()).await;
        formed
    }

    fn node(&self, at: usize) -> &TestNode {
        self.nodes[at].as_ref().unwrap()
    }

    async fn start(&mut self, at: usize, config: Config) {
        let store = Arc::clone(&self.disks[at]);
        self.nodes[at] = Some(start_with(&self.network, NAMES[at], config, store).await);
    }

    async fn stop(&mut self, at: usize) {
        self.nodes[at].take().unwrap().stop().await;
    }

    /// Waits until all that run know so many, all of them alive, and place keys alike.
    async fn agree(&self, members: usize) {
        let running: Vec<_> = self.nodes.iter().flatten().collect();
        for node in &running {
            node.until(|view| {
                view.members().len() == members && view.members().iter().all(gossip::Member::is_up)
            })
            .await;
        }
        let print = running[0].gossip.view().ring().fingerprint();
        for node in running {
            node.until(|view| view.ring().fingerprint() == print).await;
        }
    }

    async fn weighs(&self, name: &str, weight: u32) {
        for node in self.nodes.iter().flatten() {
            node.until(|view| view.member(&id(name)).is_some_and(|member| member.weight == weight)).await;
        }
    }
}

fn config() -> Config {
    Config::builder().ring(ring("ring")).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_node_may_be_restarted_one_after_the_other() {
    let mut ring = Ring::formed().await;
    let before: Vec<_> =
        ring.node(0).gossip.view().members().iter().map(|member| member.incarnation).collect();
    for (at, name) in NAMES.iter().enumerate() {
        ring.stop(at).await;
        // Changes go on meanwhile, and the node that was away learns of them.
        let (other, weight) = ((at + 1) % NAMES.len(), 100 + at as u32);
        let changed = ring.node(other).gossip.update(&id(name), weight).await.unwrap();
        ring.node(other).gossip.propagated(changed, Reach::Reachable, 5 * SECOND).await.unwrap();
        ring.start(at, config()).await;
        ring.agree(NAMES.len()).await;
        ring.weighs(name, weight).await;
    }
    for (at, name) in NAMES.iter().enumerate() {
        ring.weighs(name, 100 + at as u32).await;
    }
    let view = ring.node(0).gossip.view();
    assert!(view.members().iter().zip(before).all(|(member, before)| member.incarnation > before));
    assert!(view.conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_whole_ring_starts_cold_from_its_disks() {
    let mut ring = Ring::formed().await;
    let operation = ring.node(2).gossip.update(&id("a"), 33).await.unwrap();
    ring.node(2).gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    let print = ring.node(0).gossip.view().ring().fingerprint();
    for at in 0..NAMES.len() {
        ring.stop(at).await;
    }
    for at in (0..NAMES.len()).rev() {
        ring.start(at, config()).await;
        // Alone with its disk, it places keys as before.
        assert_eq!(ring.node(at).gossip.view().ring().fingerprint(), print);
    }
    ring.agree(NAMES.len()).await;
    ring.weighs("a", 33).await;
    assert_eq!(ring.node(4).gossip.view().ring().fingerprint(), print);
}

#[tokio::test(start_paused = true)]
async fn nodes_of_two_protocol_versions_are_one_ring() {
    let mut ring = Ring::formed().await;
    let later = || {
        Config::builder()
            .ring(super::common::ring("ring"))
            .later_version(b"what nobody here knows")
            .build()
            .unwrap()
    };
    for at in [1, 3] {
        ring.stop(at).await;
        ring.start(at, later()).await;
    }
    ring.agree(NAMES.len()).await;
    // What the later ones write is passed on whole by those that do not know its meaning, and overwritten by them.
    for (by, of, weight) in [(1, "a", 11), (0, "b", 12), (3, "c", 13), (2, "c", 14), (4, "d", 15)] {
        let changed = ring.node(by).gossip.update(&id(of), weight).await.unwrap();
        ring.node(by).gossip.propagated(changed, Reach::All, 5 * SECOND).await.unwrap();
    }
    ring.agree(NAMES.len()).await;
    for (name, weight) in [("a", 11), ("b", 12), ("c", 14), ("d", 15)] {
        ring.weighs(name, weight).await;
    }
    let spoken =
        |at: usize| ring.node(0).gossip.view().member(&id(NAMES[at])).unwrap().protocols.unwrap().newest;
    assert_eq!((spoken(0), spoken(1)), (gossip::message::PROTOCOL, gossip::message::PROTOCOL + 1));
    // And back to the older version.
    for at in [1, 3] {
        ring.stop(at).await;
        ring.start(at, config()).await;
    }
    ring.agree(NAMES.len()).await;
    ring.weighs("c", 14).await;
}
