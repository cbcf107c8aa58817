//! Points against a sorted list, with positions that hashing would never give.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../../tests/cases/mod.rs"]
mod cases;

use self::cases::config;
use super::*;

/// Each member has the slot and the id of its number; what is known of it is its points.
#[derive(Clone, Debug)]
enum Step {
    Add(Slot, Vec<u64>),
    Remove(Slot, usize),
}

/// Positions that collide, crowd into one bucket, leave gaps, and touch the ends.
fn position() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0_u64..4,
        (0_u64..4).prop_map(|below| u64::MAX - below),
        (0_u64..300).prop_map(|step| 1 << 60 | step),
        (0_u64..64, 0_u64..3).prop_map(|(bit, add)| (1_u64 << bit).wrapping_add(add)),
    ]
}

fn steps(slots: Slot) -> impl Strategy<Value = Vec<Step>> {
    let (run, most) = if cfg!(miri) { (15, 5) } else { (60, 12) };
    let step = prop_oneof![
        3 => (0..slots, vec(position(), 0..run)).prop_map(|(slot, run)| Step::Add(slot, run)),
        1 => (0..slots, 0..run).prop_map(|(slot, count)| Step::Remove(slot, count)),
    ];
    vec(step, 1..most)
}

/// The naive model: a list, sorted.
type Model = Vec<(u64, Slot)>;

fn take_step(points: &mut Points, model: &mut Model, step: Step, slots: usize) {
    match step {
        Step::Add(slot, mut run) => {
            run.sort_unstable();
            points.insert(&run, slot, slots, |a, b| a.cmp(&b));
            model.extend(run.into_iter().map(|point| (point, slot)));
            model.sort_unstable();
        }
        Step::Remove(slot, count) => {
            let run: Vec<u64> =
                model.iter().filter(|(_, own)| *own == slot).map(|&(point, _)| point).take(count).collect();
            points.remove(&run, slot, slots);
            for point in run {
                let ix = model.iter().position(|&own| own == (point, slot)).expect("it was just found");
                model.remove(ix);
            }
        }
    }
}

/// Compares lookups with the model: one in so many of the tokens at and beside every point, and of these.
fn check(points: &Points, model: &Model, tokens: &[u64], one_in: usize) {
    assert_eq!(points.as_slice(), model.iter().map(|&(point, _)| point).collect::<Vec<_>>());
    let beside = model.iter().flat_map(|&(point, _)| [point.wrapping_sub(1), point, point.wrapping_add(1)]);
    let tokens = beside.chain(tokens.iter().copied()).chain([0, u64::MAX]);
    for token in tokens.step_by(if cfg!(miri) { 11 } else { one_in }) {
        let (ix, slot) = points.find(token);
        assert_eq!(ix, model.partition_point(|&(point, _)| point < token), "{token:x}");
        let expected = model.get(ix).or(model.first());
        match expected {
            Some(&(_, expected)) => assert_eq!(slot, expected, "{token:x}"),
            None => assert!(slot >= u32::from(u16::MAX)),
        }
        if !model.is_empty() {
            let ahead = core::array::from_fn(|steps| model[(ix + steps) % model.len()].1);
            assert_eq!(points.ahead(ix), ahead, "{token:x}");
        }
        let slots = points.find_batch([token, token.wrapping_add(7), !token]);
        assert_eq!(slots, [token, token.wrapping_add(7), !token].map(|token| points.find(token).1));
    }
    let tokens: u128 = (0..points.len()).map(|ix| points.gap(ix)).sum();
    assert_eq!(tokens, if model.is_empty() { 0 } else { 1 << 64 });
}

/// How many of the tokens are looked at after a step that is not the last: a prime other than 3, so that each of the three
/// tokens around a point has its turn.
const ONE_IN: usize = 7;

fn built(points: &[(u64, Slot)], slots: usize) -> Points {
    let positions: Vec<u64> = points.iter().map(|&(point, _)| point).collect();
    Points::build(positions, points.iter().map(|&(_, slot)| slot), slots)
}

fn empty(slots: usize) -> Points {
    built(&[], slots)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_positions_are_found_as_in_a_sorted_list(steps in steps(6), tokens in vec(position(), 20)) {
        let (mut points, mut model) = (empty(6), Model::new());
        for step in steps {
            take_step(&mut points, &mut model, step, 6);
            check(&points, &model, &tokens, ONE_IN);
        }
        check(&points, &model, &tokens, 1);
        let mut reversed = model.clone();
        reversed.reverse();
        check(&built(&reversed, 6), &model, &tokens, ONE_IN);
    }

    #[test]
    fn slots_of_four_bytes_are_found_as_those_of_two(steps in steps(6), tokens in vec(position(), 20)) {
        const FIRST: Slot = 70_000;
        let (mut points, mut model) = (empty(FIRST as usize), Model::new());
        for step in steps {
            let step = match step {
                Step::Add(slot, run) => Step::Add(slot + FIRST, run),
                Step::Remove(slot, count) => Step::Remove(slot + FIRST, count),
            };
            take_step(&mut points, &mut model, step, FIRST as usize + 6);
            check(&points, &model, &tokens, ONE_IN);
        }
        check(&points, &model, &tokens, 1);
    }

    #[test]
    fn a_relabelled_member_keeps_its_points(runs in vec(vec(position(), 0..40), 3)) {
        let mut model = Model::new();
        for (slot, run) in runs.iter().enumerate() {
            model.extend(run.iter().map(|&point| (point, slot as Slot)));
        }
        let mut points = built(&model, 3);
        let mut run = runs[2].clone();
        run.sort_unstable();
        points.relabel(&run, 2, 9);
        for own in model.iter_mut().filter(|own| own.1 == 2) {
            own.1 = 9;
        }
        model.sort_unstable();
        check(&points, &model, &[], 1);
    }
}

// More points in one block of buckets than an offset can count: too many for miri.
#[cfg(not(miri))]
#[test]
fn hashed_points_are_even_and_chosen_ones_are_found_all_the_same() {
    let spread: Vec<(u64, Slot)> =
        (0..50_000_u64).map(|ix| (ix.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0)).collect();
    let mut points = built(&spread, 2);
    assert!(points.index.is_even());

    let crowd: Vec<u64> = (0..60_000).map(|step| 5 << 50 | step).collect();
    let more: Vec<u64> = (0..60_000).map(|step| 6 << 50 | step).collect();
    points.insert(&crowd, 1, 2, |a, b| a.cmp(&b));
    points.insert(&more, 1, 2, |a, b| a.cmp(&b));
    assert!(!points.index.is_even());
    let mut model = spread;
    model.extend(crowd.iter().chain(&more).map(|&point| (point, 1)));
    model.sort_unstable();
    for (ix, &(point, slot)) in model.iter().enumerate().step_by(7) {
        assert_eq!(points.find(point), (ix, slot));
    }

    points.remove(&more, 1, 2);
    points.remove(&crowd, 1, 2);
    assert!(points.index.is_even());
    assert_eq!(points.len(), 50_000);
}

#[test]
fn a_stretch_that_a_removal_lays_bare_is_walked_over() {
    let bits = if cfg!(miri) { 9 } else { 12 };
    let (count, shift) = (1_u64 << bits, u64::BITS - bits);
    // More buckets than points may leave empty in a row, and fewer than would make a smaller index.
    let bare = count / 4..count / 4 + 100;
    let mut model: Model =
        (0..count).map(|ix| (ix << shift | 1 << 50, Slot::from(bare.contains(&ix)))).collect();
    let mut points = built(&model, 2);
    assert!(points.index.is_even());
    let run: Vec<u64> = model.iter().filter(|own| own.1 == 1).map(|own| own.0).collect();
    points.remove(&run, 1, 2);
    assert!(!points.index.is_even());
    model.retain(|own| own.1 == 0);
    let tokens: Vec<u64> = (bare.start - 10..bare.end + 10).map(|ix| ix << shift).collect();
    check(&points, &model, &tokens, 1);
}
