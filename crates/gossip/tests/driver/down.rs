//! What being down means to those who ask a ring, and how soon it ends after a partition.

use std::time::Duration;

use gossip::liveness::Liveness;
use gossip::{Event, View};
use netkernel::{Address, MemoryNetwork, Net, PeerEvent, PeerEvents};
use tokio::time::{Instant, timeout, timeout_at};

use crate::common::{SECOND, TestNode, id, next, start};

async fn three(network: &MemoryNetwork) -> [TestNode; 3] {
    let nodes = [
        start(network, "a", "ring").await,
        start(network, "b", "ring").await,
        start(network, "c", "ring").await,
    ];
    for pair in nodes.windows(2) {
        pair[1].gossip.meet(&pair[0].address()).await.unwrap();
    }
    for node in &nodes {
        node.knows(3).await;
    }
    nodes
}

/// Of each key that `of` owns, whether it is up and who is asked instead if it is not.
fn asked(view: &View, of: &str) -> Vec<(bool, String)> {
    let keys = (0..200).map(|key: u32| key.to_string());
    let owned = keys.filter(|key| view.ring().owner(key.as_bytes()).unwrap().id.as_str() == of);
    owned
        .map(|key| {
            let replicas: Vec<_> = view.preference(key.as_bytes(), 2).collect();
            assert_eq!((replicas.len(), replicas[0].member.id.as_str()), (2, of), "its place stays its own");
            let first = replicas.iter().find(|replica| replica.up).expect("another is up");
            (replicas[0].up, first.member.id.to_string())
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_down_within_a_second_and_passed_over_and_no_key_moves() {
    let network = MemoryNetwork::new();
    let [a, b, c] = three(&network).await;
    let before = a.gossip.view();
    assert!(asked(&before, "c").iter().all(|(up, first)| *up && first == "c"));
    let killed = Instant::now();
    c.kernel.shutdown(Duration::ZERO).await;
    for node in [&a, &b] {
        node.until(|view| view.member(&id("c")).unwrap().liveness == Liveness::Down).await;
    }
    assert!(killed.elapsed() <= SECOND, "it took {:?}", killed.elapsed());
    let after = a.gossip.view();
    assert_eq!(after.ring().fingerprint(), before.ring().fingerprint());
    let asked = asked(&after, "c");
    assert!(asked.len() > 20 && asked.iter().all(|(up, first)| !up && first != "c"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_about_to_stop_is_passed_over_and_down_with_its_goodbye() {
    let network = MemoryNetwork::new();
    let [a, b, c] = three(&network).await;
    let before = a.gossip.view().ring().fingerprint();
    let mut events = a.gossip.events();
    c.gossip.set_draining(true).await.unwrap();
    let view = a.until(|view| !view.member(&id("c")).unwrap().is_up()).await;
    assert_eq!(view.member(&id("c")).unwrap().liveness, Liveness::Alive);
    assert!(asked(&view, "c").iter().all(|(up, first)| !up && first != "c"));
    let stopped = Instant::now();
    c.stop().await;
    next(&mut events, |event| matches!(event, Event::Down { id } if id.as_str() == "c")).await;
    b.until(|view| view.member(&id("c")).unwrap().liveness == Liveness::Down).await;
    assert!(stopped.elapsed() < SECOND / 2, "it took {:?}", stopped.elapsed());
    assert_eq!(a.gossip.view().ring().fingerprint(), before);
}

/// Each tick compares the links there should be with those there are.
#[tokio::test(start_paused = true)]
async fn a_link_that_was_ended_behind_its_back_is_made_again() {
    let network = MemoryNetwork::new();
    let [a, b, _c] = three(&network).await;
    let mut events = a.kernel.events();
    a.kernel.disconnect(&b.id(), false);
    b.kernel.disconnect(&a.id(), false);
    let again = async {
        let mut was_ended = false;
        loop {
            match events.recv().await.unwrap().unwrap() {
                PeerEvent::Down { peer, .. } if peer.node.id == b.id() => was_ended = true,
                PeerEvent::Up { peer } if peer.node.id == b.id() && was_ended => return,
                _ => {}
            }
        }
    };
    timeout(3 * SECOND, again).await.expect("the next ticks make it again");
}

/// Waits until a session ends, which is that with this node.
async fn session_ends(events: &mut PeerEvents, with: &TestNode) {
    let ended = async {
        loop {
            if let PeerEvent::Down { peer, .. } = events.recv().await.unwrap().unwrap() {
                return peer.node.id.clone();
            }
        }
    };
    assert_eq!(timeout(30 * SECOND, ended).await.expect("the session ends"), with.id());
}

/// The kernel would ask after a minute.
#[tokio::test(start_paused = true)]
async fn the_session_with_a_node_that_is_down_ends_soon_after_and_one_with_a_live_node_does_not() {
    let network = MemoryNetwork::new();
    let [a, b, c] = three(&network).await;
    let mut events = a.kernel.events();
    network.mute("a", "c");
    network.mute("b", "c");
    let muted = Instant::now();
    a.until(|view| view.member(&id("c")).unwrap().liveness == Liveness::Down).await;
    session_ends(&mut events, &c).await;
    assert!(muted.elapsed() < 20 * SECOND, "it took {:?}", muted.elapsed());
    assert!(a.kernel.peers().iter().any(|peer| peer.id == b.id() && peer.connected));
}

/// Nobody is down, for the third node hears both.
#[tokio::test(start_paused = true)]
async fn the_session_with_a_member_that_only_others_hear_ends_soon_too() {
    let network = MemoryNetwork::new();
    let [a, b, c] = three(&network).await;
    let mut events = a.kernel.events();
    network.mute("a", "b");
    let muted = Instant::now();
    session_ends(&mut events, &b).await;
    assert!(muted.elapsed() < 15 * SECOND, "it took {:?}", muted.elapsed());
    for (node, other) in [(&a, &b), (&b, &a), (&c, &a), (&c, &b)] {
        assert_eq!(node.gossip.view().member(&other.id()).unwrap().liveness, Liveness::Alive);
    }
}

async fn six(network: &MemoryNetwork) -> Vec<TestNode> {
    let mut nodes: Vec<TestNode> = Vec::new();
    for name in NAMES {
        let node = start(network, name, "ring").await;
        if let Some(last) = nodes.last() {
            node.gossip.meet(&last.address()).await.unwrap();
        }
        nodes.push(node);
    }
    for node in &nodes {
        node.knows(NAMES.len()).await;
    }
    nodes
}

/// The links between the two sides: the first two nodes, and the others.
fn between() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES[..2].iter().flat_map(|one| NAMES[2..].iter().map(move |other| (*one, *other)))
}

async fn is_whole_again_in_time(nodes: &[TestNode]) {
    let end = Instant::now() + WITHIN;
    let holds = |view: &View| {
        let (left, right) = (view.member(&id("left")), view.member(&id("right")));
        let mut others = view.members().iter().filter(|member| NAMES.contains(&member.id.as_str()));
        left.is_some() && right.is_some() && others.all(gossip::Member::is_up)
    };
    for node in nodes {
        let mut views = node.gossip.watch();
        let healed = timeout_at(end, views.until(holds)).await;
        assert!(healed.is_ok(), "{} is still at {:#?}", node.id(), node.gossip.view());
    }
}

/// Separates the sides for so long, in which each inserts a member, and heals.
async fn part_and_heal(cut: fn(&MemoryNetwork, &str, &str), apart: Duration) {
    let network = MemoryNetwork::new();
    let nodes = six(&network).await;
    between().for_each(|(one, other)| cut(&network, one, other));
    for (at, name) in [(0, "left"), (5, "right")] {
        let nowhere = Address::new("nowhere", 9).unwrap();
        nodes[at].gossip.insert(id(name), nowhere, None, false).await.unwrap();
    }
    tokio::time::sleep(apart).await;
    if apart >= 60 * SECOND {
        let view = nodes[0].gossip.view();
        assert!(NAMES[2..].iter().all(|name| view.member(&id(name)).unwrap().liveness == Liveness::Down));
        assert!(view.member(&id("right")).is_none());
    }
    between().for_each(|(one, other)| network.heal(one, other));
    is_whole_again_in_time(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn cables_pulled_for_any_time_heal_within_ten_intervals() {
    for seconds in [3, 14, 19, 22, 60] {
        part_and_heal(MemoryNetwork::mute, seconds * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_cut_for_any_time_heal_within_ten_intervals() {
    for seconds in [1, 5, 60] {
        part_and_heal(MemoryNetwork::cut, seconds * SECOND).await;
    }
}

/// Ten times what nodes wait between comparisons, one second by default.
const WITHIN: Duration = Duration::from_secs(10);
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
