//! Servers by key.

mod common;

use common::network::on_each_network;
use common::{Echo, Lab, id};
use genserver::{Addr, CallError, Locate, Located, NodeId, testing};

/// As many nodes as there are, beginning with the one of the key's first byte.
struct ByFirstByte(Vec<NodeId>);

impl Locate for ByFirstByte {
    fn locate(&self, key: &[u8], count: usize) -> Located {
        let start = key.first().map_or(0, |byte| usize::from(*byte));
        let turns = self.0.iter().cycle().skip(start % self.0.len().max(1));
        Located { nodes: turns.take(count.min(self.0.len())).cloned().collect(), layout: [7; 32] }
    }
}

/// Gives a node twice.
struct Twice(NodeId);

impl Locate for Twice {
    fn locate(&self, _key: &[u8], count: usize) -> Located {
        Located { nodes: vec![self.0.clone(); count.min(2)], layout: [0; 32] }
    }
}

#[test]
fn the_suite_passes_what_conforms_and_catches_what_does_not() {
    testing::locate(&ByFirstByte(vec![]));
    testing::locate(&ByFirstByte(["a", "b", "c"].map(id).into()));
    let caught = std::panic::catch_unwind(|| testing::locate(&Twice(id("a"))));
    assert!(caught.is_err());
}

#[test]
fn a_keys_servers_are_asked_in_turn() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        b.system.spawn("only-here", Lab::default()).await.unwrap();
        let ring = ByFirstByte(vec![a.id(), b.id()]);
        let labs: Vec<Addr<Lab>> = a.system.addrs_of_key(&ring, &[1], 2, "lab");
        let nodes: Vec<_> = labs.iter().map(|lab| lab.node().to_string()).collect();
        assert_eq!(nodes, ["b", "a"]);
        assert_eq!(labs[0].call(Echo(1)).await, Ok(1));
        // The owner does not have it; the next does.
        let labs: Vec<Addr<Lab>> = a.system.addrs_of_key(&ring, &[0], 5, "only-here");
        assert_eq!(labs.len(), 2);
        assert!(matches!(labs[0].call(Echo(2)).await, Err(CallError::NoProc { .. })));
        assert_eq!(labs[1].call(Echo(2)).await, Ok(2));
        assert_eq!(a.system.addrs_of_key::<Lab>(&ByFirstByte(vec![]), b"key", 3, "lab"), []);
    });
}
