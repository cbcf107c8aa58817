//! Disks that take nothing: a node on one goes on, and says why it changes nothing.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use crate::mounts;
use crate::support::{Node, Place, finished};

/// The place's cookie and the folder at which the disk is mounted.
fn paths(place: &Place) -> (String, String) {
    let data = place.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    (place.cookie().display().to_string(), data.display().to_string())
}

/// The binary with a disk of these options at the data folder.
fn on_a_disk(place: &Place, options: &str, arguments: &[&str]) -> Command {
    let (_, data) = paths(place);
    mounts::with_mount(place, &["-t", "tmpfs", "-o", options, "tmpfs", &data], arguments)
}

/// A node whose data folder is a disk of 64 KiB.
async fn node_on_a_small_disk(place: &Place) -> Node<'_> {
    let (cookie, data) = paths(place);
    let arguments = ["--json", "start", "n1", "--listen", "127.0.0.1:0", "--stop-on-eof"];
    let more = ["--cookie-file", &cookie, "--data-dir", &data];
    place.started("n1", on_a_disk(place, "size=64k", &[arguments.as_slice(), &more].concat())).await
}

/// Fills the node's disk to its last byte, and gives the file that does.
fn fill(place: &Place, node: &Node<'_>) -> PathBuf {
    let path = place.path().join("data").join("ballast");
    // The disk as the node sees it.
    let seen = format!("/proc/{}/root{}", node.child.id().unwrap(), path.display());
    let mut file = File::create(&seen).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    seen.into()
}

#[tokio::test]
async fn a_node_whose_disk_is_full_refuses_changes_and_serves_on() {
    if !mounts::are_allowed("a full disk").await {
        return;
    }
    let place = Place::new();
    let node = node_on_a_small_disk(&place).await;
    node.change(&["insert", "away", "192.0.2.1", "1"]).await;
    let ballast = fill(&place, &node);
    for command in [
        &["update", "n1", "-w", "7"][..],
        &["insert", "x", "192.0.2.2", "1"],
        &["remove", "away"],
        &["leave"],
    ] {
        let said = node.run(command).await.failure();
        for part in [
            "could not be stored, nothing was published",
            "cannot write",
            "o space left",
            "has room",
            "try again",
        ] {
            assert!(said.contains(part), "{command:?}: {said:?} lacks {part:?}");
        }
    }
    node.assert_unharmed().await;
    assert_eq!(node.data(&["weights"]).await, json!({"away": 160, "n1": 160}));
    std::fs::remove_file(ballast).unwrap();
    node.change(&["update", "n1", "-w", "7"]).await;
}

#[tokio::test]
async fn a_demo_without_room_says_what_is_missing() {
    if !mounts::are_allowed("a demo without room").await {
        return;
    }
    let place = Place::new();
    let (_, data) = paths(&place);
    // One page, which the cookie takes: nothing is left for what nodes store.
    let run = finished(on_a_disk(&place, "size=4k", &["--json", "demo"]).env("TMPDIR", &data)).await;
    let said = run.failure();
    assert!(said.contains("did not start: cannot start `") && said.contains("No space left"), "{said:?}");
    let run = finished(on_a_disk(&place, "ro", &["--json", "demo"]).env("TMPDIR", &data)).await;
    assert!(run.failure().starts_with("cannot make a temporary folder: set TMPDIR"), "{run:?}");
}

#[tokio::test]
async fn half_a_cookie_is_not_left_on_a_full_disk() {
    if !mounts::are_allowed("a cookie on a full disk").await {
        return;
    }
    let place = Place::new();
    let node = node_on_a_small_disk(&place).await;
    let ballast = fill(&place, &node);
    let path = ballast.with_file_name("cookie").display().to_string();
    let run = place.run(&["--text", "cookie", "new", &path]).await;
    assert!(run.error_line().contains("(no space left on device): give another path"), "{run:?}");
    std::fs::remove_file(ballast).unwrap();
    let run = place.run(&["cookie", "new", &path]).await;
    assert!(run.success, "{run:?}");
}

#[tokio::test]
async fn a_node_does_not_start_on_a_disk_that_takes_nothing() {
    if !mounts::are_allowed("a disk that cannot be written to").await {
        return;
    }
    let place = Place::new();
    let (cookie, data) =
        (place.cookie().display().to_string(), place.path().join("data").display().to_string());
    for (mount, reason) in [("ro", "ead-only"), ("nr_inodes=1", "o space left")] {
        let arguments = [
            "--text",
            "start",
            "n1",
            "--listen",
            "127.0.0.1:0",
            "--cookie-file",
            &cookie,
            "--data-dir",
            &data,
        ];
        let run = finished(&mut on_a_disk(&place, mount, &arguments)).await;
        let said = run.error_line();
        for part in ["cannot start `n1` from the data folder", reason, "--data-dir"] {
            assert!(said.contains(part), "{mount}: {said:?} lacks {part:?}");
        }
    }
    // A cookie has to be written too.
    let new = format!("{data}/cookie");
    let run = finished(&mut on_a_disk(&place, "ro", &["--text", "cookie", "new", &new])).await;
    let said = run.error_line();
    assert!(said.contains("cannot write the cookie file") && said.contains("give another path"), "{said:?}");
}
