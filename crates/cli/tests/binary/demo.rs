//! The demonstration keeps its promises, and leaves nothing behind.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Place, eventually, in_time};

#[tokio::test]
async fn all_its_claims_come_true() {
    let place = Place::new();
    let run = place.run(&["--json", "demo"]).await;
    let figures = &run.document()["data"];
    assert!(run.success, "{run:?}");
    assert_eq!(figures["lost"], 0);
    assert!(figures["answered_by_replica"].as_u64().unwrap() > 0, "{figures}");
    assert!(figures["calls"].as_u64().unwrap() > 2_000, "{figures}");
    assert_nothing_is_left(&place);
}

#[tokio::test]
async fn an_interrupt_ends_all_of_it() {
    let place = Place::new();
    let mut child = place.binary().arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // By now nodes run, and there is more to come.
    while !in_time(lines.next_line()).await.unwrap().expect("the demo goes on").contains("agree on one ring")
    {
    }
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    while in_time(lines.next_line()).await.unwrap().is_some() {}
    let output = in_time(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: interrupted"), "{output:?}");
    assert_nothing_is_left(&place);
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

/// Processes with this place in their command line, as far as the system tells.
fn processes_of(place: &Place) -> Vec<String> {
    let Ok(all) = std::fs::read_dir(Path::new("/proc")) else { return Vec::new() };
    let command_line =
        |entry: std::io::Result<std::fs::DirEntry>| std::fs::read(entry.ok()?.path().join("cmdline")).ok();
    all.filter_map(command_line)
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&place.path().display().to_string()))
        .collect()
}
