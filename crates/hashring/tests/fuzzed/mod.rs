//! What holds of any bytes at all, read as a snapshot or as a list of operations. Each function is the body of the fuzz
//! target `hashring_<its name>`, and of the replay of that target's inputs.

use std::collections::BTreeMap;

use hashring::{HashRing, NodeSpec, Snapshot, Token};

#[path = "../tied/mod.rs"]
mod tied;

use self::tied::Node;

type Target = fn(&[u8]);

pub(crate) const ALL: [(&str, Target); 2] = [("snapshot", snapshot), ("operations", operations)];

/// A snapshot is refused, or written back as the same bytes; and restored only if its fingerprint is right, which one of
/// a ring is.
pub(crate) fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::<Vec<u8>>::from_bytes(bytes) {
        assert_eq!(snapshot.to_bytes(), bytes);
        let light = snapshot.members().map(|member| NodeSpec::from(member).weight(1));
        let ring = HashRing::builder().nodes(light).build().expect("within the limits");
        assert_eq!(HashRing::builder().restore(ring.snapshot()), Ok(ring));
        if let Ok(ring) = HashRing::builder().restore(snapshot) {
            assert_eq!(ring.snapshot().to_bytes(), bytes);
        }
    }
    if let Ok(snapshot) = Snapshot::<u64>::from_bytes(bytes) {
        assert_eq!(snapshot.to_bytes(), bytes);
    }
    if let Ok(snapshot) = Snapshot::<String>::from_bytes(bytes) {
        assert_eq!(snapshot.to_bytes(), bytes);
    }
}

/// After operations, four bytes each, the ring is the one that its members make.
pub(crate) fn operations(bytes: &[u8]) {
    let mut members: BTreeMap<Node, (u32, Option<u8>)> = BTreeMap::new();
    let (mut ring, mut held) = (HashRing::<Node>::new(), HashRing::new());
    for operation in bytes.chunks_exact(4).take(64) {
        let [kind, node, weight, zone] = *operation else { unreachable!("chunks of four") };
        let (node, weight, zone) = (Node(node), u32::from(weight % 32), zone % 4);
        match kind % 5 {
            0 => {
                let spec = NodeSpec::new(node).weight(weight).zone(zone_name(zone));
                ring.insert(spec).expect("within the limits");
                members.insert(node, (weight, Some(zone)));
            }
            1 => {
                ring.insert(NodeSpec::new(node).weight(weight)).expect("within the limits");
                let zone = members.get(&node).and_then(|known| known.1);
                members.insert(node, (weight, zone));
            }
            2 => assert_eq!(ring.remove(&node).is_some(), members.remove(&node).is_some()),
            3 => {
                let known = ring.set_weight(&node, weight).is_ok();
                assert_eq!(known, members.get_mut(&node).map(|member| member.0 = weight).is_some());
            }
            // From here on changes must not reach what is held.
            _ => held = ring.clone(),
        }
    }
    // A prefix of the operations is an input of its own, so it is enough to look once.
    check(&ring, &members);
    for step in held.diff(&ring).expect("the same seed") {
        let (from, to) = (held.owner_at(step.range.through()), ring.owner_at(step.range.through()));
        assert!(from != to && (step.from, step.to) == (from, to));
    }
}

fn zone_name(zone: u8) -> String {
    format!("zone-{zone}")
}

fn check(ring: &HashRing<Node>, members: &BTreeMap<Node, (u32, Option<u8>)>) {
    let specs = members.iter().map(|(&node, &(weight, zone))| {
        let spec = NodeSpec::new(node).weight(weight);
        zone.map_or(spec.clone(), |zone| spec.zone(zone_name(zone)))
    });
    let built = HashRing::builder().nodes(specs).build().expect("within the limits");
    assert_eq!(*ring, built);
    assert_eq!(ring.point_count(), members.values().map(|(weight, _)| *weight as usize).sum::<usize>());
    let points: Vec<(Token, Node)> = ring.points().map(|point| (point.token, *point.node)).collect();
    // Of points at one position the one of the smaller id comes first.
    assert!(points.is_sorted());
    assert!(built.points().map(|point| (point.token, *point.node)).eq(points.iter().copied()));
    let placed = members.values().filter(|(weight, _)| *weight > 0).count();
    for (ix, &(token, _)) in points.iter().enumerate() {
        for token in [token, Token::new(token.get().wrapping_add(1))] {
            let first = points.partition_point(|&(point, _)| point < token);
            assert_eq!(ring.owner_at(token), Some(&points[first % points.len()].1));
        }
        if ix % 16 == 0 {
            assert_eq!(ring.replicas_at(token, 3).count(), placed.min(3));
        }
    }
}
