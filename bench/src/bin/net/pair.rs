//! A run of a receiver and a sender: what both report, or why they do not.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::job::{Outcome, Usage};

/// A receiving process, which ends with this.
struct Receiver {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Receiver {
    fn start(command: &mut Command) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the receiver starts");
        let said = BufReader::new(process.stdout.take().expect("its output is piped"));
        Self { process, said }
    }

    /// Its first line, said when it is ready.
    fn address(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.said.read_line(&mut line);
        if read.is_ok_and(|bytes| bytes > 0) {
            Ok(line.trim().to_owned())
        } else {
            Err("its receiver ended before it was ready".to_owned())
        }
    }

    /// Lets it end, and gives what it used.
    fn usage(&mut self) -> Result<Usage, String> {
        drop(self.process.stdin.take());
        let mut report = String::new();
        let _cut = self.said.read_to_string(&mut report);
        serde_json::from_str(report.trim()).map_err(|_| "its receiver ended without a report".to_owned())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Starts the receiver, then the sender with the receiver's first line.
pub fn run(receiver: &mut Command, sender: impl FnOnce(&str) -> Command) -> Result<Outcome, String> {
    let mut receiver = Receiver::start(receiver);
    let sent = sender(&receiver.address()?).output().expect("the sender runs");
    let outcome: Result<Outcome, _> = serde_json::from_slice(&sent.stdout);
    let mut outcome =
        outcome.map_err(|_| why(&String::from_utf8_lossy(&[sent.stderr, sent.stdout].concat())))?;
    let usage = receiver.usage()?;
    outcome.cpu_us = (outcome.cpu_us + usage.cpu_us) / outcome.messages as f64;
    outcome.receiver_peak_mb = usage.peak_mb;
    Ok(outcome)
}

/// Of what a sender said before it ended: the message of its first panic, or else the first line.
fn why(said: &str) -> String {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let panic = lines.clone().skip_while(|line| !line.contains("panicked at ")).nth(1);
    let first = panic.or_else(|| lines.next()).unwrap_or("it said nothing");
    format!("its sender ended: {first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const RECEIVER: &str = r#"echo here; read -r end; echo '{"cpu_us": 30.0, "peak_mb": 4.0}'"#;

    #[test]
    fn what_both_report_is_one_outcome() {
        let outcome = run(&mut shell(RECEIVER), |address| {
            assert_eq!(address, "here");
            shell(
                r#"echo '{"rate": 1.0, "megabytes_a_second": 0.0, "p50_us": 0.0, "p99_us": 0.0, "dropped": 0,
                    "cpu_us": 10.0, "sender_peak_mb": 5.0, "messages": 4}'"#,
            )
        });
        let outcome = outcome.expect("both report");
        assert!((outcome.cpu_us - 10.0).abs() < 1e-9 && (outcome.receiver_peak_mb - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_sender_that_panics_is_a_failure_with_its_message() {
        let stderr = "\nthread 'tokio-rt-worker' (7) panicked at drive.rs:55:70:\nno call is lost: Elapsed(())\nnote: run";
        let failed = run(&mut shell(RECEIVER), |_| shell(&format!("echo \"{stderr}\" >&2; exit 101")));
        assert_eq!(failed.expect_err("it failed"), "its sender ended: no call is lost: Elapsed(())");
    }

    #[test]
    fn a_receiver_that_ends_too_early_is_a_failure() {
        let failed = run(&mut shell("exit 1"), |_| unreachable!("there is nothing to send to"));
        assert_eq!(failed.expect_err("it failed"), "its receiver ended before it was ready");
    }
}
