//! Frames: what is written is read back, what is unknown is passed on, what is nonsense is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use gossip::FrameError;
use gossip::RingName;
use gossip::liveness::{Claim, Report, Signal, Talk};
use gossip::message::{Delta, Frame, Header, InviteRefusal, Message, PROTOCOL, Snapshot, SyncHash};
use gossip::proto::{
    Action, Actor, Command, Context, Digest, Dot, Ended, Fact, Floor, Hash, Image, Input, Machine,
    Membership, Now, OwnRecord, OwnVersion, Protocols, Record, Settings, Stamp, Standing, Token, Version,
    Versions, What,
};
use netkernel::{Address, Incarnation, NodeId};
use proptest::prelude::*;

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn address() -> Address {
    Address::new("10.0.0.1", 7_022).unwrap()
}

fn dot(counter: u64) -> Dot {
    Dot::new(Actor(0xfeed), counter).unwrap()
}

/// A record with bytes in both extensions that this version knows nothing about.
fn record() -> Record {
    let membership =
        Membership { incarnation: Incarnation(3), weight: 160, address: address(), zone: Some("eu".into()) };
    let version = Version {
        standing: Standing::Member(membership),
        stamp: Stamp::default(),
        by: id("a"),
        extension: Bytes::from_static(b"from the future"),
    };
    let mut versions = Versions::new();
    versions.write_at(&Default::default(), version, dot(1)).unwrap();
    let own = OwnRecord {
        incarnation: Incarnation(5),
        version: 2,
        address: address(),
        protocols: Protocols { oldest: 1, newest: 9 },
        draining: false,
        tags: [("colour".to_owned(), "red".to_owned())].into(),
        actor: Some(Actor(0xbeef)),
        ended: vec![Ended { actor: Actor(0xdead), last: 7 }],
        extension: Bytes::from_static(b"and this"),
    };
    Record { id: id("x"), versions, own: Some(own) }
}

fn floor() -> Floor {
    let past = [(Actor(0xfeed), 3)].into_iter().collect();
    Floor { id: id("z"), incarnation: Incarnation(4), by: id("a"), dots: vec![dot(3)], past }
}

fn header() -> Header {
    let ring = Some(RingName::new("ring").unwrap());
    Header { ring, layout: 7, incarnation: Incarnation(9), own: vec![dot(2)] }
}

/// With one report of each kind.
fn signal(talk: Talk) -> Signal {
    let (a, b) = (id("a"), id("b"));
    let claims = [Claim::Alive, Claim::Suspect { by: a, refused: true }, Claim::Down { by: b }];
    let report = |claim| Report { id: id("x"), incarnation: Incarnation(5), counter: 2, claim };
    Signal { talk, news: claims.into_iter().map(report).collect() }
}

fn messages() -> Vec<Message> {
    let context: Context = [dot(1), dot(3)].into_iter().collect();
    let fact = |what| Fact { id: id("x"), what };
    let age = OwnVersion { incarnation: Incarnation(5), version: 2 };
    let facts = vec![fact(What::Roster(dot(1))), fact(What::Own(age))];
    let snapshot =
        || Snapshot { records: vec![record()], floors: vec![floor()], context: Some(context.clone()) };
    let hash = Hash::default();
    vec![
        Message::SyncHash(SyncHash { seen: hash, live: hash, durable: hash }),
        Message::Digest(Digest { context: context.clone(), owns: [(id("x"), age)].into() }),
        Message::Delta(Delta {
            base: Context::new(),
            records: vec![record()],
            floors: vec![floor()],
            retired: vec![Ended { actor: Actor(0xdead), last: 7 }],
            upto: Some(context.clone()),
        }),
        Message::Snapshot(snapshot()),
        Message::Rumor { records: vec![record()], facts: facts.clone() },
        Message::Known { learned: facts.clone(), already: facts },
        Message::Meet(snapshot()),
        Message::MeetAck(snapshot()),
        Message::Invite(Box::new(record())),
        Message::InviteRefused(InviteRefusal::OtherRing { ring: RingName::new("other").unwrap() }),
        Message::YouAreRemoved {
            record: Some(Box::new(record())),
            covered: vec![dot(1)],
            floor: Some(Box::new(floor())),
        },
        Message::Gone {
            record: Some(Box::new(record())),
            floor: Some(Box::new(floor())),
            members: vec![(id("y"), address())],
        },
        Message::Goodbye,
        Message::Stranger,
        Message::Liveness(signal(Talk::Ping { seq: 300 })),
        Message::Liveness(signal(Talk::Ack { seq: 300 })),
        Message::Liveness(signal(Talk::PingReq { seq: 300, target: id("z") })),
        Message::Liveness(signal(Talk::Nack { seq: 300 })),
        Message::Liveness(Signal { talk: Talk::Tell, news: Vec::new() }),
        Message::Stored { state: hash, members: Bytes::from_static(&[0b101]) },
    ]
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in messages() {
        let frame = Frame::decode(&Frame::encode(&header(), &message)).unwrap();
        assert_eq!((frame.header, frame.message), (header(), message));
    }
}

// A change here is a change of the protocol version.
#[test]
fn frames_keep_their_bytes() {
    let hex = |message: &Message| {
        let bytes = Frame::encode(&header(), message);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let written: Vec<_> = messages().iter().map(hex).collect();
    assert_eq!(
        written,
        include_str!("golden/frames.txt").lines().collect::<Vec<_>>(),
        "{}",
        written.join("\n")
    );
}

#[test]
fn other_versions_and_other_bytes_are_named() {
    let good = Frame::encode(&header(), &Message::Goodbye).to_vec();
    let mut other = good.clone();
    other[4] = PROTOCOL + 1;
    assert_eq!(Frame::decode(&other), Err(FrameError::Version { version: PROTOCOL + 1 }));
    other[0] = b'X';
    assert_eq!(Frame::decode(&other), Err(FrameError::NotGossip));
    assert_eq!(Frame::decode(b""), Err(FrameError::NotGossip));
    assert_eq!(Frame::decode(&good[..good.len() - 1]), Err(FrameError::Malformed));
}

/// A message that a later version has and this does not: a node that speaks both sends it only to those that do, so to
/// this build it is damage, and nothing of it is taken in.
#[test]
fn a_message_that_is_not_known_changes_nothing() {
    let mut machine = founder("a");
    let before = machine.hashes();
    for kind in 16..=255_u8 {
        let mut frame = Frame::encode(&header(), &Message::Goodbye).to_vec();
        let last = frame.len() - 1;
        // The number of the message, as a varint.
        frame.truncate(last);
        frame.extend(if kind < 128 { vec![kind] } else { vec![kind, 1] });
        frame.extend_from_slice(b"something of a later version");
        assert_eq!(Frame::decode(&frame), Err(FrameError::Malformed), "message {kind}");
        machine.handle(Input::Frame { from: id("x"), bytes: frame.into() }, NOW);
    }
    assert!(drain(&mut machine).is_empty());
    assert_eq!((machine.hashes(), machine.stats().bad_frames), (before, 240));
}

#[test]
fn records_over_a_limit_are_refused() {
    let mut heavy = record();
    let own = heavy.own.as_mut().unwrap();
    own.tags.insert("key".to_owned(), "x".repeat(5_000));
    let bytes = Frame::encode(&header(), &Message::Invite(Box::new(heavy)));
    assert_eq!(Frame::decode(&bytes), Err(FrameError::OverLimit));
}

/// A founder whose writes are all stored.
fn founder(name: &str) -> Machine {
    let mut settings = Settings::new(id(name), address());
    settings.ring = Some(RingName::new("ring").unwrap());
    settings.layout = 7;
    let mut machine = Machine::new(settings, None, 1, NOW).unwrap();
    drain(&mut machine);
    machine
}

/// Carries out what a machine wants: everything is stored at once. Gives the frames it sends.
fn drain(machine: &mut Machine) -> Vec<Message> {
    let mut sent = Vec::new();
    while let Some(action) = machine.poll_action() {
        match action {
            Action::Store { image, .. } => machine.handle(Input::Stored { image, result: Ok(()) }, NOW),
            Action::Send { bytes, .. } => sent.push(Frame::decode(&bytes).unwrap().message),
            _ => {}
        }
    }
    sent
}

#[test]
fn bytes_of_a_later_version_are_kept_and_passed_on() {
    let mut machine = founder("a");
    let meet = Message::Meet(Snapshot {
        records: vec![record()],
        floors: vec![floor()],
        context: Some([dot(1)].into_iter().collect()),
    });
    let from_x = Header { own: vec![dot(1)], incarnation: Incarnation(5), ..header() };
    let bytes = Frame::encode(&from_x, &meet);
    machine.handle(Input::Frame { from: id("x"), bytes }, NOW);
    let answers = drain(&mut machine);
    let kept = answers.iter().any(|message| match message {
        Message::MeetAck(Snapshot { records, .. }) => records.contains(&record()),
        _ => false,
    });
    assert!(kept, "{answers:?}");
    let stored = Image::decode(&machine.image(NOW).encode()).unwrap();
    assert!(stored.records().any(|stored| *stored == record()));
}

#[test]
fn an_image_survives_its_encoding() {
    let mut machine = founder("a");
    machine.handle(Input::Command { token: Token(1), command: Command::Leave { force: true } }, NOW);
    drain(&mut machine);
    let image = machine.image(NOW);
    let read = Image::decode(&image.encode()).unwrap();
    assert_eq!(read.encode(), image.encode());
    assert!(Image::decode(&[]).is_err());
    assert!(Image::decode(&image.encode()[..20]).is_err());
    let mut other = image.encode();
    other[0] = 99;
    assert!(Image::decode(&other).unwrap_err().to_string().contains("99"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_a_machine_panic(which in 0..messages().len(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = Frame::encode(&header(), &messages()[which]).to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let mut machine = founder("a");
        machine.handle(Input::Frame { from: id("x"), bytes: bytes.into() }, NOW);
        drain(&mut machine);
        machine.wake(Now { mono_ms: 5_000, ..NOW });
        drain(&mut machine);
        prop_assert!(machine.members().any(|member| member.id == id("a")) || machine.affiliation().ring().is_none());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut frame = b"CLKG\x01".to_vec();
        frame.extend(&bytes);
        let _ = (Frame::decode(&frame), Frame::decode(&bytes), Image::decode(&bytes));
    }
}

const NOW: Now = Now { mono_ms: 0, wall_ms: 1_780_000_000_000 };
