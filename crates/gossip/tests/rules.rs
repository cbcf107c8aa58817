//! Rules of the protocol that no simulated link can break, each on a machine by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hand;

use bytes::Bytes;
use gossip::message::{Delta, Frame, Header, Message};
use gossip::proto::{
    Action, Actor, Command, Context, Digest, Dot, Input, Insertion, Membership, Outcome, Record, Stamp,
    Standing, Token, Version, Versions,
};
use gossip::{InsertError, InviteRefusal, LeaveError, Unavailable};
use netkernel::Incarnation;

use hand::{Hand, NOW, address, dot, id, later, record, record_by, seen, settings};

#[test]
fn a_context_is_joined_only_after_a_complete_delta_whose_base_is_covered() {
    let mut hand = Hand::founder("a");
    let delta = |base: Context, upto| {
        Message::Delta(Delta {
            base,
            records: vec![record("b")],
            floors: Vec::new(),
            retired: Vec::new(),
            upto,
        })
    };
    // The answer to a digest of a state that was lost since: something between 1 and 4 is missing here.
    hand.hear("b", vec![dot(1)], &delta(seen([1, 2, 3, 4]), Some(seen([1, 2, 3, 4, 5]))));
    assert!(hand.machine.context().contains(&dot(1)));
    assert!(!hand.machine.context().contains(&dot(5)));
    hand.sent();
    // One that did not fit: it asks again, as long as that brings anything.
    hand.hear("b", vec![dot(1)], &delta(Context::new(), None));
    assert!(hand.sent().is_empty());
    hand.hear("b", vec![dot(1)], &delta(seen([1]), Some(seen([1, 2]))));
    assert!(hand.machine.context().contains(&dot(2)));
}

#[test]
fn a_write_that_cannot_be_stored_is_told_to_nobody() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.machine.handle(Input::Up { id: id("b") }, NOW);
    hand.turn(NOW);
    hand.sent();
    let before = hand.machine.hashes();
    hand.full = true;
    let outcome = hand.insert("x");
    assert!(matches!(outcome, Outcome::Insert(Err(InsertError::Unavailable(Unavailable::NotStored { .. })))));
    assert_eq!(hand.machine.hashes(), before);
    assert!(hand.sent().is_empty());
    assert!(!hand.machine.members().any(|member| member.id == id("x")));
}

#[test]
fn a_write_on_its_way_to_disk_dies_with_an_eviction() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    let nodes = vec![Insertion::new(id("x"), address("x"))];
    let command = Command::Insert { nodes, force: false };
    hand.machine.handle(Input::Command { token: Token(0), command }, NOW);
    let mut writing = None;
    while let Some(action) = hand.machine.poll_action() {
        if let Action::Store { image, .. } = action {
            writing = Some(image);
        }
    }
    // Before the disk answers, b tells that it has removed this node.
    let image = hand.machine.image(NOW);
    let mut own = image.records().find(|record| record.id == id("a")).cloned().unwrap();
    let standing = Standing::Removed { incarnation: hand.machine.incarnation() };
    let version = Version { standing, stamp: Stamp::default(), by: id("b"), extension: Bytes::new() };
    let context = own.versions.context().clone();
    own.versions.write_at(&context, version, dot(2)).unwrap();
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![own], facts: Vec::new() });
    assert!(hand.machine.affiliation().ring().is_none());
    hand.machine.handle(Input::Stored { image: writing.unwrap(), result: Ok(()) }, NOW);
    hand.turn(NOW);
    let outcome = hand.outcomes.pop();
    assert!(
        matches!(outcome, Some(Outcome::Insert(Err(InsertError::Unavailable(Unavailable::Evicted))))),
        "{outcome:?}"
    );
}

#[test]
fn a_failed_write_leaves_no_gap_in_what_others_see() {
    let mut hand = Hand::founder("a");
    hand.full = true;
    hand.insert("x");
    hand.full = false;
    hand.machine.wake(later(5_000));
    hand.turn(later(5_000));
    hand.machine.handle(
        Input::Command {
            token: Token(0),
            command: Command::Insert { nodes: vec![Insertion::new(id("x"), address("x"))], force: false },
        },
        later(5_000),
    );
    hand.turn(later(5_000));
    assert!(matches!(hand.outcomes.pop(), Some(Outcome::Insert(Ok(_)))));
    assert!(hand.machine.context().is_compact(), "{:?}", hand.machine.context());
}

#[test]
fn no_two_boots_share_an_actor_though_the_disk_is_a_clone() {
    let mut first = Hand::founder("a");
    first.insert("x");
    let stored = first.stored.clone();
    // The same disk, the same seed even: what was written before is not written over.
    let mut clone = Hand::boot(settings("a"), stored);
    clone.insert("y");
    first.insert("z");
    let dots = |hand: &Hand, name: &str| {
        let image = hand.machine.image(NOW);
        let record = image.records().find(|record| record.id == id(name)).cloned().unwrap();
        record.versions.siblings().map(|(dot, _)| *dot).collect::<Vec<_>>()
    };
    assert_ne!(dots(&clone, "y"), dots(&first, "z"));
}

#[test]
fn a_removed_node_brings_nothing() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.ask(Command::Remove { ids: vec![id("b")], force: false });
    hand.sent();
    let stranger = Record { id: id("c"), ..record("c") };
    let stranger = Message::Rumor { records: vec![record("b"), stranger], facts: Vec::new() };
    hand.hear("b", vec![dot(1)], &stranger);
    assert!(matches!(hand.sent().as_slice(), [Message::YouAreRemoved { record: Some(_), .. }]));
    assert!(!hand.machine.members().any(|member| member.id == id("c")));
    // Something of it was not seen here: it may have come back, so it is asked first.
    hand.hear("b", vec![dot(9)], &Message::Rumor { records: Vec::new(), facts: Vec::new() });
    assert!(matches!(hand.sent().as_slice(), [Message::Digest(_)]));
}

#[test]
fn a_boot_that_finds_its_own_tombstone_has_left() {
    let mut hand = Hand::founder("a");
    hand.ask(Command::Leave { force: true });
    let hand = Hand::boot(settings("a"), hand.stored);
    assert!(hand.machine.affiliation().ring().is_none());
    assert_eq!(hand.machine.members().count(), 0);
}

/// A node that somebody inserted again while it was leaving.
fn inserted_while_it_left() -> Hand {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.machine.handle(Input::Command { token: Token(1), command: Command::Leave { force: false } }, NOW);
    hand.turn(NOW);
    let image = hand.machine.image(NOW);
    let mut own = image.records().find(|record| record.id == id("a")).cloned().unwrap();
    let learned = own.facts().collect();
    // b has the tombstone, and somebody there inserts the leaver again before its leave is through.
    let incarnation = Incarnation(hand.machine.incarnation().0 + 1);
    let membership = Membership { incarnation, weight: 1, address: address("a"), zone: None };
    let standing = Standing::Member(membership);
    let version = Version { standing, stamp: Stamp::default(), by: id("b"), extension: Bytes::new() };
    let context = own.versions.context().clone();
    own.versions.write_at(&context, version, dot(2)).unwrap();
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![own], facts: Vec::new() });
    hand.hear("b", vec![dot(1)], &Message::Known { learned, already: Vec::new() });
    assert!(matches!(hand.outcomes.pop(), Some(Outcome::Leave(Ok(_)))));
    hand.sent();
    hand
}

#[test]
fn a_node_inserted_while_it_left_refuses_to_come() {
    let mut hand = inserted_while_it_left();
    hand.hear("b", vec![dot(1)], &Message::Goodbye);
    assert!(hand.sent().is_empty(), "an answer is not answered");
    hand.hear("b", vec![dot(1)], &Message::Digest(Default::default()));
    assert!(matches!(hand.sent().as_slice(), [Message::InviteRefused(InviteRefusal::NotInRing)]));
}

/// The member b, of which a run of this incarnation was heard.
fn heard_of(incarnation: u64) -> Message {
    let mut record = record("b");
    record.own.as_mut().unwrap().incarnation = Incarnation(incarnation);
    Message::Rumor { records: vec![record], facts: Vec::new() }
}

#[test]
fn a_refusal_from_below_what_is_known_is_answered_with_that() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &heard_of(9));
    hand.sent();
    hand.hear("b", Vec::new(), &Message::InviteRefused(InviteRefusal::NotInRing));
    assert!(hand.machine.members().any(|member| member.id == id("b")), "the later run may be a member");
    let sent = hand.sent();
    let [Message::Rumor { records, .. }] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(records.iter().any(|record| record.id == id("b")));

    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &heard_of(5));
    hand.hear("b", Vec::new(), &Message::InviteRefused(InviteRefusal::NotInRing));
    assert!(!hand.machine.members().any(|member| member.id == id("b")));
}

#[test]
fn a_node_outside_that_fell_back_answers_as_a_newer_run_unless_another_is_alive() {
    let left = || {
        let mut hand = Hand::founder("a");
        hand.hear("b", vec![dot(1)], &heard_of(5));
        hand.ask(Command::Leave { force: true });
        hand.sent();
        hand
    };
    let cases = [
        (inserted_while_it_left(), "a", true),
        (inserted_while_it_left(), "elsewhere", false),
        (left(), "a", true),
        (left(), "elsewhere", false),
    ];
    for (mut hand, listens, is_it) in cases {
        let ours = hand.machine.incarnation();
        let known = Incarnation(ours.0 + 1_000);
        let mut record = record_by("a", dot(3));
        let own = record.own.as_mut().unwrap();
        (own.incarnation, own.address) = (known, address(listens));
        hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record], facts: Vec::new() });
        assert_eq!(hand.machine.incarnation() > known, is_it);
        assert_eq!(hand.machine.incarnation() == ours, !is_it);
        assert_eq!(hand.sent().len(), usize::from(is_it), "two runs do not answer each other without end");
    }
}

#[test]
fn a_run_that_outgrew_another_is_on_disk_before_anyone_hears_of_it() {
    let mut hand = inserted_while_it_left();
    let ours = hand.machine.incarnation();
    let mut record = record_by("a", dot(3));
    let own = record.own.as_mut().unwrap();
    (own.incarnation, own.address) = (Incarnation(ours.0 + 1_000), address("a"));
    hand.full = true;
    hand.sent();
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record], facts: Vec::new() });
    hand.wait(5_000);
    assert_eq!((hand.machine.incarnation(), hand.sent().len()), (ours, 0));
    hand.full = false;
    hand.wait(2_000);
    assert!(hand.machine.incarnation().0 > ours.0 + 1_000);
    assert!(matches!(hand.sent().as_slice(), [Message::InviteRefused(InviteRefusal::NotInRing)]));
}

#[test]
fn operations_wait_for_no_second_leave() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.machine.handle(Input::Command { token: Token(1), command: Command::Leave { force: false } }, NOW);
    hand.turn(NOW);
    assert!(hand.outcomes.is_empty(), "nobody has acknowledged it yet");
    assert!(matches!(hand.insert("a"), Outcome::Insert(Err(InsertError::NotInRing))));
    assert!(matches!(hand.ask(Command::Leave { force: true }), Outcome::Leave(Err(LeaveError::NotInRing))));
    hand.machine.wake(later(6_000));
    hand.turn(later(6_000));
    let refused = Outcome::Leave(Err(LeaveError::NotAcknowledged { acknowledged: 0, needed: 1 }));
    assert_eq!(format!("{:?}", hand.outcomes.pop()), format!("{:?}", Some(refused)));
    assert!(hand.machine.members().any(|member| member.id == id("a")), "it is still a member");
}

#[test]
fn the_first_peer_is_on_disk_at_once() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    let stored = hand.stored.clone().unwrap();
    assert!(stored.records().any(|record| record.id == id("b")));
    // The next one may wait, and shares its write with others.
    let mut other = record("c");
    other.versions = Versions::new();
    let version = record("c").versions.values().next().cloned().unwrap();
    other.versions.write_at(&Default::default(), version, dot(2)).unwrap();
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![other], facts: Vec::new() });
    assert!(hand.machine.members().any(|member| member.id == id("c")));
    assert!(!hand.stored.clone().unwrap().records().any(|record| record.id == id("c")));
}

#[test]
fn a_removed_node_invites_nobody() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.ask(Command::Remove { ids: vec![id("b")], force: false });
    hand.sent();
    let before = hand.machine.hashes();
    let own = hand.machine.records().find(|record| record.id == id("a")).cloned().unwrap();
    let mut versions = own.versions.clone();
    let mut version = versions.values().next().unwrap().clone();
    version.by = id("b");
    let context = versions.context().clone();
    versions.write_at(&context, version, dot(2)).unwrap();
    hand.hear("b", vec![dot(1)], &Message::Invite(Box::new(Record { versions, ..own })));
    assert!(matches!(hand.sent().as_slice(), [Message::YouAreRemoved { record: Some(_), .. }]));
    assert_eq!(hand.machine.hashes(), before);
}

#[test]
fn a_removed_node_is_told_after_a_restart_too() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.ask(Command::Remove { ids: vec![id("b")], force: false });
    let mut hand = Hand::boot(settings("a"), hand.stored);
    hand.wait(30_000);
    assert!(hand.dialed.contains(&address("b")));
}

/// What nothing is left of may have been removed, which a tombstone or a floor tells; nodes that ask meanwhile are answered.
#[test]
fn a_node_stays_a_member_by_its_own_record() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    let own = hand.machine.records().find(|record| record.id == id("a")).cloned().unwrap();
    let (context, _) = own.versions.clone().into_parts();
    let nothing = Record { versions: Versions::from_parts(context, []).unwrap(), ..own };
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![nothing], facts: Vec::new() });
    assert!(hand.machine.members().any(|member| member.id == id("a")));
    assert!(hand.machine.affiliation().ring().is_some());
}

/// A new run ends every session of the old one.
#[test]
fn told_of_one_newer_run_by_many_a_node_becomes_a_new_one_once() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    let mut own = hand.machine.records().find(|record| record.id == id("a")).cloned().unwrap();
    let known = Incarnation(hand.machine.incarnation().0 + 1_000);
    own.own.as_mut().unwrap().incarnation = known;
    let told = Message::Rumor { records: vec![own], facts: Vec::new() };
    let header = Header {
        ring: hand.machine.affiliation().ring().cloned(),
        layout: 0,
        incarnation: Incarnation(5),
        own: vec![dot(1)],
    };
    for _ in 0..20 {
        // None of what these lead to is on disk before the last.
        let frame = Input::Frame { from: id("b"), bytes: Frame::encode(&header, &told) };
        hand.machine.handle(frame, NOW);
    }
    let mut runs = 0;
    while let Some(action) = hand.machine.poll_action() {
        match action {
            Action::Store { image, .. } => hand.machine.handle(Input::Stored { image, result: Ok(()) }, NOW),
            Action::SetIncarnation(_) => runs += 1,
            _ => {}
        }
    }
    assert_eq!(runs, 1);
    assert!(hand.machine.incarnation() > known);
}

/// A hundred members that write one node at the same time, as a scheduled command does.
#[test]
fn many_concurrent_versions_of_a_record_can_be_told() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    for writer in 100..200 {
        let dot = Dot::new(Actor(writer), 1).unwrap();
        let records = vec![record_by("x", dot)];
        hand.hear("b", Vec::new(), &Message::Rumor { records, facts: Vec::new() });
    }
    hand.sent();
    // Whatever is sent is decoded as a peer would.
    hand.hear("b", vec![dot(1)], &Message::Digest(Default::default()));
    let told = hand.sent();
    let versions = told.iter().find_map(|message| match message {
        Message::Delta(Delta { records, .. }) => records.iter().find(|record| record.id == id("x")),
        _ => None,
    });
    assert_eq!(versions.unwrap().versions.siblings().len(), 100);
}

/// Two that fell back, on disks that take nothing, would ask each other at the speed of the link.
#[test]
fn what_is_known_of_a_later_run_is_asked_for_once() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    let mut own = hand.machine.records().find(|record| record.id == id("a")).cloned().unwrap();
    own.own.as_mut().unwrap().incarnation = Incarnation(hand.machine.incarnation().0 + 1_000);
    let mut digest = Digest { context: hand.machine.context().clone(), ..Digest::default() };
    for known in [&own, &record("b")] {
        digest.owns.insert(known.id.clone(), known.own.as_ref().unwrap().age());
    }
    hand.full = true;
    hand.sent();
    let asks = |hand: &mut Hand| {
        hand.hear("b", vec![dot(1)], &Message::Digest(digest.clone()));
        hand.sent().iter().any(|message| matches!(message, Message::Digest(_)))
    };
    assert!(asks(&mut hand));
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![own], facts: Vec::new() });
    assert!(!asks(&mut hand));
}

/// A removal whose tombstone was collected elsewhere comes back in the past of a later membership that knew nothing of it.
/// Here that replaces the tombstone, and whoever has the membership must hear of the removal all the same.
#[test]
fn a_removal_that_was_replaced_by_way_of_a_floor_is_told() {
    let mut hand = Hand::founder("a");
    hand.hear("b", vec![dot(1)], &Message::Rumor { records: vec![record("b")], facts: Vec::new() });
    hand.ask(Command::Remove { ids: vec![id("b")], force: false });
    let removed = hand.machine.records().find(|record| record.id == id("b")).cloned().unwrap();
    let removal = *removed.versions.siblings().next().unwrap().0;
    let again = Dot::new(Actor(8), 1).unwrap();
    let (mut past, _) = removed.versions.into_parts();
    past.witness(again);
    let mut standing = record_by("b", again).versions.values().next().unwrap().standing.clone();
    let Standing::Member(membership) = &mut standing else { unreachable!("a member") };
    membership.incarnation = Incarnation(9);
    let version = Version { standing, stamp: Stamp::default(), by: id("b"), extension: Bytes::new() };
    let versions = Versions::from_parts(past, [(again, version)]).unwrap();
    let came_back = Record { versions, ..record("b") };
    let from_c = Dot::new(Actor(9), 1).unwrap();
    let records = vec![record_by("c", from_c), came_back.clone()];
    hand.hear("c", vec![from_c], &Message::Rumor { records, facts: Vec::new() });
    hand.sent();
    let told = |hand: &mut Hand, seen: Vec<Dot>| {
        let owns =
            hand.machine.records().filter_map(|record| Some((record.id.clone(), record.own.as_ref()?.age())));
        let digest = Digest { owns: owns.collect(), context: seen.into_iter().collect() };
        hand.hear("c", vec![from_c], &Message::Digest(digest));
        let sent = hand.sent();
        sent.iter()
            .any(|message| matches!(message, Message::Delta(delta) if delta.records.contains(&came_back)))
    };
    assert!(told(&mut hand, vec![dot(1), from_c, again]));
    assert!(!told(&mut hand, vec![dot(1), from_c, again, removal]));
}
