//! The bytes of everything that travels, held to `tests/golden/wire-v1.txt`. A test elsewhere
//! (`tests/second_implementation.rs`) reads the same file with nothing but the page about the wire in hand.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::{Executed, Refusal};
use crate::node::{Address, Incarnation, Node, NodeId, Role, ServerName};
use crate::proto::credit::{Grant, Load};
use crate::proto::frame::{self, Flags, Head, Kind};
use crate::proto::hello::{self, Answer, Finish, Goaway, Hello, Receives, SessionId, Welcome};
use crate::proto::mark::{self, Predecessor};
use crate::proto::refusal;

/// Fails unless these are the bytes the file has under this name.
pub(crate) fn assert_bytes(name: &str, bytes: &[u8]) {
    let golden = golden();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(golden.get(name).map(String::as_str), Some(&*hex), "{name}");
}

/// The lines `name = hex` of the file; others are comments.
fn golden() -> BTreeMap<String, String> {
    let text = include_str!("../tests/golden/wire-v1.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    lines.map(|(name, hex)| (name.trim().to_owned(), hex.replace(' ', ""))).collect()
}

pub(crate) fn hello(id: &str, role: Role, connection: u64) -> Hello {
    let address = Address::new("10.0.0.7", 7_022).expect("a good address");
    let node = Node { id: NodeId::new(id).expect("a good id"), address, incarnation: Incarnation(300) };
    let receives = Receives { message_bytes: 4 << 20, unfinished_bytes: 8 << 20, unfinished_messages: 1_024 };
    Hello { node, role, instance: 0x0123_4567_89ab_cdef, connection, features: 0, receives }
}

pub(crate) fn welcome() -> Welcome {
    Welcome { hello: hello("b", Role::Node, 5), session: SessionId(77) }
}

fn frame(kind: Kind, flags: Flags, id: u64, head: Option<Head>, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put(&mut bytes, kind, flags, id, head.as_ref(), body);
    bytes
}

fn head(destination: u64, ttl_ms: u64, total_bytes: u64) -> Option<Head> {
    Some(Head { destination, ttl_ms, total_bytes })
}

#[test]
fn frames_of_every_kind() {
    let none = Flags::default();
    let refused = Flags::WHOLE.with(Flags::REFUSED);
    let large = 1 << 63 | 1;
    let grant = Grant {
        server: ServerName::new("sink").expect("a good name"),
        load: Load { messages: 1_024, bytes: 65_536 },
        refused: 2,
    };
    let before = [
        Predecessor { session: SessionId(77), lost: false },
        Predecessor { session: SessionId(300), lost: true },
    ];
    let overloaded = refusal::encode(&Refusal::Overloaded);
    for (name, bytes) in [
        ("cast", frame(Kind::Cast, Flags::WHOLE, 0, head(1, 0, 2), b"hi")),
        ("cast begun", frame(Kind::Cast, Flags::FIRST, large, head(1, 0, 5), b"abc")),
        ("chunk", frame(Kind::Chunk, Flags::LAST, large, None, b"de")),
        ("chunk of a reply", frame(Kind::Chunk, Flags::LAST.with(Flags::REPLY), 300, None, b"de")),
        ("call", frame(Kind::Call, Flags::WHOLE, 300, head(3, 5_000, 2), b"hi")),
        ("reply", frame(Kind::Reply, Flags::WHOLE, 300, head(0, 0, 2), b"ok")),
        ("reply refused", frame(Kind::Reply, refused, 300, head(0, 0, 1), &overloaded)),
        ("cancel", frame(Kind::Cancel, none, 300, None, b"")),
        ("credit", frame(Kind::Credit, none, 0, None, &grant.encode())),
        ("ping", frame(Kind::Ping, none, 7, None, b"")),
        ("pong", frame(Kind::Pong, none, 7, None, b"")),
        ("define", frame(Kind::Define, none, 1, None, b"sink")),
        ("goaway superseded", frame(Kind::Goaway, none, 0, None, &hello::encode(&Goaway::Superseded))),
        ("goaway closing", frame(Kind::Goaway, none, 0, None, &hello::encode(&Goaway::Closing))),
        ("reset", frame(Kind::Reset, none, large, None, b"")),
        ("reset of a reply", frame(Kind::Reset, Flags::REPLY, 300, None, b"")),
        ("mark", frame(Kind::Mark, none, 0, None, &mark::encode(&before))),
    ] {
        assert_bytes(name, &bytes);
        let decoded = frame::take(&mut Bytes::from(bytes));
        assert!(matches!(decoded, Ok(Some(_))), "{name} does not decode");
    }
}

#[test]
fn bodies_of_the_handshake_and_refusals() {
    let layer = Refusal::Layer { code: 9, executed: Executed::Maybe, detail: Bytes::from_static(b"why") };
    for (name, bytes) in [
        ("hello", hello::encode(&hello("a", Role::Client, 4))),
        ("welcome", hello::encode(&welcome())),
        ("finish", hello::encode(&Finish::new(vec![SessionId(300)]))),
        ("ready", hello::encode(&Answer::Ready { lost: vec![SessionId(300), SessionId(1)] })),
        ("duplicate", hello::encode(&Answer::Duplicate(Incarnation(301)))),
        ("myself", hello::encode(&Answer::Myself)),
        ("unavailable", hello::encode(&Answer::Unavailable)),
        ("refusal no proc", refusal::encode(&Refusal::NoProc).to_vec()),
        ("refusal overloaded", refusal::encode(&Refusal::Overloaded).to_vec()),
        ("refusal no reply", refusal::encode(&Refusal::NoReply).to_vec()),
        ("refusal foreign ring", refusal::encode(&Refusal::ForeignRing).to_vec()),
        ("refusal draining", refusal::encode(&Refusal::Draining).to_vec()),
        ("refusal not allowed", refusal::encode(&Refusal::NotAllowed).to_vec()),
        ("refusal of a layer", refusal::encode(&layer).to_vec()),
    ] {
        assert_bytes(name, &bytes);
    }
}
