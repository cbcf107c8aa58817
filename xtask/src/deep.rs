//! Long runs: what a gate of minutes cannot afford. Each leaves a dated line in `docs/deep-runs.md`.

mod fuzz;
mod liveness;
mod miri;
mod record;
mod sim;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use self::record::Run;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The gossip simulator, seed after seed
    Sim,
    /// Days of fifty nodes at 5 % loss under a removal policy, which must remove nobody
    Liveness,
    /// Every fuzz target in turn (nightly and cargo-fuzz)
    Fuzz,
    /// The tests of the crates without I/O under miri (nightly with the miri component)
    Miri,
}

#[derive(clap::Args)]
pub(crate) struct Arguments {
    kind: Kind,
    /// How long it may take, building aside
    #[arg(long)]
    minutes: NonZeroU64,
    /// Everything random in the run derives from it
    #[arg(long, default_value = "1")]
    seed: NonZeroU32,
    /// Of miri's packages, or of the fuzz targets, those whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    /// Of `sim`: so many seeds and no more; fewer within the time are a failure
    #[arg(long)]
    seeds: Option<NonZeroU64>,
}

pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let limit = Duration::from_secs(arguments.minutes.get() * 60);
    let seed = arguments.seed.get();
    let only = &arguments.only;
    ensure!(
        only.is_empty() || matches!(arguments.kind, Kind::Fuzz | Kind::Miri),
        "--only is for fuzz and miri"
    );
    let verdict = match arguments.kind {
        Kind::Sim => sim::run(root, limit, seed, arguments.seeds.map(NonZeroU64::get))?,
        Kind::Liveness => liveness::run(root, limit, seed)?,
        Kind::Fuzz => fuzz::run(root, limit, seed, only)?,
        Kind::Miri => miri::run(root, limit, seed, only)?,
    };
    let value = arguments.kind.to_possible_value().expect("no kind is hidden");
    let run = Run { kind: value.get_name(), minutes: arguments.minutes.get(), seed };
    record::append(root, &run, &verdict)?;
    match verdict {
        Verdict::Passed(_) => Ok(()),
        Verdict::Failed(why) => bail!(why),
    }
}

/// How a run ended that did begin; one that cannot even be built is an error, and no record.
enum Verdict {
    /// With what it has to say for itself.
    Passed(String),
    /// With what it found.
    Failed(String),
}
