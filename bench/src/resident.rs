//! Memory as the system sees it: what many things add to a process of their own, allocator and all.

use std::env;
use std::fs;
use std::process::{Command, Stdio};

use crate::instructions::VARIABLE;

/// Resident bytes that one item adds: this binary runs itself with the job of no items and of many, and divides the
/// difference. The job has to make the items and call [`report_resident_bytes`] while they live.
///
/// # Panics
///
/// If the job ends badly or reports nothing.
pub fn resident_bytes_per_item(job: &str) -> f64 {
    let resident = |items: u64| {
        let output = Command::new(env::current_exe().expect("this binary's path"))
            .env(VARIABLE, format!("{job} {items}"))
            .stderr(Stdio::inherit())
            .output()
            .expect("this binary runs");
        assert!(output.status.success(), "the job {job} failed");
        String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("a number of bytes")
    };
    (resident(ITEMS) - resident(0)) / ITEMS as f64
}

/// Prints the bytes of this process that are in memory now.
///
/// # Panics
///
/// Where there is no `/proc`.
pub fn report_resident_bytes() {
    let status = fs::read_to_string("/proc/self/status").expect("a system with /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
    let kilobytes: u64 = line.trim_end_matches("kB").trim().parse().expect("a number");
    println!("{}", kilobytes * 1_024);
}

const ITEMS: u64 = 100_000;
