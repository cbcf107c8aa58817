//! The gossip simulator.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, cargo};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The simulator's own, such as `--seeds 1000 --nodes 20 --seed 1`; `--liveness` first: that of the failure
    /// detector, beside plain SWIM, such as `--liveness --nodes 300`; `--figures` first: how fast changes spread and
    /// what they cost, in rings of up to 5,000
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    match arguments.arguments.split_first() {
        Some((first, rest)) if first == "--liveness" => {
            cargo::run(liveness(root, "run").arg("--").args(rest))
        }
        Some((first, rest)) if first == "--figures" => {
            cargo::run(example(root, "run", "figures").arg("--").args(rest))
        }
        _ => cargo::run(simulator(root, "run").arg("--").args(&arguments.arguments)),
    }
}

/// Cargo about to build or run the simulator.
pub(crate) fn simulator(root: &Path, verb: &str) -> Command {
    example(root, verb, "sim")
}

/// Cargo about to build or run the simulator of failure detectors.
pub(crate) fn liveness(root: &Path, verb: &str) -> Command {
    example(root, verb, "liveness")
}

fn example(root: &Path, verb: &str, name: &str) -> Command {
    let mut command = cargo(root);
    command.args([
        verb,
        "--release",
        "--package",
        "clusterluck-gossip",
        "--features",
        "sim",
        "--example",
        name,
    ]);
    command
}
