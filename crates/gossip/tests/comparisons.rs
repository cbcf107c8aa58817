//! With whom an idle node compares what it knows, and when.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "others use the rest of it")]
mod hand;

use std::collections::BTreeMap;

use gossip::liveness::{Detector, Signal, Talk};
use gossip::message::Message;
use gossip::proto::{Input, Settings};
use netkernel::NodeId;

use hand::{Hand, dot, id, record_by, settings};

/// The founder of a ring of so many, all of which it has sessions with.
fn idle(others: u64, tune: impl FnOnce(&mut Settings)) -> Hand {
    let mut settings = settings("a");
    tune(&mut settings);
    let mut hand = Hand::boot(settings, None);
    for at in 1..=others {
        let name = format!("b{at}");
        let records = vec![record_by(&name, dot(at))];
        hand.hear(&name, vec![dot(at)], &Message::Rumor { records, facts: Vec::new() });
        hand.machine.handle(Input::Up { id: id(&name) }, hand.now);
        hand.turn(hand.now);
    }
    hand.sent.clear();
    hand
}

/// Whom a node asked whether it is there and whom it compared with, at each of its wake-ups in a minute.
type Wakes = Vec<(Option<NodeId>, Option<NodeId>)>;

fn wakes_of_a_minute(hand: &mut Hand) -> Wakes {
    let mut wakes = Vec::new();
    let end = hand.now.mono_ms + 60_000;
    while hand.now.mono_ms < end {
        let due = hand.machine.deadline_ms().unwrap();
        hand.wait(due.saturating_sub(hand.now.mono_ms).max(1));
        let (mut asked, mut compared) = (None, None);
        for (to, message) in std::mem::take(&mut hand.sent) {
            match message {
                Message::Liveness(Signal { talk: Talk::Ping { seq }, .. }) => {
                    let answer = Message::Liveness(Signal { talk: Talk::Ack { seq }, news: Vec::new() });
                    hand.hear(to.as_str(), Vec::new(), &answer);
                    asked = Some(to);
                }
                Message::SyncHash(_) => compared = Some(to),
                _ => {}
            }
        }
        if asked.is_some() || compared.is_some() {
            wakes.push((asked, compared));
        }
    }
    wakes
}

#[test]
fn a_comparison_goes_along_with_a_probe_to_the_same_member() {
    let mut hand = idle(7, |_| {});
    let wakes = wakes_of_a_minute(&mut hand);
    let compared = wakes.iter().filter_map(|(_, compared)| compared.as_ref());
    let mut times = BTreeMap::<&NodeId, u32>::new();
    compared.for_each(|member| *times.entry(member).or_default() += 1);
    let all: u32 = times.values().sum();
    assert!((52..=68).contains(&all), "once a second, and not {all} times a minute");
    assert!(times.len() == 7 && times.values().all(|times| *times >= 5), "everyone in turn: {times:?}");
    // The first may come at times of their own, until these have met.
    let together = wakes.iter().skip(6).all(|(asked, compared)| asked == compared);
    assert!(together, "some of the wake-ups were for one of them only: {wakes:?}");
}

#[test]
fn comparisons_that_are_rarer_than_probes_go_along_with_some_of_them() {
    let mut hand = idle(7, |settings| settings.sync_ms = 5_000);
    let wakes = wakes_of_a_minute(&mut hand);
    let compared: Vec<_> = wakes.iter().filter(|(_, compared)| compared.is_some()).collect();
    assert!((10..=14).contains(&compared.len()), "{compared:?}");
    assert!(compared.iter().filter(|(asked, compared)| asked != compared).count() <= 1, "{compared:?}");
}

#[test]
fn without_a_detector_comparisons_go_to_random_members_at_their_own_times() {
    let mut hand = idle(7, |settings| settings.detector = Detector::none());
    let wakes = wakes_of_a_minute(&mut hand);
    assert!((54..=67).contains(&wakes.len()), "{}", wakes.len());
    assert!(wakes.iter().all(|(asked, _)| asked.is_none()));
    let members: std::collections::BTreeSet<_> =
        wakes.iter().filter_map(|(_, compared)| compared.as_ref()).collect();
    assert_eq!(members.len(), 7);
}
