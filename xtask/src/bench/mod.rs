//! Benchmarks live in `bench/`, outside the workspace: their peers are nobody else's dependencies. The command line has no
//! peers: it is measured as it is built, by [`cli`].

mod cli;

use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, TargetKind};

use crate::cargo::{self, cargo};

const MANIFEST: &str = "bench/Cargo.toml";
const CLI: &str = "cli";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which benchmark
    name: String,
    /// Its own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    if arguments.name == CLI {
        return cli::run(root, &arguments.arguments);
    }
    let mut names = names(root)?;
    if !names.contains(&arguments.name) {
        names.push(CLI.to_owned());
        bail!("no benchmark is named `{}`; there are: {}", arguments.name, names.join(", "));
    }
    let mut command = cargo(root);
    command.args(["run", "--release", "--manifest-path", MANIFEST, "--bin", &arguments.name, "--"]);
    cargo::run(command.args(&arguments.arguments))
}

fn names(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join(MANIFEST))
        .no_deps()
        .exec()
        .with_context(|| format!("reading {MANIFEST}"))?;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let binaries = targets.filter(|target| target.kind.contains(&TargetKind::Bin));
    Ok(binaries.map(|target| target.name.clone()).collect())
}
