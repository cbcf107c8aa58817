//! The laws the types keep, each on at least a thousand generated cases.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use vclock::strategies::{self, check_merge};
use vclock::{
    CausalContext, Causality, Dot, DotRange, DvvSet, Hlc, HlcClock, StampedVClock, TrimPolicy, VClock,
};

const ACTORS: Range<u8> = 0..9;

/// The same cases in every run; PROPTEST_RNG_SEED and PROPTEST_CASES ask for others and for more. Miri looks at
/// memory rather than at laws, a thousand times slower, and gets fewer.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(2_026),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let cases = if cfg!(miri) { 4 } else { default.cases.max(1_024) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

/// Clocks of none to nine actors, so both kept in place and shared.
fn clock() -> impl Strategy<Value = VClock<u8>> {
    strategies::vclock(ACTORS, 0..12)
}

fn merged(left: &VClock<u8>, right: &VClock<u8>) -> VClock<u8> {
    let mut left = left.clone();
    left.merge(right);
    left
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn law_1_descends_is_a_partial_order(a in clock(), b in clock(), c in clock()) {
        prop_assert!(a.descends(&a));
        prop_assert_eq!(a.descends(&b) && b.descends(&a), a == b);
        prop_assert!(!(a.descends(&b) && b.descends(&c)) || a.descends(&c));
        let (above, top) = (merged(&a, &b), merged(&merged(&a, &b), &c));
        prop_assert!(top.descends(&above) && above.descends(&a) && top.descends(&a));
    }

    #[test]
    fn law_2_compare_agrees_with_descends(a in clock(), b in clock()) {
        for (a, b) in [(&a, &b), (&merged(&a, &b), &b), (&a, &merged(&a, &b))] {
            let expected = match (a.descends(b), b.descends(a)) {
                (true, true) => Causality::Equal,
                (false, true) => Causality::Before,
                (true, false) => Causality::After,
                (false, false) => Causality::Concurrent,
            };
            prop_assert_eq!(a.compare(b), expected);
            prop_assert_eq!(b.compare(a), expected.reverse());
            prop_assert_eq!(a.partial_cmp(b), expected.ordering());
            prop_assert_eq!(a.dominates(b), expected == Causality::After);
            prop_assert_eq!(a.is_concurrent(b), expected == Causality::Concurrent);
        }
    }

    #[test]
    fn law_3_merge_is_the_least_upper_bound(a in clock(), b in clock(), c in clock()) {
        check_merge(&a, &b, &c, |left, right| { left.merge(right); })?;
        prop_assert_eq!(&merged(&a, &VClock::new()), &a);
        prop_assert_eq!(&merged(&VClock::new(), &a), &a);
        let both = merged(&a, &b);
        prop_assert!(both.descends(&a) && both.descends(&b));
        prop_assert!(!(c.descends(&a) && c.descends(&b)) || c.descends(&both));
        prop_assert!(merged(&both, &c).descends(&both));
        prop_assert_eq!(a.clone().merge(&b), both != a);
    }

    #[test]
    fn law_4_meet_is_the_greatest_lower_bound(a in clock(), b in clock(), c in clock()) {
        check_merge(&a, &b, &c, |left, right| *left = left.meet(right))?;
        let shared = a.meet(&b);
        prop_assert!(a.descends(&shared) && b.descends(&shared));
        prop_assert!(!(a.descends(&c) && b.descends(&c)) || shared.descends(&c));
        prop_assert!(shared.descends(&shared.meet(&c)));
        prop_assert_eq!(&a.meet(&merged(&a, &b)), &a);
        prop_assert_eq!(&merged(&a, &shared), &a);
    }

    #[test]
    fn law_5_increment_adds_one_event(a in clock(), actor in ACTORS, other in ACTORS) {
        let mut next = a.clone();
        if let Ok(dot) = next.increment(actor) {
            prop_assert_eq!(a.next_dot(actor), Ok(dot));
            prop_assert!(next.dominates(&a) && next.contains(&dot) && !a.contains(&dot));
            prop_assert_eq!(next.missing_from(&a).collect::<Vec<_>>(), [DotRange::from(dot)]);
            prop_assert!(ACTORS.filter(|other| *other != actor).all(|other| next.get(&other) == a.get(&other)));
            let mut sibling = a.clone();
            if other != actor && sibling.increment(other).is_ok() {
                prop_assert_eq!(sibling.compare(&next), Causality::Concurrent);
            }
        }
    }

    #[test]
    fn law_6_a_clock_contains_the_first_events_of_each_actor(
        a in clock(), b in clock(), dot in strategies::dot(ACTORS)
    ) {
        prop_assert_eq!(a.contains(&dot), a.get(&dot.actor) >= dot.counter());
        prop_assert_eq!(merged(&a, &b).contains(&dot), a.contains(&dot) || b.contains(&dot));
        prop_assert_eq!(a.meet(&b).contains(&dot), a.contains(&dot) && b.contains(&dot));
        let missing = a.missing_from(&b).any(|range| range.contains(&dot));
        prop_assert_eq!(missing, a.contains(&dot) && !b.contains(&dot));
        let mut witnessed = a.clone();
        prop_assert_eq!(witnessed.witness(dot), !a.contains(&dot));
        prop_assert_eq!(witnessed, merged(&a, &[dot].into_iter().collect()));
    }

    #[test]
    fn law_7_the_same_events_are_the_same_clock(
        entries in vec((ACTORS, 1..5_u64), 0..12).prop_shuffle(), shuffled_at in any::<prop::sample::Index>()
    ) {
        let one: VClock<u8> = entries.iter().copied().collect();
        let mut other = VClock::new();
        let start = if entries.is_empty() { 0 } else { shuffled_at.index(entries.len()) };
        for (actor, count) in entries[start..].iter().chain(&entries[..start]) {
            other.witness(Dot::new(*actor, *count).unwrap());
        }
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(hash(&one), hash(&other));
        prop_assert_eq!(one.to_bytes(), other.to_bytes());
        prop_assert_eq!(VClock::from_bytes(&one.to_bytes()), Ok(one.clone()));
        let named: VClock<String> = one.iter().map(|(actor, count)| (actor.to_string(), count)).collect();
        prop_assert_eq!(VClock::from_bytes(&named.to_bytes()), Ok(named));
    }

    #[test]
    fn law_8_trim_keeps_its_bounds(
        clock in strategies::stamped_vclock(ACTORS, 0..12, 0..40_u64),
        (min_entries, max_entries, young, old, now_us) in (0..6_usize, 0..9_usize, 0..20_u64, 0..40_u64, 0..60_u64),
    ) {
        let (young, old) = (Duration::from_micros(young), Duration::from_micros(old));
        let policy = TrimPolicy { min_entries, max_entries, young, old };
        let mut trimmed = clock.clone();
        let dropped = trimmed.trim(now_us, &policy);
        prop_assert!(trimmed <= clock);
        prop_assert_eq!(trimmed.len() + dropped.len(), clock.len());
        prop_assert!(trimmed.len() >= min_entries.min(clock.len()));
        prop_assert!(dropped.iter().all(|entry| clock.get(&entry.actor) == entry.count.get()));
        prop_assert!(dropped.iter().all(|entry| trimmed.get(&entry.actor) == 0));
        let age = |last_us: u64| Duration::from_micros(now_us.saturating_sub(last_us));
        prop_assert!(dropped.iter().all(|entry| age(entry.seen.last_us()) >= young));
        if trimmed.len() > min_entries {
            prop_assert!(trimmed.iter().all(|(.., seen)| age(seen.last_us()) <= old.max(young)));
            let all_old = trimmed.iter().all(|(.., seen)| age(seen.last_us()) >= young);
            prop_assert!(trimmed.len() <= max_entries || !all_old);
        }
        if clock.iter().all(|(.., seen)| age(seen.last_us()) < young) {
            prop_assert!(dropped.is_empty());
        }
        prop_assert!(trimmed.trim(now_us, &policy).is_empty());
        let mut reversed: StampedVClock<u8> =
            clock.iter().map(|(actor, count, seen)| (*actor, count, seen)).collect::<Vec<_>>().into_iter().rev().collect();
        prop_assert_eq!(reversed.trim(now_us, &policy), dropped);
        prop_assert_eq!(reversed.to_bytes(), trimmed.to_bytes());
    }

    #[test]
    fn law_9_a_stamped_merge_keeps_times_too(
        a in strategies::stamped_vclock(ACTORS, 0..12, 0..9_u64),
        b in strategies::stamped_vclock(ACTORS, 0..12, 0..9_u64),
        c in strategies::stamped_vclock(ACTORS, 0..12, 0..9_u64),
    ) {
        /// Equality with times, which the bytes have.
        #[derive(Clone, Debug)]
        struct WithTimes(StampedVClock<u8>);
        impl PartialEq for WithTimes {
            fn eq(&self, other: &Self) -> bool {
                self.0.to_bytes() == other.0.to_bytes()
            }
        }
        let (a, b, c) = (WithTimes(a), WithTimes(b), WithTimes(c));
        check_merge(&a, &b, &c, |left, right| { left.0.merge(&right.0); })?;
        let mut both = a.clone();
        let changed = both.0.merge(&b.0);
        prop_assert_eq!(changed, both != a);
        prop_assert_eq!(both.0.clock(), &merged(a.0.clock(), b.0.clock()));
        for (actor, _, seen) in both.0.iter() {
            let times = [a.0.seen(actor), b.0.seen(actor)];
            prop_assert_eq!(Some(seen.first_us()), times.iter().flatten().map(|seen| seen.first_us()).min());
            prop_assert_eq!(Some(seen.last_us()), times.iter().flatten().map(|seen| seen.last_us()).max());
        }
        let bytes = both.0.to_bytes();
        prop_assert_eq!(StampedVClock::from_bytes(&bytes).map(WithTimes), Ok(both));
    }

    #[test]
    fn law_10_a_value_is_lost_only_to_a_writer_that_saw_it(
        replicas in strategies::dvv_replicas(vec![b'a', b'b', b'c', b'd'], 0..24)
    ) {
        let synced = |left: &mut DvvSet<u8, u32>, right: &DvvSet<u8, u32>| {
            left.sync(right).expect("one dot, one value");
        };
        check_merge(&replicas[0], &replicas[1], &replicas[2], synced)?;
        let (a, b) = (&replicas[0], &replicas[1]);
        let mut both = a.clone();
        prop_assert_eq!(both.sync(&DvvSet::new()), Ok(false));
        let changed = both.sync(b).unwrap();
        prop_assert_eq!(changed, both != *a);
        for (dot, value) in a.siblings().chain(b.siblings()) {
            let seen_and_lost = |set: &DvvSet<_, _>| set.contains(dot) && set.get(dot).is_none();
            prop_assert_eq!(both.get(dot) == Some(value), !seen_and_lost(a) && !seen_and_lost(b));
        }

        let mut all_read = a.clone();
        all_read.write(a.context(), 1_000, b'z').unwrap();
        prop_assert_eq!(all_read.values().collect::<Vec<_>>(), [&1_000]);
        let mut none_read = a.clone();
        none_read.write(&VClock::new(), 1_000, b'z').unwrap();
        prop_assert_eq!(none_read.values().len(), a.values().len() + 1);
        let mut stale = a.clone();
        stale.write(b.context(), 1_000, b'z').unwrap();
        for (dot, value) in a.siblings() {
            prop_assert_eq!(stale.get(dot) == Some(value), !b.context().contains(dot));
        }
        let parts = DvvSet::from_parts(a.context().clone(), a.clone().into_parts().1.into_iter().rev());
        prop_assert_eq!(parts.as_ref(), Ok(a));
        let bytes = a.to_bytes_with(|value, out| out.extend(value.to_be_bytes()));
        let decoded = DvvSet::from_bytes_with(&bytes, |value| Some(u32::from_be_bytes(value.try_into().ok()?)));
        prop_assert_eq!(decoded.as_ref(), Ok(a));
    }

    #[test]
    fn law_11_order_is_inclusion_of_histories(steps in vec((0..6_usize, 0..6_usize), 0..40)) {
        // Six writers; (i, i) is an event of i's own, (i, j) a message from i to j.
        let mut nodes = vec![(VClock::new(), BTreeSet::new()); 6];
        for (from, to) in steps {
            if from == to {
                let dot = nodes[to].0.increment(to as u64).unwrap();
                nodes[to].1.insert(dot);
            } else {
                let (clock, events) = nodes[from].clone();
                nodes[to].0.merge(&clock);
                nodes[to].1.extend(events);
            }
        }
        for (left, left_events) in &nodes {
            for (right, right_events) in &nodes {
                prop_assert_eq!(left <= right, left_events.is_subset(right_events));
            }
            prop_assert_eq!(left.iter().map(|(_, count)| count as usize).sum::<usize>(), left_events.len());
            prop_assert!(left_events.iter().all(|dot| left.contains(dot)));
        }
    }

    #[test]
    fn law_12_overflow_changes_nothing(a in clock(), actor in ACTORS) {
        let mut full = a.clone();
        full.witness(Dot::new(actor, u64::MAX).unwrap());
        let before = full.clone();
        prop_assert!(full.increment(actor).is_err() && full.next_dot(actor).is_err());
        prop_assert_eq!(&full, &before);

        let mut stamped = StampedVClock::new();
        stamped.witness_at(Dot::new(actor, u64::MAX).unwrap(), 5);
        let bytes = stamped.to_bytes();
        prop_assert!(stamped.increment_at(actor, 9).is_err());
        prop_assert_eq!(stamped.to_bytes(), bytes);

        let mut set = DvvSet::new();
        set.write(&VClock::new(), "value", actor).unwrap();
        let unwritten = set.clone();
        prop_assert!(set.write(&full, "other", actor).is_err());
        prop_assert_eq!(set, unwritten);

        let mut hlc = HlcClock::resume(Hlc::new(u64::MAX, u32::MAX));
        prop_assert!(hlc.tick(0).is_err() && hlc.observe(Hlc::default(), u64::MAX).is_err());
        prop_assert_eq!(hlc.latest(), Hlc::new(u64::MAX, u32::MAX));
    }

    #[test]
    fn a_clock_is_a_map_of_counts(steps in vec((0..5_u8, 0..14_u8, 1..6_u64), 0..40), other in clock()) {
        let mut clock = VClock::new();
        let mut model: BTreeMap<u8, u64> = BTreeMap::new();
        for (step, actor, count) in steps {
            // The clone shares the entries: what happens to the clock must not be seen through it.
            let (shared, shared_model) = (clock.clone(), model.clone());
            match step {
                0 => {
                    let next = model.get(&actor).unwrap_or(&0).checked_add(1);
                    prop_assert_eq!(clock.increment(actor).ok().map(|dot| dot.counter()), next);
                    model.extend(next.map(|next| (actor, next)));
                }
                1 => {
                    let before = model.insert(actor, count).unwrap_or(0);
                    model.entry(actor).and_modify(|counter| *counter = before.max(count));
                    prop_assert_eq!(clock.witness(Dot::new(actor, count).unwrap()), before < count);
                }
                2 => prop_assert_eq!(clock.retire(&actor), model.remove(&actor).unwrap_or(0)),
                3 => {
                    clock.merge(&other);
                    for (actor, count) in &other {
                        model.entry(*actor).and_modify(|own| *own = count.max(*own)).or_insert(count);
                    }
                }
                _ => prop_assert_eq!(clock.missing_from(&other).count(),
                    model.iter().filter(|(actor, count)| **count > other.get(*actor)).count()),
            }
            prop_assert_eq!(shared.iter().collect::<Vec<_>>(), shared_model.iter().map(|(a, n)| (a, *n)).collect::<Vec<_>>());
            prop_assert_eq!(clock.iter().collect::<Vec<_>>(), model.iter().map(|(a, n)| (a, *n)).collect::<Vec<_>>());
            prop_assert_eq!((clock.len(), clock.is_empty()), (model.len(), model.is_empty()));
            prop_assert_eq!(&clock, &model.iter().map(|(a, n)| (*a, *n)).collect());
        }
    }

    #[test]
    fn a_context_is_a_set_of_events(
        mut a in strategies::causal_context(0..3_u8, 0..6),
        b in strategies::causal_context(0..3_u8, 0..6),
        c in strategies::causal_context(0..3_u8, 0..6),
        dots in vec((0..3_u8, 1..24_u64), 0..24),
    ) {
        check_merge(&a, &b, &c, |left, right| { left.merge(right); })?;
        let mut both = a.clone();
        prop_assert_eq!(both.merge(&b), both != a);
        prop_assert!(both.covers(&a) && both.covers(&b));
        prop_assert_eq!(a.covers(&b), both == a);
        prop_assert_eq!(a.missing_from(&b).next().is_none(), b.covers(&a));
        let mut told = b.clone();
        for range in a.missing_from(&b) {
            prop_assert!(told.insert_range(range));
            prop_assert!(!told.insert_range(range));
        }
        prop_assert_eq!(&told, &both);
        prop_assert_eq!(CausalContext::from_bytes(&a.to_bytes()), Ok(a.clone()));

        let mut one_by_one: CausalContext<u8> = CausalContext::new();
        let events: BTreeSet<Dot<u8>> = dots.iter().map(|(actor, counter)| Dot::new(*actor, *counter).unwrap()).collect();
        for (actor, counter) in &dots {
            let dot = Dot::new(*actor, *counter).unwrap();
            let new = !one_by_one.contains(&dot);
            prop_assert_eq!(one_by_one.insert(dot), new);
        }
        prop_assert_eq!(&one_by_one, &events.iter().copied().collect());
        for (actor, counter) in (0..3).flat_map(|actor| (1..26).map(move |counter| (actor, counter))) {
            let dot = Dot::new(actor, counter).unwrap();
            prop_assert_eq!(one_by_one.contains(&dot), events.contains(&dot));
            prop_assert_eq!(both.contains(&dot), a.contains(&dot) || b.contains(&dot));
        }
        for actor in 0..3 {
            let latest = events.iter().filter(|dot| dot.actor == actor).map(Dot::counter).max().unwrap_or(0);
            prop_assert_eq!(one_by_one.latest(&actor), latest);
        }
        prop_assert_eq!(a.latest(&1) > 0, a.retire(&1));
        prop_assert!(!a.retire(&1));
        prop_assert!((1..30).all(|counter| !a.contains(&Dot::new(1, counter).unwrap())));
    }

    #[test]
    fn a_hybrid_clock_only_goes_up(start in strategies::hlc(), steps in vec((proptest::option::of(strategies::hlc()), 0..12_u64), 0..20)) {
        let mut clock = HlcClock::resume(start);
        for (remote, now_us) in steps {
            let before = clock.latest();
            let stamped = match remote {
                Some(remote) => clock.observe(remote, now_us).map(|observed| {
                    assert_eq!(observed.ahead_us, remote.wall_us().saturating_sub(now_us));
                    assert!(observed.stamp > remote);
                    observed.stamp
                }),
                None => clock.tick(now_us),
            };
            match stamped {
                Ok(stamp) => {
                    prop_assert!(stamp > before && stamp.wall_us() >= now_us);
                    prop_assert_eq!(clock.latest(), stamp);
                    prop_assert!(stamp.to_bytes() > before.to_bytes());
                    prop_assert_eq!(Hlc::from_bytes(stamp.to_bytes()), stamp);
                }
                Err(_) => prop_assert_eq!(clock.latest(), before),
            }
        }
    }
}

#[test]
#[should_panic(expected = "98 is the actor of two replicas")]
fn replicas_without_an_actor_of_their_own_are_refused() {
    let _ = strategies::dvv_replicas(vec![b'a', b'b', b'b'], 0..4);
}
