//! Instructions, counted by callgrind: a figure that a busy machine does not disturb.

use std::env;
use std::process::{Command, Stdio};

pub(crate) const VARIABLE: &str = "BENCH_COUNT";

/// The job that [`instructions_per_op`] asked this process to do: which, and how often. A binary that counts
/// instructions, or weighs itself, asks first thing in `main`, does the job, and returns.
pub fn counting_job() -> Option<(String, u64)> {
    let job = env::var(VARIABLE).ok()?;
    // Never `None` once the variable is set: the binary would run itself again, and again.
    let (name, times) = job.rsplit_once(' ').expect("a job and how often");
    Some((name.to_owned(), times.parse().expect("a number")))
}

/// Instructions for one operation of a job: this binary runs itself under callgrind, once doing nothing and once
/// doing the job many times, and divides the difference. `None` when valgrind is not installed.
pub fn instructions_per_op(job: &str) -> Option<f64> {
    let collected = |times: u64| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe().ok()?)
            .env(VARIABLE, format!("{job} {times}"))
            .stdout(Stdio::null())
            .output()
            .ok()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let count =
            told.lines().find_map(|line| line.split_once("Collected : "))?.1.trim().parse::<u64>().ok()?;
        Some(count)
    };
    Some((collected(TIMES)? - collected(0)?) as f64 / TIMES as f64)
}

const TIMES: u64 = 1 << 16;
