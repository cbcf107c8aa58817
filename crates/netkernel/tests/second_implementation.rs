//! A second implementation of the wire protocol, written from `docs/wire-v1.md` alone: it shares no code with the
//! crate. It decodes the golden bytes, and speaks to a real node from either end of a connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/second.rs"]
mod second;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::testing::Recorder;
use netkernel::{Config, Cookie, Kernel, Net, NodeId, Noise, PeerEvent, ServerName};
use second::{Frame, Hello, Secrets, Session, kinds, take_varint};
use tokio::net::{TcpListener, TcpStream};

const SECOND: Duration = Duration::from_secs(1);
const COOKIE: [u8; 32] = [0x5a; 32];
/// The defaults of what a node takes in.
const RECEIVES: [u64; 3] = [4 << 20, 8 << 20, 1_024];

/// The golden bytes by name.
fn golden() -> BTreeMap<String, Vec<u8>> {
    let text = include_str!("golden/wire-v1.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    lines.map(|(name, hex)| (name.trim().to_owned(), bytes(hex))).collect()
}

/// A frame: kind, flags, id, then destination, milliseconds left and total bytes where it is a first, then its body.
type Expected = (&'static str, u8, u8, u64, Option<(u64, u64, u64)>, &'static [u8]);

const LARGE: u64 = (1 << 63) | 1;

const FRAMES: &[Expected] = &[
    ("cast", 0x01, 0x03, 0, Some((1, 0, 2)), b"hi"),
    ("cast begun", 0x01, 0x01, LARGE, Some((1, 0, 5)), b"abc"),
    ("chunk", 0x04, 0x02, LARGE, None, b"de"),
    ("chunk of a reply", 0x04, 0x0a, 300, None, b"de"),
    ("call", 0x02, 0x03, 300, Some((3, 5_000, 2)), b"hi"),
    ("reply", 0x03, 0x03, 300, Some((0, 0, 2)), b"ok"),
    ("reply refused", 0x03, 0x07, 300, Some((0, 0, 1)), &[2]),
    ("cancel", 0x05, 0, 300, None, b""),
    ("credit", 0x06, 0, 0, None, b"\x80\x08\x80\x80\x04\x02sink"),
    ("ping", 0x07, 0, 7, None, b""),
    ("pong", 0x08, 0, 7, None, b""),
    ("define", 0x09, 0, 1, None, b"sink"),
    ("goaway superseded", 0x0a, 0, 0, None, &[0]),
    ("goaway closing", 0x0a, 0, 0, None, &[1]),
    ("reset", 0x0b, 0, LARGE, None, b""),
    ("reset of a reply", 0x0b, 0x08, 300, None, b""),
    ("mark", 0x0c, 0, 0, None, &[77, 0, 0xac, 0x02, 1]),
];

#[test]
fn golden_frames_say_what_the_page_says() {
    let golden = golden();
    for (name, kind, flags, id, head, body) in FRAMES {
        let mut rest = &golden[*name][..];
        let frame = Frame::take(&mut rest).unwrap();
        assert!(rest.is_empty(), "{name}");
        assert_eq!((frame.kind, frame.flags, frame.id, frame.head), (*kind, *flags, *id, *head), "{name}");
        assert_eq!(frame.body, *body, "{name}");
        assert_eq!(frame.encode(), golden[*name], "{name}");
    }
    let named: std::collections::BTreeSet<u8> = FRAMES.iter().map(|frame| frame.1).collect();
    assert!(named.into_iter().eq(0x01..=0x0c), "a kind of frame has no golden bytes");
}

#[test]
fn golden_bodies_say_what_the_page_says() {
    let golden = golden();
    let a = Hello {
        id: "a".into(),
        host: "10.0.0.7".into(),
        port: 7_022,
        incarnation: 300,
        role: 1,
        instance: 0x0123_4567_89ab_cdef,
        connection: 4,
        receives: RECEIVES,
    };
    assert_eq!(Hello::decode(&golden["hello"]).0, a);
    assert_eq!(a.encode(), golden["hello"]);
    let (b, mut session) = Hello::decode(&golden["welcome"]);
    assert_eq!((&*b.id, b.role, b.connection, b.receives), ("b", 0, 5, RECEIVES));
    assert_eq!(take_varint(&mut session), Some(77));
    assert!(session.is_empty());
    assert_eq!(golden["finish"], b"FINISH\x01\xac\x02");
    assert_eq!(golden["ready"], b"\x00\x02\xac\x02\x01");
    assert_eq!(golden["duplicate"], b"\x01\xad\x02");
    assert_eq!((&golden["myself"][..], &golden["unavailable"][..]), (&[2][..], &[3][..]));
    let refusals = ["no proc", "overloaded", "no reply", "foreign ring", "draining", "not allowed"];
    for (code, name) in (1u8..).zip(refusals) {
        assert_eq!(golden[&format!("refusal {name}")], [code], "{name}");
    }
    assert_eq!(golden["refusal of a layer"], b"\x40\x09\x01why");
    assert_eq!(golden["refusal of a handshake"], b"CLK1\x01\x01\x00\x00");
}

#[test]
fn golden_handshakes_and_records_open_with_what_the_page_says() {
    let golden = golden();
    let (first, second) = (&golden["message 1"], &golden["message 2"]);
    for message in [first, second] {
        assert_eq!(message[..6], *b"CLK1\x01\x01");
        assert_eq!(usize::from(u16::from_be_bytes([message[6], message[7]])), message.len() - 8);
    }
    // The dialer's part, made anew with the same ephemeral secret: the very same bytes.
    let (mut dialer, made) = second::begin(&COOKIE, &golden["hello"], Some(&[0x11; 32]));
    assert_eq!(made, *first);
    assert_eq!(second::finish(&mut dialer, &second[8..]), golden["welcome"]);
    let (to_acceptor, to_dialer) = dialer.dangerously_get_raw_split();
    // The acceptor's part.
    let (mut acceptor, hello) = second::answer(&COOKIE, first, Some(&[0x22; 32]));
    assert_eq!(hello, golden["hello"]);
    assert_eq!(second::welcome(&mut acceptor, &golden["welcome"]), *second);
    assert_eq!(acceptor.dangerously_get_raw_split(), (to_acceptor, to_dialer));

    let mut dialed = Secrets::new(second::TO_ACCEPTOR, &to_acceptor);
    let mut accepted = Secrets::new(second::TO_DIALER, &to_dialer);
    assert_eq!(dialed.open(&golden["record 0 of the dialer"]), b"first of the dialer");
    assert_eq!(dialed.open(&golden["record 1 of the dialer"]), b"second of the dialer");
    assert_eq!(accepted.open(&golden["record 0 of the acceptor"]), b"first of the acceptor");

    let mut late = Secrets::new(second::TO_ACCEPTOR, &[0x33; 32]);
    late.skip_to(1_048_575);
    assert_eq!(late.open(&golden["record 1048575 of a half of 33"]), b"hello");
    assert_eq!(late.open(&golden["record 1048576 of a half of 33"]), b"hello");
}

async fn kernel() -> (Kernel, Arc<Recorder>) {
    let cookie: Cookie = "5a".repeat(32).parse().unwrap();
    let config = Config::builder(NodeId::new("node").unwrap(), Noise::new(&cookie))
        .listen("127.0.0.1:0".parse().unwrap());
    let (kernel, recorder) =
        (Kernel::bind(config.build().unwrap()).await.unwrap(), Arc::new(Recorder::default()));
    kernel.serve(Arc::clone(&recorder) as Arc<_>);
    (kernel, recorder)
}

fn me(role: u8, port: u16) -> Hello {
    let (id, host) = ("second".to_owned(), "127.0.0.1".to_owned());
    Hello { id, host, port, incarnation: 3, role, instance: 9, connection: 0, receives: RECEIVES }
}

#[tokio::test]
async fn it_dials_a_node_and_calls_casts_and_leaves_in_good_order() {
    let (node, recorder) = kernel().await;
    let address = node.local().address;
    let stream = TcpStream::connect((address.host(), address.port())).await.unwrap();
    let (mut session, welcome) = Session::dial(stream, &COOKIE, &me(1, 1)).await;
    assert_eq!((&*welcome.id, welcome.role, welcome.port), ("node", 0, address.port()));
    assert_eq!(welcome.receives, RECEIVES);

    session.send(&[
        Frame::control(kinds::MARK, 0, b""),
        Frame::control(kinds::DEFINE, 1, b"echo"),
        Frame::first(kinds::CALL, 3, 300, (1, 5_000, 5), b"hello"),
        Frame::control(kinds::PING, 7, b""),
    ]);
    session.flush().await;
    let (mut replied, mut ponged) = (false, false);
    assert_eq!(session.frame().await.kind, kinds::MARK, "the first frame of a direction");
    while !(replied && ponged) {
        let frame = session.frame().await;
        match frame.kind {
            kinds::REPLY => {
                assert_eq!((frame.flags, frame.id, frame.head), (3, 300, Some((0, 0, 5))));
                assert_eq!(frame.body, b"hello");
                replied = true;
            }
            kinds::PONG => {
                assert_eq!(frame.id, 7);
                ponged = true;
            }
            kind => panic!("a frame of kind {kind}"),
        }
    }
    // A cast in two pieces with another between, and a call that nobody answers, which is refused.
    session.send(&[
        Frame::control(kinds::DEFINE, 2, b"sink"),
        Frame::first(kinds::CAST, 1, 1 << 63, (2, 0, 5), b"abc"),
        Frame::first(kinds::CAST, 3, 0, (2, 0, 5), b"small"),
        Frame::chunk(2, 1 << 63, b"de"),
        Frame::control(kinds::DEFINE, 3, b"nobody"),
        Frame::first(kinds::CALL, 3, 301, (3, 5_000, 0), b""),
        Frame::control(0x40, 0, b"of a later version"),
    ]);
    session.flush().await;
    let casts = recorder.casts(2).await;
    let bodies: Vec<&[u8]> = casts.iter().map(|(_, body)| &body[..]).collect();
    assert_eq!(bodies, [&b"small"[..], b"abcde"]);
    assert_eq!(casts[0].0.as_str(), "second");
    let refused = session.frame().await;
    assert_eq!((refused.kind, refused.flags, refused.id), (kinds::REPLY, 7, 301));
    assert_eq!(refused.body, [1], "no such server");
    session.send(&[Frame::control(kinds::GOAWAY, 0, &[1])]);
    session.flush().await;
    // What credit the node still owed may come before its answer.
    let last = loop {
        let frame = session.frame().await;
        if frame.kind != kinds::CREDIT {
            break frame;
        }
    };
    assert_eq!(last.kind, kinds::GOAWAY, "a GOAWAY is answered in kind");
}

#[tokio::test]
async fn it_accepts_a_node_and_answers_it() {
    let (node, _) = kernel().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut events = node.events();
    node.connect(&NodeId::new("second").unwrap(), &address.into());
    let (stream, _) = listener.accept().await.unwrap();
    let (mut session, hello) = Session::accept(stream, &COOKIE, &me(0, address.port()), 4_242).await;
    assert_eq!(hello.id, "node");
    session.send(&[Frame::control(kinds::MARK, 0, b"")]);
    session.flush().await;
    let up = events.recv().await.unwrap();
    assert!(matches!(&up, Some(PeerEvent::Up { peer }) if peer.node.id.as_str() == "second"), "{up:?}");

    let second = NodeId::new("second").unwrap();
    let call = node.call(&second, &ServerName::new("adder").unwrap(), Bytes::from("2+2"), 10 * SECOND);
    let answering = async {
        assert_eq!(session.frame().await.kind, kinds::MARK);
        let define = session.frame().await;
        assert_eq!((define.kind, define.id, &define.body[..]), (kinds::DEFINE, 1, &b"adder"[..]));
        let call = session.frame().await;
        let (to, ttl_ms, total) = call.head.unwrap();
        assert_eq!((call.kind, call.flags, to, total), (kinds::CALL, 3, 1, 3));
        assert!((1..=10_001).contains(&ttl_ms), "{ttl_ms}");
        // The reply in two pieces.
        session.send(&[
            Frame::first(kinds::REPLY, 1, call.id, (0, 0, 2), b"4"),
            Frame::chunk(0x0a, call.id, b"!"),
        ]);
        session.flush().await;
        session
    };
    let (reply, mut session) = tokio::join!(call, answering);
    assert_eq!(reply.unwrap(), "4!");

    // The window: 4,096 casts, and more only for credit.
    let sink = ServerName::new("sink").unwrap();
    let accepted = (0..5_000).filter(|_| node.try_cast(&second, &sink, Bytes::from("x")).is_ok()).count();
    assert_eq!(accepted, 4_096);
    let mut arrived = 0;
    while arrived < accepted {
        arrived += usize::from(session.frame().await.kind == kinds::CAST);
    }
    session.send(&[Frame::control(kinds::CREDIT, 0, b"\x0a\x0a\x00sink")]);
    session.send(&[Frame::control(kinds::PING, 8, b"")]);
    session.flush().await;
    assert_eq!(session.frame().await.kind, kinds::PONG, "the credit has been read by then");
    let accepted = (0..50).filter(|_| node.try_cast(&second, &sink, Bytes::from("x")).is_ok()).count();
    assert_eq!(accepted, 10);
    node.shutdown(SECOND).await;
}

/// A session that takes over from another, by the second record it sends: a cast before its MARK's session has ended waits
/// for what that brings, whichever of the two is read first, and the node's own messages change over in the same way.
#[tokio::test]
async fn it_goes_on_by_a_second_session_and_its_messages_keep_their_order() {
    for first_is_read_first in [true, false] {
        let (node, recorder) = kernel().await;
        let address = node.local().address;
        let second = NodeId::new("second").unwrap();
        let dial = async |connection| {
            let stream = TcpStream::connect((address.host(), address.port())).await.unwrap();
            Session::dial(stream, &COOKIE, &Hello { connection, ..me(0, 1) }).await.0
        };
        let cast = |number: u8| Frame::first(kinds::CAST, 3, 0, (1, 0, 1), &[number]);
        let (sink, goaway) =
            (Frame::control(kinds::DEFINE, 1, b"sink"), Frame::control(kinds::GOAWAY, 0, &[0]));
        let mut old = dial(1).await;
        old.send(&[Frame::control(kinds::MARK, 0, b""), sink.clone(), cast(1)]);
        old.flush().await;
        recorder.casts(1).await;
        assert_eq!(old.frame().await.kind, kinds::MARK);
        node.try_cast(&second, &ServerName::new("theirs").unwrap(), Bytes::from("old")).unwrap();
        assert_eq!([old.frame().await.kind, old.frame().await.kind], [kinds::DEFINE, kinds::CAST]);

        let mut new = dial(2).await;
        let mut mark = Vec::new();
        second::put_varint(&mut mark, old.id);
        mark.push(0);
        new.send(&[Frame::control(kinds::MARK, 0, &mark), sink, cast(3)]);
        old.send(&[cast(2), goaway]);
        if first_is_read_first {
            old.flush().await;
            assert_eq!(until_goaway(&mut old).await, [0], "it is answered, and the node sends by neither");
            new.flush().await;
        } else {
            new.flush().await;
            // The node has read the MARK when it ends the first session for the second; it reads on, but holds the cast.
            assert_eq!(until_goaway(&mut old).await, [0]);
            let first = new.frame().await;
            assert_eq!((first.kind, &first.body), (kinds::MARK, &mark), "the node's own direction");
            assert_eq!(new.frame().await.kind, kinds::PING, "the sign of life of one who holds a session");
            let arrived = tokio::time::timeout(Duration::ZERO, recorder.casts(1)).await;
            assert!(arrived.is_err(), "the cast by the second session is held");
            old.flush().await;
        }
        let casts = recorder.casts(2).await;
        let bodies: Vec<&[u8]> = casts.iter().map(|(_, body)| &body[..]).collect();
        assert_eq!(bodies, [[2], [3]]);
        // The node sends by the second session, too.
        node.try_cast(&second, &ServerName::new("theirs").unwrap(), Bytes::from("new")).unwrap();
        let body = loop {
            let frame = new.frame().await;
            match frame.kind {
                kinds::CAST => break frame.body,
                kinds::MARK => assert_eq!(frame.body, mark),
                kind => assert!([kinds::DEFINE, kinds::PING, kinds::CREDIT].contains(&kind), "{kind}"),
            }
        };
        assert_eq!(body, b"new");
    }
}

/// The body of a session's GOAWAY, which may follow credit.
async fn until_goaway(session: &mut Session) -> Vec<u8> {
    loop {
        let frame = session.frame().await;
        match frame.kind {
            kinds::GOAWAY => return frame.body,
            kind => assert_eq!(kind, kinds::CREDIT),
        }
    }
}

#[tokio::test]
async fn another_cookie_is_told_so_by_a_bare_preamble() {
    let (node, _) = kernel().await;
    let address = node.local().address;
    let stream = TcpStream::connect((address.host(), address.port())).await.unwrap();
    let answer = second::first_answer(stream, &[0x5b; 32], &me(0, 1)).await;
    assert_eq!(answer, b"CLK1\x01\x01\x00\x00");
}
