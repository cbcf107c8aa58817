//! What may allocate, and how much: a file of its own, since it counts everything the process asks for.

// It counts, and touches no memory that the laws do not, on rings of hundreds of nodes: too much for miri.
#![cfg(not(miri))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hashring::{
    Change, HashRing, LoadFactor, NodeSpec, Op, PartitionTable, Placement, RestoreError, Snapshot, Token,
    Transition,
};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to write, and nothing else counts allocations")]
// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        BYTES.set(BYTES.get() + layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often, and for how many bytes, this thread allocates during `work`.
fn allocations<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let before = (CALLS.get(), BYTES.get());
    let result = work();
    let after = (CALLS.get(), BYTES.get());
    drop(result);
    (after.0 - before.0, after.1 - before.1)
}

/// How often `work` allocates.
fn calls<T>(work: impl FnOnce() -> T) -> usize {
    allocations(work).0
}

/// Nodes of two weights in twelve zones, one of them draining.
fn ring(nodes: u64) -> HashRing<u64> {
    let spec = |id: u64| match id % 12 {
        5 => NodeSpec::new(id).weight(0).zone("zone-5"),
        zone => {
            NodeSpec::new(id).weight(if id.is_multiple_of(2) { 160 } else { 40 }).zone(format!("zone-{zone}"))
        }
    };
    HashRing::builder().nodes((0..nodes).map(spec)).build().expect("within the limits")
}

/// Without nodes, with one, with a dozen, with many; and with so many that owners take four bytes.
fn rings() -> Vec<HashRing<u64>> {
    let mut rings: Vec<_> = [0, 1, 12, 200].map(ring).into();
    let wide = (0..66_000).map(|id| NodeSpec::new(id).weight(1));
    rings.push(HashRing::builder().nodes(wide).build().expect("within the limits"));
    rings
}

fn keys() -> impl Iterator<Item = [u8; 4]> {
    (0..500_u32).map(u32::to_le_bytes)
}

#[test]
fn lookups_of_keys_allocate_nothing() {
    for ring in rings() {
        let placed = ring.weights().filter(|(_, weight)| *weight > 0).count();
        for key in keys() {
            let token = ring.token(&key);
            let owner = ring.owner(&key);
            assert_eq!(calls(|| assert_eq!(ring.owner_at(ring.token(&key)), owner)), 0);
            assert_eq!(calls(|| assert!(ring.owners_batch([token; 16]).iter().all(|one| *one == owner))), 0);
            // More of a dozen nodes may be more than 32 points away.
            for count in [0, 1, 3] {
                let due = placed.min(count);
                assert_eq!(calls(|| assert_eq!(ring.replicas(&key, count).count(), due)), 0);
                assert_eq!(calls(|| assert_eq!(ring.replicas_at(token, count).clone().count(), due)), 0);
                assert_eq!(
                    calls(|| assert_eq!(ring.replicas_back(&key, count).last().is_some(), due > 0)),
                    0
                );
            }
            for placement in [Placement::anywhere(3), Placement::spread(3), Placement::spread(3).at_least(3)]
            {
                let read = || {
                    let set = ring.replica_set(&key, &placement);
                    let again = ring.replica_set_at(token, &placement);
                    set.map(Iterator::count) == again.map(|set| set.clone().count())
                };
                assert_eq!(calls(|| assert!(read())), 0);
            }
            let (load, factor) = (|id: &u64| id % 3, LoadFactor::percent_over(25));
            let total: u64 = ring.nodes().map(load).sum();
            let bounded = || {
                let owner = ring.owner_bounded(&key, load, factor);
                owner.is_some() == ring.owner_bounded_of(&key, load, total, factor).is_some()
            };
            assert_eq!(calls(|| assert!(bounded())), 0);
        }
    }
}

#[test]
fn questions_about_nodes_and_points_allocate_nothing() {
    for ring in rings() {
        let same = HashRing::builder()
            .nodes(ring.members().map(NodeSpec::from))
            .build()
            .expect("it was within the limits");
        let read = || {
            assert!(ring.len() <= 66_000 && ring.is_empty() == ring.nodes().next().is_none());
            assert!(ring.default_weight() == 160 && ring.same_layout(&same));
            assert_eq!(ring.contains(&7), ring.len() > 7);
            assert_eq!(ring.get(&7_u64.to_be_bytes()).is_some(), ring.len() > 7);
            assert_eq!(ring.weight_of(&7).is_some(), ring.ownership(&7).is_some());
            assert_eq!(ring.zone_of(&7).is_some(), (8..66_000).contains(&ring.len()));
            assert_eq!(ring.nodes().count(), ring.len());
            assert_eq!(ring.weights().map(|(_, weight)| weight as usize).sum::<usize>(), ring.point_count());
            assert_eq!(
                ring.members().next_back().map(|member| member.weight),
                ring.weights().last().map(|own| own.1)
            );
            assert_eq!(
                ring.points().last().map(|point| point.token),
                ring.points().next_back().map(|point| point.token)
            );
            assert_eq!(ring.points_from(Token::new(1 << 63)).rev().count(), ring.point_count());
            assert!(ring == same && ring.fingerprint() == same.fingerprint());
            drop(ring.clone());
        };
        assert_eq!(calls(read), 0, "{} nodes", ring.len());
    }
}

fn table(ring: &HashRing<u64>) -> PartitionTable<u64> {
    ring.partition_table(8, LoadFactor::percent_over(5)).expect("the ring has points")
}

#[test]
fn lookups_in_a_table_allocate_nothing() {
    let ring = ring(20);
    let mut fewer = ring.clone();
    fewer.remove(&3);
    let (one, other) = (table(&ring), table(&fewer));
    let read = || {
        for key in keys() {
            let token = ring.token(&key);
            let partition = one.partition_of(token);
            assert_eq!(one.owner(&key), one.owner_at(token));
            assert_eq!(one.owner_of(partition), one.owner_at(token));
            assert!(one.range(partition).contains(token));
        }
        assert_eq!(one.iter().count(), one.len());
        assert!(one.ring() == &ring);
        let moves = one.moves(&other).expect("the same seed and size");
        assert!(moves.into_iter().all(|step| step.from != step.to));
    };
    assert_eq!(calls(read), 0);
}

#[test]
fn what_is_known_of_a_change_is_read_without_allocating() {
    let ring = ring(20);
    let plan = ring.plan(&[Op::Remove(3), Op::Insert(NodeSpec::new(90))]).expect("within the limits");
    let moves = ring.diff_replicas(plan.after(), &Placement::spread(3)).expect("the same seed");
    let transition = Transition::new(ring.clone(), plan.after().clone()).expect("the same seed");
    let snapshot = ring.snapshot();
    let read = || {
        assert!(plan.moves().all(|step| step.range.share() <= plan.moved()));
        assert!(plan.before() == &ring && plan.after() != &ring);
        for step in &moves {
            assert!(step.gaining().count() + step.losing().count() > 0 && step.sources().next().is_some());
        }
        for key in keys() {
            assert_eq!(transition.owners(&key), transition.owners_at(ring.token(&key)));
        }
        assert!(transition.before() == &ring && transition.after() != &ring);
        assert_eq!(snapshot.members().len(), ring.len());
        assert_eq!(snapshot.fingerprint(), ring.fingerprint());
    };
    assert_eq!(calls(read), 0);
}

#[test]
fn long_walks_allocate_a_bit_a_node_and_long_lists_their_slots() {
    let ring = HashRing::builder().nodes((0..1_000_u64).map(|id| NodeSpec::new(id).weight(4)));
    let ring = ring.build().expect("within the limits");
    for key in keys().take(10) {
        assert_eq!(calls(|| ring.replicas(&key, 16).count()), 0);
        assert_eq!(allocations(|| ring.replicas(&key, 200).count()), (1, 1_000_usize.div_ceil(64) * 8));
        let set = |count| ring.replica_set(&key, &Placement::anywhere(count)).map(Iterator::count);
        assert_eq!(calls(|| assert_eq!(set(16), Ok(16))), 0);
        assert!(calls(|| assert_eq!(set(17), Ok(17))) > 0);
    }
}

#[test]
fn questions_about_all_nodes_allocate_for_nodes_not_for_points() {
    let ring = ring(200);
    let bytes = |work: &dyn Fn()| allocations(work).1;
    assert!(ring.point_count() > 16_000);
    assert!(bytes(&|| assert!(ring.balance().is_some())) <= 16 * ring.len());
    assert!(bytes(&|| assert_eq!(ring.ownerships().count(), ring.len())) <= 16 * ring.len());
    assert!(bytes(&|| assert!(!ring.successors(&0, 3).is_empty())) <= 2 * ring.len());
    assert!(bytes(&|| assert!(!ring.predecessors(&0, 3).is_empty())) <= 2 * ring.len());
    assert!(bytes(&|| assert!(ring.ranges_of(&0).len() > 100)) <= 32 * 160 * 2);
}

#[test]
fn a_ring_of_ones_own_changes_where_it_is_and_a_shared_one_is_copied_once() {
    let mut ring = HashRing::from_nodes(0..500_u64).expect("within the limits");
    let change = |ring: &mut HashRing<u64>| {
        let newcomer = 1_000_000;
        let added = ring.insert(NodeSpec::new(newcomer));
        assert_eq!(added, Ok(Change::Added { weight: 160 }));
        assert_eq!(ring.set_weight(&newcomer, 100), Ok(Change::Reweighted { from: 160, to: 100 }));
        assert_eq!(ring.remove(&newcomer), Some(newcomer));
    };
    // Makes the room that a ring has once it has grown.
    change(&mut ring);
    let own = allocations(|| change(&mut ring)).1;
    // The points that change, sorted, and where they go; nothing for those that stay.
    assert!(own <= 160 * 64, "{own} bytes");

    let clone = ring.clone();
    let copied = allocations(|| change(&mut ring)).1;
    let points = 12 * ring.point_count();
    assert!(copied >= points && copied - own <= points * 3 / 2, "{copied} bytes for {points}");
    assert_eq!(ring, clone);
}

/// A decoder may ask for a small multiple of what it reads, whatever the bytes announce.
#[test]
fn decoding_allocates_no_more_than_the_bytes_justify() {
    let check = |bytes: &[u8]| {
        let (_, asked) = allocations(|| {
            if let Ok(snapshot) = Snapshot::<String>::from_bytes(bytes) {
                // Refused before a point is made: the fingerprint is not that of these members.
                let refused = HashRing::builder().restore(snapshot);
                assert_eq!(refused, Err(RestoreError::FingerprintMismatch));
            }
        });
        assert!(asked <= 256 + 16 * bytes.len(), "{asked} bytes asked for {} read", bytes.len());
    };
    let head = |members: u32| [b"CLHR\x01\0\0\0", &[7; 32][..], &members.to_le_bytes()].concat();
    // A million members announced and not sent, and more than there can be.
    check(&head(1 << 20));
    check(&head(u32::MAX));
    // As many as the length allows, the heaviest there are, each with an id as short as can be.
    let count = 100_u8;
    let mut bytes = head(u32::from(count) * u32::from(count));
    for (high, low) in (0..count).flat_map(|high| (0..count).map(move |low| (high, low))) {
        bytes.extend([2, 0, high, low, 0xff, 0xff, 0xff, 0xff, 0]);
    }
    check(&bytes);
    // A name that is longer than what follows.
    let mut bytes = head(1);
    bytes.extend([0xff, 0xff, b'a']);
    check(&bytes);
}
