//! Named steps, timed, the first failure ending the run, a table at the end.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::stopwatch::Stopwatch;

pub(crate) struct Step<'a> {
    name: &'static str,
    run: Box<dyn FnOnce() -> Result<Outcome> + 'a>,
}

/// How a step ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Could not run here; says what was missing.
    Skipped(&'static str),
}

impl<'a> Step<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnOnce() -> Result<Outcome> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Runs the steps in order. The error names the step that failed.
pub(crate) fn run(steps: Vec<Step<'_>>) -> Result<()> {
    let mut rows = Vec::new();
    let mut failure = None;
    let whole = Stopwatch::start();
    for step in steps {
        if failure.is_some() {
            rows.push(row(step.name, None, "not run"));
            continue;
        }
        println!("\n=== {}", step.name);
        let stopwatch = Stopwatch::start();
        let outcome = (step.run)();
        let passed = Some(stopwatch.passed());
        rows.push(match &outcome {
            Ok(Outcome::Passed) => row(step.name, passed, "passed"),
            Ok(Outcome::Skipped(why)) => row(step.name, passed, &format!("skipped: {why}")),
            Err(_) => row(step.name, passed, "FAILED"),
        });
        failure = outcome.err().map(|error| (step.name, error));
    }
    println!("\n{}\n{}", rows.join("\n"), row("in all", Some(whole.passed()), ""));
    match failure {
        Some((name, error)) => bail!("step `{name}` failed: {error:#}"),
        None => Ok(()),
    }
}

fn row(name: &str, time: Option<Duration>, outcome: &str) -> String {
    let time = time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
    format!("{name:<12} {time:>9}  {outcome}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_first_failure_ends_the_run() {
        let ran = RefCell::new(Vec::new());
        let step = |name, outcome: fn() -> Result<Outcome>| {
            let ran = &ran;
            Step::new(name, move || {
                ran.borrow_mut().push(name);
                outcome()
            })
        };
        let steps = vec![
            step("one", || Ok(Outcome::Passed)),
            step("two", || Ok(Outcome::Skipped("not here"))),
            step("three", || bail!("broken")),
            step("four", || Ok(Outcome::Passed)),
        ];
        let error = run(steps).expect_err("a step failed");
        assert_eq!(error.to_string(), "step `three` failed: broken");
        assert_eq!(*ran.borrow(), ["one", "two", "three"]);
    }
}
