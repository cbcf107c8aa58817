//! Everything that can be wrong, once: it is said in one line, and the node is none the worse.

use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{Node, Place, Run, finished, in_time};

/// A run fails with a line that holds all of `said`; programs get the same in a document.
async fn fails(place: &Place, arguments: &[&str], said: &[&str]) {
    let run = place.run(&[&["--text"], arguments].concat()).await;
    let line = run.error_line();
    assert!(said.iter().all(|part| line.contains(part)), "{arguments:?}: {line:?} lacks some of {said:?}");
    let message = place.run(&[&["--json"], arguments].concat()).await.failure();
    assert!(
        said.iter().all(|part| message.contains(part)),
        "{arguments:?}: {message:?} lacks some of {said:?}"
    );
}

/// The options that reach a node.
fn reaching<'a>(node: &'a Node<'_>, cookie: &'a str) -> [&'a str; 4] {
    ["-p", &node.port, "--cookie-file", cookie]
}

/// A port at which nobody listens.
async fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port().to_string()
}

#[tokio::test]
async fn whom_to_ask_can_be_wrong_in_many_ways() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let cookie = place.cookie().display().to_string();
    let to = |more: &[&'static str]| [&reaching(&node, &cookie)[..], more].concat();

    let other = Place::new();
    let wrong = other.cookie().display().to_string();
    fails(
        &place,
        &["-p", &node.port, "--cookie-file", &wrong, "ping"],
        &["refused the cookie in", "was started with"],
    )
    .await;
    fails(&place, &to(&["-I", "n2", "ping"]), &["is `n1`, not `n2`", "leave out -I"]).await;
    fails(&place, &to(&["-H", "not a host", "ping"]), &["`not a host` cannot be a host"]).await;

    let port = free_port().await;
    let there = ["-p", &port, "--cookie-file", &cookie, "ping"];
    fails(&place, &there, &["no node answers at 127.0.0.1:", "connection refused", "clusterluck start"])
        .await;
    node.assert_unharmed().await;
}

#[tokio::test]
async fn what_is_no_node_is_said_to_be_none() {
    let place = Place::new();
    let cookie = place.cookie().display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let stranger = async {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    };
    let arguments = ["-p", &port, "--cookie-file", &cookie, "ping"];
    tokio::select! {
        () = fails(&place, &arguments, &["no clusterluck node", "check -H and -p"]) => {}
        () = stranger => {}
    }
    // It accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let arguments = ["-p", &port, "--cookie-file", &cookie, "--timeout", "50ms", "ping"];
    fails(&place, &arguments, &["nothing at 127.0.0.1:", "within 50ms", "--timeout"]).await;
}

#[tokio::test]
async fn a_cookie_can_be_wrong_in_many_ways() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let open = place.path().join("open");
    std::fs::copy(place.cookie(), &open).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let empty = place.private_file("empty", "\n").display().to_string();
    let short = place.private_file("short", "c0ffee").display().to_string();
    let beneath = format!("{short}/cookie");

    for command in [vec!["-p", &node.port, "ping"], vec!["start", "x", "--listen", "127.0.0.1:0"]] {
        let with =
            |more: &[&str]| -> Vec<String> { more.iter().chain(&command).map(ToString::to_string).collect() };
        for (more, said) in [
            (["--cookie-file", "missing"], ["there is no cookie file missing", "cookie new missing"]),
            (["--cookie-file", open.to_str().unwrap()], ["can be read by others (mode 0644)", "chmod 600"]),
            (["--cookie-file", &empty], ["the cookie is empty", "64 hexadecimal digits"]),
            (["--cookie-file", "/dev/null"], ["/dev/null is no regular file", "give the path"]),
            (["--cookie-file", &short], ["64 hexadecimal digits", "cookie new"]),
            (["--cookie-file", &beneath], ["cannot read the cookie file", "another with --cookie-file"]),
        ] {
            let arguments = with(&more);
            fails(&place, &arguments.iter().map(String::as_str).collect::<Vec<_>>(), &said).await;
        }
        for wrong in ["", "c0ffee"] {
            let run =
                finished(place.binary().arg("--text").args(&command).env("CLUSTERLUCK_COOKIE", wrong)).await;
            assert!(run.error_line().contains("CLUSTERLUCK_COOKIE: "), "{run:?}");
            assert!(wrong.is_empty() || !run.err.contains(wrong), "the cookie is shown: {run:?}");
        }
    }
    let mut command = place.binary();
    command.args(["--text", "start", "x", "--listen", "127.0.0.1:0"]).env("XDG_CONFIG_HOME", beneath);
    let unmade = finished(&mut command).await;
    let said = unmade.error_line();
    assert!(
        said.contains("cannot make this user's cookie") && said.contains("give --cookie-file"),
        "{said:?}"
    );
    let none = place.run(&["--text", "ping"]).await;
    assert!(none.error_line().contains("no cookie: give --cookie-file"), "{none:?}");
    node.assert_unharmed().await;
}

#[tokio::test]
async fn a_cookie_on_the_command_line_is_warned_of() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let cookie = std::fs::read_to_string(place.cookie()).unwrap();
    let run = place.run(&["-p", &node.port, "-a", cookie.trim(), "ping"]).await;
    assert_eq!(run.document()["data"], "pong");
    assert!(run.err.contains("other users can see --key"), "{run:?}");
    let wrong = place.run(&["-p", &node.port, "-a", "", "ping"]).await;
    assert!(wrong.failure().contains("--key: the cookie is empty"), "{wrong:?}");
    let both = place.run(&["--key", "x", "--cookie-file", "y", "ping"]).await;
    assert!(both.failure().contains("cannot be used with"), "{both:?}");
    // Only what is typed can contradict.
    let mut command = place.binary();
    command.args(["-p", &node.port, "-a", cookie.trim(), "ping"]).env("CLUSTERLUCK_COOKIE_FILE", "missing");
    assert_eq!(finished(&mut command).await.document()["data"], "pong");
}

#[tokio::test]
async fn a_node_refuses_what_makes_no_sense_and_goes_on() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let long = "x".repeat(256);
    let cookie = place.cookie().display().to_string();
    let over = (u32::from(u16::MAX) + 1).to_string();
    let wrong: &[(&[&str], &[&str])] = &[
        (&["get", "n2"], &["'n2' is not defined in this ring"]),
        (&["remove", "n2"], &["'n2' is not defined in this ring"]),
        (&["update", "n2", "-w", "1"], &["'n2' is not defined in this ring"]),
        (&["remove", "n1"], &["leave"]),
        (&["insert", "n1", "192.0.2.1", "1"], &["member already", "update it"]),
        (&["update", "n1", "192.0.2.9", "9", "5"], &["not at 192.0.2.9:9"]),
        (&["join", "r"], &["in ring `clusterluck` already", "leave it first"]),
        (&["get", ""], &["the name is empty", "1 to 255 bytes"]),
        (&["get", &long], &["256 bytes long", "at most 255"]),
        (&["insert", "", "192.0.2.1", "1"], &["the name is empty"]),
        (&["insert", &long, "192.0.2.1", "1"], &["at most 255"]),
        (&["insert", "x", "192.0.2.1", "65536"], &["65536 is not in 1..=65535"]),
        (&["insert", "x", "192.0.2.1", "1", "-w", "-1"], &["whole number from 0 to 65535"]),
        (&["insert", "x", "192.0.2.1", "1", "-w", "2.5"], &["whole number from 0 to 65535"]),
        (&["insert", "x", "192.0.2.1", "1", "-w", &over], &["whole number from 0 to 65535"]),
        (&["update", "n1", "-w", "-3"], &["whole number from 0 to 65535"]),
        (&["minsert", "x", "192.0.2.1"], &["<id> <host> <port>"]),
        (&["minsert", "x", "192.0.2.1", "p"], &["the port of `x`"]),
        (&["meet", "x"], &["`x` is no address"]),
        (&["inspct"], &["unrecognized subcommand 'inspct'", "did you mean `inspect`?"]),
        (&["frobnicate"], &["unrecognized subcommand 'frobnicate'", "--help"]),
        (&["ping", "--jsn"], &["unexpected argument '--jsn'", "--json"]),
        (&["ping", "--timeout", "5h"], &["from 1ms to 60m"]),
        (&["owner", "k", "-n", "0"], &["0 is not in 1.."]),
        (&["insert", "x"], &["<HOST> <PORT>"]),
        (&["ping", "--output", "yaml"], &["invalid value 'yaml'", "json"]),
        (&["cookie"], &["what to do is missing in `clusterluck cookie", "--help"]),
        (&["man", "frobnicate"], &["`frobnicate` is no command", "--help"]),
    ];
    for (command, said) in wrong {
        fails(&place, &[&reaching(&node, &cookie)[..], command].concat(), said).await;
    }
    let nobody = format!("127.0.0.1:{}", free_port().await);
    let unreachable = node.run(&["meet", &nobody]).await;
    let said = unreachable.failure();
    assert_eq!(said.matches("cannot reach").count(), 1, "{unreachable:?}");
    assert!(
        said.contains(&format!("cannot reach {nobody}")) && said.contains("check the address"),
        "{unreachable:?}"
    );
    let other = place.node("n2", &[]).await;
    let misnamed = node.run(&["meet", "n3", "127.0.0.1", &other.port]).await;
    assert!(misnamed.failure().contains("is `n2`: give its own id"), "{misnamed:?}");
    node.assert_unharmed().await;
    assert_eq!(node.data(&["nodes"]).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_node_in_no_ring_says_so() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    node.change(&["leave"]).await;
    let commands: [&[&str]; 5] =
        [&["insert", "x", "192.0.2.1", "1"], &["remove", "x"], &["update", "x"], &["leave"], &["owner", "k"]];
    for command in commands {
        let message = node.run(command).await.failure();
        assert!(
            message.contains("in no ring") && message.contains("clusterluck join"),
            "{command:?}: {message}"
        );
    }
    assert_eq!(node.data(&["inspect"]).await["tree"], serde_json::json!([]));
    node.assert_unharmed().await;
}

#[tokio::test]
async fn a_node_does_not_start_where_it_cannot() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let cookie = place.cookie().display().to_string();
    let taken = format!("127.0.0.1:{}", node.port);
    let everywhere = format!("[::]:{}", node.port);
    let file = place.private_file("file", "").display().to_string();
    let long = "x".repeat(256);
    let wrong: &[(&[&str], &[&str])] = &[
        (&["n2", "--listen", &taken], &["cannot listen at", "already in use", "--listen"]),
        (&["n2", "--listen", "0.0.0.0:0"], &["--advertise <host:port>"]),
        (
            &["n2", "--listen", "127.0.0.1:0", "--advertise", &everywhere],
            &["cannot be advertised", "--advertise <host:port>"],
        ),
        (&["n2", "--listen", "0.0.0.0:0", "--advertise", "host:0"], &["host:0 cannot be advertised"]),
        (&["n2", "--listen", "nowhere"], &["host:port"]),
        (&["n2", "--listen", "127.0.0.1:0", "--data-dir", &file], &["data folder", "--data-dir"]),
        (&["", "--listen", "127.0.0.1:0"], &["the name is empty"]),
        (&[&long, "--listen", "127.0.0.1:0"], &["at most 255"]),
        (&["n2", "--listen", "127.0.0.1:0", "--weight", "2.5"], &["whole number"]),
        (&["n2", "--listen", "127.0.0.1:0", "--tag", "t"], &["key=value"]),
        (&["n2", "--listen", "127.0.0.1:0", "--ring", ""], &["the ring name is empty"]),
        (&["n2", "-p", "1"], &["--listen <host:port>"]),
        (
            &["n2", "--listen", "127.0.0.1:0", "--metrics-listen", &taken],
            &["cannot serve metrics", "already in use"],
        ),
        (&["n2", "--listen", "192.0.2.1:7022"], &["cannot listen at 192.0.2.1:7022", "--listen"]),
    ];
    for (arguments, said) in wrong {
        fails(&place, &[&["--cookie-file", cookie.as_str(), "start"], *arguments].concat(), said).await;
    }
    node.assert_unharmed().await;
}

#[tokio::test]
async fn what_stands_in_a_variable_is_said_to_stand_there() {
    let place = Place::new();
    let wrong: &[(&[&str], &str, &[u8], &str)] = &[
        (&["ping"], "CLUSTERLUCK_NODE_PORT", b"tcp://192.0.2.1:7022", "'tcp://192.0.2.1:7022' for '--port"),
        (&["ping"], "CLUSTERLUCK_INSTANCE", b"", "the name is empty"),
        (&["ping"], "CLUSTERLUCK_TIMEOUT", b"5h", "from 1ms to 60m"),
        (&["ping"], "CLUSTERLUCK_HOSTNAME", b"\xff", "is not UTF-8"),
        (&["start"], "CLUSTERLUCK_ID", b"", "the name is empty"),
        (&["start", "x"], "CLUSTERLUCK_MEET", b"192.0.2.1:7022,nowhere", "'nowhere' for '--meet"),
        (&["start", "x"], "CLUSTERLUCK_WEIGHT", b"2.5", "whole number"),
    ];
    for (arguments, variable, value, said) in wrong {
        let mut command = place.binary();
        let run = finished(
            command.arg("--text").args(*arguments).env(variable, std::ffi::OsStr::from_bytes(value)),
        )
        .await;
        let line = run.error_line();
        assert!(line.contains(&format!("the variable {variable}")) && line.contains(said), "{line:?}");
    }
    // What is typed wins, and is what is wrong.
    let mut command = place.binary();
    let run = finished(command.args(["--text", "-p", "x", "ping"]).env("CLUSTERLUCK_NODE_PORT", "7")).await;
    assert!(run.error_line().starts_with("invalid value 'x' for '--port"), "{run:?}");
}

#[tokio::test]
async fn words_that_are_no_text_are_named_and_keys_need_not_be_text() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let no_text = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let mut command = place.binary();
    let run = finished(command.args(["--text", "get"]).arg(no_text)).await;
    assert_eq!(run.error_line(), "`\u{fffd}\u{fffd}` is not UTF-8");
    let mut command = place.binary();
    command.args(["-p", &node.port, "--cookie-file"]).arg(place.cookie()).arg("owner").arg(no_text);
    assert_eq!(finished(&mut command).await.document()["data"][0]["id"], "n1");
}

/// Only Linux has a device that is always full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let lines: [&[&str]; 5] = [
        &["--json", "inspect"],
        &["--text", "inspect"],
        &["--help"],
        &["man", "start"],
        &["completions", "bash"],
    ];
    for line in lines {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = place.binary();
        command.args(line).args(reaching(&node, &place.cookie().display().to_string()));
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = in_time(child.wait_with_output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(
            said.starts_with("error: cannot write to standard output: No space left"),
            "{line:?}: {said}"
        );
    }
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_refused() {
    let place = Place::new();
    let run: Run = finished(place.binary().args(["--text", "ping"]).env("CLUSTERLUCK_LOG", "a=b=c")).await;
    assert!(run.error_line().contains("CLUSTERLUCK_LOG=`a=b=c` is no filter"), "{run:?}");
}
