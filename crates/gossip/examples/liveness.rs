//! Prints how fast failures are seen and how often they are imagined, beside plain SWIM in the same scenarios.
//!
//! ```text
//! cargo xtask sim --liveness [--least N] [--nodes N] [--seed S] [--runs R] [--only TABLE] [--soak H]
//! ```
//!
//! `--least` and `--nodes` are the smallest and the largest cluster (default 10 and 1,000), `--runs` how many seeds of
//! each row (default 3), `--only` one of the tables `loss`, `pauses`, `slow` and `pace` (default all).
//! `--soak H` simulates H hours of 50 whole nodes under a removal policy instead, and fails if anyone was removed but who
//! had ended for good.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use gossip::liveness::Pace;
use gossip::sim::fleet::Soak;
use gossip::sim::liveness::{Measured, Trial};

struct Arguments {
    least: usize,
    nodes: usize,
    seed: u64,
    runs: u64,
    only: Option<Table>,
    soak: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Table {
    Loss,
    Pauses,
    Slow,
    Pace,
}

impl Table {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "loss" => Self::Loss,
            "pauses" => Self::Pauses,
            "slow" => Self::Slow,
            "pace" => Self::Pace,
            _ => return None,
        })
    }
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1).collect()) {
        Ok(arguments) if arguments.soak > 0 => soak(arguments.seed, arguments.soak),
        Ok(arguments) => {
            tables(&arguments);
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: sim --liveness [--least N] [--nodes N] [--seed S] [--runs R] \
                 [--only loss|pauses|slow|pace] [--soak H]"
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
    // As quick as ours at its quickest, and as patient as ours at its most patient.
    let patient = Pace::plain_swim().suspicion(Duration::from_secs(12), 1);
    let beside =
        [("ours", Pace::lan()), ("plain SWIM, 2 s", Pace::plain_swim()), ("plain SWIM, 12 s", patient)];
    let compare = |nodes, name: &str, scenario: fn(Trial) -> Trial| {
        beside.iter().for_each(|(detector, pace)| row(arguments, nodes, name, (detector, pace), scenario));
    };
    let wanted = |table| arguments.only.is_none_or(|only| only == table);
    if wanted(Table::Loss) {
        heading("loss");
        for nodes in &sizes {
            compare(*nodes, "0 %", |trial| trial);
            compare(*nodes, "5 %", |trial| trial.loss(5));
            compare(*nodes, "20 %", |trial| trial.loss(20));
            compare(*nodes, "30 %", |trial| trial.loss(30));
        }
    }
    if wanted(Table::Pauses) {
        heading("pauses of 1-10 s, one every");
        for nodes in &sizes {
            compare(*nodes, "30 s, 0 % loss", |trial| trial.pauses(30_000));
            compare(*nodes, "30 s, 5 % loss", |trial| trial.pauses(30_000).loss(5));
        }
    }
    if wanted(Table::Slow) {
        heading("slow nodes (25 messages a second)");
        for nodes in &sizes {
            compare(*nodes, "10 %, 0 % loss", |trial| trial.slow(10));
            compare(*nodes, "10 %, 5 % loss", |trial| trial.slow(10).loss(5));
        }
    }
    if wanted(Table::Pace) {
        heading("pace");
        for nodes in sizes.iter().filter(|nodes| **nodes <= 100) {
            paces(arguments, *nodes);
        }
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
        "\n| nodes | {scenario} | detector | known mean | p99 | back p99 | watched | suspicions | downs | of slow | in pauses | no room | B/node/s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
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
        "| {nodes} | {name} | {detector} | {:.0}{missed} | {} | {} | {} s | {} | {} | {} | {} of {} | {} | {:.0} |",
        total.known_mean_ms(),
        total.known_percentile_ms(99),
        total.back_percentile_ms(99),
        total.calm_ms / 1_000,
        total.false_suspicions,
        total.false_downs,
        total.false_downs_of_slow,
        total.downs_in_pauses,
        total.pauses,
        total.overflows,
        total.bytes_a_node_a_second(nodes),
    );
}

/// Fifty nodes that remove whom they have not heard for ten minutes, for so many hours.
fn soak(seed: u64, hours: u64) -> ExitCode {
    let Soak { removed, killed, is_whole, partitions, frames } = Soak::run(50, hours, seed);
    println!(
        "seed {seed}: {hours} h, 50 nodes, 5 % loss, a pause each minute, {partitions} partitions, {frames} frames: \
         removed {removed:?}, of whom {killed:?} had ended; {}",
        if is_whole { "all agree" } else { "they do not agree" }
    );
    if removed == killed && is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut words: VecDeque<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { least: 0, nodes: 1_000, seed: 1, runs: RUNS, only: None, soak: 0 };
    while let Some(name) = words.pop_front() {
        let value = words.pop_front().ok_or(format!("{name} wants a value"))?;
        if name == "--only" {
            arguments.only = Some(Table::named(&value).ok_or(format!("no table is called `{value}`"))?);
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"))?;
        match name.as_str() {
            "--nodes" => arguments.nodes = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--least" => arguments.least = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--seed" => arguments.seed = number,
            "--runs" => arguments.runs = number.max(1),
            "--soak" => arguments.soak = number,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

/// Seeds of each row: one alone says little of what is left to chance.
const RUNS: u64 = 3;
