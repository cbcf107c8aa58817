//! Erlang: two emulators and `bench.erl`, with the defaults of the release installed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::job::{Job, Outcome};
use crate::pair;

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

pub fn measure(job: Job) -> Result<Outcome, String> {
    let process = std::process::id();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host has a name");
    let host = host.trim().split('.').next().unwrap_or("localhost").to_owned();
    let (kind, first, second) = match job {
        Job::Casts { count, bytes } => ("casts", count, bytes as u64),
        Job::Calls { callers, each } => ("calls", callers as u64, each as u64),
        Job::Saturated { calls } => ("saturated", calls as u64, 0),
    };
    pair::run(&mut emulator(&format!("receiver{process}"), "receiver"), |_ready| {
        let mut sender = emulator(&format!("sender{process}"), "sender");
        sender.arg("-extra").arg(format!("receiver{process}@{host}"));
        sender.args([kind.to_owned(), first.to_string(), second.to_string()]);
        sender
    })
}
