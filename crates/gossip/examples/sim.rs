//! Runs the simulator over many seeds and prints what it saw.
//!
//! ```text
//! cargo run --release -p clusterluck-gossip --features sim --example sim -- [--seeds N] [--nodes N] [--seed FIRST] \
//!     [--story NAME] [--without RULE] [--threads N] [--trace 1]
//! ```
//!
//! Seeds are shared out among threads. `--without` takes a rule out of the protocol, to see what it is for.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use gossip::proto::Rule;
use gossip::sim::{Report, Scenario, Story};

/// What the command line says.
#[derive(Clone)]
struct Arguments {
    seeds: u64,
    nodes: usize,
    first: u64,
    trace: bool,
    threads: usize,
    stories: Vec<Story>,
    without: Option<Rule>,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1).collect()) {
        Ok(arguments) => arguments,
        Err(complaint) => {
            eprintln!("{complaint}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0_u64;
    for story in &arguments.stories {
        let (total, failures) = run(&arguments, *story);
        failed += failures;
        println!("{story:?}, {} nodes\n{total}\n", arguments.nodes);
    }
    if let Some(seconds) = cpu_seconds() {
        println!("{seconds:.1} s of processor time");
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All seeds of one story, and how many of them failed.
fn run(arguments: &Arguments, story: Story) -> (Report, u64) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut total, mut failed) = (Report::default(), 0);
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= arguments.seeds {
                return (total, failed);
            }
            match scenario(arguments, story, arguments.first + at).run() {
                Ok(report) => total += report,
                Err(violation) => {
                    failed += 1;
                    println!("{story:?}: {violation}");
                }
            }
        }
    };
    let threads = if arguments.trace { 1 } else { arguments.threads };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = (Report::default(), 0);
        for worker in workers {
            let (report, failed) = worker.join().expect("a run ends with a report or a violation");
            all.0 += report;
            all.1 += failed;
        }
        all
    })
}

fn scenario(arguments: &Arguments, story: Story, seed: u64) -> Scenario {
    let mut scenario = Scenario::new(story, arguments.nodes, seed);
    if arguments.trace {
        scenario = scenario.traced(|at_ms, what| println!("{at_ms:>7} {what}"));
    }
    match arguments.without {
        Some(rule) => scenario.without(rule),
        None => scenario,
    }
}

fn arguments(mut words: VecDeque<String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 1_000,
        nodes: 6,
        first: 0,
        trace: false,
        threads: thread::available_parallelism().map_or(1, usize::from),
        stories: Story::ALL.to_vec(),
        without: None,
    };
    while let Some(name) = words.pop_front() {
        let value = words.pop_front().ok_or(format!("{name} wants a value"))?;
        let number = || value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"));
        let size = || value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"));
        match name.as_str() {
            "--story" => arguments.stories = vec![named(&Story::ALL, &value)?],
            "--without" => arguments.without = Some(named(&Rule::ALL, &value)?),
            "--seeds" => arguments.seeds = number()?,
            "--seed" => arguments.first = number()?,
            "--trace" => arguments.trace = number()? != 0,
            "--nodes" => arguments.nodes = size()?,
            "--threads" => arguments.threads = size()?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

/// The one that is called so.
fn named<T: Copy + std::fmt::Debug>(all: &[T], name: &str) -> Result<T, String> {
    let is_it = |item: &&T| format!("{item:?}").eq_ignore_ascii_case(name);
    all.iter().find(is_it).copied().ok_or(format!("none is called `{name}`: there are {all:?}"))
}

/// What this process has used of the processors, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold spaces; user and system time are the 14th and 15th field of all.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

const USAGE: &str = "usage: sim [--seeds N] [--nodes N] [--seed FIRST] [--story NAME] [--without RULE] [--threads N] [--trace 1]";

/// What Linux counts processor time in, on every architecture in use.
const TICKS_A_SECOND: f64 = 100.0;
