//! The life of a node: how it starts, stops and comes back.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Command;

use crate::support::{Place, eventually, finished, in_time};

#[tokio::test]
async fn a_stopped_node_says_goodbye_and_stays_a_member() {
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let (one, two) = (place.node("n1", &[]).await, place.node("n2", &[]).await);
        one.change(&["meet", "n2", "127.0.0.1", &two.port, "--wait"]).await;
        // Twice, as `timeout` and others do who signal a process and its group.
        two.signal(signal);
        two.signal(signal);
        let (in_good_order, log) = two.ended().await;
        assert!(in_good_order, "{log}");
        eventually("n1 sees that n2 is gone", async || one.data(&["members"]).await[1]["connected"] == false)
            .await;
        assert_eq!(one.data(&["has", "n2"]).await, true);
    }
}

#[tokio::test]
async fn a_node_says_truly_what_it_leaves_behind() {
    let place = Place::new();
    for (in_ring, left) in [(true, "stopped n1; it stays a member"), (false, "stopped n1; it was in no ring")]
    {
        let mut command = place.binary();
        command
            .args(["--text", "start", "n1", "--listen", "127.0.0.1:0", "--cookie-file"])
            .arg(place.cookie());
        let mut node = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
        let ready = in_time(lines.next_line()).await.unwrap().expect("it becomes ready");
        // As it was called itself, which need not be on the path.
        let look = format!("look at it: {} -p ", env!("CARGO_BIN_EXE_clusterluck"));
        assert!(ready.contains(&look), "{ready}");
        if !in_ring {
            let port = ready.split([',', ':']).nth(1).expect("its port is told");
            let cookie = place.cookie().display().to_string();
            let run = place.run(&["-p", port, "--cookie-file", &cookie, "leave"]).await;
            assert!(run.success, "{run:?}");
        }
        let pid = Pid::from_raw(i32::try_from(node.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(in_time(lines.next_line()).await.unwrap().as_deref(), Some(left));
        assert!(in_time(node.wait()).await.unwrap().success());
    }
}

/// A pipe in the place of its state: nobody writes to it, as no disk answers that hangs.
#[tokio::test]
async fn an_interrupt_ends_a_node_that_cannot_start() {
    let place = Place::new();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let state = data.join("gossip.state");
    assert!(finished(Command::new("mkfifo").arg(&state)).await.success);
    let mut command = place.binary();
    command.args(["--text", "start", "n1", "--listen", "127.0.0.1:0", "--cookie-file"]).arg(place.cookie());
    let node = command.arg("--data-dir").arg(data).stderr(Stdio::piped()).spawn().unwrap();
    let mut writer = None;
    eventually("the node reads its state", async || {
        place.run(&["--version"]).await;
        writer = pipe::OpenOptions::new().open_sender(&state).ok();
        writer.is_some()
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(node.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let output = in_time(node.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"error: `n1` was stopped before it had started\n");
}

#[tokio::test]
async fn a_node_that_leaves_on_exit_is_no_member_any_more() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let two = place.node("n2", &["--leave-on-exit", "--meet", &format!("127.0.0.1:{}", one.port)]).await;
    eventually("n1 knows n2", async || one.data(&["has", "n2"]).await == true).await;
    two.signal(Signal::TERM);
    let (in_good_order, log) = two.ended().await;
    assert!(in_good_order, "{log}");
    assert_eq!(one.data(&["has", "n2"]).await, false);
}

/// Not before all who went away at the same time would be known to have: some 14 s of three nodes.
#[tokio::test]
async fn a_member_that_died_is_removed_in_time_where_that_was_asked_for() {
    let place = Place::new();
    let asked = ["--pace", "lan", "--remove-after", "1s", "--remove-max", "2"];
    let one = place.node("n1", &asked).await;
    let seed = format!("127.0.0.1:{}", one.port);
    let two = place.node("n2", &[&asked[..], &["--meet", &seed]].concat()).await;
    let three = place.node("n3", &["--meet", &seed]).await;
    for node in [&one, &two] {
        eventually("they know each other", async || node.data(&["members"]).await[2]["liveness"] == "alive")
            .await;
    }
    three.signal(Signal::KILL);
    for node in [&one, &two] {
        eventually("n3 is removed", async || node.data(&["has", "n3"]).await == false).await;
    }
    let refused = place.run(&["start", "n4", "--remove-max", "2"]).await;
    assert!(!refused.success && refused.out.contains("--remove-after"), "{refused:?}");
}

#[tokio::test]
async fn a_second_signal_ends_a_node_that_cannot_finish() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let mut two = place.node("n2", &["--leave-on-exit", "--grace", "30m"]).await;
    two.change(&["meet", "n1", "127.0.0.1", &one.port, "--wait"]).await;
    // A leave waits for others to acknowledge it; this one never will.
    one.signal(Signal::STOP);
    two.signal(Signal::TERM);
    two.says("a second signal stops it at once").await;
    // One that comes too soon counts as the first.
    eventually("it has ended", async || {
        two.signal(Signal::TERM);
        place.run(&["--version"]).await;
        two.child.try_wait().unwrap().is_some()
    })
    .await;
    let (in_good_order, _) = two.ended().await;
    assert!(!in_good_order);
    one.signal(Signal::CONT);
    one.assert_unharmed().await;
}

#[tokio::test]
async fn a_node_stops_when_the_program_that_started_it_is_gone() {
    let place = Place::new();
    let mut node = place.node("n1", &[]).await;
    node.end_input();
    let (in_good_order, log) = node.ended().await;
    assert!(in_good_order, "{log}");
}

#[tokio::test]
async fn a_node_comes_back_at_another_port_without_being_told_of_anyone() {
    let place = Place::new();
    let folder = place.path().join("data").display().to_string();
    let one = place.node("n1", &[]).await;
    let two = place.node("n2", &["--data-dir", &folder]).await;
    two.change(&["meet", "n1", "127.0.0.1", &one.port, "--wait"]).await;
    let before = two.port.clone();
    two.signal(Signal::TERM);
    assert!(two.ended().await.0);
    let two = place.node("n2", &["--data-dir", &folder]).await;
    assert_ne!(two.port, before);
    let port: u16 = two.port.parse().unwrap();
    eventually("n1 knows the new port", async || one.data(&["get", "n2"]).await["port"] == port).await;
    eventually("both are connected", async || one.data(&["members"]).await[1]["connected"] == true).await;
    assert_eq!(one.data(&["inspect"]).await, two.data(&["inspect"]).await);
}

#[tokio::test]
async fn a_first_node_makes_the_cookie_that_commands_and_later_nodes_use() {
    let place = Place::new();
    let own = place.path().join("config").join("clusterluck").join("cookie");
    let path = own.display().to_string();
    // Two at once, and still there is one cookie.
    let start = |id: &str| {
        let mut command = place.binary();
        command.args(["--json", "start", id, "--listen", "127.0.0.1:0", "--stop-on-eof"]);
        command
    };
    let (one, two) = tokio::join!(place.started("n1", start("n1")), place.started("n2", start("n2")));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let met = place.run(&["-p", &one.port, "meet", "n2", "127.0.0.1", &two.port]).await;
    assert_eq!(met.document(), json!({"ok": true}));
}

#[tokio::test]
async fn a_node_meets_whoever_a_name_stands_for() {
    let place = Place::new();
    let one = place.node("n1", &[]).await;
    let two = place.node("n2", &["--meet", &format!("dns:localhost:{}", one.port), "--expect", "2"]).await;
    eventually("they know each other", async || two.data(&["has", "n1"]).await == true).await;
    assert_eq!(one.data(&["has", "n2"]).await, true);
}

#[tokio::test]
async fn flags_can_be_set_in_the_environment() {
    let place = Place::new();
    let mut command = place.binary();
    command.args(["--json", "start", "--stop-on-eof"]).envs([
        ("CLUSTERLUCK_ID", "n1"),
        ("CLUSTERLUCK_LISTEN", "127.0.0.1:0"),
        ("CLUSTERLUCK_RING", "r"),
        ("CLUSTERLUCK_WEIGHT", "3"),
        ("CLUSTERLUCK_TAGS", "a=1,b=2"),
        ("CLUSTERLUCK_LEAVE_ON_EXIT", "1"),
        ("CLUSTERLUCK_COOKIE_FILE", place.cookie().to_str().unwrap()),
    ]);
    let node = place.started("n1", command).await;
    let members = node.data(&["members"]).await;
    assert_eq!((&members[0]["weight"], &members[0]["tags"]), (&json!(3), &json!({"a": "1", "b": "2"})));
    assert_eq!(node.ready["data"]["ring"], "r");
}

#[tokio::test]
async fn what_is_ready_says_where_it_is() {
    let place = Place::new();
    let node = place.node("n1", &["--ring", "r"]).await;
    let data = &node.ready["data"];
    let said = json!({
        "id": "n1",
        "host": "127.0.0.1",
        "port": node.port.parse::<u16>().unwrap(),
        "ring": "r",
        "pid": node.child.id().unwrap(),
        "metrics": null,
    });
    assert_eq!(*data, said);
}
