//! What being down means to those who ask a ring: real kernels and gossip, a network in memory, a paused clock.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::{SECOND, TestNode, id, next, start};
use gossip::liveness::Liveness;
use gossip::{Event, View};
use netkernel::{MemoryNetwork, Net, PeerEvent};
use tokio::time::{Instant, timeout};

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
