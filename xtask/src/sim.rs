//! The gossip simulator.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, cargo};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The simulator's own, such as `--seeds 1000 --nodes 20 --seed 1`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    cargo::run(simulator(root, "run").arg("--").args(&arguments.arguments))
}

/// Cargo about to build or run the simulator.
pub(crate) fn simulator(root: &Path, verb: &str) -> Command {
    let mut command = cargo(root);
    command.args([
        verb,
        "--release",
        "--package",
        "clusterluck-gossip",
        "--features",
        "sim",
        "--example",
        "sim",
    ]);
    command
}
