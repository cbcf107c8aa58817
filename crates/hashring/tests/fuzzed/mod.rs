//! What holds of any bytes at all, read as a snapshot or as a list of operations. Each function is the body of the fuzz
//! target `hashring_<its name>`, and of the replay of that target's inputs.

use std::collections::BTreeMap;

use hashring::{HashRing, NodeSpec, Snapshot, Token};

type Target = fn(&[u8]);

pub(crate) const ALL: [(&str, Target); 2] = [("snapshot", snapshot), ("operations", operations)];

/// A snapshot is refused, or written back as the same bytes; and restored only if its fingerprint is right, which one of
/// a ring is.
pub(crate) fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::<Vec<u8>>::from_bytes(bytes) {
        assert_eq!(snapshot.to_bytes(), bytes);
        let light = snapshot.members().to_vec().into_iter().map(|spec| spec.weight(1));
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
    let mut members: BTreeMap<u8, (u32, Option<u8>)> = BTreeMap::new();
    let (mut ring, mut held) = (HashRing::<u8>::new(), HashRing::new());
    for operation in bytes.chunks_exact(4).take(64) {
        let [kind, id, weight, zone] = *operation else { unreachable!("chunks of four") };
        let (weight, zone) = (u32::from(weight % 32), zone % 4);
        match kind % 5 {
            0 => {
                let spec = NodeSpec::new(id).weight(weight).zone(zone_name(zone));
                ring.insert(spec).expect("within the limits");
                members.insert(id, (weight, Some(zone)));
            }
            1 => {
                let (known, _) = members.get(&id).copied().unzip();
                ring.insert(NodeSpec::new(id).weight(weight)).expect("within the limits");
                let zone = known.and_then(|_| members[&id].1);
                members.insert(id, (weight, zone));
            }
            2 => assert_eq!(ring.remove(&id).is_some(), members.remove(&id).is_some()),
            3 => {
                let known = ring.set_weight(&id, weight).is_ok();
                assert_eq!(known, members.get_mut(&id).map(|member| member.0 = weight).is_some());
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

fn check(ring: &HashRing<u8>, members: &BTreeMap<u8, (u32, Option<u8>)>) {
    let specs = members.iter().map(|(&id, &(weight, zone))| {
        let spec = NodeSpec::new(id).weight(weight);
        zone.map_or(spec.clone(), |zone| spec.zone(zone_name(zone)))
    });
    let built = HashRing::builder().nodes(specs).build().expect("within the limits");
    assert_eq!(*ring, built);
    let points: Vec<(Token, u8)> = ring.points().map(|point| (point.token, *point.node)).collect();
    assert!(points.is_sorted_by_key(|&(token, _)| token));
    assert!(built.points().map(|point| (point.token, *point.node)).eq(points.iter().copied()));
    let placed = members.values().filter(|(weight, _)| *weight > 0).count();
    for (ix, &(token, node)) in points.iter().enumerate() {
        let next = points[(ix + 1) % points.len()].1;
        assert!(ring.owner_at(token) == Some(&node) || (ix > 0 && points[ix - 1].0 == token));
        let after = Token::new(token.get().wrapping_add(1));
        assert!(ring.owner_at(after) == Some(&next) || points.iter().any(|point| point.0 == after));
        if ix % 16 == 0 {
            assert_eq!(ring.replicas_at(token, 3).count(), placed.min(3));
        }
    }
}
