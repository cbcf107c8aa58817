//! The fuzz targets, each for an equal share of the time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Verdict;
use crate::cargo::{self, nightly};

pub(super) fn run(root: &Path, limit: Duration, seed: u32, only: &str) -> Result<Verdict> {
    let mut targets = targets(root)?;
    targets.retain(|target| target.contains(only));
    ensure!(!targets.is_empty(), "no fuzz target has `{only}` in its name");
    let corpora = targets.iter().map(|target| committed_corpus(root, target)).collect::<Result<Vec<_>>>()?;
    for target in &targets {
        cargo::run(nightly(root).args(["fuzz", "build", target]))?;
    }
    let count = u64::try_from(targets.len()).expect("targets are few");
    let seconds = (limit.as_secs() / count).max(1);
    for (target, corpus) in targets.iter().zip(&corpora) {
        // libFuzzer writes what it finds into the first folder it is given, and only reads the others.
        let found = format!("fuzz/corpus/{target}");
        fs::create_dir_all(root.join(&found)).with_context(|| format!("creating {found}"))?;
        let mut command = nightly(root);
        command.args(["fuzz", "run", target, &found, corpus, "--"]);
        command.args([format!("-max_total_time={seconds}"), format!("-seed={seed}")]);
        if let Err(error) = cargo::run(&mut command) {
            return Ok(Verdict::Failed(format!("target {target}: {error}")));
        }
    }
    Ok(Verdict::Passed(format!("{seconds} s each of {}", targets.join(", "))))
}

fn targets(root: &Path) -> Result<Vec<String>> {
    let mut command = nightly(root);
    command.args(["fuzz", "list"]);
    let output = command.output().context("starting rustup")?;
    ensure!(
        output.status.success(),
        "`{}`: {}\nit needs `rustup toolchain install nightly` and `cargo install cargo-fuzz --locked`",
        cargo::show(&command),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let targets: Vec<_> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    ensure!(!targets.is_empty(), "fuzz/Cargo.toml names no target");
    Ok(targets)
}

/// A target's inputs lie with the crate it tests, where its stable tests replay them.
fn committed_corpus(root: &Path, target: &str) -> Result<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let name = entry?.file_name();
        let corpus = format!("crates/{}/tests/corpus/{target}", name.to_string_lossy());
        if root.join(&corpus).is_dir() {
            found.push(corpus);
        }
    }
    match <[String; 1]>::try_from(found) {
        Ok([corpus]) => Ok(corpus),
        Err(found) => bail!(
            "target {target} needs one folder crates/*/tests/corpus/{target}, there are {}",
            found.len()
        ),
    }
}
