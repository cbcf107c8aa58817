//! What the types promise each other, in single cases; `laws.rs` has the general ones.

use std::time::Duration;

use vclock::{
    CausalContext, Causality, Dot, DotRange, DotReused, DvvSet, Hlc, HlcClock, PartsError, Seen,
    StampedVClock, TrimPolicy, Trimmed, VClock, WriteError,
};

fn clock(counts: &[(&'static str, u64)]) -> VClock<&'static str> {
    counts.iter().copied().collect()
}

fn dot(actor: &'static str, counter: u64) -> Dot<&'static str> {
    Dot::new(actor, counter).expect("counters start at 1")
}

fn range(actor: &'static str, first: u64, last: u64) -> DotRange<&'static str> {
    DotRange::new(actor, first, last).expect("a run")
}

#[test]
fn the_four_outcomes_of_a_comparison() {
    let seen = clock(&[("a", 2), ("b", 1)]);
    assert_eq!(seen.compare(&clock(&[("b", 1), ("a", 2)])), Causality::Equal);
    assert_eq!(seen.compare(&clock(&[("a", 2), ("b", 1), ("c", 1)])), Causality::Before);
    assert_eq!(seen.compare(&clock(&[("b", 1)])), Causality::After);
    assert_eq!(seen.compare(&clock(&[("a", 3)])), Causality::Concurrent);
    assert_eq!(seen.partial_cmp(&clock(&[("a", 3)])), None);
}

#[test]
fn an_overflowing_counter_is_refused_and_the_clock_unchanged() {
    let mut full = clock(&[("a", u64::MAX), ("b", 1)]);
    let before = full.clone();
    assert!(full.increment("a").is_err());
    assert!(full.next_dot("a").is_err());
    assert_eq!(full, before);

    let mut context = CausalContext::from(full.clone());
    assert!(!context.insert(dot("a", u64::MAX)));
    assert!(context.next_dot("a").is_err());
    assert_eq!(context.missing_from(&CausalContext::new()).count(), 2);
    assert_eq!(CausalContext::new().missing_from(&context).count(), 0);

    let mut set = DvvSet::new();
    assert!(matches!(set.write(&full, "value", "a"), Err(WriteError::Overflow(_))));
    assert_eq!(set, DvvSet::new());
}

/// Nobody has seen more of an actor's events than it made: who asks for that first is not caught.
#[test]
fn a_clock_that_is_believed_can_use_up_a_counter() {
    let mut own = clock(&[("ash", 3), ("birch", 1)]);
    let hostile = clock(&[("ash", u64::MAX)]);
    assert!(hostile.get("ash") > own.get("ash"), "what a careful node refuses");
    assert!(own.merge(&hostile));
    assert!(own.increment("ash").is_err() && own.increment_ref(&"ash").is_err());
    assert_eq!(own.increment("birch").unwrap(), dot("birch", 2));
}

#[test]
fn counting_by_reference_is_counting() {
    let (mut by_value, mut by_reference) = (VClock::<String>::new(), VClock::<String>::new());
    for actor in ["d", "b", "e", "a", "c", "b", "f", "a", "b"] {
        let dot = by_value.increment(actor.to_owned()).unwrap();
        assert_eq!(by_reference.increment_ref(actor), Ok(dot.counter));
        assert_eq!(by_value, by_reference);
    }
}

/// Strings are searched for in another way than numbers; neither may matter.
#[test]
fn every_actor_is_found_and_every_other_is_not_whatever_its_type() {
    for actors in 0..if cfg!(miri) { 8 } else { 40_u64 } {
        let numbers: VClock<u64> = (0..actors).map(|actor| (2 * actor, actor + 1)).collect();
        let name = |actor: u64| format!("{actor:03}");
        let names: VClock<String> = numbers.iter().map(|(actor, count)| (name(*actor), count)).collect();
        for actor in 0..2 * actors + 2 {
            let expected = if actor % 2 == 0 && actor < 2 * actors { actor / 2 + 1 } else { 0 };
            assert_eq!((numbers.get(&actor), names.get(&name(actor))), (expected, expected));
            let (mut numbers, mut names) = (numbers.clone(), names.clone());
            assert_eq!(numbers.increment(actor).unwrap().counter(), expected + 1);
            assert_eq!(names.increment_ref(&name(actor)).unwrap().get(), expected + 1);
            assert!(
                names
                    .iter()
                    .map(|(actor, count)| (actor.clone(), count))
                    .eq(numbers.iter().map(|(actor, count)| (name(*actor), count)))
            );
        }
    }
}

#[test]
fn missing_events_are_the_ones_to_send() {
    let here = clock(&[("a", 5), ("b", 2), ("d", 1)]);
    let there = clock(&[("a", 3), ("b", 2), ("c", 9)]);
    assert_eq!(here.missing_from(&there).collect::<Vec<_>>(), [range("a", 4, 5), range("d", 1, 1)]);
    assert_eq!(here.meet(&there), clock(&[("a", 3), ("b", 2)]));
}

#[test]
fn an_event_out_of_turn_waits_until_its_gap_closes() {
    let mut seen = CausalContext::new();
    for counter in [5, 2, 9, 4, 3] {
        assert!(seen.insert(dot("a", counter)));
        assert!(!seen.insert(dot("a", counter)));
    }
    assert_eq!(seen.ahead().copied().collect::<Vec<_>>(), [range("a", 2, 5), range("a", 9, 9)]);
    assert_eq!(seen.latest(&"a"), 9);
    assert_eq!(seen.next_dot("a"), Ok(dot("a", 10)));
    assert!(seen.clock().is_empty());

    assert!(seen.insert(dot("a", 1)));
    assert_eq!(seen.clock().get("a"), 5);
    assert!(!seen.is_compact());
    assert!(seen.insert_range(range("a", 3, 8)));
    assert_eq!(seen, CausalContext::from(clock(&[("a", 9)])));
}

#[test]
fn a_context_tells_exactly_the_runs_another_lacks() {
    let here: CausalContext<_> =
        [range("a", 1, 10), range("b", 4, 8), range("b", 12, 12)].into_iter().collect();
    let there: CausalContext<_> =
        [range("a", 1, 2), range("a", 5, 6), range("b", 5, 5), range("b", 7, 20)].into_iter().collect();
    let missing: Vec<_> = here.missing_from(&there).collect();
    assert_eq!(missing, [range("a", 3, 4), range("a", 7, 10), range("b", 4, 4), range("b", 6, 6)]);

    let mut joined = there.clone();
    assert!(joined.merge(&here));
    assert!(joined.covers(&here) && joined.covers(&there) && !there.covers(&here));
    assert_eq!(joined.missing_from(&there).collect::<Vec<_>>(), missing);
    assert!(joined.retire(&"b") && !joined.retire(&"b"));
    assert_eq!(joined, CausalContext::from(clock(&[("a", 10)])));
}

#[test]
fn a_write_replaces_what_its_writer_read_and_nothing_else() {
    let mut set = DvvSet::new();
    let nothing = VClock::new();
    set.write_at(&nothing, "old", dot("a", 3)).unwrap();
    let read = set.context().clone();
    set.write_at(&read, "left", dot("a", 8)).unwrap();
    set.write_at(&read, "right", dot("b", 2)).unwrap();
    let siblings: Vec<_> = set.siblings().map(|(dot, value)| (*dot, *value)).collect();
    assert_eq!(siblings, [(dot("a", 8), "left"), (dot("b", 2), "right")]);
    assert!(set.contains(&dot("a", 3)));
    assert_eq!(set.get(&dot("a", 3)), None);

    assert_eq!(set.reconcile(dot("c", 1), |values| values.copied().max().unwrap()), Ok(true));
    assert_eq!(set.values().collect::<Vec<_>>(), [&"right"]);
    assert_eq!(set.reconcile(dot("c", 2), |_| unreachable!()), Ok(false));
    assert_eq!(*set.context(), clock(&[("a", 8), ("b", 2), ("c", 1)]));
}

#[test]
fn siblings_are_not_settled_by_an_event_of_the_past() {
    let mut set = DvvSet::new();
    set.write_at(&VClock::new(), "left", dot("a", 3)).unwrap();
    set.write_at(&VClock::new(), "right", dot("b", 1)).unwrap();
    let before = set.clone();
    for used in [dot("a", 3), dot("b", 1), dot("a", 2)] {
        let refused = set.reconcile(used, |_| unreachable!("it is refused before"));
        assert_eq!(refused, Err(WriteError::Covered(used)));
        assert_eq!(set, before);
    }
    assert_eq!(set.reconcile(dot("a", 4), |_| "left"), Ok(true));
    assert_eq!(set.values().collect::<Vec<_>>(), [&"left"]);
}

#[test]
fn one_event_writes_one_value() {
    let mut set = DvvSet::new();
    set.write_at(&VClock::new(), "value", dot("a", 2)).unwrap();
    let before = set.clone();
    let nothing = VClock::new();
    assert_eq!(set.write_at(&nothing, "value", dot("a", 2)), Ok(false));
    let reused = DotReused { dot: dot("a", 2) };
    assert_eq!(set.write_at(&nothing, "other", dot("a", 2)), Err(WriteError::Reused(reused)));
    assert_eq!(set.write_at(&nothing, "value", dot("a", 1)), Err(WriteError::Covered(dot("a", 1))));
    let ahead = clock(&[("a", 9)]);
    assert_eq!(set.write_at(&ahead, "value", dot("a", 9)), Err(WriteError::Covered(dot("a", 9))));

    let twin = DvvSet::from_parts(clock(&[("a", 2), ("b", 1)]), [(dot("a", 2), "other")]).unwrap();
    assert_eq!(set.sync(&twin), Err(reused));
    assert_eq!(set, before);
}

#[test]
fn a_value_seen_and_replaced_elsewhere_does_not_come_back() {
    let mut here = DvvSet::new();
    here.write(&VClock::new(), "first", "a").unwrap();
    let stale = here.clone();
    let mut there = here.clone();
    there.write(&stale.context().clone(), "second", "b").unwrap();
    assert_eq!(here.sync(&there), Ok(true));
    assert_eq!(here, there);
    assert_eq!(here.sync(&stale), Ok(false));
    assert_eq!(here.values().collect::<Vec<_>>(), [&"second"]);
    assert!(!here.retire(&"b"));
    assert!(here.retire(&"a"));
}

#[test]
fn a_write_brings_along_what_its_writer_had_read_elsewhere() {
    let mut there = DvvSet::new();
    there.write(&VClock::new(), "old", "b").unwrap();
    let mut here = DvvSet::new();
    here.write(there.context(), "new", "a").unwrap();
    assert_eq!(here.sync(&there), Ok(false));
    assert_eq!(here.values().collect::<Vec<_>>(), [&"new"]);
}

#[test]
fn the_last_writer_is_a_view_that_drops_nothing() {
    let parts = [(dot("b", 1), 7), (dot("a", 1), 7), (dot("c", 1), 3)];
    let set = DvvSet::from_parts(clock(&[("a", 1), ("b", 1), ("c", 1)]), parts).unwrap();
    assert_eq!(set.lww_by(Ord::cmp), Some((&dot("b", 1), &7)));
    assert_eq!(set.values().len(), 3);
}

#[test]
fn a_clock_set_back_loses_no_time_already_seen() {
    let mut clock = StampedVClock::new();
    for now_us in [50, 70, 20] {
        clock.increment_at("a", now_us).unwrap();
    }
    assert_eq!((clock.get("a"), clock.seen("a")), (3, Seen::between(50, 70)));
    assert!(!clock.witness_at(dot("a", 2), 90));
    assert_eq!(clock.seen("a"), Seen::between(50, 70), "nothing new was seen");
    assert_eq!(clock.retire("a"), 3);
    assert_eq!((clock.len(), clock.seen("a")), (0, None));
}

#[test]
fn an_actor_dated_ahead_stays_until_its_date_has_passed() {
    let policy = TrimPolicy { min_entries: 0, max_entries: 0, ..TrimPolicy::default() };
    let mut clock = StampedVClock::new();
    clock.increment_at("past", 0).unwrap();
    clock.increment_at("ahead", 1_000_000_000_000).unwrap();
    let dropped =
        |trimmed: Trimmed<&'static str>| trimmed.iter().map(|entry| entry.actor).collect::<Vec<_>>();
    assert_eq!(dropped(clock.trim(999_999_999_999, &policy)), ["past"]);
    assert_eq!(dropped(clock.trim(1_000_019_999_999, &policy)), [""; 0], "young for 20 s from then on");
    assert_eq!(dropped(clock.trim(1_000_020_000_000, &policy)), ["ahead"]);
    // One dated at the end of time is never old.
    clock.increment_at("never", u64::MAX).unwrap();
    assert!(clock.trim(u64::MAX - 1, &policy).is_empty());
    // And where nothing counts as young it is last to go, not kept.
    let policy = TrimPolicy { young: Duration::ZERO, ..policy };
    assert_eq!(dropped(clock.trim(0, &policy)), ["never"]);
}

#[test]
fn a_full_logical_counter_carries_into_the_wall_time() {
    let mut clock = HlcClock::resume(Hlc::new(7, u32::MAX - 1));
    assert_eq!(clock.tick(3), Ok(Hlc::new(7, u32::MAX)));
    assert_eq!(clock.tick(3), Ok(Hlc::new(8, 0)));
    let observed = clock.observe(Hlc::new(20, u32::MAX), 5).unwrap();
    assert_eq!((observed.stamp, observed.ahead_us), (Hlc::new(21, 0), 15));
    assert_eq!(clock.tick(22), Ok(Hlc::new(22, 0)));
}

#[test]
fn parts_that_no_history_leads_to_are_refused() {
    let context = clock(&[("a", 2)]);
    let uncovered = DvvSet::from_parts(context.clone(), [(dot("a", 3), ())]);
    assert_eq!(uncovered, Err(PartsError::Uncovered(dot("a", 3))));
    let twice = DvvSet::from_parts(context, [(dot("a", 2), ()), (dot("a", 2), ())]);
    assert_eq!(twice, Err(PartsError::Duplicate(dot("a", 2))));
}
