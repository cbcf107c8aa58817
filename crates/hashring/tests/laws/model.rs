//! Rings drawn at random, and a naive model of one.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use hashring::{HashRing, NodeSpec, Token, Zone};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) use crate::tied::Node;

pub(crate) fn all_nodes() -> impl Iterator<Item = Node> {
    (0..=u8::MAX).map(Node)
}

pub(crate) fn node() -> impl Strategy<Value = Node> {
    any::<u8>().prop_map(Node)
}

/// A node, a weight, a zone.
pub(crate) type Spec = (Node, u32, Option<u8>);

/// Any specs, an id perhaps more than once.
pub(crate) fn specs() -> impl Strategy<Value = Vec<Spec>> {
    vec((node(), weight(), proptest::option::of(0_u8..4)), 0..if cfg!(miri) { 5 } else { 16 })
}

/// Weights of small rings, draining ones among them.
pub(crate) fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 1 => Just(1), 4 => 2_u32..if cfg!(miri) { 5 } else { 20 }]
}

pub(crate) fn spec((node, weight, zone): Spec) -> NodeSpec<Node> {
    let spec = NodeSpec::new(node).weight(weight);
    match zone {
        Some(zone) => spec.zone(format!("zone-{zone}")),
        None => spec,
    }
}

/// A ring whose nodes were inserted in turn.
pub(crate) fn grown(specs: &[Spec]) -> HashRing<Node> {
    let mut ring = HashRing::new();
    for &entry in specs {
        ring.insert(spec(entry)).expect("within the limits");
    }
    ring
}

pub(crate) fn rings() -> impl Strategy<Value = HashRing<Node>> {
    specs().prop_map(|specs| grown(&specs))
}

/// A ring, and one that grew out of it by a few changes.
pub(crate) fn ring_pairs() -> impl Strategy<Value = (HashRing<Node>, HashRing<Node>)> {
    (
        rings(),
        vec((any::<prop::sample::Index>(), node(), weight(), 0_u8..3), 0..if cfg!(miri) { 3 } else { 6 }),
    )
        .prop_map(|(ring, changes)| {
            let mut changed = ring.clone();
            for (pick, newcomer, weight, kind) in changes {
                let known = (!ring.is_empty()).then(|| *pick.get(&ring.nodes().copied().collect::<Vec<_>>()));
                match (kind, known) {
                    (0, Some(node)) => drop(changed.remove(&node)),
                    (1, Some(node)) => drop(changed.set_weight(&node, weight)),
                    _ => drop(
                        changed
                            .insert(spec((newcomer, weight, Some(newcomer.0 % 3))))
                            .expect("within the limits"),
                    ),
                }
            }
            (ring, changed)
        })
}

/// One spec for each id.
pub(crate) fn distinct(specs: Vec<Spec>) -> Vec<Spec> {
    specs.into_iter().map(|spec| (spec.0, spec)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// An id that the ring does not have.
pub(crate) fn newcomer(ring: &HashRing<Node>) -> Node {
    all_nodes().find(|node| !ring.contains(node)).expect("fewer than 256 nodes")
}

pub(crate) fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0..if cfg!(miri) { 5 } else { 300_u32 }).map(u32::to_le_bytes)
}

/// Points in a list, walked one by one.
pub(crate) struct Naive {
    points: Vec<(Token, Node)>,
    zones: BTreeMap<Node, Option<Zone>>,
    weights: BTreeMap<Node, u32>,
}

impl Naive {
    pub(crate) fn new(ring: &HashRing<Node>) -> Self {
        Naive {
            points: ring.points().map(|point| (point.token, *point.node)).collect(),
            zones: ring.members().map(|member| (*member.node, member.zone.cloned())).collect(),
            weights: ring.weights().map(|(node, weight)| (*node, weight)).collect(),
        }
    }

    /// Every point, and the token on either side of it: where anything about a ring can change.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let beside = |&(token, _): &(Token, Node)| {
            let token = token.get();
            [token.wrapping_sub(1), token, token.wrapping_add(1)].map(Token::new)
        };
        self.points.iter().flat_map(beside).chain([Token::MIN, Token::MAX]).collect()
    }

    /// The nodes of all points, clockwise from a token: one lap.
    pub(crate) fn lap(&self, token: Token) -> Vec<Node> {
        let start = self.points.iter().position(|&(point, _)| point >= token).unwrap_or(0);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|&(_, node)| node).collect()
    }

    /// The distinct nodes of a lap.
    pub(crate) fn distinct(&self, token: Token) -> Vec<Node> {
        distinct_nodes(self.lap(token))
    }

    /// The distinct nodes of a lap counterclockwise.
    pub(crate) fn distinct_back(&self, token: Token) -> Vec<Node> {
        let mut lap = self.lap(token);
        lap.reverse();
        distinct_nodes(lap)
    }

    pub(crate) fn owner(&self, token: Token) -> Option<Node> {
        self.lap(token).first().copied()
    }

    pub(crate) fn zone(&self, node: Node) -> Option<Zone> {
        self.zones[&node].clone()
    }

    /// How many zones the nodes with points are in.
    pub(crate) fn zone_count(&self) -> usize {
        let placed = self.points.iter().map(|(_, node)| &self.zones[node]);
        placed.collect::<BTreeSet<_>>().len()
    }

    /// First the first node of each zone, then the others.
    pub(crate) fn spread(&self, token: Token, count: usize) -> Vec<Node> {
        let mut met = BTreeSet::new();
        let (first, rest): (Vec<Node>, Vec<Node>) =
            self.distinct(token).into_iter().partition(|node| met.insert(&self.zones[node]));
        first.into_iter().chain(rest).take(count).collect()
    }

    pub(crate) fn weight(&self, node: Node) -> u32 {
        self.weights[&node]
    }

    pub(crate) fn point_count(&self) -> usize {
        self.points.len()
    }
}

fn distinct_nodes(mut lap: Vec<Node>) -> Vec<Node> {
    let mut met = [false; 256];
    lap.retain(|node| !mem::replace(&mut met[usize::from(node.0)], true));
    lap
}
