//! The peers, as their front pages use them, each with its own default hash.

use std::hash::{DefaultHasher, Hash, Hasher};

pub const HASHRING: &str = "hashring 0.3.6";
pub const HASH_RINGS: &str = "hash-rings 1.1.0";
pub const CONSISTENT_HASH: &str = "consistent_hash 0.1.4";
pub const CONHASH: &str = "conhash 0.5.1";
pub const COORDINATOR: &str = "hashring_coordinator 0.3.3";
pub const MAGLEV: &str = "maglev 0.2.1";
pub const ANCHOR: &str = "anchorhash 0.2.2";
pub const JUMP: &str = "jump-consistent-hash 0.1.0";

/// A virtual node of `hashring`, which has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VirtualNode {
    pub node: u32,
    pub number: u32,
}

pub fn virtual_nodes(node: u32, weight: u32) -> Vec<VirtualNode> {
    (0..weight).map(|number| VirtualNode { node, number }).collect()
}

pub fn hashring(nodes: &[String], weight: u32) -> peer_hashring::HashRing<VirtualNode> {
    let mut ring = peer_hashring::HashRing::new();
    ring.batch_add((0..nodes.len() as u32).flat_map(|node| virtual_nodes(node, weight)).collect());
    ring
}

pub fn hash_rings(nodes: &[String], weight: u32) -> peer_hash_rings::consistent::Ring<'_, String> {
    let mut ring = peer_hash_rings::consistent::Ring::new();
    for node in nodes {
        ring.insert_node(node, weight as usize);
    }
    ring
}

pub type StaticRing<'a> =
    peer_consistent_hash::StaticHashRing<'a, &'a str, (), peer_consistent_hash::DefaultHash>;

pub fn consistent_hash(nodes: &[String], weight: u32) -> StaticRing<'_> {
    let nodes =
        nodes.iter().map(|node| peer_consistent_hash::Node::new(node.as_str()).quantity(weight as usize));
    peer_consistent_hash::StaticHashRing::new(peer_consistent_hash::DefaultHash, nodes)
}

#[derive(Clone, Debug)]
pub struct Named(pub String);

impl peer_conhash::Node for Named {
    fn name(&self) -> String {
        self.0.clone()
    }
}

pub fn conhash(nodes: &[String], weight: u32) -> peer_conhash::ConsistentHash<Named> {
    let mut ring = peer_conhash::ConsistentHash::new();
    for node in nodes {
        ring.add(&Named(node.clone()), weight as usize);
    }
    ring
}

/// With three copies of each key: asking for fewer costs as much.
pub fn coordinator(nodes: &[String], weight: u32) -> peer_coordinator::HashRing<String> {
    let mut ring = peer_coordinator::HashRing::new(2, weight as usize);
    ring.batch_add(nodes.to_vec());
    ring
}

pub fn maglev(nodes: &[String]) -> peer_maglev::Maglev<String> {
    peer_maglev::Maglev::new(nodes.iter().cloned())
}

pub fn anchor(nodes: &[String]) -> peer_anchorhash::AnchorHash<&[u8], String, std::hash::RandomState> {
    peer_anchorhash::Builder::default().with_resources(nodes.iter().cloned()).build(2 * nodes.len() as u16)
}

pub fn jump<'a>(nodes: &'a [String], key: &[u8]) -> &'a String {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    &nodes[peer_jump::hash(hasher.finish(), nodes.len()) as usize]
}
