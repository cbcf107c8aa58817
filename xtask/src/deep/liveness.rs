//! Simulated days of the failure detector until the time is up: at least one.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Verdict;
use crate::cargo;
use crate::sim::liveness;
use crate::stopwatch::Stopwatch;

pub(super) fn run(root: &Path, limit: Duration, seed: u32) -> Result<Verdict> {
    cargo::run(&mut liveness(root, "build"))?;
    let stopwatch = Stopwatch::start();
    let first = u64::from(seed);
    let mut next = first;
    while next == first || stopwatch.passed() < limit {
        let mut soak = liveness(root, "run");
        if let Err(error) = cargo::run(soak.args(["--", "--soak", "24", "--seed", &next.to_string()])) {
            return Ok(Verdict::Failed(format!("seed {next}: {error}")));
        }
        next += 1;
    }
    Ok(Verdict::Passed(format!(
        "{} days of 50 nodes from seed {first}, none removed but the dead",
        next - first
    )))
}
