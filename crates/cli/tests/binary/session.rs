//! No command: a session, typed at a terminal or piped in.

use std::process::Stdio;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::{Node, Place, in_time};
use crate::terminal::Terminal;

/// The binary, set to talk to the node.
fn towards(place: &Place, node: &Node<'_>) -> tokio::process::Command {
    let mut command = place.binary();
    command.args(["-p", &node.port, "--cookie-file"]).arg(place.cookie());
    command
}

#[tokio::test]
async fn piped_commands_give_a_document_each() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let mut command = towards(&place, &node);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = "ping\n\nget 'n2'\nfrobnicate\nget \"n\nhas n1\nexit\nping\n";
    input.write_all(lines.as_bytes()).await.unwrap();
    drop(input);
    let output = in_time(child.wait_with_output()).await.unwrap();
    assert!(!output.status.success() && output.stderr.is_empty(), "{output:?}");
    let documents: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    let [ping, get, unknown, quote, has] = documents.as_slice() else { panic!("{documents:?}") };
    assert_eq!(*ping, json!({"ok": true, "data": "pong"}));
    assert_eq!(get["error"]["message"], "'n2' is not defined in this ring.");
    assert_eq!(
        unknown["error"]["message"],
        "unrecognized subcommand 'frobnicate': `help` lists the commands"
    );
    assert_eq!(quote["error"]["message"], "a quote in this line has no end");
    assert_eq!(*has, json!({"ok": true, "data": true}));
}

#[tokio::test]
async fn a_typed_session_completes_remembers_and_outlives_its_failures() {
    let place = Place::new();
    let node = place.node("node-one", &[]).await;
    let mut command = towards(&place, &node);
    let state = place.path().join("state");
    let mut terminal = Terminal::run(command.env("XDG_STATE_HOME", &state));
    let lines = [
        ("pi\t\r", "pong"),
        // The id comes from the node itself.
        ("weight no\t\r", "160"),
        ("insert 'an id' 192.0.2.1 1\r", "inserted"),
        ("get an\t\r", "192.0.2.1:1"),
        ("update an\t--we\t7\r", "has weight 7"),
        ("get nobody\r", "'nobody' is not defined in this ring"),
        ("help get\r", "The node's id"),
        ("inspect --help\r", "List every point"),
        // Up four times, over `inspect`, `help` and `get`, to what had to be completed.
        ("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A\r", "has weight 7"),
    ];
    for (keys, answer) in lines {
        // Keys typed before the prompt are not the editor's yet.
        terminal.until("node-one> ").await;
        terminal.type_in(keys);
        terminal.until(answer).await;
    }
    terminal.until("node-one> ").await;
    terminal.type_in("\u{4}");
    let (rest, in_good_order) = terminal.ended().await;
    assert!(in_good_order, "{rest}");
    let history = std::fs::read_to_string(state.join("clusterluck").join("history")).unwrap();
    assert!(history.contains("weight node-one"), "{history}");
}

#[tokio::test]
async fn what_is_piped_in_need_not_be_text() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let mut command = towards(&place, &node);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"ping\n\xff\xfe\nping\n").await.unwrap();
    let output = in_time(child.wait_with_output()).await.unwrap();
    let documents: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>().unwrap();
    let [before, line, after] = documents.as_slice() else { panic!("{documents:?}") };
    assert_eq!((&before["data"], &after["data"]), (&json!("pong"), &json!("pong")));
    assert!(line["error"]["message"].as_str().unwrap().starts_with("this line is not UTF-8"), "{line}");
    assert!(!output.status.success());
}

#[tokio::test]
async fn nothing_is_run_for_a_reader_that_is_gone() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    for line in [&b"ping\n"[..], b"get nobody\n"] {
        let mut command = towards(&place, &node);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        // It stays open: only that nobody reads can end the session.
        let mut input = child.stdin.take().unwrap();
        input.write_all(line).await.unwrap();
        assert!(in_time(child.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn an_interrupt_ends_a_command_and_not_the_session() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let mut command = towards(&place, &node);
    let state = place.path().join("state");
    command.args(["--timeout", "30m"]).env("XDG_STATE_HOME", &state);
    let mut terminal = Terminal::run(&mut command);
    let session = terminal.child.id().unwrap();
    let signal = |signal| {
        let pid = Pid::from_raw(i32::try_from(session).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    terminal.until("n1> ").await;
    terminal.type_in("watch\r");
    terminal.until("ctrl-c ends").await;
    signal(Signal::INT);
    terminal.until("n1> ").await;
    // It connects, and is not answered.
    node.signal(Signal::STOP);
    terminal.type_in("ping\r");
    let interrupts = async {
        loop {
            signal(Signal::INT);
            place.run(&["--version"]).await;
        }
    };
    in_time(async {
        tokio::select! {
            _ = terminal.until("interrupted: a change") => {}
            () = interrupts => unreachable!("interrupts go on"),
        }
    })
    .await;
    node.signal(Signal::CONT);
    terminal.until("n1> ").await;
    terminal.type_in("ping\r");
    terminal.until("pong").await;
    terminal.until("n1> ").await;
    // What was typed is kept, though the session be killed.
    signal(Signal::TERM);
    let (rest, in_good_order) = terminal.ended().await;
    assert!(!in_good_order, "{rest}");
    let history = std::fs::read_to_string(state.join("clusterluck").join("history")).unwrap();
    assert!(history.contains("watch\nping\n"), "{history}");
}

#[tokio::test]
async fn a_session_is_not_opened_where_nobody_answers() {
    let place = Place::new();
    let port = place.node("n1", &[]).await.port.clone();
    let mut command = place.binary();
    command.args(["-p", &port, "--cookie-file"]).arg(place.cookie());
    let (shown, in_good_order) = Terminal::run(&mut command).ended().await;
    assert!(!in_good_order && shown.contains("error:") && shown.contains("no node answers"), "{shown}");
}

#[tokio::test]
async fn a_terminal_shows_colours_unless_told_not_to() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let (shown, _) = Terminal::run(towards(&place, &node).arg("inspect")).ended().await;
    assert!(shown.contains("\u{1b}[1m") && shown.contains('█'), "{shown:?}");
    let (shown, _) = Terminal::run(towards(&place, &node).arg("inspect").env("NO_COLOR", "1")).ended().await;
    assert!(!shown.contains('\u{1b}') && shown.contains('█'), "{shown:?}");
    let (shown, _) = Terminal::run(towards(&place, &node).args(["--json", "ping"])).ended().await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["data"], "pong");
}
