//! Prints how fast failures are seen and how often they are imagined, beside plain SWIM in the same scenarios.
//!
//! ```text
//! cargo xtask sim --liveness [--least N] [--nodes N] [--seed S] [--runs R] [--soak 1]
//! ```
//!
//! `--least` and `--nodes` are the smallest and the largest cluster (default 10 and 1,000), `--runs` how many seeds of
//! each row (default 3). `--soak 1` simulates a day of 50 nodes under a removal policy instead, and fails if it would
//! have removed anyone.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use gossip::liveness::{Pace, RemoveAfter};
use gossip::sim::liveness::{Measured, Trial};

struct Arguments {
    least: usize,
    nodes: usize,
    seed: u64,
    runs: u64,
    soak: bool,
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1).collect()) {
        Ok(arguments) if arguments.soak => soak(arguments.seed),
        Ok(arguments) => {
            tables(&arguments);
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: sim --liveness [--least N] [--nodes N] [--seed S] [--runs R] [--soak 1]"
            );
            ExitCode::FAILURE
        }
    }
}

fn tables(arguments: &Arguments) {
    let sizes: Vec<_> = [10, 100, 300, 1_000]
        .into_iter()
        .filter(|nodes| (arguments.least..=arguments.nodes).contains(nodes))
        .collect();
    println!(
        "Seeds from {}, {} of each. Times in ms: frozen until all know, thawed until all know.",
        arguments.seed, arguments.runs
    );
    println!("False alarms are of nodes that ran: suspected, or said to be down.\n");
    let beside = [("ours", Pace::lan()), ("plain SWIM", Pace::plain_swim())];
    let compare = |nodes, name: &str, scenario: fn(Trial) -> Trial| {
        beside.iter().for_each(|(detector, pace)| row(arguments, nodes, name, (detector, pace), scenario));
    };
    heading("loss");
    for nodes in &sizes {
        compare(*nodes, "0 %", |trial| trial);
        compare(*nodes, "5 %", |trial| trial.loss(5));
        compare(*nodes, "20 %", |trial| trial.loss(20));
        compare(*nodes, "30 %", |trial| trial.loss(30));
    }
    heading("pauses of 1-10 s, one every");
    for nodes in &sizes {
        compare(*nodes, "30 s, 0 % loss", |trial| trial.pauses(30_000));
        compare(*nodes, "30 s, 5 % loss", |trial| trial.pauses(30_000).loss(5));
    }
    heading("slow nodes (50 messages a second)");
    for nodes in &sizes {
        compare(*nodes, "10 %, 0 % loss", |trial| trial.slow(10));
        compare(*nodes, "10 %, 5 % loss", |trial| trial.slow(10).loss(5));
    }
    heading("pace");
    for nodes in sizes.iter().filter(|nodes| **nodes <= 100) {
        paces(arguments, *nodes);
    }
}

/// What each pace is for, beside the others.
fn paces(arguments: &Arguments, nodes: usize) {
    let (lan, wan, busy) = (("lan", Pace::lan()), ("wan", Pace::wan()), ("busy", Pace::busy()));
    let rows = |name: &str, paces: &[&(&str, Pace)], scenario: fn(Trial) -> Trial| {
        paces.iter().for_each(|(pace_name, pace)| row(arguments, nodes, name, (pace_name, pace), scenario));
    };
    rows("one network", &[&lan, &wan, &busy], |trial| trial);
    rows("round trips of 100-400 ms, 2 % loss", &[&lan, &wan], |trial| trial.delay(50, 200).loss(2));
    rows("a pause of 1-10 s every 5 s", &[&lan, &busy], |trial| trial.pauses(5_000));
}

fn heading(scenario: &str) {
    println!(
        "\n| nodes | {scenario} | detector | known mean | p99 | back p99 | watched | suspicions | downs | of slow | in pauses | B/node/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
}

fn row(
    arguments: &Arguments,
    nodes: usize,
    name: &str,
    (detector, pace): (&str, &Pace),
    scenario: fn(Trial) -> Trial,
) {
    // A thousand nodes do in a minute what a hundred do in ten.
    let calm_ms = if nodes < 1_000 { 300_000 } else { 60_000 };
    let mut total = Measured::default();
    for seed in arguments.seed..arguments.seed + arguments.runs {
        total.add(scenario(Trial::new(nodes, pace.clone()).calm_ms(calm_ms)).run(seed));
    }
    let missed = if total.missed > 0 { format!(" ({} missed)", total.missed) } else { String::new() };
    println!(
        "| {nodes} | {name} | {detector} | {:.0}{missed} | {} | {} | {} s | {} | {} | {} | {} of {} | {:.0} |",
        total.known_mean_ms(),
        total.known_percentile_ms(99),
        total.back_percentile_ms(99),
        total.calm_ms / 1_000,
        total.false_suspicions,
        total.false_downs,
        total.false_downs_of_slow,
        total.downs_in_pauses,
        total.pauses,
        total.bytes_a_node_a_second(nodes),
    );
}

/// A day of fifty nodes at 5 % loss, with a pause somewhere every minute.
fn soak(seed: u64) -> ExitCode {
    let policy = RemoveAfter { after: Duration::from_secs(600), max_per_hour: 10 };
    let trial =
        Trial::new(50, Pace::lan()).loss(5).pauses(60_000).policy(policy).calm_ms(86_400_000).freezes(0);
    let measured = trial.run(seed);
    println!(
        "seed {seed}: 24 h, 50 nodes, 5 % loss, {} pauses, {} resets: {} suspected and {} said down while they ran, {} down in a pause, {} removed",
        measured.pauses,
        measured.resets,
        measured.false_suspicions,
        measured.false_downs,
        measured.downs_in_pauses,
        measured.removals
    );
    if measured.removals == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut words: VecDeque<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { least: 0, nodes: 1_000, seed: 1, runs: RUNS, soak: false };
    while let Some(name) = words.pop_front() {
        let value = words.pop_front().ok_or(format!("{name} wants a value"))?;
        let number: u64 = value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"))?;
        match name.as_str() {
            "--nodes" => arguments.nodes = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--least" => arguments.least = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--seed" => arguments.seed = number,
            "--runs" => arguments.runs = number.max(1),
            "--soak" => arguments.soak = number != 0,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

/// Seeds of each row: one alone says little of what is left to chance.
const RUNS: u64 = 3;
