//! What a node is asked for, and what others see of it.

use std::sync::Arc;

use super::common::{SECOND, id, kernel, next, ring, start, start_with};
use gossip::liveness::Liveness;
use gossip::{
    Config, Event, FileStore, Gossip, Insertion, JoinError, LeaveError, MeetError, MemoryStore,
    PropagationError, Reach, RemoveError, Status, UpdateError,
};
use netkernel::{Address, MemoryNetwork, Peer, Refusal, Role};

#[tokio::test(start_paused = true)]
async fn two_nodes_meet_and_place_keys_alike() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "ring").await);
    a.knows(1).await;
    b.knows(1).await;
    a.gossip.meet(&b.address()).await.unwrap();
    a.knows(2).await;
    b.knows(2).await;
    let (left, right) = (a.gossip.view(), b.gossip.view());
    assert_eq!(left.ring().fingerprint(), right.ring().fingerprint());
    assert_eq!(left.ring().owner(b"user:42"), right.ring().owner(b"user:42"));
    assert_eq!(left.member(&id("b")).unwrap().address, b.address());
    assert!(left.conflicts().is_empty());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn five_nodes_agree_within_a_second() {
    let network = MemoryNetwork::new();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        nodes.push(start(&network, name, "ring").await);
        nodes.last().unwrap().knows(1).await;
    }
    let begun = tokio::time::Instant::now();
    for pair in nodes.windows(2) {
        pair[1].gossip.meet(&pair[0].address()).await.unwrap();
    }
    for node in &nodes {
        node.knows(5).await;
    }
    // Virtual time: nothing here depends on how fast the machine is.
    assert!(begun.elapsed() <= SECOND, "it took {:?}", begun.elapsed());
    let print = nodes[0].gossip.view().ring().fingerprint();
    assert!(nodes.iter().all(|node| node.gossip.view().ring().fingerprint() == print));
}

#[tokio::test(start_paused = true)]
async fn an_inserted_node_is_invited_and_comes() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "ring").await);
    let mut events = a.gossip.events();
    let operation = a.gossip.insert(b.id(), b.address(), Some(40), false).await.unwrap();
    assert!(a.gossip.view().member(&b.id()).is_some(), "whoever is told finds the change in the view");
    a.knows(2).await;
    b.knows(2).await;
    next(&mut events, |event| matches!(event, Event::MemberUp { id, .. } if id.as_str() == "b")).await;
    a.gossip.propagated(operation, Reach::All, 5 * SECOND).await.unwrap();
    // A founder alone takes the weight it is inserted with.
    b.until(|view| view.member(&id("b")).is_some_and(|member| member.weight == 40)).await;
    a.until(|view| view.member(&id("b")).is_some_and(|member| member.weight == 40)).await;
    assert!(a.gossip.view().conflicts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_never_heard_from_owns_no_keys() {
    let network = MemoryNetwork::new();
    let a = start(&network, "a", "ring").await;
    a.knows(1).await;
    let ghost = Address::new("ghost", 1).unwrap();
    let operation = a.gossip.insert(id("ghost"), ghost, None, false).await.unwrap();
    let view = a.gossip.view();
    assert_eq!(view.member(&id("ghost")).unwrap().status, Status::Joining);
    assert!(view.ring().get(b"ghost").is_none());
    // Nobody else is in the ring, so that everyone has it.
    a.gossip.propagated(operation, Reach::All, SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_removed_node_learns_it_and_stops() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "ring").await);
    a.gossip.meet(&b.address()).await.unwrap();
    b.knows(2).await;
    let mut events = b.gossip.events();
    a.gossip.remove(&b.id(), false).await.unwrap();
    assert!(a.gossip.view().member(&b.id()).is_none());
    next(&mut events, |event| matches!(event, Event::Evicted { .. })).await;
    assert!(b.gossip.view().ring_name().is_none());
    assert!(b.gossip.view().members().is_empty());
    assert!(matches!(b.gossip.update(&id("a"), 1).await, Err(UpdateError::NotInRing)));
    assert!(matches!(a.gossip.remove(&b.id(), false).await, Err(RemoveError::UnknownMember { .. })));
    assert!(matches!(a.gossip.remove(&a.id(), false).await, Err(RemoveError::Myself { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_leave_is_acknowledged_and_a_rejoin_finds_the_way_back() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "ring").await);
    a.gossip.meet(&b.address()).await.unwrap();
    b.knows(2).await;
    assert!(matches!(b.gossip.join(ring("ring")).await, Err(JoinError::AlreadyIn { .. })));
    b.gossip.leave(false).await.unwrap();
    a.knows(1).await;
    assert!(matches!(b.gossip.leave(false).await, Err(LeaveError::NotInRing)));
    b.gossip.join(ring("ring")).await.unwrap();
    a.knows(2).await;
    b.knows(2).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_of_other_rings_and_layouts_are_refused() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "other").await);
    let seeded = Config::builder().ring(ring("ring")).layout_seed(7).build().unwrap();
    let c = start_with(&network, "c", seeded, Arc::new(MemoryStore::new())).await;
    let d = start_with(&network, "d", Config::default(), Arc::new(MemoryStore::new())).await;
    a.knows(1).await;
    b.knows(1).await;
    c.knows(1).await;
    assert!(matches!(a.gossip.meet(&b.address()).await, Err(MeetError::ForeignRing { .. })));
    assert!(matches!(a.gossip.meet(&c.address()).await, Err(MeetError::ConfigMismatch { .. })));
    assert!(matches!(a.gossip.meet(&d.address()).await, Err(MeetError::PeerNotInRing { .. })));
    assert!(matches!(d.gossip.meet(&a.address()).await, Err(MeetError::NotInRing)));
    assert!(a.gossip.meet(&a.address()).await.is_ok(), "meeting oneself does nothing");
    let nobody = Address::new("nobody", 1).unwrap();
    assert!(matches!(a.gossip.meet(&nobody).await, Err(MeetError::Unreachable { .. })));
    for node in [&a, &b, &c] {
        assert_eq!(node.gossip.view().members().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn many_are_inserted_and_removed_as_one() {
    let network = MemoryNetwork::new();
    let (a, b, c) =
        (start(&network, "a", "r").await, start(&network, "b", "r").await, start(&network, "c", "r").await);
    let nodes =
        vec![Insertion::new(b.id(), b.address()), Insertion::new(c.id(), c.address()).weight(10).zone("eu")];
    a.gossip.insert_many(nodes.clone(), false).await.unwrap();
    for node in [&a, &b, &c] {
        node.knows(3).await;
    }
    assert!(a.gossip.insert_many(nodes, false).await.is_err());
    a.gossip.remove_many(vec![b.id(), c.id()], true).await.unwrap();
    a.knows(1).await;
    b.until(|view| view.ring_name().is_none()).await;
    c.until(|view| view.ring_name().is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_comes_back_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let file = || Arc::new(FileStore::new(directory.path().join("b.state")));
    let network = MemoryNetwork::new();
    let config = || Config::builder().ring(ring("ring")).tag("colour", "green").build().unwrap();
    let a = start(&network, "a", "ring").await;
    let b = start_with(&network, "b", config(), file()).await;
    b.gossip.meet(&a.address()).await.unwrap();
    a.knows(2).await;
    let before = a.gossip.view().member(&b.id()).unwrap().clone();
    assert_eq!(before.tags.get("colour").map(String::as_str), Some("green"));

    let mut events = a.gossip.events();
    b.stop().await;
    next(&mut events, |event| matches!(event, Event::Goodbye { id } if id.as_str() == "b")).await;
    assert_eq!(a.gossip.view().ring().len(), 2, "a node that stops stays a member");

    let b = start_with(&network, "b", config(), file()).await;
    assert_eq!(b.gossip.view().members().len(), 2, "what the disk knows is seen at once");
    a.until(|view| view.member(&id("b")).is_some_and(|member| member.incarnation > before.incarnation)).await;
}

#[tokio::test(start_paused = true)]
async fn draining_and_labels_are_seen_by_others() {
    let network = MemoryNetwork::new();
    let (a, b) = (start(&network, "a", "ring").await, start(&network, "b", "ring").await);
    a.gossip.meet(&b.address()).await.unwrap();
    b.knows(2).await;
    b.gossip.set_draining(true).await.unwrap();
    b.gossip.set_tags([("colour".to_owned(), "red".to_owned())].into()).await.unwrap();
    let view = a.until(|view| view.member(&id("b")).is_some_and(|member| !member.tags.is_empty())).await;
    assert_eq!(view.member(&id("b")).unwrap().status, Status::Draining);
    assert_eq!(view.ring().len(), 2, "a draining node keeps its keys");
}

#[tokio::test(start_paused = true)]
async fn only_nodes_are_listened_to() {
    let network = MemoryNetwork::new();
    let a = start(&network, "a", "ring").await;
    let peer = |role| Arc::new(Peer { node: a_node("x"), role });
    let refused = a.gossip.deliver(&peer(Role::Client), bytes::Bytes::from_static(b"?"));
    assert!(matches!(refused, Err(Refusal::NotAllowed)));
    let mut events = a.gossip.events();
    a.gossip.deliver(&peer(Role::Node), bytes::Bytes::from_static(b"?")).unwrap();
    next(&mut events, |event| matches!(event, Event::BadFrame { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_ends_everything() {
    let network = MemoryNetwork::new();
    let kernel = kernel(&network, "a").await;
    let config = Config::builder().ring(ring("ring")).build().unwrap();
    let gossip = Gossip::start(Arc::new(kernel.clone()), config, Arc::new(MemoryStore::new())).await.unwrap();
    let (mut views, mut events) = (gossip.watch(), gossip.events());
    drop(gossip);
    while views.changed().await.is_some() {}
    while events.recv().await.unwrap().is_some() {}
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_reachable_does_not_wait_for_those_that_are_down() {
    let network = MemoryNetwork::new();
    let (a, b, c) =
        (start(&network, "a", "r").await, start(&network, "b", "r").await, start(&network, "c", "r").await);
    a.gossip.meet(&b.address()).await.unwrap();
    a.gossip.meet(&c.address()).await.unwrap();
    a.knows(3).await;
    c.stop().await;
    let is_down = |member: &gossip::Member| member.liveness == Liveness::Down;
    a.until(|view| view.member(&id("c")).is_some_and(is_down)).await;
    let operation = a.gossip.update(&b.id(), 80).await.unwrap();
    a.gossip.propagated(operation, Reach::Reachable, 5 * SECOND).await.unwrap();
    let too_few = a.gossip.propagated(operation, Reach::All, 5 * SECOND).await;
    assert_eq!(too_few, Err(PropagationError::Deadline { acknowledged: 1, needed: 2 }));
    assert_eq!(b.gossip.view().member(&b.id()).unwrap().weight, 80);
}

fn a_node(name: &str) -> netkernel::Node {
    let address = Address::new(name, 1).unwrap();
    netkernel::Node { id: id(name), address, incarnation: netkernel::Incarnation(1) }
}
