//! The faults of the original's clock, by their numbers in its list, and that they are gone.

use std::time::Duration;

use vclock::{Causality, DvvSet, Seen, StampedVClock, TrimPolicy, VClock};

fn seen_at(entries: &[(u64, u64)]) -> StampedVClock<u64> {
    entries.iter().map(|(actor, last_us)| (*actor, 1, Seen::at(*last_us))).collect()
}

const EAGER: TrimPolicy = TrimPolicy {
    min_entries: 10,
    max_entries: 50,
    young: Duration::from_micros(20),
    old: Duration::from_micros(100),
};

/// There every change came from an actor of its own, so that a clock grew with each until it was trimmed.
#[test]
fn fault_17_a_clock_grows_with_its_actors_and_not_with_its_changes() {
    let mut nodes = [DvvSet::new(), DvvSet::new(), DvvSet::new()];
    for change in 0..1_000_usize {
        let writer = change % 3;
        let read = nodes[writer].context().clone();
        nodes[writer].write(&read, change, writer).unwrap();
        let written = nodes[writer].clone();
        nodes[(writer + 1) % 3].sync(&written).unwrap();
    }
    assert!(nodes.iter().all(|set| set.context().len() <= 3));
    // Nor does the original's own clock, counted by its nodes: there is nothing to trim.
    let mut clock = StampedVClock::new();
    for change in 0..1_000_u64 {
        clock.increment_at(change % 3, change).unwrap();
        assert!(clock.trim(change, &EAGER).is_empty());
    }
    assert_eq!(clock.iter().map(|(_, count, _)| count).collect::<Vec<_>>(), [334, 333, 333]);
    // And an actor that is gone for good can go without any trimming.
    let mut clock: VClock<usize> = nodes[0].context().clone();
    assert!(clock.retire(&0) > 0);
    assert_eq!(clock.len(), 2);
}

/// There the floor was looked at once, before the first of many drops.
#[test]
fn fault_18_trimming_never_goes_below_its_floor() {
    let mut clock = seen_at(&(0..60).map(|actor| (actor, actor)).collect::<Vec<_>>());
    let trimmed = clock.trim(1_000_000, &EAGER);
    assert_eq!((clock.len(), trimmed.len()), (10, 50));
    assert!(clock.trim(u64::MAX, &EAGER).is_empty());
    // Nor is the bound of the young looked at only once: all but three are young here.
    let mut clock =
        seen_at(&(0..60).map(|actor| (actor, if actor < 3 { 0 } else { 90 })).collect::<Vec<_>>());
    assert_eq!(clock.trim(100, &EAGER).len(), 3);
}

/// There actors last seen at one time went in the order they had come.
#[test]
fn fault_19_trimming_does_not_depend_on_the_order_of_insertion() {
    let counted = |actors: &mut dyn Iterator<Item = u64>| {
        let mut clock = StampedVClock::new();
        for actor in actors {
            clock.increment_at(actor, 0).unwrap();
        }
        clock
    };
    let (mut forwards, mut backwards) = (counted(&mut (0..40)), counted(&mut (0..40).rev()));
    let policy = TrimPolicy { max_entries: 25, old: Duration::MAX, ..EAGER };
    assert_eq!(forwards.trim(50, &policy), backwards.trim(50, &policy));
    assert_eq!(forwards, backwards);
    assert_eq!(forwards.iter().map(|(actor, ..)| *actor).collect::<Vec<_>>(), (15..40).collect::<Vec<_>>());
}

/// There the map of counts was an object with a prototype, which has a "constructor".
#[test]
fn fault_20_an_empty_clock_knows_no_name_whatever_it_is() {
    let mut clock: VClock<String> = VClock::new();
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", ""] {
        assert_eq!(clock.get(name), 0);
        assert_eq!(clock.increment(name.to_owned()).unwrap().counter(), 1);
    }
    assert_eq!(clock.len(), 5);
}

/// There an entry that counted nothing made a clock later than an empty one, and an empty one not equal.
#[test]
fn fault_21_an_actor_without_events_is_no_entry() {
    let zero: VClock<&str> = [("a", 0)].into_iter().collect();
    let empty = VClock::new();
    assert!(zero.is_empty());
    assert!(empty.descends(&zero) && zero.descends(&empty));
    assert_eq!(zero.compare(&empty), Causality::Equal);
    let stamped: StampedVClock<&str> = [("a", 0, Seen::at(1))].into_iter().collect();
    assert!(stamped.is_empty());
}
