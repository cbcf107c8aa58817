//! Prints how fast a change spreads through a ring, what it costs, and what a ring costs in which nothing happens.
//!
//! ```text
//! cargo xtask sim --figures [--least N] [--nodes N] [--seed S] [--runs R] [--minute 1]
//! ```
//!
//! `--least` and `--nodes` are the smallest and the largest ring (10 and 5,000), `--runs` how many seeds of each (5).
//! `--minute 1` measures instead how long this machine takes for a minute of `--nodes` nodes (then 1,000).

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Instant;

use gossip::sim::fleet::{Fleet, Spread, Traffic};

struct Arguments {
    least: usize,
    nodes: Option<usize>,
    seed: u64,
    runs: u64,
    minute: bool,
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1).collect()) {
        Ok(arguments) if arguments.minute => minute(&arguments),
        Ok(arguments) => tables(&arguments),
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: sim --figures [--least N] [--nodes N] [--seed S] [--runs R] [--minute 1]"
            );
            ExitCode::FAILURE
        }
    }
}

/// What the rings of one size came to.
#[derive(Default)]
struct Measured {
    /// Ticks until all had an insert, of each insert.
    ticks: Vec<u64>,
    rumours: u64,
    answers: u64,
    bytes: u64,
    missed: u64,
    idle: f64,
}

fn tables(arguments: &Arguments) -> ExitCode {
    let most = arguments.nodes.unwrap_or(5_000);
    println!(
        "Seeds from {}, {} of each, 0 to 2 % of packets lost. A tick is 100 ms.\n",
        arguments.seed, arguments.runs
    );
    println!(
        "| nodes | inserts | ticks to 100 % p50 | p99 | rumours a node an event | with answers | kB an insert | idle B/node/s | missed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut missed = 0;
    for nodes in [10, 100, 1_000, 5_000].into_iter().filter(|nodes| (arguments.least..=most).contains(nodes))
    {
        let mut measured = Measured::default();
        for seed in arguments.seed..arguments.seed + arguments.runs {
            spread(nodes, seed, &mut measured);
        }
        measured.ticks.sort_unstable();
        let inserts = measured.ticks.len().max(1) as f64;
        let each = inserts * nodes as f64;
        println!(
            "| {nodes} | {inserts} | {} | {} | {:.2} | {:.2} | {:.1} | {:.0} | {} |",
            percentile(&measured.ticks, 50),
            percentile(&measured.ticks, 99),
            measured.rumours as f64 / each,
            (measured.rumours + measured.answers) as f64 / each,
            measured.bytes as f64 / inserts / 1_000.0,
            measured.idle / arguments.runs as f64,
            measured.missed,
        );
        missed += measured.missed;
    }
    println!("\n| nodes | all meet the first at once, ms until all know all | kB a node |\n|---|---|---|");
    for nodes in [10, 100, 1_000].into_iter().filter(|nodes| (arguments.least..=most).contains(nodes)) {
        let mut times: Vec<_> = Vec::new();
        let mut bytes = 0;
        // One seed takes long enough.
        for seed in arguments.seed..arguments.seed + if nodes < 1_000 { arguments.runs } else { 1 } {
            match Fleet::strangers(nodes, seed % 3, seed).bootstrap() {
                Some(Spread { all_ms, traffic, .. }) => {
                    times.push(all_ms);
                    bytes += traffic.total().bytes;
                }
                None => missed += 1,
            }
        }
        let share = bytes as f64 / times.len().max(1) as f64 / nodes as f64 / 1_000.0;
        println!("| {nodes} | {times:?} | {share:.1} |");
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A ring in which nothing happens for a while, and then some inserts.
fn spread(nodes: usize, seed: u64, measured: &mut Measured) {
    let mut fleet = Fleet::settled(nodes, seed % 3, seed);
    fleet.run_for(SETTLED_MS);
    let before = fleet.traffic();
    fleet.run_for(IDLE_MS);
    let idle: Traffic = fleet.traffic() - before;
    measured.idle += idle.total().bytes as f64 / nodes as f64 / (IDLE_MS as f64 / 1_000.0);
    let inserts = if nodes < 1_000 { 40 } else { 10 };
    for at in 0..inserts {
        match fleet.insert(at * 7 % nodes) {
            Some(Spread { all_ms, traffic, .. }) => {
                measured.ticks.push(all_ms.div_ceil(TICK_MS));
                measured.rumours += traffic.rumours.frames;
                measured.answers += traffic.answers.frames;
                measured.bytes += traffic.of_changes().bytes;
            }
            None => measured.missed += 1,
        }
    }
}

/// How long a minute takes.
#[expect(clippy::disallowed_methods, reason = "the clock of this machine is what is measured")]
fn minute(arguments: &Arguments) -> ExitCode {
    let nodes = arguments.nodes.unwrap_or(1_000);
    let mut fleet = Fleet::settled(nodes, 1, arguments.seed);
    let began = Instant::now();
    let before = fleet.traffic();
    for second in 0..60 {
        if second % 10 == 5 && fleet.insert(second % nodes).is_none() {
            println!("an insert did not reach every node within a minute");
            return ExitCode::FAILURE;
        }
        fleet.run_for(1_000);
    }
    let frames = (fleet.traffic() - before).total().frames;
    println!(
        "{nodes} nodes, a minute and more with 6 inserts, {frames} frames: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn arguments(mut words: VecDeque<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { least: 0, nodes: None, seed: 1, runs: 5, minute: false };
    while let Some(name) = words.pop_front() {
        let value = words.pop_front().ok_or(format!("{name} wants a value"))?;
        let number: u64 = value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"))?;
        match name.as_str() {
            "--nodes" => arguments.nodes = Some(usize::try_from(number).map_err(|_| "too many nodes")?),
            "--least" => arguments.least = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--seed" => arguments.seed = number,
            "--runs" => arguments.runs = number.max(1),
            "--minute" => arguments.minute = number != 0,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

/// What a figure counts time in.
const TICK_MS: u64 = 100;

/// How long a ring is left alone at first.
const SETTLED_MS: u64 = 5_000;

/// How long it is watched while nothing happens.
const IDLE_MS: u64 = 10_000;
