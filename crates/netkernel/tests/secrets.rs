//! Nothing a kernel says gives a secret away: every log line, error and `Debug` text of handshakes that succeed and
//! that fail is searched for the cookie, the keys made of it, and anything that looks like a key or a MAC.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::Once;

use bytes::Bytes;
use common::{SECOND, TestNode, id, node, settle, small, start};
use netkernel::{
    CallError, Config, Cookie, Executed, MemoryNetwork, Net, Noise, Refusal, SendError, Transport,
};
use shim::{Shim, call, cast, define};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span;

thread_local! {
    /// What was logged on this thread, which runs one test with all its tasks.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes down everything that is logged, of whatever level. One for the whole process: `tracing` remembers for each line
/// whether anybody wants it, and one that was set for a thread alone may go unasked because of another's test.
struct Everything;

impl Everything {
    /// Begins to listen on this thread.
    fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Everything).unwrap());
        LOG.take();
    }

    fn heard() -> String {
        LOG.with_borrow(String::clone)
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _infallible = write!(self.0, "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        LOG.with_borrow_mut(|log| {
            let _infallible = write!(log, "{}: ", attributes.metadata().name());
            attributes.record(&mut Line(log));
            log.push('\n');
        });
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, values: &span::Record<'_>) {
        LOG.with_borrow_mut(|log| values.record(&mut Line(log)));
    }

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        LOG.with_borrow_mut(|log| {
            event.record(&mut Line(log));
            log.push('\n');
        });
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// Fault 25 of the original: the log of a rejected message showed the checksum it should have had.
#[tokio::test(start_paused = true)]
async fn fault_25_no_cookie_key_or_mac_in_any_log_error_or_debug_text() {
    Everything::listen();
    let digits = "5ac0ffee9d1e8b7a6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b";
    let (mine, other): (Cookie, Cookie) = (digits.parse().unwrap(), "77".repeat(32).parse().unwrap());
    let network = MemoryNetwork::new();
    let config = |name: &str, cookie: &Cookie| {
        Config::builder(id(name), Noise::new(cookie))
            .transport(network.host(name))
            .listen(format!("{name}:0").parse().unwrap())
    };
    let (a, b) = (start(config("a", &mine)).await, start(config("b", &mine)).await);
    let thief = start(config("thief", &other)).await;
    let mut said = format!("{:?} {:?} {mine:?} {:?} ", a.kernel, config("a", &mine), mine.reveal());
    a.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    a.echo(&b, "hello").await.unwrap();
    for (from, to) in [(&thief, &b), (&a, &thief), (&a, &a)] {
        let error = from.kernel.dial(&to.address(), None, SECOND).await.unwrap_err();
        write!(said, "{error} {error:?} ").unwrap();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            write!(said, "{cause} {cause:?} ").unwrap();
            source = cause.source();
        }
    }
    for garbage in
        [&b"CLK1\x01\x01\x00\x40 aaaaaaaaaaaaaaaa"[..], b"GET / HTTP/1.1\r\n\r\n", b"CLK1\x09\x01\x00\x00"]
    {
        let mut stranger = network.host("stranger").connect(&b.address()).await.unwrap();
        stranger.write.write_all(garbage).await.unwrap();
        drop(stranger);
        settle().await;
    }
    network.reset("a", "b");
    settle().await;
    write!(said, "{:?}", b.kernel.peers()).unwrap();
    said.push_str(&Everything::heard());
    assert!(said.contains("connection refused"), "the log was not caught: {said}");

    let psk = blake3::derive_key("clusterluck netkernel v1 psk", &bytes_of(digits));
    let secrets = [bytes_of(digits).to_vec(), psk.to_vec(), bytes_of(&"77".repeat(32)).to_vec()];
    for secret in secrets {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        for part in [&hex[..16], &hex[24..40], &format!("{:?}", &secret[..4])[1..12]] {
            assert!(!said.to_lowercase().contains(part), "{part} in: {said}");
        }
    }
    let longest_hex = said.split(|character: char| !character.is_ascii_hexdigit()).map(str::len).max();
    assert!(longest_hex < Some(24), "something that looks like a key: {said}");
    let lists = said.split(|character: char| !(character.is_ascii_digit() || ", ".contains(character)));
    let longest_list = lists.map(|list| list.matches(", ").count()).max();
    assert!(longest_list < Some(12), "something that looks like bytes: {said}");
}

/// The cookie is shown where it was asked for, and only there.
#[tokio::test(start_paused = true)]
async fn a_cookie_is_shown_by_reveal_alone() {
    let digits = "ab".repeat(32);
    let cookie: Cookie = digits.parse().unwrap();
    assert_eq!(*cookie.reveal(), *digits);
    let network = MemoryNetwork::new();
    let node = node(&network, "a").await;
    assert!(!format!("{:?} {cookie:?} {:?}", node.kernel, cookie.reveal()).contains("abab"));
}

/// Lines of the log with this text, and the sum of the lines that each says it stands for besides itself.
fn told(text: &str) -> (usize, usize) {
    let log = Everything::heard();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(text)).collect();
    let more = |line: &&str| -> usize {
        let (_, more) = line.split_once(" more=").expect("a line says how many more it stands for");
        more.split(' ').next().unwrap().parse().unwrap()
    };
    (lines.len(), lines.iter().map(more).sum())
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refused_connections_writes_few_lines_that_account_for_all() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    for _ in 0..500 {
        let mut stranger = network.host("stranger").connect(&b.address()).await.unwrap();
        stranger.write.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        settle().await;
    }
    // 25 seconds of it: a line at its beginning and every ten seconds, also after its end.
    tokio::time::sleep(25 * SECOND).await;
    let (lines, more) = told("message=connection refused");
    let (late, rest) = told("message=connections refused");
    assert!(lines >= 1 && late >= 1 && lines + late <= 5, "{lines} and {late} lines");
    assert_eq!(lines + more + rest, 500);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_broken_sessions_writes_few_lines_that_account_for_all() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    for number in 0..200 {
        let mut peer = Shim::connect(&network, &b, &format!("peer-{number}")).await;
        // A server that was never named.
        peer.record(&cast(77, b"body")).await;
        settle().await;
    }
    tokio::time::sleep(25 * SECOND).await;
    let (lines, more) = told("message=session closed: the peer broke the protocol");
    let (late, rest) = told("message=sessions closed: their peers broke the protocol");
    assert!(lines >= 1 && lines + late <= 4, "{lines} and {late} lines");
    assert_eq!(lines + more + rest, 200);
}

/// A peer that calls an echo as fast as it can, and reads nothing.
#[tokio::test(start_paused = true)]
async fn a_flood_of_calls_whose_replies_are_not_read_writes_few_lines_that_account_for_all() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut peer = Shim::connect(&network, &b, "peer").await;
    peer.record(&define(1, "echo")).await;
    for record in 0..160u64 {
        let calls = (0..60).map(|number| call(60 * record + number, 1, &[0; 1_000]));
        peer.record(&calls.flatten().collect::<Vec<u8>>()).await;
    }
    settle().await;
    let dropped = b.kernel.peers()[0].traffic.dropped.replies;
    assert!(dropped > 500, "{dropped} replies were dropped");
    tokio::time::sleep(25 * SECOND).await;
    let (lines, more) = told("message=reply dropped, its caller is told");
    let (late, rest) = told("message=replies dropped, their callers are told");
    assert!(lines >= 1 && lines + late <= 2, "{lines} and {late} lines");
    assert_eq!((lines + more + rest) as u64, dropped);
}

/// A member that casts to a full server and hangs up, each time under another id.
#[tokio::test(start_paused = true)]
async fn a_flood_of_links_that_end_with_casts_held_writes_few_lines_that_account_for_all() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let (kernel, _mailbox) = small(&network, "b", 1).await;
    let b = TestNode { kernel, casts: mpsc::channel(1).1, held: mpsc::channel(1).1 };
    for number in 0..100 {
        let mut peer = Shim::connect(&network, &b, &format!("peer-{number}")).await;
        peer.record(&[define(1, "full"), cast(1, b"taken"), cast(1, b"held")].concat()).await;
        settle().await;
        drop(peer);
        settle().await;
    }
    tokio::time::sleep(25 * SECOND).await;
    let (lines, more) = told("message=casts lost with their link before their servers had room");
    let (late, rest) = told("message=links lost with casts for which their servers had no room");
    assert!(lines >= 1 && lines + late <= 3, "{lines} and {late} lines");
    assert_eq!(lines + more + rest, 100);
}

/// A line says what happened and why, each once.
#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_is_told_with_its_causes_once() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let (a, other) = (node(&network, "a").await, Noise::new(&"1".repeat(64).parse().unwrap()));
    let b = Config::builder(id("b"), other).transport(network.host("b")).listen("b:0".parse().unwrap());
    let b = start(b).await;
    a.connect(&b);
    a.kernel.connect(&id("c"), &"c:1".parse().unwrap());
    settle().await;
    let log = Everything::heard();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("message=cannot connect")).collect();
    let told = |what: &str| lines.iter().filter(|line| line.ends_with(&format!(" error={what} "))).count();
    let refused = format!("handshake with {} failed: authentication failed: the cookies differ", b.address());
    assert_eq!(told(&refused), 1, "{lines:?}");
    assert_eq!(told("cannot reach c:1: connection refused"), 1, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn spans_name_the_node_and_its_peer() {
    Everything::listen();
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    let log = Everything::heard();
    for span in [
        "link: node=a peer=b",
        "session: node=a peer=b",
        "session: node=b peer=a",
        "handshake: node=b remote=a:0",
    ] {
        assert!(log.contains(span), "no span {span} in {log}");
    }
}

/// A test or a log that prints the error is not to print megabytes of what a user wrote.
#[test]
fn a_message_that_is_handed_back_shows_its_size_alone() {
    let body = Bytes::from_static(b"for nobody else");
    let (node, max) = (id("b"), 3);
    let errors = [
        SendError::Busy { node: node.clone(), body: body.clone() },
        SendError::NotConnected { node, body: body.clone() },
        SendError::TooLarge { bytes: body.len(), max, body: body.clone() },
        SendError::Refused { refusal: Refusal::NoProc, body: body.clone() },
        SendError::ShuttingDown { body: body.clone() },
    ];
    for error in errors {
        let shown = format!("{error:?} {error}");
        assert!(shown.contains("bytes: 15") && !shown.contains("nobody"), "{shown}");
        assert_eq!(error.into_body(), body);
    }
}

/// Nor is what a layer says with a refusal, which may quote the message.
#[test]
fn a_refusal_of_a_layer_shows_the_size_alone_of_what_it_says() {
    let detail = Bytes::from_static(b"for nobody else");
    let refusal = Refusal::Layer { code: 7, executed: Executed::No, detail };
    let shown = format!("{:?} {refusal}", CallError::Refused(refusal.clone()));
    assert!(shown.contains("bytes: 15") && !shown.contains("nobody"), "{shown}");
    assert_eq!(format!("{:?}", Refusal::NoProc), "NoProc");
}

fn bytes_of(digits: &str) -> [u8; 32] {
    let byte = |index: usize| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
    std::array::from_fn(byte)
}
