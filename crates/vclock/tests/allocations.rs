//! What may allocate, and how much: a file of its own, since it counts everything the process asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use vclock::{CausalContext, Causality, DvvSet, Seen, StampedVClock, TrimPolicy, VClock};

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

fn clock(actors: u64, count: u64) -> VClock<u64> {
    (0..actors).map(|actor| (actor * 7, count)).collect()
}

#[test]
fn comparing_and_merging_what_is_known_allocate_nothing() {
    for actors in [0, 1, 3, 4, 5, 50, 1_000] {
        let (older, newer) = (clock(actors, 1), clock(actors, 2));
        let fewer = clock(actors / 2, 9);
        let mut own = clock(actors, 1);
        let (calls, _) = allocations(|| {
            assert!(newer.descends(&older) && newer.descends(&VClock::new()));
            assert_eq!(newer.compare(&older), if actors == 0 { Causality::Equal } else { Causality::After });
            assert_eq!(newer.partial_cmp(&fewer).is_none(), actors > 1);
            assert_eq!(own.merge(&newer), actors > 0);
            assert!(!own.merge(&older));
            assert_eq!(own.merge(&fewer), actors > 1);
            assert_eq!(own.get(&0), fewer.get(&0).max(newer.get(&0)));
            assert_eq!(own.missing_from(&newer).count(), fewer.len());
        });
        assert_eq!(calls, 0, "{actors} actors");
    }
}

fn stamped(actors: u64, count: u64, seen: Seen) -> StampedVClock<u64> {
    (0..actors).map(|actor| (actor * 7, count, seen)).collect()
}

#[test]
fn stamped_clocks_that_do_not_grow_merge_without_allocating() {
    for actors in [0, 1, 3, 4, 5, 50, 1_000] {
        let (first, last) = (Seen::at(10), Seen::between(5, 20).unwrap());
        let (older, newer) = (stamped(actors, 1, first), stamped(actors, 2, last));
        let fewer = stamped(actors / 2, 9, Seen::between(1, 30).unwrap());
        let mut own = stamped(actors, 1, first);
        let (calls, _) = allocations(|| {
            assert!(!own.merge(&older));
            assert_eq!(own.merge(&newer), actors > 0);
            assert!(!own.merge(&older));
            assert_eq!(own.merge(&fewer), actors > 1);
            assert_eq!(own.seen(&0), fewer.seen(&0).or(newer.seen(&0)));
        });
        assert_eq!(calls, 0, "{actors} actors");
    }
}

#[test]
fn a_trim_that_drops_nothing_allocates_nothing() {
    for actors in [0, 4, 10, 50] {
        let mut own = stamped(actors, 1, Seen::at(10));
        assert_eq!(allocations(|| assert!(own.trim(20, &TrimPolicy::default()).is_empty())).0, 0);
    }
    // Many, all young; and all old, but no more than the fewest that stay.
    let mut own = stamped(1_000, 1, Seen::at(10));
    assert_eq!(allocations(|| assert!(own.trim(20, &TrimPolicy::default()).is_empty())).0, 0);
    let mut own = stamped(10, 1, Seen::at(10));
    assert_eq!(allocations(|| assert!(own.trim(u64::MAX, &TrimPolicy::default()).is_empty())).0, 0);
}

#[test]
fn sets_that_learn_nothing_sync_without_allocating() {
    let mut own = DvvSet::new();
    for actor in 0..20_u64 {
        own.write(&VClock::new(), actor, actor).unwrap();
    }
    let same = own.clone();
    assert_eq!(allocations(|| assert_eq!(own.sync(&same), Ok(false))).0, 0);
}

#[test]
fn a_known_name_is_counted_by_reference_without_allocating() {
    for actors in [1, 4, 50] {
        let mut own: VClock<String> = (0..actors).map(|actor: u32| (actor.to_string(), 1)).collect();
        assert_eq!(allocations(|| own.increment_ref("0").unwrap()).0, 0);
    }
}

#[test]
fn an_increment_of_a_known_actor_allocates_nothing() {
    for actors in [1, 4, 50] {
        let mut own = clock(actors, 1);
        assert_eq!(allocations(|| own.increment(0).unwrap()).0, 0);
    }
}

#[test]
fn clones_of_four_or_fewer_and_of_unchanged_many_allocate_nothing() {
    for actors in [0, 1, 4, 5, 1_000] {
        let own = clock(actors, 1);
        assert_eq!(allocations(|| own.clone()).0, 0, "{actors} actors");
    }
}

#[test]
fn growing_to_four_actors_allocates_nothing() {
    let mut own = VClock::new();
    assert_eq!(allocations(|| (0..4_u64).all(|actor| own.increment(actor).is_ok())).0, 0);
}

/// A decoder may ask for a small multiple of what it reads, whatever the bytes announce.
#[test]
fn decoders_allocate_no_more_than_the_input_justifies() {
    let check = |bytes: &[u8]| {
        let (_, asked) = allocations(|| {
            let _ = VClock::<u64>::from_bytes(bytes);
            let _ = VClock::<String>::from_bytes(bytes);
            let _ = VClock::<Arc<str>>::from_bytes(bytes);
            let _ = CausalContext::<u64>::from_bytes(bytes);
            let _ = CausalContext::<String>::from_bytes(bytes);
            let _ = StampedVClock::<u64>::from_bytes(bytes);
            let _ = DvvSet::<u64, Vec<u8>>::from_bytes_with(bytes, |value| Some(value.to_vec()));
            let _ = DvvSet::<String, Vec<u8>>::from_bytes_with(bytes, |value| Some(value.to_vec()));
        });
        assert!(asked <= 256 + 64 * bytes.len(), "{asked} bytes asked for {} read", bytes.len());
    };
    for form in 0..6 {
        // A million entries, and the most there can be, announced and not sent.
        check(&[form, 0xc0, 0x84, 0x3d]);
        check(&[form, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        // As many as the length allows, each the shortest that can be.
        for filler in [0x00, 0x01, 0x02, 0x10] {
            let mut bytes = vec![filler; 10_000];
            bytes[..3].copy_from_slice(&[form, 0x88, 0x27]);
            check(&bytes);
        }
        // One actor with a long name, and then many entries that could refer to it.
        let mut bytes = vec![form, 1, 0xe8, 0x07];
        bytes.extend([b'a'; 1_000]);
        bytes.extend([0xff, 0x7f]);
        bytes.extend([0xe8, 0x07]);
        bytes.extend([1; 3_000]);
        check(&bytes);
    }
}
