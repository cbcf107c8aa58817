//! Ten nodes become one ring, whatever the order in which they meet.

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{Node, Place, eventually, in_time};

async fn ten(place: &Place) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    for at in 0..10 {
        nodes.push(place.node(&format!("n{at}"), &[]).await);
    }
    nodes
}

/// All nodes place every key alike, and have a session with each other.
async fn assert_one_ring(nodes: &[Node<'_>]) {
    for node in nodes {
        eventually("it is connected to all", async || {
            let members = node.data(&["members"]).await;
            let members = members.as_array().unwrap();
            members.len() == nodes.len()
                && members.iter().all(|member| member["connected"] == true && member["status"] == "member")
        })
        .await;
    }
    let mut rings: Vec<Value> = Vec::new();
    for node in nodes {
        rings.push(node.data(&["inspect"]).await);
    }
    assert!(rings.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(rings[0]["tree"].as_array().unwrap().len(), 160 * nodes.len());
}

#[tokio::test]
async fn chained_meets_end_in_one_ring() {
    let place = Place::new();
    let nodes = ten(&place).await;
    for pair in nodes.windows(2) {
        pair[1].change(&["meet", &pair[0].id, "127.0.0.1", &pair[0].port]).await;
    }
    assert_one_ring(&nodes).await;
}

#[tokio::test]
async fn simultaneous_meets_end_in_one_ring() {
    let place = Place::new();
    let nodes = ten(&place).await;
    let mut meets = JoinSet::new();
    for (at, node) in nodes.iter().enumerate() {
        let next = &nodes[(at + 3) % nodes.len()];
        let mut command = place.binary();
        command.args(["-p", &node.port, "--cookie-file"]).arg(place.cookie());
        command.args(["meet", &format!("127.0.0.1:{}", next.port)]);
        meets.spawn(async move { command.output().await.unwrap() });
    }
    while let Some(met) = in_time(meets.join_next()).await {
        let met = met.unwrap();
        assert!(met.status.success(), "{}", String::from_utf8_lossy(&met.stdout));
    }
    assert_one_ring(&nodes).await;
}
