//! What a rule reports.

use std::fmt;

use super::repo::{File, Repo};

/// A rule: its name as printed, and what looks for breaches of it.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) check: fn(&Repo, &mut Findings),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Error,
    /// Printed, but fails nothing.
    Warning,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) weight: Weight,
    /// What is wrong and what to do.
    pub(super) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.weight == Weight::Warning { "warning: " } else { "" };
        write!(f, "{}:{}: {warning}{}: {}", self.path, self.line, self.rule, self.message)
    }
}

pub(super) struct Findings {
    rule: &'static str,
    found: Vec<Finding>,
}

impl Findings {
    pub(super) fn of(rule: &Rule, repo: &Repo) -> Vec<Finding> {
        let mut findings = Self { rule: rule.name, found: Vec::new() };
        (rule.check)(repo, &mut findings);
        findings.found
    }

    pub(super) fn error(&mut self, file: &File, line: usize, message: impl Into<String>) {
        self.error_at(&file.path, line, message);
    }

    pub(super) fn error_at(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.push(path, line, Weight::Error, message.into());
    }

    pub(super) fn warning(&mut self, file: &File, line: usize, message: impl Into<String>) {
        self.push(&file.path, line, Weight::Warning, message.into());
    }

    fn push(&mut self, path: &str, line: usize, weight: Weight, message: String) {
        self.found.push(Finding { rule: self.rule, path: path.to_owned(), line, weight, message });
    }
}

/// For the rules' own tests: where a rule finds something, in order, as `path:line`.
#[cfg(test)]
pub(super) fn caught(rule: &Rule, repo: &Repo) -> Vec<String> {
    let mut findings = Findings::of(rule, repo);
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
}
