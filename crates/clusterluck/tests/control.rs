//! The control server and its client, command by command.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use clusterluck::Cluster;
use clusterluck::control::{
    Client, ClientError, Done, Failure, Get, Has, Info, Insert, Inspect, Join, Leave, Meet, MemberInfo,
    Members, NodeInfo, Nodes, Owner, Ping, Place, Remove, Servers, Update, Watch, Weight, Weights,
};
use clusterluck::netkernel::{ConnectError, HandshakeError, MemoryNetwork, NodeId};
use common::{SECOND, agree, cookie, node, ring_of, serve_echo};

async fn connect(network: &MemoryNetwork, to: &Cluster) -> Client {
    let operator = network.host("operator");
    Client::connect_over(operator, &to.address(), None, &cookie(false), 5 * SECOND).await.unwrap()
}

fn place(node: &Cluster) -> NodeInfo {
    let (id, address) = (node.id().to_string(), node.address());
    NodeInfo { id, host: address.host().to_owned(), port: address.port() }
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_from_the_ring() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 3).await;
    serve_echo(&nodes[..1]).await;
    let client = connect(&network, &nodes[0]).await;
    assert_eq!(client.run(&Ping {}).await.unwrap(), "pong");
    let places: Vec<NodeInfo> = nodes.iter().map(place).collect();
    assert_eq!(client.run(&Nodes {}).await.unwrap(), places);
    assert_eq!(client.run(&Get { id: "n1".into() }).await.unwrap(), places[1]);
    assert!(client.run(&Has { id: "n2".into() }).await.unwrap());
    assert!(!client.run(&Has { id: "n3".into() }).await.unwrap());
    assert_eq!(client.run(&Weight { id: "n1".into() }).await.unwrap(), 160);
    let weights: BTreeMap<String, u32> = ["n0", "n1", "n2"].map(|id| (id.to_owned(), 160)).into();
    assert_eq!(client.run(&Weights {}).await.unwrap(), weights);

    let inspection = client.run(&Inspect { points: true }).await.unwrap();
    assert_eq!(inspection.ring.as_deref(), Some("clusterluck"));
    assert_eq!(inspection.points.len(), 3 * 160);
    assert!(inspection.points.is_sorted());
    let whole: f64 = inspection.members.iter().map(|member| member.ownership).sum();
    assert!((whole - 1.0).abs() < 1e-9);
    assert!(inspection.members.iter().all(|member| member.connected));

    let owners = client.run(&Owner { key: b"key".to_vec(), replicas: 2 }).await.unwrap();
    let view = nodes[2].view();
    let expected: Vec<String> = view.ring().replicas(b"key", 2).map(|owner| owner.id.to_string()).collect();
    assert_eq!(owners.into_iter().map(|owner| owner.id).collect::<Vec<_>>(), expected);

    let members = client.run(&Members {}).await.unwrap();
    assert!(members.iter().all(|member| member.status == "member" && member.incarnation > 0));
    let measured = |member: &&MemberInfo| member.node.id == "n0" || member.round_trip_us.is_some();
    assert!(members.iter().all(|member| measured(&member)), "{members:?}");
    let servers = client.run(&Servers {}).await.unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].name, "echo");
    let info = client.run(&Info {}).await.unwrap();
    assert_eq!((info.node, info.members), (place(&nodes[0]), 3));
    // Operators' own sessions are no links of the node.
    assert_eq!(info.links.iter().map(|link| link.id.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
    client.close().await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_made_and_spread() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 2).await;
    let newcomer = node(&network, "newcomer").await;
    let client = connect(&network, &nodes[0]).await;
    let wait_ms = Some(30_000);
    let NodeInfo { id, host, port } = place(&newcomer);
    let met = client.run_within(&Meet { id, host, port, wait_ms }, 60 * SECOND).await.unwrap();
    assert_eq!(met, Done { propagated: Some(true) });
    let mut all = nodes.clone();
    all.push(newcomer.clone());
    agree(&all, 3).await;

    let update = Update { id: "newcomer".into(), weight: Some(40), force: false, wait_ms };
    assert_eq!(client.run_within(&update, 60 * SECOND).await.unwrap(), Done { propagated: Some(true) });
    assert_eq!(nodes[1].view().member(&newcomer.id()).unwrap().weight, 40);

    let remove = Remove { ids: vec!["newcomer".into()], force: false, wait_ms };
    client.run_within(&remove, 60 * SECOND).await.unwrap();
    agree(&nodes, 2).await;
    let mut views = newcomer.gossip().watch();
    views.until(|view| view.ring_name().is_none()).await;

    let insert = Insert { nodes: vec![place(&newcomer)], weight: Some(80), force: false, wait_ms };
    client.run_within(&insert, 60 * SECOND).await.unwrap();
    agree(&all, 3).await;
    assert_eq!(nodes[1].view().member(&newcomer.id()).unwrap().weight, 80);

    // A list given to all nodes may name the node it is given to, which stays.
    let list = Remove { ids: vec!["n0".into(), "newcomer".into()], force: false, wait_ms };
    client.run_within(&list, 60 * SECOND).await.unwrap();
    agree(&nodes, 2).await;
    client.run_within(&insert, 60 * SECOND).await.unwrap();
    agree(&all, 3).await;

    let leaver = connect(&network, &newcomer).await;
    leaver.run_within(&Leave { force: false }, 60 * SECOND).await.unwrap();
    agree(&nodes, 2).await;
    let refused = leaver.run(&Leave { force: false }).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failure(Failure::NotInRing)), "{refused:?}");
    leaver.run(&Join { ring: "elsewhere".into(), wait_ms: None }).await.unwrap();
    assert_eq!(newcomer.view().ring_name().unwrap().to_string(), "elsewhere");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_is_told_what_happens_and_misses_nothing_in_between() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 2).await;
    let client = connect(&network, &nodes[0]).await;
    let watch = async |from| client.run_within(&Watch { from, wait_ms: 1_000 }, 60 * SECOND).await.unwrap();
    let now = watch(None).await;
    assert!(now.events.is_empty(), "{now:?}");
    // Nobody waits while it happens.
    client.run(&Update { id: "n1".into(), weight: Some(40), force: false, wait_ms: None }).await.unwrap();
    let told = watch(Some(now.place)).await;
    let ring = told.events.iter().find(|event| event.event == "ring_changed").expect("the ring has changed");
    assert_eq!(ring.details["nodes"], "2");
    assert!(ring.details["moved_percent"].parse::<f64>().unwrap() > 10.0, "{ring:?}");
    // A later run of the node tells all of its own.
    let other = Place { run: now.place.run + 1, next: 1_000 };
    let all = watch(Some(other)).await;
    assert!(all.events.iter().any(|event| event.event == "member_up" && event.node.as_deref() == Some("n1")));
    // Nothing happens: it is answered all the same, and goes on where it was.
    let quiet = watch(Some(all.place)).await;
    assert!(quiet.events.iter().all(|event| event.event == "converged"), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_and_harms_nothing() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 2).await;
    let client = connect(&network, &nodes[0]).await;
    let unknown = client.run(&Get { id: "nobody".into() }).await.unwrap_err();
    assert_eq!(unknown.to_string(), "'nobody' is not defined in this ring.");
    let heavy = Update { id: "n1".into(), weight: Some(u32::MAX), force: false, wait_ms: None };
    assert!(client.run(&heavy).await.unwrap_err().to_string().contains("limit"));
    let nameless = NodeInfo { id: String::new(), host: "h".into(), port: 1 };
    let insert = Insert { nodes: vec![nameless], weight: None, force: false, wait_ms: None };
    assert!(matches!(client.run(&insert).await, Err(ClientError::Failure(Failure::Invalid { .. }))));
    assert!(
        client
            .run(&Join { ring: "other".into(), wait_ms: None })
            .await
            .unwrap_err()
            .to_string()
            .contains("clusterluck")
    );
    assert_eq!(client.run(&Ping {}).await.unwrap(), "pong");
    agree(&nodes, 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_client_says_why_there_is_no_session() {
    let network = MemoryNetwork::new();
    let node = node(&network, "n").await;
    let host = || network.host("operator");
    let (wrong, right) = (cookie(true), cookie(false));
    let error = Client::connect_over(host(), &node.address(), None, &wrong, SECOND).await.unwrap_err();
    let ClientError::Connect(ConnectError::Handshake { source: HandshakeError::Authentication, .. }) = error
    else {
        panic!("{error:?}")
    };
    let instance = NodeId::new("m").unwrap();
    let error =
        Client::connect_over(host(), &node.address(), Some(&instance), &right, SECOND).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(ConnectError::WrongNode { .. })), "{error:?}");
    let nowhere = "n:9".parse().unwrap();
    let error = Client::connect_over(host(), &nowhere, None, &right, SECOND).await.unwrap_err();
    assert!(matches!(error, ClientError::Connect(ConnectError::Unreachable { .. })), "{error:?}");
}
