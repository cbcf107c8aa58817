//! `watch`: events as they happen, and over the death of the node that tells them.

use std::process::Stdio;

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::schemas::assert_valid;
use crate::support::{Place, eventually, in_time};

struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    fn of(place: &Place, port: &str, more: &[&str]) -> Self {
        let mut command = place.binary();
        command.args(["-p", port, "--cookie-file"]).arg(place.cookie()).args(more).arg("watch");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next event of this name.
    async fn until(&mut self, event: &str) -> Value {
        loop {
            let line = in_time(self.lines.next_line()).await.unwrap().expect("it watches on");
            let document: Value = serde_json::from_str(&line).unwrap();
            assert_valid("watch", &document);
            if document["data"]["event"] == event {
                return document["data"].clone();
            }
        }
    }

    fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    }
}

#[tokio::test]
async fn a_watcher_outlives_the_node_and_says_so() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let mut watcher = Watcher::of(&place, &one.port, &[]);
    // It watches from now on, whenever that is: something happens until it says so.
    let changes = async {
        loop {
            one.change(&["update", "n1", "-w", "7"]).await;
            one.change(&["update", "n1", "-w", "8"]).await;
        }
    };
    let changed = tokio::select! {
        changed = watcher.until("ring_changed") => changed,
        () = changes => unreachable!("changes go on"),
    };
    assert_eq!(
        (&changed["details"]["nodes"], &changed["details"]["moved_percent"]),
        (&"1".into(), &"0.0".into())
    );

    let port = one.port.clone();
    one.signal(Signal::KILL);
    let lost = watcher.until("connection_lost").await;
    assert_eq!(lost["node"], "n1");
    let listen = format!("127.0.0.1:{port}");
    let mut again = place.binary();
    again
        .args(["--json", "start", "n1", "--listen", &listen, "--stop-on-eof", "--cookie-file"])
        .arg(place.cookie());
    let _again = place.started("n1", again).await;
    watcher.until("connection_back").await;
    watcher.until("node_restarted").await;
    watcher.interrupt();
    assert!(in_time(watcher.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_watcher_sees_a_member_go_down_and_come_back() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let met = format!("127.0.0.1:{}", one.port);
    let two = place.node("n2", &["--meet", &met]).await;
    let mut watcher = Watcher::of(&place, &one.port, &[]);
    let changes = async {
        loop {
            one.change(&["update", "n1", "-w", "7"]).await;
            one.change(&["update", "n1", "-w", "8"]).await;
        }
    };
    tokio::select! {
        _ = watcher.until("ring_changed") => {}
        () = changes => unreachable!("changes go on"),
    }
    eventually("they are members of one ring", async || {
        one.data(&["members"]).await.as_array().unwrap().iter().any(|member| member["id"] == "n2")
    })
    .await;
    two.signal(Signal::KILL);
    assert_eq!(watcher.until("member_down").await["node"], "n2");
    // Half of a ring is no majority.
    let minority = watcher.until("minority_partition").await;
    assert_eq!(
        (&minority["details"]["reachable"], &minority["details"]["members"]),
        (&"1".into(), &"2".into())
    );
    let _two = place.node("n2", &["--meet", &met]).await;
    assert_eq!(watcher.until("member_up").await["node"], "n2");
    watcher.interrupt();
    assert!(in_time(watcher.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_watcher_whose_reader_is_gone_ends() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let Watcher { mut child, lines } = Watcher::of(&place, &one.port, &["--text"]);
    // Nothing happens that it could fail to print.
    drop(lines);
    assert!(in_time(child.wait()).await.unwrap().success());
}
