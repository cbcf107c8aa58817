//! Bad and extreme input: a typed error or the documented answer, and the ring as it was. What takes a million steps is not
//! for miri.

mod tied;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use hashring::{
    Change, CombineError, Fraction, HashRing, ID_BYTES_MAX, LoadFactor, NODES_MAX, NodeSpec, Op, Owners,
    POINTS_MAX, Placement, RingError, RingNode, TABLE_BITS_MAX, Token, TokenRange, Transition, WEIGHT_MAX,
    ZONE_BYTES_MAX, Zone,
};

use self::tied::Node;

#[test]
fn an_empty_ring_answers_every_question() {
    let ring = HashRing::<String>::new();
    let nobody = "nobody".to_owned();
    assert!(ring.is_empty() && ring.nodes().next().is_none() && ring.points().next().is_none());
    assert_eq!((ring.len(), ring.point_count()), (0, 0));
    assert_eq!(ring.owner(b""), None);
    assert_eq!(ring.owner_at(Token::MAX), None);
    assert_eq!(ring.owners_batch([Token::MIN, Token::MAX]), [None, None]);
    assert_eq!(ring.replicas(b"key", usize::MAX).count(), 0);
    assert_eq!(ring.replicas_back(b"key", usize::MAX).count(), 0);
    assert!(ring.successors(&nobody, 1).is_empty() && ring.predecessors(&nobody, 1).is_empty());
    assert_eq!(ring.replica_set(b"key", &Placement::spread(3)).map(Iterator::count), Ok(0));
    let strict = Placement::spread(3).at_least(1);
    let refused = RingError::NotEnoughZones { asked: 1, present: 0 };
    assert_eq!(ring.replica_set(b"key", &strict).map(Iterator::count), Err(refused));
    assert_eq!(ring.owner_bounded(b"key", |_| 0, LoadFactor::percent_over(25)), None);
    assert_eq!(ring.partition_table(4, LoadFactor::percent_over(25)).map(|_| ()), Err(RingError::NoPoints));
    assert_eq!(ring.ownership(&nobody), None);
    assert_eq!(ring.ranges_of(&nobody).count(), 0);
    assert_eq!(ring.ownerships().count(), 0);
    assert_eq!(ring.balance(), None);
    assert_eq!(ring.diff(&ring).map(|moves| moves.len()), Ok(0));
    assert_eq!(ring.points_from(Token::new(7)).rev().count(), 0);
    assert_eq!(ring.fingerprint(), HashRing::<u64>::new().fingerprint());
}

#[test]
fn an_empty_ring_is_changed_compared_and_combined() {
    let mut ring = HashRing::<String>::new();
    let (nobody, spread) = ("nobody".to_owned(), Placement::spread(3));
    assert_eq!(ring.remove(&nobody), None);
    assert_eq!(ring.set_weight(&nobody, 7), Err(RingError::UnknownNode));
    assert_eq!(ring.apply(&[]), Ok(()));
    assert_eq!(ring.diff_replicas(&ring, &spread), Ok(Vec::new()));
    let plan = ring.plan(&[Op::Remove(nobody)]).expect("within the limits");
    assert_eq!((plan.moves().len(), plan.moved(), plan.balance()), (0, Fraction::ZERO, (None, None)));
    assert!(plan.moves_by_node().is_empty());
    assert_eq!(plan.sharing_zones(&spread), Ok((Fraction::ZERO, Fraction::ZERO)));
    assert_eq!(plan.transition().owners(b"key"), Owners::Nobody);
    for combined in [ring.union(&ring), ring.intersection(&ring), ring.merge(&ring, &ring)] {
        assert_eq!(combined.as_ref(), Ok(&ring));
    }
    let transition = Transition::new(ring.clone(), HashRing::new()).expect("the same seed");
    assert_eq!(transition.owners_at(Token::MIN), Owners::Nobody);
    assert_eq!(ring.insert(NodeSpec::new("first".to_owned())), Ok(Change::Added { weight: 160 }));
}

/// A node with an address: its identity is the id alone.
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

#[test]
fn one_id_with_different_payload_is_one_node_that_carries_the_later() {
    let server = |port| Server { id: "a", port };
    let bulk = HashRing::from_nodes([server(1), Server { id: "b", port: 7 }, server(2)]);
    let mut ring = bulk.expect("within the limits");
    assert_eq!((ring.len(), ring.point_count(), ring.get(b"a")), (2, 320, Some(&server(2))));
    assert_eq!(ring.insert(NodeSpec::new(server(3))), Ok(Change::Unchanged));
    assert_eq!((ring.len(), ring.get(b"a")), (2, Some(&server(3))));
    let other = HashRing::from_nodes([server(4)]).expect("within the limits");
    let conflict = CombineError::Conflict { ours: server(3), theirs: server(4) };
    assert_eq!(ring.union(&other), Err(conflict));
    assert_eq!(ring.remove(&server(9)), Some(server(3)));
    assert!(!ring.contains(&server(3)));
}

/// A node whose id can change behind the ring's back.
#[derive(Clone)]
struct Fickle(Rc<Cell<u64>>);

impl RingNode for Fickle {
    type Id<'a> = [u8; 8];

    fn ring_id(&self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

#[test]
fn a_node_whose_id_changes_in_a_ring_costs_no_more_than_a_panic() {
    let nodes: Vec<Fickle> = (0..10).map(|id| Fickle(Rc::new(Cell::new(id)))).collect();
    for (changed, id) in [(0, 100), (5, 6), (9, 0)] {
        let mut ring =
            HashRing::from_nodes(nodes.iter().map(|node| Fickle(Rc::new(node.0.as_ref().clone()))))
                .expect("within the limits");
        ring.nodes().nth(changed).expect("there are ten").0.set(id);
        for key in 0..100_u32 {
            assert!(ring.owner(&key.to_le_bytes()).is_some());
            assert_eq!(ring.replicas(&key.to_le_bytes(), 20).count(), 10);
        }
        assert_eq!(ring.points().count(), 1_600);
        for id in 0..10 {
            let node = Fickle(Rc::new(Cell::new(id)));
            // Whether it panics is not promised; that it ends, is.
            drop(catch_unwind(AssertUnwindSafe(|| ring.remove(&node))));
            assert!(ring.replicas(b"key", 20).count() <= 10);
        }
    }
}

#[test]
fn a_ring_of_one_point_owns_everything() {
    let ring =
        HashRing::builder().nodes([NodeSpec::new("only").weight(1)]).build().expect("within the limits");
    let point = ring.points().next().expect("one point").token;
    for token in [Token::MIN, Token::MAX, point, Token::new(point.get() + 1), Token::new(point.get() - 1)] {
        assert_eq!(ring.owner_at(token), Some(&"only"));
    }
    assert_eq!(ring.ownership(&"only"), Some(Fraction::WHOLE));
    let ranges: Vec<_> = ring.ranges_of(&"only").collect();
    assert_eq!(ranges.len(), 1);
    assert_eq!(ranges[0].share(), Fraction::WHOLE);
    assert!(ring.successors(&"only", 3).is_empty());
    let balance = ring.balance().expect("the ring has points");
    assert!((balance.max - 1.0).abs() < 1e-9 && (balance.min - 1.0).abs() < 1e-9 && balance.deviation < 1e-6);
}

#[test]
fn weight_0_is_a_member_that_owns_nothing() {
    let mut ring = HashRing::from_nodes(["a", "b"]).expect("within the limits");
    ring.set_weight(&"a", 0).expect("a known node");
    assert!(ring.contains(&"a"));
    assert_eq!(ring.ownership(&"a"), Some(Fraction::ZERO));
    assert_eq!(ring.ranges_of(&"a").count(), 0);
    assert!((0..1_000_u32).all(|key| ring.owner(&key.to_le_bytes()) == Some(&"b")));
    assert_eq!(ring.replicas(b"key", 2).count(), 1);
    ring.set_weight(&"a", 160).expect("a known node");
    assert_eq!(ring, HashRing::from_nodes(["a", "b"]).expect("within the limits"));
}

#[test]
fn what_is_over_a_limit_is_refused_and_changes_nothing() {
    let mut ring = HashRing::from_nodes(["a"]).expect("within the limits");
    let before = ring.clone();
    let heavy = RingError::WeightTooLarge { weight: WEIGHT_MAX + 1 };
    assert_eq!(ring.insert(NodeSpec::new("b").weight(WEIGHT_MAX + 1)), Err(heavy));
    assert_eq!(ring.insert(NodeSpec::new("a").weight(WEIGHT_MAX + 1)), Err(heavy));
    assert_eq!(ring.set_weight(&"a", WEIGHT_MAX + 1), Err(heavy));
    assert_eq!(ring.set_weight(&"stranger", 1), Err(RingError::UnknownNode));
    let zone = "z".repeat(ZONE_BYTES_MAX + 1);
    let long = RingError::ZoneTooLong { bytes: ZONE_BYTES_MAX + 1 };
    assert_eq!(ring.insert(NodeSpec::new("b").zone(zone)), Err(long));
    assert_eq!(ring, before);

    let id = vec![0_u8; ID_BYTES_MAX + 1];
    let long = RingError::IdTooLong { bytes: ID_BYTES_MAX + 1 };
    assert_eq!(HashRing::new().insert(NodeSpec::new(id.clone())), Err(long));
    assert_eq!(HashRing::from_nodes([id]), Err(long));
    let light = HashRing::<u64>::builder().default_weight(WEIGHT_MAX + 1).build();
    assert_eq!(light, Err(RingError::WeightTooLarge { weight: WEIGHT_MAX + 1 }));
    let large = RingError::TableTooLarge { bits: TABLE_BITS_MAX + 1 };
    assert_eq!(
        before.partition_table(TABLE_BITS_MAX + 1, LoadFactor::percent_over(5)).map(|_| ()),
        Err(large)
    );
}

// Hundreds of kilobytes through the hashes, which short names enter as well: minutes under miri.
#[cfg(not(miri))]
#[test]
fn the_longest_id_and_zone_are_placed() {
    let (id, zone) = ("i".repeat(ID_BYTES_MAX), "z".repeat(ZONE_BYTES_MAX));
    let mut ring = HashRing::new();
    ring.insert(NodeSpec::new(id.clone()).weight(2).zone(zone)).expect("within the limits");
    assert_eq!(ring.owner(b"key"), Some(&id));
    let bytes = ring.snapshot().to_bytes();
    let snapshot = hashring::Snapshot::from_bytes(&bytes).expect("it was just written");
    assert_eq!(HashRing::builder().restore(snapshot), Ok(ring));
}

#[cfg(not(miri))]
#[test]
fn too_many_nodes_or_points_are_refused() {
    let nodes = (0..=NODES_MAX as u64).map(|id| NodeSpec::new(id).weight(0));
    assert_eq!(HashRing::builder().nodes(nodes.clone()).build(), Err(RingError::TooManyNodes));
    let mut full = HashRing::builder().nodes(nodes.take(NODES_MAX)).build().expect("as many as there may be");
    assert_eq!(full.insert(NodeSpec::new(u64::MAX).weight(0)), Err(RingError::TooManyNodes));
    assert_eq!(full.len(), NODES_MAX);

    let points = 257 * u64::from(WEIGHT_MAX);
    assert!(points > POINTS_MAX as u64);
    let heavy = (0..257_u64).map(|id| NodeSpec::new(id).weight(WEIGHT_MAX));
    assert_eq!(HashRing::builder().nodes(heavy).build(), Err(RingError::TooManyPoints { points }));
}

#[cfg(not(miri))]
#[test]
fn more_than_65_535_nodes_are_placed_in_bulk_and_one_by_one() {
    let nodes = |count: u64| (0..count).map(|id| NodeSpec::new(id).weight(2));
    let mut ring = HashRing::builder().nodes(nodes(65_530)).build().expect("within the limits");
    for id in 65_530..65_545 {
        ring.insert(NodeSpec::new(id).weight(2)).expect("within the limits");
    }
    let bulk = HashRing::builder().nodes(nodes(65_545)).build().expect("within the limits");
    assert!(ring.points().eq(bulk.points()));
    for key in (0..20_000_u32).map(u32::to_le_bytes) {
        assert_eq!(ring.owner(&key), bulk.owner(&key));
        assert!(ring.replicas(&key, 3).eq(bulk.replicas(&key, 3)));
    }
    for point in ring.points() {
        assert_eq!(ring.owner_at(point.token), Some(point.node));
    }
    for id in 0..20 {
        assert_eq!(ring.remove(&id), Some(id));
    }
    let fewer = HashRing::builder().nodes(nodes(65_545).skip(20)).build().expect("within the limits");
    assert!(ring.points().eq(fewer.points()));
}

#[cfg(not(miri))]
#[test]
fn a_removal_that_empties_most_of_a_wide_ring_leaves_its_owners() {
    let weight = |id: u64| if id == 0 { 60_000 } else { u32::from(id >= 65_560) };
    let mut ring = HashRing::builder()
        .nodes((0..65_600).map(|id| NodeSpec::new(id).weight(weight(id))))
        .build()
        .expect("within the limits");
    assert_eq!(ring.remove(&0), Some(0));
    assert_eq!(ring.point_count(), 40);
    for point in ring.points() {
        assert!(*point.node >= 65_560);
        assert_eq!(ring.owner_at(point.token), Some(point.node));
    }
}

#[cfg(not(miri))]
#[test]
fn ten_million_points_are_sorted_changed_and_found() {
    let nodes = (0..160_u64).map(|id| NodeSpec::new(id).weight(62_500));
    let mut ring = HashRing::builder().nodes(nodes).build().expect("within the limits");
    assert_eq!(ring.point_count(), 10_000_000);
    assert_eq!(ring.set_weight(&7, WEIGHT_MAX), Ok(Change::Reweighted { from: 62_500, to: WEIGHT_MAX }));
    ring.remove(&3);
    let mut points = ring.points_from(Token::new(1 << 63)).map(|point| (point.token, *point.node));
    let mut last = Token::new((1 << 63) - 1);
    for (token, node) in points.by_ref().take(10_000) {
        assert!(token > last && node != 3);
        assert_eq!(
            (ring.owner_at(token), ring.owner_at(Token::new(last.get() + 1))),
            (Some(&node), Some(&node))
        );
        last = token;
    }
    let shares: u128 = ring.ownerships().map(|(_, share)| share.tokens()).sum();
    assert_eq!(shares, Fraction::WHOLE.tokens());
}

#[test]
fn more_replicas_than_nodes_are_all_nodes() {
    let ring = HashRing::from_nodes(["a", "b", "c"]).expect("within the limits");
    for count in [3, 4, 1_000, usize::MAX] {
        assert_eq!(ring.replicas(b"key", count).count(), 3);
        assert_eq!(
            ring.replica_set(b"key", &Placement::spread(count)).expect("none are required").count(),
            3
        );
    }
    assert_eq!(ring.replicas(b"key", 0).count(), 0);
    let asked = Placement::spread(2).at_least(3);
    let refused = RingError::NotEnoughZones { asked: 3, present: 1 };
    assert_eq!(ring.replica_set(b"key", &asked).map(Iterator::count), Err(refused));
}

#[cfg(not(miri))]
#[test]
fn a_node_of_weight_1_among_heavy_ones_is_found() {
    let heavy = (0..3_u64).map(|id| NodeSpec::new(id).weight(WEIGHT_MAX));
    let nodes = heavy.chain([NodeSpec::new(9).weight(1).zone("far")]);
    let ring = HashRing::builder().nodes(nodes).build().expect("within the limits");
    for key in 0..20_u32 {
        let replicas: Vec<_> = ring.replicas(&key.to_le_bytes(), 4).collect();
        assert!(replicas.contains(&&9));
        let spread: Vec<_> =
            ring.replica_set(&key.to_le_bytes(), &Placement::spread(2)).expect("two zones").collect();
        assert!(spread.contains(&&9));
        assert!(ring.replicas_back(&key.to_le_bytes(), 4).any(|node| *node == 9));
    }
}

#[cfg(not(miri))]
#[test]
fn keys_crafted_against_one_seed_are_spread_by_another() {
    let ring = |seed| HashRing::builder().seed(seed).nodes((0..50_u64).map(NodeSpec::new)).build();
    let (known, secret) = (ring(0).expect("within the limits"), ring(0x5ec_2e7).expect("within the limits"));
    let crafted: Vec<[u8; 4]> =
        (0..200_000_u32).map(u32::to_le_bytes).filter(|key| known.owner(key) == Some(&7)).collect();
    assert!(crafted.len() > 2_000);
    // What one node would bear alone, bounded loads spread over the next ones.
    let mut loads = [0_u64; 50];
    for key in crafted.iter().take(1_000) {
        let load = |node: &u64| loads[*node as usize];
        let owner = known.owner_bounded(key, load, LoadFactor::percent_over(25));
        loads[*owner.expect("the ring has points") as usize] += 1;
    }
    assert!(loads.iter().all(|&load| load <= 25), "{loads:?}");

    let still = crafted.iter().filter(|key| secret.owner(*key) == Some(&7)).count();
    let due = secret.ownership(&7).expect("a member").as_f64() * crafted.len() as f64;
    assert!((still as f64) < due * 1.3, "{still} where {due:.0} are due");
}

#[cfg(not(miri))]
#[test]
fn ids_crafted_to_crowd_their_points_are_placed_all_the_same() {
    // Of many ids those whose only point falls into one 256th of the ring, and a few that lie anywhere.
    let all = HashRing::builder().nodes((0..200_000_u64).map(|id| NodeSpec::new(id).weight(1)));
    let all = all.build().expect("within the limits");
    let chosen: Vec<u64> =
        all.points().filter(|point| point.token.get() >> 56 == 7).map(|point| *point.node).collect();
    assert!(chosen.len() > 600);
    let nodes = chosen.iter().copied().chain(0..20).map(|id| NodeSpec::new(id).weight(1));
    let bulk = HashRing::builder().nodes(nodes.clone()).build().expect("within the limits");
    let mut grown = HashRing::new();
    for node in nodes {
        grown.insert(node).expect("within the limits");
    }
    for ring in [&bulk, &grown] {
        let points: Vec<_> = ring.points().collect();
        for (point, next) in points.iter().zip(points.iter().cycle().skip(1)) {
            assert_eq!(ring.owner_at(point.token), Some(point.node));
            assert_eq!(ring.owner_at(Token::new(point.token.get() + 1)), Some(next.node));
            assert!(ring.replicas_at(point.token, 2).eq([point.node, next.node]));
        }
    }
    assert!(bulk.points().eq(grown.points()));
    chosen.iter().for_each(|id| assert_eq!(grown.remove(id), Some(*id)));
    assert!(grown.nodes().copied().eq((0..20).filter(|id| !chosen.contains(id))));
}

// As many steps as points, where a walk along equal points for each of them would take a billion.
#[cfg(not(miri))]
#[test]
fn ids_crafted_to_have_all_points_at_one_position_cost_what_others_do() {
    let crafted = |number| NodeSpec::new(Node(number)).weight(WEIGHT_MAX);
    let mut ring = HashRing::builder().nodes((0xf8..0xfe).map(crafted)).build().expect("within the limits");
    assert_eq!(ring.insert(crafted(0xfe)), Ok(Change::Added { weight: WEIGHT_MAX }));
    let position = ring.points().next().expect("there are many").token;
    assert!(ring.points().all(|point| point.token == position));
    assert_eq!(ring.ownership(&Node(0xf8)), Some(Fraction::WHOLE));
    assert_eq!(ring.replicas(b"key", 9).count(), 7);
    for weight in [1, WEIGHT_MAX] {
        ring.set_weight(&Node(0xfa), weight).expect("a known node");
        assert_eq!(ring.points().filter(|point| *point.node == Node(0xfa)).count(), weight as usize);
    }
    assert_eq!(ring.successors(&Node(0xfa), 9), [&Node(0xfb)]);
    assert_eq!(ring.predecessors(&Node(0xfa), 9), [&Node(0xf9)]);
    for number in 0xf8..=0xfe {
        assert_eq!(ring.owner(b"key"), Some(&Node(number)));
        assert_eq!(ring.remove(&Node(number)), Some(Node(number)));
    }
    assert_eq!(ring.point_count(), 0);
}

#[test]
fn keys_of_any_length_have_owners() {
    let ring = HashRing::from_nodes(["a", "b", "c"]).expect("within the limits");
    for length in [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1_024, 1 << 20] {
        assert!(ring.owner(&vec![7; length]).is_some());
    }
}

#[test]
fn a_seed_is_never_shown() {
    let builder = HashRing::builder().seed(0x5ec_2e7).nodes([NodeSpec::new("a").weight(3)]);
    let shown = [format!("{builder:?}"), format!("{:?}", builder.build().expect("within the limits"))];
    for shown in shown {
        assert!(shown.contains("\"a\"") && !shown.contains(&0x5ec_2e7_u64.to_string()), "{shown}");
    }
}

#[test]
fn what_is_printed_keeps_to_its_column() {
    let half = TokenRange::new(Token::MAX, Token::new(u64::MAX / 2)).share();
    assert_eq!(format!("{half}|{half:8.1}|{half:<8.0}|{half:^9.2}|"), "50.00 %|  50.0 %|50 %    | 50.00 % |");
    assert_eq!(format!("{:>18}|{:<5}|", Token::new(255), Zone::new("z")), "  00000000000000ff|z    |");
}
