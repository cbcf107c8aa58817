//! The file that remembers long runs, failed ones too.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Verdict;
use crate::stopwatch;

const FILE: &str = "docs/deep-runs.md";

const HEADER: &str = "\
# Deep runs

One line for each `cargo xtask deep` run, appended by it, the newest last.

| date | commit | run | minutes | seed | result |
|---|---|---|---|---|---|
";

pub(super) struct Run<'a> {
    pub(super) kind: &'a str,
    pub(super) minutes: u64,
    pub(super) seed: u32,
}

/// Appends the run's line.
pub(super) fn append(root: &Path, run: &Run<'_>, verdict: &Verdict) -> Result<()> {
    let path = root.join(FILE);
    let mut text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => HEADER.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {FILE}")),
    };
    add_line(&mut text, &stopwatch::today(), &commit(root)?, run, verdict);
    fs::create_dir_all(path.parent().context("the file lies in a folder")?)?;
    fs::write(&path, text).with_context(|| format!("writing {FILE}"))?;
    println!("recorded in {FILE}");
    Ok(())
}

fn add_line(text: &mut String, date: &str, commit: &str, run: &Run<'_>, verdict: &Verdict) {
    let result = match verdict {
        Verdict::Passed(said) => format!("passed: {said}"),
        Verdict::Failed(found) => format!("FAILED: {found}"),
    };
    let result = result.replace('|', "\\|").replace('\n', " ");
    writeln!(text, "| {date} | {commit} | {} | {} | {} | {result} |", run.kind, run.minutes, run.seed)
        .expect("writing to a String cannot fail");
}

/// The commit that was run, marked when the tree had changes on top.
fn commit(root: &Path) -> Result<String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["describe", "--always", "--dirty=+changes", "--exclude=*"])
        .output()
        .context("running git describe")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_one_row_of_the_table() {
        let run = Run { kind: "sim", minutes: 10, seed: 7 };
        let mut text = String::new();
        add_line(&mut text, "2026-01-31", "abc1234", &run, &Verdict::Passed("500 seeds".to_owned()));
        add_line(&mut text, "2026-01-31", "abc1234", &run, &Verdict::Failed("a | b\nc".to_owned()));
        assert_eq!(
            text,
            "| 2026-01-31 | abc1234 | sim | 10 | 7 | passed: 500 seeds |\n\
             | 2026-01-31 | abc1234 | sim | 10 | 7 | FAILED: a \\| b c |\n"
        );
    }
}
