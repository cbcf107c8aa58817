//! Rings drawn at random, and a naive model of one.

use std::collections::BTreeMap;

use hashring::{HashRing, NodeSpec, Token, Zone};
use proptest::collection::vec;
use proptest::prelude::*;

/// An id, a weight, a zone.
pub(crate) type Spec = (u8, u32, Option<u8>);

/// Any specs, an id perhaps more than once.
pub(crate) fn specs() -> impl Strategy<Value = Vec<Spec>> {
    vec((any::<u8>(), weight(), proptest::option::of(0_u8..4)), 0..if cfg!(miri) { 6 } else { 16 })
}

/// Weights of small rings, draining ones among them.
pub(crate) fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 1 => Just(1), 4 => 2_u32..20]
}

pub(crate) fn spec((id, weight, zone): Spec) -> NodeSpec<u8> {
    let spec = NodeSpec::new(id).weight(weight);
    match zone {
        Some(zone) => spec.zone(format!("zone-{zone}")),
        None => spec,
    }
}

/// A ring whose nodes were inserted in turn.
pub(crate) fn grown(specs: &[Spec]) -> HashRing<u8> {
    let mut ring = HashRing::new();
    for &entry in specs {
        ring.insert(spec(entry)).expect("within the limits");
    }
    ring
}

pub(crate) fn rings() -> impl Strategy<Value = HashRing<u8>> {
    specs().prop_map(|specs| grown(&specs))
}

/// A ring, and one that grew out of it by a few changes.
pub(crate) fn ring_pairs() -> impl Strategy<Value = (HashRing<u8>, HashRing<u8>)> {
    (rings(), vec((any::<prop::sample::Index>(), any::<u8>(), weight(), 0_u8..3), 0..6)).prop_map(
        |(ring, changes)| {
            let mut changed = ring.clone();
            for (pick, id, weight, kind) in changes {
                let known = (!ring.is_empty()).then(|| *pick.get(&ring.nodes().copied().collect::<Vec<_>>()));
                match (kind, known) {
                    (0, Some(node)) => drop(changed.remove(&node)),
                    (1, Some(node)) => drop(changed.set_weight(&node, weight)),
                    _ => drop(changed.insert(spec((id, weight, Some(id % 3)))).expect("within the limits")),
                }
            }
            (ring, changed)
        },
    )
}

/// One spec for each id.
pub(crate) fn distinct(specs: Vec<Spec>) -> Vec<Spec> {
    specs.into_iter().map(|spec| (spec.0, spec)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// An id that the ring does not have.
pub(crate) fn newcomer(ring: &HashRing<u8>) -> u8 {
    (0..=u8::MAX).find(|id| !ring.contains(id)).expect("fewer than 256 nodes")
}

pub(crate) fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0..if cfg!(miri) { 15 } else { 300_u32 }).map(u32::to_le_bytes)
}

/// Points in a list, walked one by one.
pub(crate) struct Naive {
    points: Vec<(Token, u8)>,
    zones: BTreeMap<u8, Option<Zone>>,
    weights: BTreeMap<u8, u32>,
}

impl Naive {
    pub(crate) fn new(ring: &HashRing<u8>) -> Self {
        Naive {
            points: ring.points().map(|point| (point.token, *point.node)).collect(),
            zones: ring.members().map(|member| (*member.node, member.zone.cloned())).collect(),
            weights: ring.weights().map(|(node, weight)| (*node, weight)).collect(),
        }
    }

    /// Every point, and the token on either side of it: where anything about a ring can change.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let beside = |&(token, _): &(Token, u8)| {
            let token = token.get();
            [token.wrapping_sub(1), token, token.wrapping_add(1)].map(Token::new)
        };
        self.points.iter().flat_map(beside).chain([Token::MIN, Token::MAX]).collect()
    }

    /// The nodes of all points, clockwise from a token: one lap.
    pub(crate) fn lap(&self, token: Token) -> Vec<u8> {
        let start = self.points.iter().position(|&(point, _)| point >= token).unwrap_or(0);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).map(|&(_, node)| node).collect()
    }

    /// The distinct nodes of a lap.
    pub(crate) fn distinct(&self, token: Token) -> Vec<u8> {
        distinct_nodes(self.lap(token))
    }

    /// The distinct nodes of a lap counterclockwise.
    pub(crate) fn distinct_back(&self, token: Token) -> Vec<u8> {
        let mut lap = self.lap(token);
        lap.reverse();
        distinct_nodes(lap)
    }

    pub(crate) fn owner(&self, token: Token) -> Option<u8> {
        self.lap(token).first().copied()
    }

    pub(crate) fn zone(&self, node: u8) -> Option<Zone> {
        self.zones[&node].clone()
    }

    /// How many zones the nodes with points are in.
    pub(crate) fn zone_count(&self) -> usize {
        let placed = self.points.iter().map(|(_, node)| &self.zones[node]);
        placed.collect::<std::collections::BTreeSet<_>>().len()
    }

    /// First the first node of each zone, then the others.
    pub(crate) fn spread(&self, token: Token, count: usize) -> Vec<u8> {
        let nodes = self.distinct(token);
        let is_first = |ix: usize| nodes[..ix].iter().all(|&other| self.zone(other) != self.zone(nodes[ix]));
        let (first, rest): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(|&ix| is_first(ix));
        first.into_iter().chain(rest).map(|ix| nodes[ix]).take(count).collect()
    }

    pub(crate) fn weight(&self, node: u8) -> u32 {
        self.weights[&node]
    }

    pub(crate) fn point_count(&self) -> usize {
        self.points.len()
    }
}

fn distinct_nodes(lap: Vec<u8>) -> Vec<u8> {
    let mut nodes = Vec::new();
    for node in lap {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    nodes
}
