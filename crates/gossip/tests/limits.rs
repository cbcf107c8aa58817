//! What a node takes in at most, whatever others send, and what it is asked to do beyond that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "others use the rest of it")]
mod hand;

use bytes::Bytes;
use gossip::message::{Delta, Message};
use gossip::proto::{
    Actor, Command, Context, Dot, Insertion, Outcome, Record, Settings, Stamp, Standing, Version, Versions,
};
use gossip::{InsertError, UpdateError};
use netkernel::Incarnation;

use hand::{Hand, address, dot, id, record, record_by, settings};

fn rumour(hand: &mut Hand, records: Vec<Record>) {
    hand.hear("b", vec![dot(1)], &Message::Rumor { records, facts: Vec::new() });
}

fn founder(tune: impl FnOnce(&mut Settings)) -> Hand {
    let mut settings = settings("a");
    tune(&mut settings);
    let mut hand = Hand::boot(settings, None);
    rumour(&mut hand, vec![record("b")]);
    hand
}

fn members(hand: &Hand) -> usize {
    hand.machine.members().count()
}

/// The record of a node that so many writers wrote at the same time, each with all a later version may say.
fn written_by(writers: std::ops::Range<u64>) -> Record {
    let mut versions = Versions::new();
    for writer in writers {
        let version = Version {
            standing: Standing::Removed { incarnation: Incarnation(1) },
            stamp: Stamp::default(),
            by: id("b"),
            extension: Bytes::from(vec![0; 4_096]),
        };
        let dot = Dot::new(Actor(1_000 + writer), 1).unwrap();
        let mut written = Versions::new();
        written.write_at(&Default::default(), version, dot).unwrap();
        versions.sync(&written).unwrap();
    }
    Record { id: id("x"), versions, own: None }
}

#[test]
fn a_member_that_invents_nodes_fills_no_memory() {
    let mut hand = founder(|settings| settings.known_bytes_max = 20_000);
    for number in 1..1_000 {
        let dot = Dot::new(Actor(100 + number), 1).unwrap();
        rumour(&mut hand, vec![record_by(&format!("invented-{number}"), dot)]);
    }
    let taken = members(&hand);
    assert!((50..500).contains(&taken), "{taken} were taken");
    assert_eq!(hand.machine.stats().crowded_frames as usize, 1_001 - taken);
    // Nothing of a frame that was dropped has been seen, so it can come again.
    assert!(!hand.machine.context().contains(&Dot::new(Actor(1_099), 1).unwrap()));
    // What brings nothing is answered as ever, and so is an operator.
    hand.sent();
    hand.hear("b", vec![dot(1)], &Message::Digest(Default::default()));
    assert!(matches!(hand.sent().as_slice(), [Message::Delta(_)]));
    assert!(matches!(hand.ask(Command::Update { id: id("b"), weight: 7 }), Outcome::Update(Ok(_))));
}

#[test]
fn a_member_that_invents_actors_makes_no_endless_digest() {
    let mut hand = founder(|settings| settings.context_runs_max = 100);
    let claims = |count: u64| {
        let context: Context = (0..count).map(|actor| Dot::new(Actor(1_000 + actor), 1).unwrap()).collect();
        Message::Delta(Delta {
            base: Context::new(),
            records: Vec::new(),
            floors: Vec::new(),
            retired: Vec::new(),
            upto: Some(context),
        })
    };
    hand.hear("b", vec![dot(1)], &claims(50));
    assert_eq!(hand.machine.stats().crowded_frames, 0);
    hand.hear("b", vec![dot(1)], &claims(200));
    assert_eq!(hand.machine.stats().crowded_frames, 1);
    assert_eq!(hand.machine.context().clock().len(), 52);
    // What was counted before is no news.
    hand.hear("b", vec![dot(1)], &claims(50));
    assert_eq!(hand.machine.stats().crowded_frames, 1);
}

#[test]
fn a_record_stays_small_enough_to_be_told() {
    let mut hand = founder(|_| {});
    rumour(&mut hand, vec![written_by(0..200)]);
    assert_eq!(hand.machine.stats().large_records, 0);
    rumour(&mut hand, vec![written_by(200..400)]);
    assert_eq!(hand.machine.stats().large_records, 1);
    hand.sent();
    // What is told is read as a peer reads it, and everything is told.
    hand.hear("b", vec![dot(1)], &Message::Digest(Default::default()));
    let told = hand.sent();
    let [Message::Delta(Delta { records, upto: Some(_), .. })] = told.as_slice() else {
        unreachable!("{told:?}")
    };
    assert_eq!(records.iter().find(|record| record.id == id("x")).unwrap().versions.siblings().len(), 200);
}

#[test]
fn no_operation_asks_for_more_points_than_a_ring_holds() {
    let mut hand = founder(|settings| settings.weight = 1);
    let heavy = |number| {
        let name = format!("heavy-{number}");
        Insertion::new(id(&name), address(&name)).weight(hashring::WEIGHT_MAX)
    };
    let nodes =
        |range: std::ops::Range<u32>| Command::Insert { nodes: range.map(heavy).collect(), force: false };
    assert!(matches!(hand.ask(nodes(0..256)), Outcome::Insert(Ok(_))));
    let refused = hand.ask(nodes(256..257));
    assert!(matches!(refused, Outcome::Insert(Err(InsertError::TooManyPoints { .. }))), "{refused:?}");
    let refused = hand.ask(Command::Update { id: id("b"), weight: 10_000 });
    assert!(matches!(refused, Outcome::Update(Err(UpdateError::TooManyPoints { .. }))), "{refused:?}");
    assert_eq!(members(&hand), 258);
    // Less is always possible.
    assert!(matches!(hand.ask(Command::Update { id: id("heavy-0"), weight: 10 }), Outcome::Update(Ok(_))));
    assert!(matches!(hand.ask(Command::Update { id: id("b"), weight: 10_000 }), Outcome::Update(Ok(_))));
}
