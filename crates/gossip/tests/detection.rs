//! How fast the failure detector finds a frozen host, and whom it suspects in vain, held to the figures that are promised.
//! One seed derives everything, so each run gives the same. `cargo xtask sim --liveness` prints the figures of rings of up to
//! 1,000, beside those of plain SWIM.

use gossip::liveness::Pace;
use gossip::sim::fleet::Soak;
use gossip::sim::liveness::{Measured, Trial};

/// Nodes that are watched for a minute, of which then some are frozen, one after the other.
fn hold(nodes: usize, known_mean_ms: f64, scenario: impl Fn(Trial) -> Trial) -> Measured {
    let mut total = Measured::default();
    for seed in 1..=2 {
        total.add(scenario(Trial::new(nodes, Pace::lan())).freezes(3).run(seed));
    }
    assert_eq!((total.missed, total.false_downs), (0, 0));
    assert!(total.known_mean_ms() <= known_mean_ms, "known after {} ms", total.known_mean_ms());
    total
}

#[test]
fn a_frozen_host_is_known_to_a_hundred_in_time() {
    let measured = hold(100, 7_500.0, |trial| trial);
    assert_eq!(measured.false_suspicions, 0);
}

#[test]
fn nobody_is_down_in_vain_where_a_fifth_of_the_packets_is_lost() {
    hold(100, 7_500.0, |trial| trial.loss(20));
}

/// What is told of a member that is down must not keep those that handle little so busy that they are held for down, too.
#[test]
fn slow_nodes_are_not_told_more_than_they_can_handle() {
    let measured = hold(300, 10_000.0, |trial| trial.slow(10));
    assert_eq!((measured.false_suspicions, measured.overflows), (0, 0));
    assert!(measured.back_percentile_ms(99) <= 2_000, "back after {} ms", measured.back_percentile_ms(99));
}

/// An hour of what `cargo xtask deep liveness` does for days.
#[test]
fn nobody_is_removed_in_vain_and_who_died_is() {
    let soak = Soak::run(26, 1, 1);
    assert_eq!((&soak.removed, soak.killed.len(), soak.is_whole), (&soak.killed, 2, true));
}
