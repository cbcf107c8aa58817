//! Faults of the original (node.js Clusterluck 2.0.1), by the numbers of the project's list, and of peers: none is
//! possible here.

use hashring::{Change, HashRing, NodeSpec, RingNode, Token, WEIGHT_MAX};

#[derive(Clone, Debug, PartialEq)]
struct Server {
    id: &'static str,
    port: u16,
}

impl RingNode for Server {
    type Id<'a> = &'a [u8];

    fn ring_id(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

/// 12: a node of weight 0 sent the original's walk for neighbours into infinite recursion.
#[test]
fn fault_12_a_ring_of_weightless_nodes_answers_everything_at_once() {
    let nodes = || [NodeSpec::new("a").weight(0), NodeSpec::new("b").weight(0)];
    let ring = HashRing::builder().nodes(nodes()).build().expect("within the limits");
    assert_eq!(ring.len(), 2);
    assert_eq!(ring.owner(b"key"), None);
    assert_eq!(ring.replicas(b"key", 3).count(), 0);
    assert_eq!(ring.replicas_back(b"key", 3).count(), 0);
    assert!(ring.successors(&"a", 3).is_empty() && ring.predecessors(&"a", 3).is_empty());

    let mut ring = ring;
    ring.set_weight(&"b", 4).expect("a known node");
    assert_eq!(ring.replicas(b"key", 3).collect::<Vec<_>>(), [&"b"]);
    assert!(ring.successors(&"a", 3).is_empty() && ring.successors(&"b", 3).is_empty());
}

/// 13: the original took a weight of 2.5, and made three points of it. Here a weight is an integer by its type; only a
/// snapshot could say otherwise, and is refused.
#[test]
fn fault_13_a_fractional_weight_is_refused() {
    use hashring::Snapshot;

    let ring = HashRing::builder()
        .nodes([NodeSpec::new("a".to_owned()).weight(2)])
        .build()
        .expect("within the limits");
    let json = serde_json::to_string(&ring.snapshot()).expect("a snapshot has a form in JSON");
    for weight in ["2.5", "-1", "1e99", "\"2\""] {
        let altered = json.replace("\"weight\":2", &format!("\"weight\":{weight}"));
        assert_ne!(altered, json);
        assert!(serde_json::from_str::<Snapshot<String>>(&altered).is_err(), "{weight}");
    }
}

/// 14: a merge in the original left one id with two addresses, and which one answered depended on the order.
#[test]
fn fault_14_one_id_never_has_two_addresses() {
    let ring = |port| HashRing::from_nodes([Server { id: "a", port }, Server { id: "b", port: 1 }]);
    let (one, other) = (ring(7_001).expect("within the limits"), ring(9_001).expect("within the limits"));
    assert!(one.union(&other).is_err() && other.union(&one).is_err());
    let higher = |a: &Server, b: &Server| if a.port > b.port { a.clone() } else { b.clone() };
    for ring in [one.union_with(&other, higher), other.union_with(&one, higher)] {
        let ring = ring.expect("within the limits");
        assert_eq!((ring.len(), ring.point_count()), (2, 320));
        assert!(ring.points().filter(|point| point.node.id == "a").all(|point| point.node.port == 9_001));
    }

    let mut moved = one.clone();
    assert_eq!(moved.insert(NodeSpec::new(Server { id: "a", port: 5 })), Ok(Change::Unchanged));
    assert!(moved.points().filter(|point| point.node.id == "a").all(|point| point.node.port == 5));
    assert_eq!(moved, one);
}

/// 15: a merge with a ring that had not heard of a removal brought the node back.
#[test]
fn fault_15_a_merge_does_not_bring_a_removed_node_back() {
    let base = HashRing::from_nodes(["a", "b", "c"]).expect("within the limits");
    let (mut here, mut there) = (base.clone(), base.clone());
    here.remove(&"b");
    there.insert(NodeSpec::new("d")).expect("within the limits");
    there.set_weight(&"b", 7).expect("a known node");
    for merged in [here.merge(&base, &there), there.merge(&base, &here)] {
        assert!(merged.expect("no payload differs").nodes().eq(&["a", "c", "d"]));
    }
}

/// 16: a key that equalled the name of a virtual node landed on it. Here keys and points have different seeds, so that
/// not even the bytes a point is made of name it.
#[test]
fn fault_16_a_key_that_equals_a_points_name_does_not_land_on_it() {
    let ring = HashRing::from_nodes(["a", "b", "c", "d"]).expect("within the limits");
    let points: Vec<Token> = ring.points().map(|point| point.token).collect();
    let (mut keys, mut own) = (0, 0);
    for node in ring.nodes() {
        for number in (0..160_u32).step_by(if cfg!(miri) { 16 } else { 1 }) {
            let name = [node.as_bytes(), &number.to_le_bytes()].concat();
            assert!(!points.contains(&ring.token(&name)));
            keys += 1;
            own += usize::from(ring.owner(&name) == Some(node));
        }
    }
    // As many as of any keys: about a quarter.
    assert!((keys / 6..keys / 3).contains(&own), "{own} of {keys}");
}

/// Peers: replica lists that repeat a node, or begin with another than the owner.
#[test]
fn replicas_are_distinct_and_begin_with_the_owner() {
    let ring = HashRing::from_nodes(["a", "b", "c"]).expect("within the limits");
    for key in 0..if cfg!(miri) { 10 } else { 1_000_u32 } {
        let replicas: Vec<_> = ring.replicas(&key.to_le_bytes(), 5).collect();
        assert_eq!(replicas.len(), 3);
        assert_eq!(replicas.first().copied(), ring.owner(&key.to_le_bytes()));
        assert!(replicas[0] != replicas[1] && replicas[1] != replicas[2] && replicas[0] != replicas[2]);
    }
}

/// Peers: one removal does not undo a double insertion.
#[test]
fn one_removal_undoes_any_number_of_insertions() {
    let mut ring = HashRing::from_nodes(["a"]).expect("within the limits");
    for weight in [160, 160, if cfg!(miri) { 300 } else { WEIGHT_MAX }, 3] {
        ring.insert(NodeSpec::new("b").weight(weight)).expect("within the limits");
    }
    assert_eq!(ring.remove(&"b"), Some("b"));
    assert_eq!(ring.remove(&"b"), None);
    assert_eq!(ring, HashRing::from_nodes(["a"]).expect("within the limits"));
    assert_eq!(ring.point_count(), 160);
}

/// Peers: a clone shares later changes.
#[test]
fn a_clone_is_a_ring_of_its_own() {
    let mut ring = HashRing::from_nodes(["a"]).expect("within the limits");
    let clone = ring.clone();
    ring.insert(NodeSpec::new("b")).expect("within the limits");
    assert_eq!((ring.len(), clone.len()), (2, 1));
}
