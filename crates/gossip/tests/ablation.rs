//! Every rule that was found necessary by taking it out: what it promises holds with it and fails without it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "others use the rest of it")]
mod hand;

use bytes::Bytes;
use gossip::message::{Delta, Message, SyncHash};
use gossip::proto::{
    Actor, Command, Context, Digest, Dot, Ended, Membership, Record, Rule, Settings, Stamp, Standing,
    Version, Versions,
};
use netkernel::Incarnation;

use hand::{Hand, address, dot, id, record, record_by, seen, settings};

#[test]
fn every_rule_is_needed() {
    for rule in Rule::ALL {
        assert!(holds(rule, |settings| settings), "{rule:?} does not do what it promises");
        assert!(!holds(rule, |settings| settings.without(rule)), "nothing fails without {rule:?}");
    }
}

/// Whether what the rule promises holds on a node of these settings.
fn holds(rule: Rule, tune: impl Fn(Settings) -> Settings) -> bool {
    let founder = |change: fn(&mut Settings)| {
        let mut settings = settings("a");
        settings.tombstone_ms = 1_000;
        change(&mut settings);
        Hand::boot(tune(settings), None)
    };
    let mut hand = founder(|_| {});
    match rule {
        Rule::CoveredIsIgnored => covered_is_ignored(hand),
        Rule::RemovedBringsNothing => {
            meet_and_remove(&mut hand, "b");
            rumour(&mut hand, "b", vec![record("b"), record_by("x", dot(2))]);
            !is_member(&hand, "x")
        }
        Rule::UnknownIsPulled => {
            meet_and_remove(&mut hand, "b");
            hand.hear("b", vec![dot(9)], &Message::Rumor { records: Vec::new(), facts: Vec::new() });
            matches!(hand.sent().as_slice(), [Message::Digest(_)])
        }
        Rule::BroughtIsTried => {
            rumour(&mut hand, "b", vec![record("b")]);
            is_member(&hand, "b")
        }
        Rule::RemovalBeatsMember => {
            meet(&mut hand, "b");
            let mut siblings = written(record("b").versions, dot(2), member("b", 5));
            siblings.sync(&written(record("b").versions, by_other(1), removed(5))).unwrap();
            tell(&mut hand, siblings)
        }
        Rule::HighestIncarnationWins => {
            // The lower incarnation has the later stamp and the higher event.
            weighs(&mut hand, [(by_other(1), 6, 1, 60), (dot(2), 5, 2, 50)]) == 60
        }
        Rule::LatestStampWins => weighs(&mut hand, [(dot(2), 5, 2, 50), (by_other(1), 5, 1, 60)]) == 50,
        Rule::UpdateKeepsIncarnation => {
            meet(&mut hand, "b");
            hand.ask(Command::Update { id: id("b"), weight: 7 });
            tell(&mut hand, written(record("b").versions, by_other(1), removed(5)))
        }
        Rule::RemovalBearsHighest => {
            meet_and_remove(&mut hand, "b");
            tell(&mut hand, written(record("b").versions, by_other(1), member("b", 5)))
        }
        Rule::FloorKills => {
            collect(&mut hand);
            tell(&mut hand, written(record("b").versions, by_other(1), member("b", 5)))
        }
        Rule::InsertIsAboveRemoval => {
            meet_and_remove(&mut hand, "b");
            hand.insert("b");
            !tell(&mut hand, written(record("b").versions, by_other(1), removed(5)))
        }
        Rule::DeltaIsComplete => {
            let mut hand = founder(|settings| settings.frame_bytes_max = 60);
            meet(&mut hand, "b");
            hand.sent();
            hand.hear("b", vec![dot(1)], &Message::Digest(Digest::default()));
            let Some(Message::Delta(delta)) = hand.sent().into_iter().next() else { panic!("no delta") };
            assert!(delta.records.len() < 2);
            delta.upto.is_none()
        }
        Rule::BaseIsCovered => {
            let (base, upto) = (seen([1, 2, 3]), Some(seen([1, 2, 3, 4])));
            let records = vec![record("b")];
            hand.hear("b", vec![dot(1)], &Message::Delta(delta(base, records, upto)));
            !hand.machine.context().contains(&dot(4))
        }
        Rule::WriteStartsFromFloor => {
            // Removed by another, whose event a write here does not cover by itself.
            meet(&mut hand, "b");
            assert!(tell(&mut hand, written(record("b").versions, by_other(1), removed(5))));
            hand.wait(3_000);
            let (seen, live) = hand.machine.hashes();
            let own = Dot::new(Actor(9), 1).unwrap();
            hand.hear("c", vec![own], &Message::SyncHash(SyncHash { seen, live, durable: seen }));
            hand.wait(3_000);
            assert_eq!(hand.machine.stats().collected, 1);
            hand.insert("b");
            versions(&hand, "b").unwrap().contains(&by_other(1))
        }
        Rule::AcknowledgementIsDurable => {
            meet_and_remove(&mut hand, "b");
            meet_as(&mut hand, "c", by_other(1));
            hand.wait(3_000);
            let ((seen, live), durable) = (hand.machine.hashes(), Default::default());
            let hash = Message::SyncHash(SyncHash { seen, live, durable });
            hand.hear("c", vec![by_other(1)], &hash);
            hand.wait(3_000);
            hand.machine.stats().collected == 0
        }
        Rule::AllAcknowledge => {
            meet_and_remove(&mut hand, "b");
            meet_as(&mut hand, "c", by_other(1));
            hand.wait(10_000);
            hand.machine.stats().collected == 0
        }
        Rule::TombstoneAges => {
            let mut hand = founder(|settings| settings.tombstone_ms = 60_000);
            meet_and_remove(&mut hand, "b");
            hand.wait(10_000);
            hand.machine.stats().collected == 0
        }
        Rule::DivergenceIsHealed => {
            meet(&mut hand, "b");
            hand.sent();
            let ((seen, _), other) = (hand.machine.hashes(), Default::default());
            let hash = SyncHash { seen, live: other, durable: other };
            hand.hear("b", vec![dot(1)], &Message::SyncHash(hash));
            matches!(hand.sent().as_slice(), [Message::Snapshot(_)])
        }
        Rule::FloorIsTold => {
            collect(&mut hand);
            meet_as(&mut hand, "c", by_other(1));
            hand.sent();
            let context: Context = [dot(1), by_other(1)].into_iter().collect();
            let digest = Digest { context, owns: Default::default() };
            hand.hear("c", vec![by_other(1)], &Message::Digest(digest));
            let sent = hand.sent();
            sent.iter().any(|message| matches!(message, Message::Delta(delta) if !delta.floors.is_empty()))
        }
        Rule::RunsAreGathered => {
            // A member brings what an earlier run of this node wrote before it lost its disk.
            meet(&mut hand, "b");
            rumour(&mut hand, "b", vec![Record { own: None, ..record_by("a", by_other(1)) }]);
            hand.wait(2_000);
            versions(&hand, "a").unwrap().siblings().len() == 1
        }
        Rule::RetiredIsTold => {
            let retired = Ended { actor: Actor(8), last: 1 };
            meet_as(&mut hand, "c", dot(1));
            // All of the actor's events were seen, and nothing is left of them.
            let spent: Context = [by_other(1)].into_iter().collect();
            let ended = Delta { retired: vec![retired], ..delta(Context::new(), Vec::new(), Some(spent)) };
            hand.hear("c", vec![dot(1)], &Message::Delta(ended));
            hand.sent();
            let context: Context = [dot(1), by_other(1)].into_iter().collect();
            let digest = Digest { context, owns: Default::default() };
            hand.hear("c", vec![dot(1)], &Message::Digest(digest));
            let sent = hand.sent();
            let tells = |delta: &Delta| delta.retired == [retired];
            sent.iter().any(|message| matches!(message, Message::Delta(delta) if tells(delta)))
        }
        Rule::UnusedIsRetired => {
            // What an earlier boot wrote is there still.
            hand.insert("x");
            let mut settings = settings("a");
            settings.tombstone_ms = 1_000;
            let mut hand = Hand::boot(tune(settings), hand.stored);
            hand.wait(10_000);
            is_member(&hand, "x") && hand.machine.stats().retired == 0
        }
        Rule::RemovedIsTold => {
            let mut hand = founder(|settings| settings.tombstone_ms = 60_000);
            meet_and_remove(&mut hand, "b");
            hand.wait(5_000);
            hand.dialed.contains(&address("b"))
        }
        Rule::RemovalCoversOwn => {
            // Of a membership before this one.
            let removal = Message::YouAreRemoved { record: None, covered: vec![by_other(1)], floor: None };
            hand.hear("b", Vec::new(), &removal);
            hand.machine.affiliation().ring().is_some()
        }
        Rule::GoneIsAnswered => {
            meet(&mut hand, "b");
            hand.ask(Command::Leave { force: true });
            hand.sent();
            hand.hear("b", vec![dot(1)], &Message::Digest(Digest::default()));
            matches!(hand.sent().as_slice(), [Message::Gone { .. }])
        }
        rule => panic!("{rule:?} has no test"),
    }
}

/// A member tells of a node whose event was seen, though nothing of the node is here: it was replaced.
fn covered_is_ignored(mut hand: Hand) -> bool {
    let upto: Context = [dot(1), by_other(1)].into_iter().collect();
    let records = vec![record_by("c", by_other(1))];
    hand.hear("c", vec![by_other(1)], &Message::Delta(delta(Context::new(), records, Some(upto))));
    rumour_by(&mut hand, "c", by_other(1), vec![record("b")]);
    !is_member(&hand, "b")
}

fn delta(base: Context, records: Vec<Record>, upto: Option<Context>) -> Delta {
    Delta { base, records, floors: Vec::new(), retired: Vec::new(), upto }
}

/// An event of another writer than `dot` names.
fn by_other(counter: u64) -> Dot {
    Dot::new(Actor(8), counter).unwrap()
}

fn member(name: &str, incarnation: u64) -> Standing {
    let incarnation = Incarnation(incarnation);
    Standing::Member(Membership { incarnation, weight: 160, address: address(name), zone: None })
}

fn removed(incarnation: u64) -> Standing {
    Standing::Removed { incarnation: Incarnation(incarnation) }
}

/// What a writer makes of these versions.
fn written(mut versions: Versions, dot: Dot, standing: Standing) -> Versions {
    let version = Version { standing, stamp: Stamp::default(), by: id("c"), extension: Bytes::new() };
    versions.write_at(&versions.context().clone(), version, dot).unwrap();
    versions
}

fn rumour(hand: &mut Hand, from: &str, records: Vec<Record>) {
    rumour_by(hand, from, dot(1), records);
}

fn rumour_by(hand: &mut Hand, from: &str, own: Dot, records: Vec<Record>) {
    hand.hear(from, vec![own], &Message::Rumor { records, facts: Vec::new() });
}

fn meet(hand: &mut Hand, name: &str) {
    meet_as(hand, name, dot(1));
}

fn meet_as(hand: &mut Hand, name: &str, own: Dot) {
    rumour_by(hand, name, own, vec![record_by(name, own)]);
    assert!(is_member(hand, name));
}

fn meet_and_remove(hand: &mut Hand, name: &str) {
    meet(hand, name);
    hand.ask(Command::Remove { ids: vec![id(name)], force: false });
    assert!(!is_member(hand, name));
    hand.sent();
}

/// Removes b, and waits until only a floor is left of it.
fn collect(hand: &mut Hand) {
    meet_and_remove(hand, "b");
    hand.wait(5_000);
    assert_eq!(hand.machine.stats().collected, 1);
    assert_eq!(versions(hand, "b"), None);
}

/// A member tells of b, and whether b is out after that.
fn tell(hand: &mut Hand, versions: Versions) -> bool {
    meet_as(hand, "c", Dot::new(Actor(9), 1).unwrap());
    rumour_by(hand, "c", Dot::new(Actor(9), 1).unwrap(), vec![Record { versions, ..record("b") }]);
    !is_member(hand, "b")
}

/// A member tells of concurrent writes of b, each an event, an incarnation, a stamp's milliseconds and a weight. What b
/// weighs then.
fn weighs(hand: &mut Hand, writes: [(Dot, u64, u64, u32); 2]) -> u32 {
    let mut siblings = Versions::new();
    for (dot, incarnation, wall_ms, weight) in writes {
        let Standing::Member(membership) = member("b", incarnation) else { panic!("a member") };
        let standing = Standing::Member(Membership { weight, ..membership });
        let version = Version { standing, stamp: Stamp::at(wall_ms), by: id("c"), extension: Bytes::new() };
        let mut written = Versions::new();
        written.write_at(&Default::default(), version, dot).unwrap();
        siblings.sync(&written).unwrap();
    }
    assert!(!tell(hand, siblings), "both say that it is a member");
    hand.machine.members().find(|member| member.id == id("b")).unwrap().weight
}

fn is_member(hand: &Hand, name: &str) -> bool {
    hand.machine.members().any(|member| member.id == id(name))
}

fn versions(hand: &Hand, name: &str) -> Option<Versions> {
    let mut records = hand.machine.records();
    records.find(|record| record.id == id(name)).map(|record| record.versions.clone())
}
