//! One failure detector by itself, and what it makes of what it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use gossip::liveness::{
    Claim, FailureDetector, Input, Liveness, NoDetector, Output, Pace, Report, Signal, Swim, Talk,
};
use netkernel::{Incarnation, NodeId};

fn id(at: usize) -> NodeId {
    NodeId::new(format!("n{at:02}")).unwrap()
}

#[test]
fn a_refusal_without_a_lost_session_says_nothing() {
    let mut node = Swim::new(id(0), Pace::default(), 1);
    node.handle(Input::Member { id: id(1), incarnation: Incarnation(1) }, 0);
    node.handle(Input::Refused { id: id(1) }, 0);
    assert_eq!(node.liveness(&id(1)), Liveness::Alive);
}

#[test]
fn a_goodbye_is_believed_of_a_member_that_is_just_being_asked() {
    let mut node = Swim::new(id(0), Pace::default(), 1);
    for at in 1..4 {
        node.handle(Input::Member { id: id(at), incarnation: Incarnation(1) }, 0);
        node.handle(Input::Up { id: id(at) }, 0);
    }
    let claim = Claim::Down { by: id(2) };
    let report = Report { id: id(1), incarnation: Incarnation(1), counter: 0, claim };
    let signal = Signal { talk: Talk::Tell, news: vec![report] };
    node.handle(Input::Signal { from: id(2), signal }, 10);
    assert_eq!(node.liveness(&id(1)), Liveness::Suspect);
    node.handle(Input::Goodbye { id: id(1) }, 20);
    assert!(node.liveness(&id(1)) == Liveness::Down && node.has_stopped(&id(1)));
}

#[test]
fn a_new_run_of_a_suspect_is_told_as_trusted() {
    let mut node = Swim::new(id(0), Pace::default(), 1);
    node.handle(Input::Member { id: id(1), incarnation: Incarnation(1) }, 0);
    node.handle(Input::Member { id: id(2), incarnation: Incarnation(1) }, 0);
    let claim = Claim::Suspect { by: id(2), refused: false };
    let report = Report { id: id(1), incarnation: Incarnation(1), counter: 0, claim };
    let signal = Signal { talk: Talk::Tell, news: vec![report] };
    node.handle(Input::Signal { from: id(2), signal }, 10);
    node.handle(Input::Member { id: id(1), incarnation: Incarnation(2) }, 20);
    let mut changes = Vec::new();
    while let Some(output) = node.poll() {
        if let Output::Changed { was, now, .. } = output {
            changes.push((was, now));
        }
    }
    use Liveness::{Alive, Suspect};
    assert_eq!(changes, [(Alive, Suspect), (Suspect, Alive)]);
}

/// Whoever is asked to ask and hears nothing says so before the asker decides, or the asker doubts itself for nothing.
#[test]
fn that_there_was_no_answer_is_told_in_time_at_every_pace() {
    // What is left of a probe once the member itself had its time.
    for (pace, left_ms) in [(Pace::lan(), 500), (Pace::wan(), 800), (Pace::busy(), 500)] {
        let mut relay = Swim::new(id(0), pace, 1);
        for other in [1, 2] {
            relay.handle(Input::Member { id: id(other), incarnation: Incarnation(1) }, 0);
            relay.handle(Input::Up { id: id(other) }, 0);
        }
        let asked = Signal { talk: Talk::PingReq { seq: 7, target: id(2) }, news: Vec::new() };
        relay.handle(Input::Signal { from: id(1), signal: asked }, 0);
        let told_ms = (0..left_ms).find(|now_ms| {
            relay.wake(*now_ms);
            std::iter::from_fn(|| relay.poll()).any(|output| {
                matches!(output, Output::Send { to, signal: Signal { talk: Talk::Nack { seq: 7 }, .. } } if to == id(1))
            })
        });
        assert!(told_ms.is_some_and(|told_ms| told_ms <= left_ms / 2), "{told_ms:?} of {left_ms}");
    }
}

#[test]
fn a_pace_without_measure_is_refused() {
    use std::time::Duration;
    let hours = Duration::from_secs(7_200);
    let without = [
        Pace::lan().probe_every(hours),
        Pace::lan().probe_every(Duration::MAX).answer_within(hours),
        Pace::lan().suspicion(Duration::MAX, 6),
        Pace::lan().suspicion(Duration::from_secs(60), u32::MAX),
        Pace::lan().indirect_probes(usize::MAX),
        Pace::lan().confirmations(usize::MAX),
        Pace::lan().local_health_max(u32::MAX),
    ];
    for pace in without {
        assert!(pace.check().is_err(), "{pace:?}");
    }
}

#[test]
fn a_node_that_is_no_member_is_answered_and_not_watched() {
    let mut node = Swim::new(id(0), Pace::default(), 1);
    let signal = Signal { talk: Talk::Ping { seq: 7 }, news: Vec::new() };
    node.handle(Input::Signal { from: id(5), signal }, 0);
    let answer = Signal { talk: Talk::Ack { seq: 7 }, news: Vec::new() };
    assert_eq!(node.poll(), Some(Output::Send { to: id(5), signal: answer }));
    assert_eq!(node.deadline_ms(), None);
}

#[test]
fn the_detector_that_detects_nothing_thinks_well_of_all() {
    let mut detector = NoDetector;
    detector.handle(Input::Goodbye { id: id(1) }, 0);
    detector.wake(1);
    assert_eq!(
        (detector.deadline_ms(), detector.poll(), detector.liveness(&id(1))),
        (None, None, Liveness::Alive)
    );
}
