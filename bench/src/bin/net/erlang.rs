//! Erlang: two emulators and `bench.erl`, with the defaults of the release installed.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::job::{Job, Outcome, Usage};

/// Where the program was compiled to.
fn compiled() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("clusterluck-bench-erlang-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let source = folder.join("bench.erl");
        std::fs::write(&source, include_str!("bench.erl"))
            .expect("the folder for temporary files is writable");
        let status = Command::new("erlc").arg("-o").arg(&folder).arg(&source).status();
        assert!(status.is_ok_and(|status| status.success()), "erlc compiles the program");
        folder
    })
}

fn emulator(name: &str, function: &str) -> Command {
    let mut command = Command::new("erl");
    command.args(["-noshell", "-sname", name, "-setcookie", "bench", "-pa"]).arg(compiled());
    command.args(["-s", "bench", function]);
    command
}

pub fn measure(name: &str, job: Job) -> Outcome {
    let process = std::process::id();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name");
    let host = host.trim().split('.').next().unwrap_or("localhost").to_owned();
    let mut receiver = emulator(&format!("receiver{process}"), "receiver")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the receiver starts");
    let mut said = BufReader::new(receiver.stdout.take().expect("its output is piped"));
    let mut ready = String::new();
    said.read_line(&mut ready).expect("the receiver says that it is ready");
    let (kind, first, second) = match job {
        Job::Casts { count, bytes } => ("casts", count, bytes as u64),
        Job::Calls { callers, each } => ("calls", callers as u64, each as u64),
        Job::Saturated { calls } => ("saturated", calls as u64, 0),
    };
    let sent = emulator(&format!("sender{process}"), "sender")
        .arg("-extra")
        .args([format!("receiver{process}@{host}"), kind.to_owned(), first.to_string(), second.to_string()])
        .output()
        .expect("the sender runs");
    let mut outcome: Outcome = serde_json::from_slice(&sent.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&sent.stdout)));
    drop(receiver.stdin.take());
    let mut report = String::new();
    said.read_to_string(&mut report).expect("the receiver reports its usage");
    let usage: Usage = serde_json::from_str(report.trim()).expect("the receiver reports its usage");
    receiver.wait().expect("the receiver ends");
    outcome.cpu_us = (outcome.cpu_us + usage.cpu_us) / outcome.messages as f64;
    outcome.receiver_peak_mb = usage.peak_mb;
    outcome
}
