//! A client of a cluster: what it sees, whom it calls, and how it gets over the loss of a node.
mod common;

use std::time::Duration;

use clusterluck::client::{Builder, ConnectError, FollowError};
use clusterluck::genserver::testing;
use clusterluck::netkernel::{MemoryNetwork, Net, Stopped};
use clusterluck::{Client, Cluster};
use common::{Echo, SECOND, Say, agree, cookie, node, ring_of, serve_echo};

fn client(network: &MemoryNetwork, seeds: &[&Cluster]) -> Builder {
    let builder = Client::builder().cookie(cookie(false)).transport(network.host("client"));
    seeds.iter().fold(builder, |builder, seed| builder.seed(seed.address().to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_client_places_keys_as_the_members_do_and_is_none() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 3).await;
    serve_echo(&nodes).await;
    let client = client(&network, &[&nodes[1]]).connect().await.unwrap();
    assert_eq!(client.ring_name(), "clusterluck");
    assert_eq!(client.ring().fingerprint(), nodes[0].view().ring().fingerprint());
    testing::locate(&client);
    for key in 0..20 {
        let owner = client.ring().owner(format!("user:{key}").as_bytes()).unwrap().clone();
        let echo = client.addr::<Echo>(&owner.id, "echo");
        let (by, said) = echo.call(Say("here".into())).await.unwrap();
        assert_eq!((by, said.as_str()), (owner.id.to_string(), "here"));
        let holders = client.addrs_of_key::<Echo>(format!("user:{key}").as_bytes(), 2, "echo");
        assert_eq!(holders, nodes[0].addrs_of_key(format!("user:{key}").as_bytes(), 2, "echo"));
    }
    agree(&nodes, 3).await;
    assert_eq!(client.shutdown(SECOND).await, Stopped::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_node_calls_the_server_of_a_client_it_has_a_session_with() {
    let network = MemoryNetwork::new();
    let node = node(&network, "n").await;
    let client = client(&network, &[&node]).connect().await.unwrap();
    client.spawn("echo", Echo::of("client")).await.unwrap();
    let echo = node.addr::<Echo>(&client.id(), "echo");
    assert_eq!(echo.call(Say("there?".into())).await.unwrap().0, "client");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_sessions_with_those_it_talks_to_only() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 5).await;
    serve_echo(&nodes).await;
    let client = client(&network, &[&nodes[0]]).connect().await.unwrap();
    let echo = client.addr::<Echo>(&nodes[4].id(), "echo");
    echo.call(Say("hello".into())).await.unwrap();
    let peers: Vec<String> = client.kernel().peers().iter().map(|peer| peer.id.to_string()).collect();
    assert_eq!(peers, ["n0", "n4"]);
    assert!(client.is_connected(&nodes[4].id()) && !client.is_connected(&nodes[2].id()));
}

#[tokio::test(start_paused = true)]
async fn a_client_follows_changes_and_goes_over_to_another_member() {
    let network = MemoryNetwork::new();
    let mut nodes = ring_of(&network, 3).await;
    serve_echo(&nodes).await;
    let client = client(&network, &[&nodes[0]]).connect().await.unwrap();
    let newcomer = node(&network, "newcomer").await;
    newcomer.meet(nodes[2].address().to_string()).await.unwrap();
    in_time(client.until(|ring| ring.len() == 4)).await.unwrap();
    agree(&nodes, 4).await;

    // The one it follows is gone without a word, and another inserts and removes.
    drop(nodes.remove(0));
    nodes[0].gossip().remove(&newcomer.id(), false).await.unwrap();
    in_time(client.until(|ring| ring.len() == 3)).await.unwrap();
    // Whom it called under the old address it finds under the new one.
    let echo = client.addr::<Echo>(&nodes[1].id(), "echo");
    echo.call(Say("before".into())).await.unwrap();
    let id = nodes[1].id();
    nodes.remove(1).shutdown(SECOND).await;
    let again = common::builder(&network, id.as_str()).start().await.unwrap();
    again.meet(nodes[0].address().to_string()).await.unwrap();
    serve_echo(std::slice::from_ref(&again)).await;
    let place = again.address();
    in_time(client.until(|ring| ring.get(id.as_str().as_bytes()).unwrap().address == place)).await.unwrap();
    assert_eq!(echo.call(Say("after".into())).await.unwrap().1, "after");
}

#[tokio::test(start_paused = true)]
async fn what_keeps_a_client_from_its_ring_is_named() {
    let network = MemoryNetwork::new();
    let node = node(&network, "n").await;
    let why = async |builder: Builder| match builder.within(SECOND).connect().await.unwrap_err() {
        ConnectError::NobodyAnswered { source, .. } => source.expect("an attempt has ended"),
        other => panic!("{other:?}"),
    };
    assert!(matches!(*why(client(&network, &[]).seed("n:9")).await, FollowError::Connect(_)));
    assert!(matches!(*why(client(&network, &[&node]).cookie(cookie(true))).await, FollowError::Connect(_)));
    let elsewhere = why(client(&network, &[&node]).ring("elsewhere")).await;
    assert!(matches!(*elsewhere, FollowError::OtherRing { .. }), "{elsewhere:?}");
    node.leave(true).await.unwrap();
    assert!(matches!(*why(client(&network, &[&node])).await, FollowError::NotInRing { .. }));

    let wrong = async |builder: Builder| builder.connect().await.unwrap_err();
    assert!(matches!(wrong(client(&network, &[])).await, ConnectError::NoSeed));
    assert!(matches!(wrong(client(&network, &[]).seed("n")).await, ConnectError::Address { .. }));
    assert!(matches!(wrong(client(&network, &[&node]).ring("")).await, ConnectError::Ring(_)));
    let file = client(&network, &[&node]).cookie_file("/nonexistent/cookie");
    assert!(matches!(wrong(file).await, ConnectError::Cookie(_)));
}

async fn in_time<T>(waited_for: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), waited_for).await.expect("it took over a virtual minute")
}
