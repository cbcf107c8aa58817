//! The simulator in rounds of fresh seeds until the time is up, or so many seeds are done.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Verdict;
use crate::cargo;
use crate::sim::simulator;
use crate::stopwatch::Stopwatch;

/// Seeds in one round: enough to keep the simulator busy for seconds, few enough to stop near the limit.
const SEEDS_A_ROUND: u64 = 500;

pub(super) fn run(root: &Path, limit: Duration, seed: u32, seeds: Option<u64>) -> Result<Verdict> {
    cargo::run(&mut simulator(root, "build"))?;
    let (stopwatch, used_before) = (Stopwatch::start(), processor_seconds());
    let first = u64::from(seed);
    let end = seeds.map_or(u64::MAX, |seeds| first.saturating_add(seeds));
    let mut next = first;
    while next < end && stopwatch.passed() < limit {
        let round = SEEDS_A_ROUND.min(end - next);
        let (seeds, from) = (round.to_string(), next.to_string());
        if let Err(error) =
            cargo::run(simulator(root, "run").args(["--", "--seeds", &seeds, "--seed", &from]))
        {
            return Ok(Verdict::Failed(format!("within {round} seeds from {next}: {error}")));
        }
        next += round;
    }
    let minutes = stopwatch.passed().as_secs_f64() / 60.0;
    let used = match (used_before, processor_seconds()) {
        (Some(before), Some(after)) => format!(", {:.1} min of processor time", (after - before) / 60.0),
        _ => String::new(),
    };
    let said = format!("{} seeds of each story from {first} in {minutes:.1} min{used}", next - first);
    match seeds {
        Some(seeds) if next < end => Ok(Verdict::Failed(format!("{said}, of {seeds} asked for"))),
        _ => Ok(Verdict::Passed(said)),
    }
}

/// What the programs run so far have used of the processors, where the system tells.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold spaces; the 16th and 17th field of all are the times of children.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

/// What Linux counts processor time in, on every architecture in use.
const TICKS_A_SECOND: f64 = 100.0;
