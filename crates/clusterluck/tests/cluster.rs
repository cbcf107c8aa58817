//! Whole nodes: they meet, agree, serve and come back.

mod common;

use clusterluck::genserver::{CallError, Locate, testing};
use clusterluck::netkernel::{MemoryNetwork, NameError, Net, Stopped};
use clusterluck::{Cluster, StartError, gossip};
use common::{Echo, SECOND, Say, agree, builder, cookie, node, ring_of, serve_echo};

#[tokio::test(start_paused = true)]
async fn five_nodes_that_meet_in_a_chain_agree_and_call_each_keys_owner() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 5).await;
    serve_echo(&nodes).await;
    for number in 0..50 {
        let key = format!("key {number}");
        let asked = &nodes[number % nodes.len()];
        let owner = asked.view().ring().owner(key.as_bytes()).unwrap().id.clone();
        let echo = asked.addr::<Echo>(&owner, "echo");
        let (from, text) = echo.call(Say(key.clone())).await.unwrap();
        assert_eq!((from, text), (owner.to_string(), key));
    }
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_that_all_meet_at_once_end_in_one_ring() {
    let network = MemoryNetwork::new();
    let mut nodes = Vec::new();
    for index in 0..10 {
        nodes.push(node(&network, &format!("n{index}")).await);
    }
    let mut meetings = tokio::task::JoinSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let next = nodes[(index + 1) % nodes.len()].address().to_string();
        let node = node.clone();
        meetings.spawn(async move { node.meet(next).await.map(drop) });
    }
    while let Some(met) = meetings.join_next().await {
        met.unwrap().unwrap();
    }
    agree(&nodes, 10).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_say_whether_their_nodes_are_up() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 3).await;
    serve_echo(&nodes).await;
    let asking = &nodes[0];
    let (_, gone) = (asking, nodes[2].id());
    nodes[2].kernel().shutdown(std::time::Duration::ZERO).await;
    let mut views = asking.gossip().watch();
    let is_down = |view: &gossip::View| view.member(&gone).is_some_and(|member| !member.is_up());
    tokio::time::timeout(10 * SECOND, views.until(is_down)).await.unwrap().unwrap();
    let mut passed_over = 0;
    for number in 0..50 {
        let key = format!("key {number}");
        let replicas = asking.replicas_of_key::<Echo>(key.as_bytes(), 2, "echo");
        let located = asking.locate(key.as_bytes(), 2).nodes;
        for (replica, node) in replicas.iter().zip(&located) {
            assert_eq!((replica.up, replica.addr.node()), (*node != gone, node));
        }
        passed_over += usize::from(!replicas[0].up);
        let first = replicas.iter().find(|replica| replica.up).expect("another is up");
        let (from, _) = first.addr.call(Say(key)).await.unwrap();
        assert_eq!(from, first.addr.node().to_string());
    }
    assert!(passed_over > 5);
}

/// In the original a ring was a server of its own name on every node, beside the server `command`.
#[tokio::test(start_paused = true)]
async fn fault_11_a_ring_may_bear_the_name_of_a_server() {
    for name in ["command", "control", "gossip", "echo"] {
        let network = MemoryNetwork::new();
        let mut nodes = Vec::new();
        for id in ["a", "b"] {
            nodes.push(builder(&network, id).ring(name).start().await.unwrap());
        }
        for node in &nodes {
            node.spawn(name, Echo::of(node.id())).await.unwrap();
        }
        nodes[0].meet(nodes[1].address().to_string()).await.unwrap();
        agree(&nodes, 2).await;
        let (asked, asking) = (nodes[1].id(), &nodes[0]);
        let echo = asking.addr::<Echo>(&asked, name);
        let (from, text) = echo.call(Say(name.to_owned())).await.unwrap();
        assert_eq!((from, text.as_str()), (asked.to_string(), name));
        // Whatever the server was sent, the ring goes on.
        let operation = nodes[1].gossip().update(&asking.id(), 7).await.unwrap();
        nodes[1].gossip().propagated(operation, gossip::Reach::All, 5 * SECOND).await.unwrap();
        assert_eq!(asking.view().member(&asking.id()).unwrap().weight, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn seeds_are_met_however_late_they_appear() {
    let network = MemoryNetwork::new();
    let early =
        builder(&network, "early").meet("late:77").meet("early:55").listen("early:55").start().await.unwrap();
    tokio::time::sleep(30 * SECOND).await;
    let late = builder(&network, "late").listen("late:77").start().await.unwrap();
    agree(&[early, late], 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_cookie_gets_nothing_and_disturbs_nobody() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 2).await;
    let thief = builder(&network, "thief").cookie(cookie(true)).start().await.unwrap();
    let error = thief.meet(nodes[0].address().to_string()).await.unwrap_err();
    assert!(error.to_string().contains("cookie"), "{error}");
    assert_eq!(thief.view().members().len(), 1);
    agree(&nodes, 2).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_of_another_ring_are_not_served() {
    let network = MemoryNetwork::new();
    let one = node(&network, "one").await;
    let other = builder(&network, "other").ring("elsewhere").start().await.unwrap();
    serve_echo(&[one.clone(), other.clone()]).await;
    let error = other.meet(one.address().to_string()).await.unwrap_err();
    assert!(error.to_string().contains("clusterluck"), "{error}");
    other.kernel().connect(&one.id(), &one.address());
    let called = other.addr::<Echo>(&one.id(), "echo").call(Say("hi".into())).await.unwrap_err();
    assert_eq!(called, CallError::Refused { node: one.id() });
    assert_eq!((one.view().members().len(), other.view().members().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_stays_a_member_and_finds_its_way_back() {
    let network = MemoryNetwork::new();
    let folder = tempfile::tempdir().unwrap();
    let first = node(&network, "first").await;
    let stored = || builder(&network, "stored").data_dir(folder.path()).listen("stored:9");
    let second = stored().start().await.unwrap();
    second.meet(first.address().to_string()).await.unwrap();
    agree(&[first.clone(), second.clone()], 2).await;
    let before = second.node().incarnation;
    assert_eq!(second.shutdown(10 * SECOND).await, Stopped::Drained);
    drop(second);
    assert_eq!(first.view().ring().len(), 2, "no key moves for a node that only stopped");

    let second = stored().start().await.unwrap();
    agree(&[first.clone(), second.clone()], 2).await;
    assert!(second.node().incarnation > before);
    serve_echo(std::slice::from_ref(&second)).await;
    let echo = first.addr::<Echo>(&second.id(), "echo");
    assert_eq!(echo.call(Say("back".into())).await.unwrap().1, "back");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_owns_nothing_and_may_join_again() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 3).await;
    let (leaver, rest) = nodes.split_last().unwrap();
    leaver.leave(false).await.unwrap();
    agree(rest, 2).await;
    assert!(leaver.view().ring_name().is_none());
    leaver.join("clusterluck".parse().unwrap()).await.unwrap();
    leaver.meet(rest[0].address().to_string()).await.unwrap();
    agree(&nodes, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_last_handle_is_dropped_stops() {
    let network = MemoryNetwork::new();
    let rest = node(&network, "rest").await;
    let dropped = builder(&network, "dropped").listen("dropped:3").start().await.unwrap();
    dropped.meet(rest.address().to_string()).await.unwrap();
    serve_echo(std::slice::from_ref(&dropped)).await;
    let id = dropped.id();
    drop(dropped);
    let echo = rest.addr::<Echo>(&id, "echo");
    while echo.call(Say("still there?".into())).timeout(SECOND).await.is_ok() {}
    // Its address is free again.
    builder(&network, "dropped").listen("dropped:3").start().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_builder_is_named() {
    let network = MemoryNetwork::new();
    let id = |id: &str| Cluster::builder(id).cookie(cookie(false)).start();
    assert!(matches!(id("").await, Err(StartError::Id { source: NameError::Empty, .. })));
    let long = "x".repeat(256);
    assert!(matches!(id(&long).await, Err(StartError::Id { source: NameError::TooLong { bytes: 256 }, .. })));
    assert!(matches!(builder(&network, "x").ring("").start().await, Err(StartError::Ring(_))));
    assert!(matches!(builder(&network, "x").listen("x").start().await, Err(StartError::Address { .. })));
    assert!(matches!(builder(&network, "x").meet("nowhere").start().await, Err(StartError::Address { .. })));
    assert!(matches!(builder(&network, "x").weight(u32::MAX).start().await, Err(StartError::Config(_))));
    let file = tempfile::NamedTempFile::new().unwrap();
    let under_a_file = builder(&network, "x").data_dir(file.path().join("data")).start().await;
    assert!(matches!(under_a_file, Err(StartError::DataDir { .. })));
    let missing = Cluster::builder("x").cookie_file("/nonexistent/cookie").start().await;
    assert!(matches!(missing, Err(StartError::Cookie(_))));
    let taken = builder(&network, "y").listen("y:4").start().await.unwrap();
    assert!(matches!(builder(&network, "y").listen("y:4").start().await, Err(StartError::Bind(_))));
    drop(taken);
}

/// Over real sockets and on several threads: once a meeting has returned, both ends serve each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_met_serves_at_once() {
    for _ in 0..10 {
        let start = |name: &str| Cluster::builder(name).cookie(cookie(false)).start();
        let nodes = [start("one").await.unwrap(), start("two").await.unwrap()];
        serve_echo(&nodes).await;
        nodes[1].meet(nodes[0].address().to_string()).await.unwrap();
        for (from, to) in [(0, 1), (1, 0)] {
            let echo = nodes[from].addr::<Echo>(&nodes[to].id(), "echo");
            assert_eq!(echo.call(Say("at once".into())).await.unwrap().1, "at once");
        }
        for node in nodes {
            assert_eq!(node.shutdown(10 * SECOND).await, Stopped::Drained);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_keys_servers_are_those_of_its_nodes_and_all_nodes_agree() {
    let network = MemoryNetwork::new();
    let nodes = ring_of(&network, 4).await;
    serve_echo(&nodes).await;
    nodes.iter().for_each(|node| testing::locate(node));
    for key in (0..20).map(|number| format!("user:{number}")) {
        let located = nodes[0].locate(key.as_bytes(), 3);
        assert!(nodes.iter().all(|node| node.locate(key.as_bytes(), 3) == located));
        assert_eq!(located.owner(), nodes[0].view().ring().owner(key.as_bytes()).map(|owner| &owner.id));
        let servers = nodes[1].addrs_of_key::<Echo>(key.as_bytes(), 3, "echo");
        let mut answered = Vec::new();
        for server in servers {
            answered.push(server.call(Say("who?".into())).await.unwrap().0);
        }
        assert_eq!(answered, Vec::from_iter(located.nodes.iter().map(ToString::to_string)));
    }
}
