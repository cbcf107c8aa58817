//! What retiring an actor costs, and when it costs nothing.

use proptest::prelude::*;
use vclock::{CausalContext, Causality, Dot, DvvSet, VClock, strategies};

fn clock(counts: &[(&'static str, u64)]) -> VClock<&'static str> {
    counts.iter().copied().collect()
}

fn retired(clock: &VClock<u8>, actor: u8) -> VClock<u8> {
    let mut clock = clock.clone();
    clock.retire(&actor);
    clock
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 1_024 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clocks_that_counted_as_many_events_compare_as_before_once_both_retired(
        mut a in strategies::vclock(0..7_u8, 0..8), mut b in strategies::vclock(0..7_u8, 0..8), gone in 0..7_u8
    ) {
        // Both hear of the actor's last event first.
        if let Some(last) = Dot::new(gone, a.get(&gone).max(b.get(&gone))) {
            a.witness(last);
            b.witness(last);
        }
        let (a_retired, b_retired) = (retired(&a, gone), retired(&b, gone));
        prop_assert_eq!(a_retired.compare(&b_retired), a.compare(&b));
        // Beside one that still counts it, a retired clock is never later, and merging brings the entry back.
        prop_assert!(a.get(&gone) == 0 || !a_retired.descends(&b));
        let mut merged = a_retired;
        merged.merge(&b);
        prop_assert_eq!(merged.get(&gone), b.get(&gone));
    }
}

#[test]
fn until_all_have_retired_an_equal_clock_is_earlier_and_a_later_one_concurrent() {
    let counted = clock(&[("ash", 4), ("gone", 7)]);
    let mut here = counted.clone();
    here.retire("gone");
    assert_eq!(here.compare(&counted), Causality::Before);
    here.increment("ash").unwrap();
    assert_eq!(here.compare(&counted), Causality::Concurrent);
}

#[test]
fn retired_before_all_have_seen_its_last_event_an_actor_hides_a_conflict() {
    let mut stored = clock(&[("ash", 1), ("gone", 7)]);
    let incoming = clock(&[("ash", 2), ("gone", 6)]);
    assert_eq!(incoming.compare(&stored), Causality::Concurrent);
    let mut incoming_retired = incoming;
    stored.retire("gone");
    incoming_retired.retire("gone");
    assert_eq!(incoming_retired.compare(&stored), Causality::After);
}

#[test]
fn a_retired_actor_that_writes_again_is_taken_for_its_past() {
    let counted = clock(&[("gone", 7)]);
    let mut here = counted.clone();
    here.retire("gone");
    let dot = here.increment("gone").unwrap();
    assert!(counted.contains(&dot) && counted.dominates(&here));

    let mut there = DvvSet::new();
    for value in ["first", "second"] {
        there.write(&there.context().clone(), value, "gone").unwrap();
    }
    there.write(&there.context().clone(), "third", "ash").unwrap();
    let mut here = there.clone();
    assert!(here.retire(&"gone"));
    here.write(&here.context().clone(), "again", "gone").unwrap();
    here.sync(&there).unwrap();
    assert_eq!(here.values().count(), 0, "its write is lost, and what that replaced too");
}

#[test]
fn a_value_comes_back_from_a_copy_that_never_met_its_replacement() {
    let mut here = DvvSet::new();
    here.write(&VClock::new(), "old", "gone").unwrap();
    let unaware = here.clone();
    assert!(!here.retire(&"gone"), "its value is still there");
    here.write(&here.context().clone(), "new", "ash").unwrap();
    let aware = here.clone();

    assert!(here.retire(&"gone"));
    assert_eq!(here.sync(&unaware), Ok(true));
    assert_eq!(here.values().collect::<Vec<_>>(), [&"new", &"old"]);

    // From one that met it the entry comes back, and no value.
    let mut here = aware.clone();
    assert!(here.retire(&"gone"));
    assert_eq!(here.sync(&aware), Ok(true));
    assert_eq!(here, aware);
}

#[test]
fn events_of_a_retired_actor_look_new_to_a_context() {
    let event = Dot::new("gone", 2).unwrap();
    let mut seen: CausalContext<_> = [Dot::new("gone", 1).unwrap(), event].into_iter().collect();
    let other = seen.clone();
    assert!(seen.retire(&"gone"));
    assert!(!seen.contains(&event) && seen.insert(event));
    assert!(seen.merge(&other));
    assert_eq!(seen, other);
}
