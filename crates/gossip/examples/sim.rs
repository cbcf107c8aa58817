//! Runs the simulator over many seeds and prints what it saw.
//!
//! ```text
//! cargo run --release -p clusterluck-gossip --features sim --example sim -- [--seeds N] [--nodes N] [--seed FIRST] [--story NAME] [--trace 1]
//! ```

use std::collections::VecDeque;
use std::process::ExitCode;

use gossip::sim::{Report, Scenario, Story};

/// What the command line says.
struct Arguments {
    seeds: u64,
    nodes: usize,
    first: u64,
    trace: bool,
    stories: Vec<Story>,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1).collect()) {
        Ok(arguments) => arguments,
        Err(complaint) => {
            eprintln!(
                "{complaint}\nusage: sim [--seeds N] [--nodes N] [--seed FIRST] [--story NAME] [--trace 1]"
            );
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0_u64;
    for story in arguments.stories {
        let mut total = Report::default();
        for seed in arguments.first..arguments.first.saturating_add(arguments.seeds) {
            let scenario = Scenario::new(story, arguments.nodes, seed);
            let scenario = if arguments.trace {
                scenario.traced(|at_ms, what| println!("{at_ms:>7} {what}"))
            } else {
                scenario
            };
            match scenario.run() {
                Ok(report) => total += report,
                Err(violation) => {
                    failed += 1;
                    println!("{story:?}: {violation}");
                }
            }
        }
        println!("{story:?}, {} nodes\n{total}\n", arguments.nodes);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(mut words: VecDeque<String>) -> Result<Arguments, String> {
    let mut arguments =
        Arguments { seeds: 1_000, nodes: 5, first: 0, trace: false, stories: Story::ALL.to_vec() };
    while let Some(name) = words.pop_front() {
        let value = words.pop_front().ok_or(format!("{name} wants a value"))?;
        if name == "--story" {
            let named = |story: &Story| format!("{story:?}").eq_ignore_ascii_case(&value);
            arguments.stories = Story::ALL.into_iter().filter(named).collect();
            if arguments.stories.is_empty() {
                return Err(format!("no story is called `{value}`: there are {:?}", Story::ALL));
            }
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{name} wants a number, not `{value}`"))?;
        match name.as_str() {
            "--seeds" => arguments.seeds = number,
            "--nodes" => arguments.nodes = usize::try_from(number).map_err(|_| "too many nodes")?,
            "--trace" => arguments.trace = number != 0,
            "--seed" => arguments.first = number,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}
