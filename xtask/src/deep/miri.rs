//! The crates without I/O under miri, which watches every memory access.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Verdict;
use crate::cargo::{self, nightly};

const PACKAGES: [&str; 2] = ["clusterluck-vclock", "clusterluck-hashring"];

/// What `timeout` answers when it had to stop the command.
const OUT_OF_TIME: i32 = 124;

pub(super) fn run(root: &Path, limit: Duration, seed: u32, only: &str) -> Result<Verdict> {
    let packages: Vec<&str> = PACKAGES.into_iter().filter(|package| package.contains(only)).collect();
    ensure!(!packages.is_empty(), "no package has `{only}` in its name: there are {}", PACKAGES.join(", "));
    let share = limit / u32::try_from(packages.len()).expect("packages are few");
    ensure!(
        cargo::succeeds(nightly(root).args(["miri", "setup"])),
        "no miri here: `rustup toolchain install nightly --component miri,rust-src`"
    );
    let mut said = Vec::new();
    for package in packages {
        match test(root, package, share, seed)? {
            Verdict::Passed(tests) => said.push(format!("{package}: {tests}")),
            Verdict::Failed(why) => return Ok(Verdict::Failed(format!("{package}: {why}"))),
        }
    }
    Ok(Verdict::Passed(said.join("; ")))
}

/// Miri runs thousands of times slower than the machine: being cut off is how a run of large tests ends.
fn test(root: &Path, package: &str, limit: Duration, seed: u32) -> Result<Verdict> {
    let words = ["test", "--no-fail-fast", "--package", package];
    // Law tests keep their failing cases in files, which isolation would forbid.
    let flags = format!("-Zmiri-disable-isolation -Zmiri-seed={seed}");
    cargo::run(nightly(root).arg("miri").args(words).arg("--no-run").env("MIRIFLAGS", &flags))?;

    let mut command = Command::new("timeout");
    command.current_dir(root).arg(format!("{}s", limit.as_secs()));
    command.args(["rustup", "run", "nightly", "cargo", "miri"]).args(words).env("MIRIFLAGS", flags);
    let shown = cargo::show(&command);
    println!("$ {shown}");
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("starting `{shown}`"))?;
    let output = child.stdout.take().context("its output was asked for")?;
    let mut passed = 0;
    for line in BufReader::new(output).lines() {
        let line = line?;
        println!("{line}");
        passed += usize::from(is_passed_test(&line));
    }
    Ok(verdict(child.wait()?.code(), passed))
}

fn is_passed_test(line: &str) -> bool {
    line.starts_with("test ") && line.ends_with(" ... ok")
}

fn verdict(code: Option<i32>, passed: usize) -> Verdict {
    match code {
        Some(0 | OUT_OF_TIME) if passed == 0 => Verdict::Failed("not one test ended".to_owned()),
        Some(0) => Verdict::Passed(format!("all {passed} tests")),
        Some(OUT_OF_TIME) => Verdict::Passed(format!("{passed} tests, then the time was up")),
        _ => Verdict::Failed(format!("a test failed, {passed} passed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_tests_has_not_passed() {
        assert!(matches!(verdict(Some(0), 0), Verdict::Failed(_)));
        assert!(matches!(verdict(Some(OUT_OF_TIME), 0), Verdict::Failed(_)));
        assert!(matches!(verdict(Some(OUT_OF_TIME), 1), Verdict::Passed(_)));
        assert!(matches!(verdict(Some(0), 1), Verdict::Passed(_)));
        assert!(matches!(verdict(Some(101), 1), Verdict::Failed(_)));
        assert!(matches!(verdict(None, 1), Verdict::Failed(_)));
    }

    #[test]
    fn passed_tests_are_counted_from_their_lines() {
        assert!(is_passed_test("test clock::tests::merge_is_idempotent ... ok"));
        assert!(!is_passed_test("test clock::tests::merge_is_idempotent ... FAILED"));
        assert!(!is_passed_test("test result: ok. 3 passed"));
    }
}
