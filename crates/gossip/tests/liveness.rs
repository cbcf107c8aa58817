//! The failure detector by hand: a few of them, a clock, and messages that arrive or do not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gossip::liveness::{Claim, FailureDetector, Input, Liveness, Output, Pace, Report, Signal, Swim, Talk};
use netkernel::{Incarnation, NodeId};

fn id(at: usize) -> NodeId {
    NodeId::new(format!("n{at:02}")).unwrap()
}

/// Detectors that hear each other at once, as far as nothing keeps them from it.
struct Ring {
    nodes: Vec<Swim>,
    now_ms: u64,
    /// Nodes that neither run nor hear; what is sent to them waits.
    frozen: BTreeSet<usize>,
    waiting: BTreeMap<usize, VecDeque<Input>>,
    /// Directions in which nothing passes.
    cut: BTreeSet<(usize, usize)>,
    /// Changes, by whom, of whom, to what, when.
    seen: Vec<(usize, usize, Liveness, u64)>,
}

impl Ring {
    fn new(size: usize, pace: &Pace) -> Self {
        let mut nodes: Vec<_> = (0..size).map(|at| Swim::new(id(at), pace.clone(), at as u64)).collect();
        for (at, node) in nodes.iter_mut().enumerate() {
            node.handle(Input::Local { incarnation: Incarnation(1) }, 0);
            for other in (0..size).filter(|other| *other != at) {
                node.handle(Input::Member { id: id(other), incarnation: Incarnation(1) }, 0);
                node.handle(Input::Up { id: id(other) }, 0);
            }
        }
        let (frozen, waiting, cut) = Default::default();
        Self { nodes, now_ms: 0, frozen, waiting, cut, seen: Vec::new() }
    }

    fn give(&mut self, to: usize, input: Input) {
        if self.frozen.contains(&to) {
            self.waiting.entry(to).or_default().push_back(input);
        } else {
            self.nodes[to].handle(input, self.now_ms);
            self.pump(to);
        }
    }

    fn pump(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].poll() {
            match output {
                Output::Send { to, signal } => {
                    let to = index(&to);
                    if !self.cut.contains(&(at, to)) {
                        self.give(to, Input::Signal { from: id(at), signal });
                    }
                }
                Output::Changed { id, now, .. } => self.seen.push((at, index(&id), now, self.now_ms)),
                _ => {}
            }
        }
    }

    fn run_for(&mut self, ms: u64) {
        for _ in 0..ms / STEP_MS {
            self.now_ms += STEP_MS;
            for at in (0..self.nodes.len()).filter(|at| !self.frozen.contains(at)).collect::<Vec<_>>() {
                while self.nodes[at].deadline_ms().is_some_and(|due| due <= self.now_ms) {
                    self.nodes[at].wake(self.now_ms);
                    self.pump(at);
                }
            }
        }
    }

    fn freeze(&mut self, at: usize) {
        self.frozen.insert(at);
    }

    fn thaw(&mut self, at: usize) {
        self.frozen.remove(&at);
        // As the driver does: what is due comes before what waits.
        self.nodes[at].wake(self.now_ms);
        self.pump(at);
        for input in self.waiting.remove(&at).unwrap_or_default() {
            self.give(at, input);
        }
    }

    /// What node `by` thinks of node `of`.
    fn thinks(&self, by: usize, of: usize) -> Liveness {
        self.nodes[by].liveness(&id(of))
    }

    fn all_think(&self, of: usize, liveness: Liveness) -> bool {
        (0..self.nodes.len())
            .filter(|by| *by != of && !self.frozen.contains(by))
            .all(|by| self.thinks(by, of) == liveness)
    }

    fn ever(&self, wanted: Liveness) -> bool {
        self.seen.iter().any(|(.., liveness, _)| *liveness == wanted)
    }
}

fn index(id: &NodeId) -> usize {
    id.as_str()[1..].parse().unwrap()
}

/// What everybody hears from everybody at once needs no finer clock.
const STEP_MS: u64 = 20;

#[test]
fn healthy_nodes_suspect_nobody() {
    let mut ring = Ring::new(10, &Pace::default());
    ring.run_for(120_000);
    assert!(ring.seen.is_empty(), "{:?}", ring.seen);
}

#[test]
fn a_frozen_node_is_down_everywhere_within_seconds_and_back_at_once() {
    let mut ring = Ring::new(10, &Pace::default());
    ring.run_for(5_000);
    ring.freeze(3);
    ring.run_for(8_000);
    assert!(ring.all_think(3, Liveness::Down), "{:?}", ring.seen);
    ring.run_for(60_000);
    ring.thaw(3);
    ring.run_for(1_000);
    assert!(ring.all_think(3, Liveness::Alive));
    assert!(
        (0..10).filter(|of| *of != 3).all(|of| ring.thinks(3, of) == Liveness::Alive),
        "it blames nobody for its own absence"
    );
}

/// Else a slow node that is down drowns in questions, and never gets to answer one in time.
#[test]
fn a_member_that_is_down_is_asked_by_all_together_and_not_by_each() {
    let mut ring = Ring::new(60, &Pace::default());
    ring.freeze(7);
    ring.run_for(20_000);
    assert!(ring.all_think(7, Liveness::Down));
    ring.waiting.clear();
    ring.run_for(60_000);
    let asked = ring.waiting[&7].len();
    assert!((60..=400).contains(&asked), "asked {asked} times in a minute");
}

#[test]
fn a_short_pause_is_refuted() {
    let mut ring = Ring::new(10, &Pace::default());
    for pause_ms in [1_000, 2_000, 3_000] {
        ring.freeze(4);
        ring.run_for(pause_ms);
        ring.thaw(4);
        ring.run_for(10_000);
    }
    assert!(!ring.ever(Liveness::Down), "{:?}", ring.seen);
    assert!(ring.all_think(4, Liveness::Alive));
}

#[test]
fn a_link_that_fails_is_bridged_by_others() {
    let mut ring = Ring::new(8, &Pace::default());
    ring.cut.extend([(1, 2), (2, 1), (5, 6)]);
    ring.run_for(120_000);
    assert!(!ring.ever(Liveness::Down), "{:?}", ring.seen);
}

#[test]
fn two_who_saw_it_refuse_are_enough_and_one_is_not() {
    let mut ring = Ring::new(10, &Pace::default());
    ring.freeze(9);
    (0..9).for_each(|at| ring.give(at, Input::Down { id: id(9) }));
    ring.give(0, Input::Refused { id: id(9) });
    assert_eq!(ring.thinks(0, 9), Liveness::Suspect);
    ring.run_for(100);
    assert!(!ring.ever(Liveness::Down));
    ring.give(1, Input::Refused { id: id(9) });
    ring.run_for(500);
    assert!(ring.all_think(9, Liveness::Down), "{:?}", ring.seen);
}

#[test]
fn of_two_nodes_one_decides() {
    let mut ring = Ring::new(2, &Pace::default());
    ring.give(0, Input::Down { id: id(1) });
    ring.give(0, Input::Refused { id: id(1) });
    assert_eq!(ring.thinks(0, 1), Liveness::Down);
}

#[test]
fn a_goodbye_is_believed_at_once_and_a_new_run_is_new() {
    let mut ring = Ring::new(5, &Pace::default());
    ring.give(4, Input::Stopping);
    (0..3).for_each(|at| ring.give(at, Input::Goodbye { id: id(4) }));
    ring.run_for(1_000);
    assert!(ring.all_think(4, Liveness::Down), "whom it did not reach is told by others: {:?}", ring.seen);
    ring.run_for(10_000);
    assert!(ring.all_think(4, Liveness::Down), "a node that stops refutes nothing");
    ring.give(0, Input::Member { id: id(4), incarnation: Incarnation(2) });
    assert_eq!(ring.thinks(0, 4), Liveness::Alive);
}

#[test]
fn both_sides_of_a_partition_find_each_other_again() {
    let mut ring = Ring::new(8, &Pace::default());
    let sides = (0..4).flat_map(|a| (4..8).flat_map(move |b| [(a, b), (b, a)]));
    ring.cut.extend(sides);
    ring.run_for(60_000);
    assert!(
        (0..4)
            .all(|a| (4..8)
                .all(|b| ring.thinks(a, b) == Liveness::Down && ring.thinks(b, a) == Liveness::Down))
    );
    assert!((0..4).all(|a| (0..4).filter(|b| a != *b).all(|b| ring.thinks(a, b) == Liveness::Alive)));
    ring.cut.clear();
    ring.run_for(5_000);
    assert!((0..8).all(|of| ring.all_think(of, Liveness::Alive)), "{:?}", ring.seen);
}

#[test]
fn a_report_of_another_run_says_nothing() {
    let mut ring = Ring::new(3, &Pace::default());
    for incarnation in [0, 2] {
        let report = Report {
            id: id(1),
            incarnation: Incarnation(incarnation),
            counter: 9,
            claim: Claim::Down { by: id(2) },
        };
        ring.give(0, Input::Signal { from: id(2), signal: Signal { talk: Talk::Tell, news: vec![report] } });
    }
    assert_eq!(ring.thinks(0, 1), Liveness::Alive);
}

#[test]
fn a_claim_against_a_live_node_is_refuted_and_spreads_no_further() {
    let mut ring = Ring::new(10, &Pace::default());
    let report =
        Report { id: id(1), incarnation: Incarnation(1), counter: 0, claim: Claim::Down { by: id(2) } };
    ring.give(0, Input::Signal { from: id(2), signal: Signal { talk: Talk::Tell, news: vec![report] } });
    assert!(ring.ever(Liveness::Suspect));
    ring.run_for(3_000);
    assert!((0..10).all(|of| ring.all_think(of, Liveness::Alive)), "{:?}", ring.seen);
    assert!(!ring.ever(Liveness::Down), "{:?}", ring.seen);
}

/// Else it would find out in its own round, which takes a minute here.
#[test]
fn a_node_that_missed_the_news_hears_who_is_down() {
    let mut ring = Ring::new(60, &Pace::default());
    ring.freeze(3);
    ring.run_for(60_000);
    assert!(ring.all_think(3, Liveness::Down));
    let now_ms = ring.now_ms;
    let mut late = Swim::new(id(7), Pace::default(), 99);
    late.handle(Input::Local { incarnation: Incarnation(1) }, now_ms);
    for other in (0..60).filter(|other| *other != 7) {
        late.handle(Input::Member { id: id(other), incarnation: Incarnation(1) }, now_ms);
        late.handle(Input::Up { id: id(other) }, now_ms);
    }
    ring.nodes[7] = late;
    ring.run_for(6_000);
    assert_eq!(ring.thinks(7, 3), Liveness::Down);
}

#[test]
fn a_node_that_missed_a_refutation_is_told_of_it() {
    let mut node = Swim::new(id(0), Pace::default(), 1);
    for other in [1, 2] {
        node.handle(Input::Member { id: id(other), incarnation: Incarnation(1) }, 0);
        node.handle(Input::Up { id: id(other) }, 0);
    }
    let said = |counter, claim| Report { id: id(1), incarnation: Incarnation(1), counter, claim };
    let refutation = Signal { talk: Talk::Tell, news: vec![said(4, Claim::Alive)] };
    node.handle(Input::Signal { from: id(1), signal: refutation }, 0);
    while node.poll().is_some() {}
    let stale = Signal { talk: Talk::Ping { seq: 1 }, news: vec![said(3, Claim::Down { by: id(2) })] };
    node.handle(Input::Signal { from: id(2), signal: stale }, 0);
    let answers: Vec<_> = std::iter::from_fn(|| node.poll()).collect();
    let correction = Signal { talk: Talk::Tell, news: vec![said(4, Claim::Alive)] };
    assert!(answers.contains(&Output::Send { to: id(2), signal: correction }), "{answers:?}");
}

#[test]
fn a_counter_that_nobody_reached_by_refuting_says_nothing() {
    for claim in [Claim::Suspect { by: id(2), refused: false }, Claim::Down { by: id(2) }, Claim::Alive] {
        let mut ring = Ring::new(3, &Pace::default());
        let report = Report { id: id(0), incarnation: Incarnation(1), counter: u64::MAX, claim };
        let signal = Signal { talk: Talk::Tell, news: vec![report] };
        ring.give(0, Input::Signal { from: id(2), signal: signal.clone() });
        ring.give(1, Input::Signal { from: id(2), signal });
        ring.run_for(60_000);
        assert!(!ring.ever(Liveness::Down) && ring.all_think(0, Liveness::Alive), "{:?}", ring.seen);
        // And it is still found when it goes.
        ring.freeze(0);
        ring.run_for(8_000);
        assert!(ring.all_think(0, Liveness::Down));
    }
}

/// As after a partition: the other side holds for down whom this one hears.
#[test]
fn who_is_heard_here_is_asked_before_another_is_believed() {
    let mut ring = Ring::new(5, &Pace::default());
    ring.run_for(3_000);
    let down =
        |of| Report { id: id(of), incarnation: Incarnation(1), counter: 0, claim: Claim::Down { by: id(4) } };
    for to in 0..3 {
        let news = (0..3).filter(|of| *of != to).map(down).collect();
        ring.give(to, Input::Signal { from: id(4), signal: Signal { talk: Talk::Tell, news } });
    }
    ring.run_for(10_000);
    let by_the_greater_side =
        ring.seen.iter().filter(|(by, _, liveness, _)| *by < 3 && *liveness == Liveness::Down);
    assert_eq!(by_the_greater_side.count(), 0, "{:?}", ring.seen);
    assert!((0..5).all(|of| ring.all_think(of, Liveness::Alive)));
}

/// A rule in a firewall that refuses looks like a process that ended, but to others it is there.
#[test]
fn what_refuses_two_and_answers_the_rest_is_believed_dead_once() {
    let mut ring = Ring::new(6, &Pace::default());
    ring.run_for(3_000);
    for at in [0, 1] {
        ring.cut.extend([(at, 5), (5, at)]);
        ring.give(at, Input::Down { id: id(5) });
        ring.give(5, Input::Down { id: id(at) });
    }
    for _ in 0..12 {
        ring.give(0, Input::Refused { id: id(5) });
        ring.run_for(100);
        ring.give(1, Input::Refused { id: id(5) });
        ring.run_for(5_000);
        assert!(ring.all_think(5, Liveness::Alive), "{:?}", ring.seen);
    }
    let downs = ring.seen.iter().filter(|(.., liveness, _)| *liveness == Liveness::Down);
    assert!(downs.clone().all(|(by, of, ..)| *by < 2 && *of == 5), "{:?}", ring.seen);
    assert!(downs.count() <= 2, "{:?}", ring.seen);
}

#[test]
fn a_member_that_is_gone_is_forgotten() {
    let mut ring = Ring::new(3, &Pace::default());
    ring.freeze(2);
    ring.run_for(3_000);
    assert!(ring.ever(Liveness::Suspect));
    ring.give(0, Input::Gone { id: id(2) });
    ring.give(1, Input::Gone { id: id(2) });
    let before = ring.seen.len();
    ring.run_for(60_000);
    assert_eq!(ring.seen.len(), before);
    ring.give(0, Input::Gone { id: id(1) });
    assert_eq!(ring.nodes[0].deadline_ms(), None, "alone there is nothing to do");
}
