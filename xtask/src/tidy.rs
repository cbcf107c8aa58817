//! The house rules, checked: what `ARCHITECTURE.md` says must never be, from `cargo metadata` and the sources.
//!
//! One rule a file under `rules/`, each with tests that show it catching a breach and passing a clean case.

mod finding;
mod markdown;
mod package;
mod repo;
mod rules;
mod source;
mod wire;

use std::path::Path;

use anyhow::{Result, bail};

use self::finding::{Finding, Findings, Weight};
use self::repo::Repo;
pub(crate) use self::wire::run as wire;

/// Checks the work tree at `root` and prints what it finds. An error if anything but warnings was found.
pub(crate) fn run(root: &Path) -> Result<()> {
    let repo = Repo::load(root)?;
    let findings = check(&repo);
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.weight == Weight::Error).count();
    let warnings = findings.len() - errors;
    println!(
        "tidy: {} files, {} rules, {errors} errors, {warnings} warnings",
        repo.files().len(),
        rules::ALL.len()
    );
    if errors > 0 {
        bail!("{errors} breaches of the house rules");
    }
    Ok(())
}

fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rules::ALL.iter().flat_map(|rule| Findings::of(rule, repo)).collect();
    findings.sort_by(|a, b| (&a.path, a.line, a.rule).cmp(&(&b.path, b.line, b.rule)));
    findings.dedup();
    findings
}
