//! The demonstration keeps its promises, and leaves nothing behind.

use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::schemas::assert_valid;
use crate::support::{Place, eventually, in_time};

#[tokio::test]
async fn all_its_claims_come_true() {
    let place = Place::new();
    let run = place.run(&["--json", "demo"]).await;
    let figures = &run.document()["data"];
    assert!(run.success, "{run:?}");
    assert_valid("demo", &run.document());
    assert_eq!(figures["lost"], 0);
    assert!(figures["answered_by_replica"].as_u64().unwrap() > 0, "{figures}");
    assert!(figures["calls"].as_u64().unwrap() > 2_000, "{figures}");
    assert_nothing_is_left(&place);
}

#[tokio::test]
async fn kept_nodes_answer_until_they_are_stopped() {
    let place = Place::new();
    let _ended = Ended(&place);
    let run = place.run(&["--json", "demo", "--keep"]).await;
    assert!(run.success, "{run:?}");
    assert_valid("demo", &run.document());
    let kept = &run.document()["data"]["kept"];
    let nodes = kept["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 5, "{kept}");
    for node in nodes {
        let port = node["port"].to_string();
        let ids = place
            .run(&["-p", &port, "--cookie-file", kept["cookie_file"].as_str().unwrap(), "weights"])
            .await;
        assert_eq!(ids.document()["data"].as_object().unwrap().len(), 5, "{ids:?}");
        let pid = i32::try_from(node["pid"].as_i64().unwrap()).unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }
    eventually("they have stopped", async || {
        place.run(&["--version"]).await;
        processes_of(&place).is_empty()
    })
    .await;
}

/// Only Linux tells which process is which node.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_claim_that_does_not_come_true_is_a_failure() {
    let place = Place::new();
    let mut child = place.binary().arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !in_time(lines.next_line()).await.unwrap().expect("the demo goes on").contains("five nodes run") {}
    let processes = processes_of(&place);
    let (elm, _) = processes.iter().find(|(_, line)| line.contains("start elm")).expect("elm runs");
    rustix::process::kill_process(*elm, Signal::KILL).unwrap();
    let mut said = String::new();
    while let Some(line) = in_time(lines.next_line()).await.unwrap() {
        said += &line;
    }
    let output = in_time(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains('✗') && output.stderr.starts_with(b"error: "), "{said} {output:?}");
    assert_nothing_is_left(&place);
}

#[tokio::test]
async fn an_interrupt_ends_all_of_it() {
    let place = Place::new();
    let mut child = place.binary().arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // By now nodes run and have logged that one is gone, and there is more to come.
    while !in_time(lines.next_line()).await.unwrap().expect("the demo goes on").contains("have seen that") {}
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    while let Some(line) = in_time(lines.next_line()).await.unwrap() {
        // That is for when something went wrong.
        assert!(!line.contains("INFO"), "the nodes' logs are shown: {line}");
    }
    let output = in_time(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: interrupted"), "{output:?}");
    assert_nothing_is_left(&place);
}

/// Only Linux tells which process is which node.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interrupt_ends_nodes_that_are_not_ready() {
    let place = Place::new();
    let mut child = place.binary().args(["--json", "demo"]).stderr(Stdio::piped()).spawn().unwrap();
    let starts = |(_, line): &(Pid, String)| line.contains("start ash");
    eventually("a node starts", async || {
        tokio::task::yield_now().await;
        processes_of(&place).iter().any(starts)
    })
    .await;
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(1));
    eventually("its nodes have ended", async || {
        place.run(&["--version"]).await;
        processes_of(&place).is_empty()
    })
    .await;
}

#[tokio::test]
async fn its_nodes_end_even_if_it_is_killed() {
    let place = Place::new();
    let mut child = place.binary().arg("demo").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !in_time(lines.next_line()).await.unwrap().expect("the demo goes on").contains("five nodes run") {}
    in_time(child.kill()).await.unwrap();
    eventually("its nodes have ended", async || {
        place.run(&["--version"]).await;
        processes_of(&place).is_empty()
    })
    .await;
}

/// No folder of the demo, and no process that was told of one.
fn assert_nothing_is_left(place: &Place) {
    let left: Vec<_> = std::fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().starts_with("clusterluck-demo"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(processes_of(place).is_empty());
}

/// The command lines of processes that were told of this place, as far as the system tells, with their ids.
fn processes_of(place: &Place) -> Vec<(Pid, String)> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let process = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    all.filter_map(process).filter(|(_, line)| line.contains(&place.path().display().to_string())).collect()
}

/// Processes that nothing else would end, should the test fail.
struct Ended<'a>(&'a Place);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        for (pid, _) in processes_of(self.0) {
            // It may have ended since.
            let _ended_already = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}
