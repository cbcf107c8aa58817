//! Zones, bounded loads and partition tables, against brute force.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hashring::{HashRing, LoadFactor, NodeSpec, Placement, RingError, Token};
use proptest::prelude::*;

use crate::cases::config;
use crate::model::{Naive, Node, keys, ring_pairs, rings};

/// What a node may bear of so much load, by the definition.
fn capacity(naive: &Naive, node: Node, load: u64, percent_over: u16) -> u64 {
    let (weight, weights) = (u64::from(naive.weight(node)), naive.point_count() as u64);
    (load * weight * (100 + u64::from(percent_over))).div_ceil(100 * weights)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn spread_replicas_are_the_first_of_each_zone_and_then_the_others(ring in rings(), count in 0_usize..12) {
        let naive = Naive::new(&ring);
        // Each of the three tokens around a point has its turn.
        for token in naive.tokens().into_iter().step_by(7) {
            let set = ring.replica_set_at(token, &Placement::spread(count)).expect("no zones are required");
            let expected = naive.spread(token, count);
            prop_assert_eq!(set.len(), expected.len());
            prop_assert_eq!(set.copied().collect::<Vec<_>>(), expected);
            let set = ring.replica_set_at(token, &Placement::anywhere(count)).expect("no zones are required");
            prop_assert!(set.eq(ring.replicas_at(token, count)));
        }
    }

    #[test]
    fn required_zones_are_there_or_refused(ring in rings(), count in 0_usize..8, asked in 0_usize..8) {
        let naive = Naive::new(&ring);
        let placement = Placement::spread(count).at_least(asked);
        let present = naive.zone_count().min(count);
        match ring.replica_set(b"key", &placement) {
            Ok(set) => {
                let zones: std::collections::BTreeSet<_> = set.map(|&node| naive.zone(node)).collect();
                prop_assert!(asked <= present && zones.len() == present);
            }
            Err(error) => {
                prop_assert!(asked > present);
                prop_assert_eq!(error, RingError::NotEnoughZones { asked, present });
            }
        }
        prop_assert_eq!(Placement::anywhere(count).at_least(asked), placement);
    }

    #[test]
    fn bounded_owners_are_the_first_with_room_and_never_bear_more(ring in rings(), percent in 0_u16..60) {
        let naive = Naive::new(&ring);
        let loads = RefCell::new(BTreeMap::<Node, u64>::new());
        let load = |node: &Node| loads.borrow().get(node).copied().unwrap_or(0);
        for (total, key) in (0_u64..).zip(keys()) {
            let owner = ring.owner_bounded(&key, load, LoadFactor::percent_over(percent)).copied();
            let room = |node: &Node| load(node) < capacity(&naive, *node, total + 1, percent);
            prop_assert_eq!(owner, naive.distinct(ring.token(&key)).into_iter().find(room));
            let of_total = ring.owner_bounded_of(&key, load, total, LoadFactor::permille_over(u32::from(percent) * 10));
            prop_assert_eq!(of_total.copied(), owner);
            let Some(owner) = owner else {
                prop_assert_eq!(naive.point_count(), 0);
                return Ok(());
            };
            *loads.borrow_mut().entry(owner).or_default() += 1;
        }
    }

    #[test]
    fn a_table_gives_each_stretch_to_the_first_node_with_room(ring in rings(), bits in 0_u32..if cfg!(miri) { 5 } else { 9 }, percent in 0_u16..60) {
        let naive = Naive::new(&ring);
        let table = match ring.partition_table(bits, LoadFactor::percent_over(percent)) {
            Ok(table) => table,
            Err(error) => {
                prop_assert_eq!(error, RingError::NoPoints);
                prop_assert_eq!(naive.point_count(), 0);
                return Ok(());
            }
        };
        let mut room: BTreeMap<Node, u64> = ring.nodes().map(|&node| (node, capacity(&naive, node, 1 << bits, percent))).collect();
        let mut order: Vec<u64> = (0..1 << bits).collect();
        order.sort_by_key(|partition| partition.reverse_bits());
        for partition in order {
            let start = table.range(partition as usize).after().get().wrapping_add(1);
            let owner = naive.distinct(Token::new(start)).into_iter().find(|node| room[node] > 0).expect("some have room");
            *room.get_mut(&owner).expect("a member") -= 1;
            prop_assert_eq!(*table.owner_of(partition as usize), owner);
        }
        prop_assert_eq!(table.len(), 1 << bits);
    }

    #[test]
    fn the_stretches_of_a_table_cover_every_token_once(ring in rings(), bits in 0_u32..if cfg!(miri) { 5 } else { 9 }) {
        let Ok(table) = ring.partition_table(bits, LoadFactor::percent_over(25)) else { return Ok(()) };
        let total: u128 = table.iter().map(|(range, _)| range.share().tokens()).sum();
        prop_assert_eq!(total, 1 << 64);
        for (partition, (range, owner)) in table.iter().enumerate() {
            for token in [Token::new(range.after().get().wrapping_add(1)), range.through()] {
                prop_assert_eq!(table.partition_of(token), partition);
                prop_assert!(range.contains(token));
                prop_assert_eq!(table.owner_at(token), owner);
            }
        }
        for key in keys().take(20) {
            prop_assert_eq!(table.owner(&key), table.owner_at(ring.token(&key)));
        }
    }

    #[test]
    fn the_moves_between_tables_are_where_their_owners_differ((one, other) in ring_pairs()) {
        let table = |ring: &HashRing<Node>| ring.partition_table(7, LoadFactor::percent_over(10));
        let (Ok(one), Ok(other)) = (table(&one), table(&other)) else { return Ok(()) };
        let mut moved: Vec<usize> = Vec::new();
        for step in one.moves(&other).expect("the same seed and size") {
            prop_assert_eq!((step.from, step.to), (one.owner_of(step.partition), other.owner_of(step.partition)));
            moved.push(step.partition);
        }
        let differ: Vec<usize> = (0..128).filter(|&ix| one.owner_of(ix) != other.owner_of(ix)).collect();
        prop_assert_eq!(moved, differ);
    }
}

#[test]
fn sixteen_replicas_and_more_are_kept_apart() {
    let ring = HashRing::builder()
        .nodes((0..100_u64).map(|id| NodeSpec::new(id).weight(8).zone(format!("zone-{}", id % 30))))
        .build()
        .expect("within the limits");
    for count in [15, 16, 17, 29, 30, 31, 99, 100, 1_000] {
        for key in keys().take(if cfg!(miri) { 3 } else { 30 }) {
            let placement = Placement::spread(count);
            let set: Vec<_> = ring.replica_set(&key, &placement).expect("no zones are required").collect();
            let distinct: std::collections::BTreeSet<_> = set.iter().collect();
            assert_eq!(distinct.len(), count.min(100));
            let zones: std::collections::BTreeSet<_> = set.iter().take(30).map(|node| *node % 30).collect();
            assert_eq!(zones.len(), count.min(30));
            assert_eq!(ring.replicas(&key, count).count(), count.min(100));
        }
    }
}

#[test]
fn more_zones_than_are_kept_in_place_are_told_apart() {
    let count = if cfg!(miri) { 50 } else { 5_000 };
    let nodes = |zones: u64| {
        (0..count).map(move |id| NodeSpec::new(id).weight(1).zone(format!("zone-{}", id % zones)))
    };
    for zones in [1, 16, 17, 40, count] {
        let ring = HashRing::builder().nodes(nodes(zones)).build().expect("within the limits");
        let set: Vec<u64> = ring
            .replica_set(b"key", &Placement::spread(usize::MAX))
            .expect("none are required")
            .copied()
            .collect();
        let first: std::collections::BTreeSet<u64> =
            set.iter().take(zones as usize).map(|id| id % zones).collect();
        let all: std::collections::BTreeSet<u64> = set.iter().copied().collect();
        assert_eq!((set.len(), first.len(), all.len()), (count as usize, zones as usize, count as usize));
    }
}

#[test]
#[should_panic(expected = "stretch 8 of a table of 8")]
fn a_stretch_beyond_the_table_has_no_range() {
    let ring = HashRing::from_nodes(0..5_u64).expect("within the limits");
    let table = ring.partition_table(3, LoadFactor::percent_over(5)).expect("the ring has points");
    table.range(8);
}

// Thousands of stretches, and no path that smaller tables do not take: too much for miri.
#[cfg(not(miri))]
#[test]
fn a_table_evens_a_ring_out() {
    let ring = HashRing::from_nodes(0..50_u64).expect("within the limits");
    let table = ring.partition_table(13, LoadFactor::percent_over(5)).expect("the ring has points");
    assert!(ring.balance().expect("the ring has points").max > 1.1);
    assert!(table.balance().max < 1.06, "{:?}", table.balance());
}

#[test]
fn loads_beyond_all_capacities_leave_a_key_without_an_owner() {
    let ring = HashRing::from_nodes(["a", "b"]).expect("within the limits");
    assert_eq!(ring.owner_bounded_of(b"key", |_| 100, 10, LoadFactor::percent_over(0)), None);
    assert!(ring.owner_bounded(b"key", |_| u64::MAX, LoadFactor::percent_over(0)).is_none());
    assert!(ring.owner_bounded(b"key", |_| 100, LoadFactor::percent_over(0)).is_some());
}
