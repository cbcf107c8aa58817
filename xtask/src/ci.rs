//! The gate every change passes.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cargo::{self, cargo};
use crate::no_std;
use crate::steps::{self, Outcome, Step};
use crate::tidy;

pub(crate) fn run(root: &Path) -> Result<()> {
    let steps = vec![
        Step::new("format", || call(root, "fmt --all --check")),
        Step::new("lints", || {
            call(root, "clippy --workspace --all-targets --all-features --locked -- -D warnings")
        }),
        Step::new("docs", || docs(root)),
        Step::new("tidy", || tidy::run(root).map(|()| Outcome::Passed)),
        Step::new("guide", || guide(root)),
        // Word for word the README's command.
        Step::new("tests", || call(root, "test --workspace")),
        Step::new("no_std", || no_std::run(root).map(|()| Outcome::Passed)),
        Step::new("licences", || licences(root)),
        Step::new("package", || {
            // Not built again from the packages: cargo keeps by version what it has unpacked of a local registry, so a
            // second run would build today's crates against yesterday's.
            let words = "package --workspace --exclude xtask --exclude clusterluck-guide --no-verify --allow-dirty --locked --quiet";
            call(root, words)
        }),
    ];
    steps::run(steps)
}

/// A cargo command, its words parted by single spaces.
fn call(root: &Path, words: &str) -> Result<Outcome> {
    run_command(cargo(root).args(words.split(' ')))
}

fn run_command(command: &mut Command) -> Result<Outcome> {
    cargo::run(command)?;
    Ok(Outcome::Passed)
}

fn docs(root: &Path) -> Result<Outcome> {
    let words = "doc --workspace --no-deps --all-features --locked";
    run_command(cargo(root).args(words.split(' ')).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The book, of the pages that `tidy` has checked and `tests` compiles. mdBook takes minutes to build, so `.ci/run` installs
/// it, and elsewhere it is used where it is.
fn guide(root: &Path) -> Result<Outcome> {
    let installed = root.join("target/tools/bin/mdbook");
    let mdbook = if installed.is_file() { installed.as_path() } else { Path::new("mdbook") };
    if !cargo::succeeds(Command::new(mdbook).arg("--version")) {
        return Ok(Outcome::Skipped("no mdbook here (`.ci/run` installs it)"));
    }
    run_command(Command::new(mdbook).current_dir(root).args(["build", "docs"]))
}

/// Building cargo-deny takes minutes, so the gate uses it where it is and says so where it is not.
fn licences(root: &Path) -> Result<Outcome> {
    if !cargo::succeeds(cargo(root).args(["deny", "--version"])) {
        return Ok(Outcome::Skipped("no cargo-deny here (`cargo install cargo-deny --locked`)"));
    }
    call(root, "deny check licenses bans sources")
}
