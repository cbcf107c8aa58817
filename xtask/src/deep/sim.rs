//! The simulator in rounds of fresh seeds until the time is up.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Verdict;
use crate::cargo;
use crate::sim::simulator;
use crate::stopwatch::Stopwatch;

/// Seeds in one round: enough to keep the simulator busy for seconds, few enough to stop near the limit.
const SEEDS_A_ROUND: u64 = 200;

pub(super) fn run(root: &Path, limit: Duration, seed: u32) -> Result<Verdict> {
    cargo::run(&mut simulator(root, "build"))?;
    let stopwatch = Stopwatch::start();
    let first = u64::from(seed);
    let mut next = first;
    while stopwatch.passed() < limit {
        let (seeds, from) = (SEEDS_A_ROUND.to_string(), next.to_string());
        if let Err(error) =
            cargo::run(simulator(root, "run").args(["--", "--seeds", &seeds, "--seed", &from]))
        {
            return Ok(Verdict::Failed(error.to_string()));
        }
        next += SEEDS_A_ROUND;
    }
    Ok(Verdict::Passed(format!("{} seeds from {first}", next - first)))
}
