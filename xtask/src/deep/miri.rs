//! The crates without I/O under miri, which watches every memory access.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Verdict;
use crate::cargo::{self, nightly};

const TESTS: [&str; 6] =
    ["test", "--lib", "--package", "clusterluck-vclock", "--package", "clusterluck-hashring"];

/// What `timeout` answers when it had to stop the command.
const OUT_OF_TIME: i32 = 124;

pub(super) fn run(root: &Path, limit: Duration, seed: u32) -> Result<Verdict> {
    ensure!(
        cargo::succeeds(nightly(root).args(["miri", "setup"])),
        "no miri here: `rustup toolchain install nightly --component miri,rust-src`"
    );
    // Law tests keep their failing cases in files, which isolation would forbid.
    let flags = format!("-Zmiri-disable-isolation -Zmiri-seed={seed}");
    cargo::run(nightly(root).arg("miri").args(TESTS).arg("--no-run").env("MIRIFLAGS", &flags))?;

    let mut command = Command::new("timeout");
    command.current_dir(root).arg(format!("{}s", limit.as_secs()));
    command.args(["rustup", "run", "nightly", "cargo", "miri"]).args(TESTS).env("MIRIFLAGS", flags);
    let shown = cargo::show(&command);
    println!("$ {shown}");
    let status = command.status().with_context(|| format!("starting `{shown}`"))?;
    Ok(match status.code() {
        Some(0) => Verdict::Passed("unit tests of vclock and hashring".to_owned()),
        Some(OUT_OF_TIME) => Verdict::Failed("out of time before the tests ended".to_owned()),
        _ => Verdict::Failed(format!("`{shown}`: {status}")),
    })
}
