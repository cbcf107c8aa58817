//! What nodes cost while nothing happens.

use std::time::Duration;

use crate::place::{Failed, Process};

/// Watches them for a while, and prints it.
pub(crate) async fn measure(processes: &[Process]) -> Result<(), Failed> {
    // What was said to form the ring dies down, and what was stored is on disk.
    tokio::time::sleep(SETTLED).await;
    let before = ran(processes)?;
    tokio::time::sleep(WATCHED).await;
    let after = ran(processes)?;
    // Threads that end take their share with them; an idle node starts none.
    let share = after.0.saturating_sub(before.0).div_duration_f64(WATCHED) * 100.0;
    let wakes = after.1.saturating_sub(before.1) as f64 / WATCHED.as_secs_f64();
    let nodes = processes.len() as f64;
    println!(
        "idle: {share:.2} % of one core in total, {:.3} % and {:.1} wake-ups a second a node",
        share / nodes,
        wakes / nodes
    );
    for (what, field) in [("", "VmRSS:"), (", of its own", "RssAnon:"), (", of files", "RssFile:")] {
        let mut memory = Vec::new();
        for process in processes {
            memory.push(status(process, field)? as f64 / 1_024.0);
        }
        memory.sort_by(f64::total_cmp);
        let (median, most) = (memory[memory.len() / 2], memory[memory.len() - 1]);
        println!("memory{what}: {median:.1} MB a process (median), {most:.1} at most");
    }
    Ok(())
}

/// A number of the process's status.
fn status(process: &Process, field: &str) -> Result<u64, Failed> {
    number(&std::fs::read_to_string(format!("/proc/{}/status", process.child.id()))?, field)
}

fn number(status: &str, field: &str) -> Result<u64, Failed> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or(format!("no {field}"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// How long the processes have run, and how often one of their threads was given a processor. The clock ticks of
/// `/proc/…/stat` would count every short run that meets a tick as a whole one.
fn ran(processes: &[Process]) -> Result<(Duration, u64), Failed> {
    let (mut nanoseconds, mut times) = (0, 0);
    for process in processes {
        for thread in std::fs::read_dir(format!("/proc/{}/task", process.child.id()))? {
            let numbers = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
            nanoseconds += numbers.next().ok_or("no time")??;
            times += numbers.nth(1).ok_or("no count")??;
        }
    }
    Ok((Duration::from_nanos(nanoseconds), times))
}

/// How long nodes are left alone before they are watched.
const SETTLED: Duration = Duration::from_secs(15);
/// How long the idle nodes are watched.
const WATCHED: Duration = Duration::from_secs(30);
