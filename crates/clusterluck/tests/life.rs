//! How nodes and clients end: within their deadlines, and when nobody holds them; and what they tell meanwhile.

mod common;

use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use clusterluck::netkernel::{MemoryNetwork, Net, PeerEvent, Stopped};
use clusterluck::{Client, Cluster, Event, gossip};
use common::{Echo, SECOND, Say, agree, builder, cookie, node, ring_of, serve_echo};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

/// Never comes to an end with anything.
struct Stuck;

#[derive(Debug, Serialize, Deserialize)]
struct Hold;

impl Request for Hold {
    type Reply = ();
}

impl Wire for Hold {
    const TAG: &'static str = "hold";
}

impl GenServer for Stuck {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Hold>();
    }
}

impl HandleCall<Hold> for Stuck {
    async fn call(&mut self, _: Hold, _reply: ReplyTo<()>, _cx: &mut Cx<Self>) -> Outcome {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_keeps_its_deadline_whatever_hangs() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 2).await;
    nodes[0].spawn("stuck", Stuck).await.unwrap();
    let stuck = nodes[1].addr::<Stuck>(&nodes[0].id(), "stuck");
    let mut calls = JoinSet::new();
    calls.spawn(async move { stuck.call(Hold).timeout(600 * SECOND).await });
    tokio::time::sleep(SECOND).await;
    let stopped = tokio::time::timeout(4 * SECOND + SECOND / 10, nodes[0].shutdown(4 * SECOND)).await;
    assert_eq!(stopped.expect("it keeps its deadline"), Stopped::Forced);
    assert!(calls.join_next().await.unwrap().unwrap().is_err());
    // The others see it down, and keep it as a member.
    agree(&nodes[1..], 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_anything_under_way_needs_no_deadline() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 3).await;
    let stopped = tokio::time::timeout(5 * SECOND, nodes[0].shutdown(600 * SECOND)).await;
    assert_eq!(stopped.expect("nothing is waited for"), Stopped::Drained);
    // Again, and by another handle: it has stopped already.
    nodes[0].clone().shutdown(SECOND).await;
    assert!(nodes[0].meet(nodes[1].address().to_string()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn events_tell_of_members_and_links_until_the_node_stops() {
    let network = MemoryNetwork::new();
    let one = node(&network, "one").await;
    let mut events = one.events();
    let two = builder(&network, "two").tag("role", "store").tag("rack", "7").start().await.unwrap();
    two.meet(one.address().to_string()).await.unwrap();
    agree(&[one.clone(), two.clone()], 2).await;
    let tags = one.view().member(&two.id()).unwrap().tags.clone();
    assert_eq!((tags["role"].as_str(), tags["rack"].as_str(), tags.len()), ("store", "7", 2));

    let id = two.id();
    drop(two);
    let (mut linked, mut up, mut unlinked) = (0, 0, 0);
    while unlinked == 0 {
        match events.recv().await.unwrap().expect("the node runs") {
            Event::Link(PeerEvent::Up { peer }) if peer.node.id == id => linked += 1,
            Event::Link(PeerEvent::Down { peer, .. }) if peer.node.id == id => unlinked += 1,
            Event::Ring(gossip::Event::MemberUp { id: member, .. }) if member == id => up += 1,
            _ => {}
        }
    }
    assert_eq!((linked, up), (1, 1));
    one.shutdown(SECOND).await;
    while events.recv().await.unwrap().is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_node_lives_as_long_as_one_of_its_handles() {
    let network = MemoryNetwork::new();
    let rest = node(&network, "rest").await;
    let kept: Cluster = {
        let first = node(&network, "kept").await;
        first.clone()
    };
    serve_echo(std::slice::from_ref(&kept)).await;
    rest.meet(kept.address().to_string()).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    let echo = rest.addr::<Echo>(&kept.id(), "echo");
    assert_eq!(echo.call(Say("still here".into())).await.unwrap().1, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_last_handle_is_dropped_is_gone() {
    let network = MemoryNetwork::new();
    let node = node(&network, "n").await;
    let connecting = Client::builder().cookie(cookie(false)).seed(node.address().to_string());
    let client = connecting.transport(network.host("client")).connect().await.unwrap();
    let id = client.id();
    let mut events = node.kernel().events();
    let other = client.clone();
    drop(client);
    assert!(other.is_connected(&node.id()));
    drop(other);
    while !matches!(events.recv().await.unwrap(), Some(PeerEvent::Down { peer, .. }) if peer.node.id == id) {}
    assert_eq!(node.view().members().len(), 1);
}
