//! Nodes restarted one after the other, as an upgrade does, while callers call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clusterluck::Client;
use clusterluck::netkernel::{Cookie, Net, NodeId};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::echo::{self, Echo, Say};
use crate::support::{Node, Place, eventually, in_time};

/// Calls the owner of a key or, where that cannot be reached, the next that holds it: says who answered.
async fn call(client: &Client, key: &str) -> Result<(NodeId, NodeId), String> {
    let peers = client.kernel().peers();
    let mut holders: Vec<NodeId> =
        client.ring().replicas(key.as_bytes(), 3).map(|holder| holder.id.clone()).collect();
    let owner = holders[0].clone();
    holders.sort_by_key(|holder| !peers.iter().any(|peer| peer.id == *holder && peer.connected));
    let mut failures = Vec::new();
    for holder in holders {
        let echo = client.addr::<Echo>(&holder, echo::NAME);
        match echo.call(Say { text: key.to_owned() }).timeout(ATTEMPT).await {
            Ok(heard) if heard.text == key && heard.node == holder.as_str() => return Ok((owner, holder)),
            Ok(heard) => return Err(format!("{holder} was asked {key} and answered {heard:?}")),
            Err(error) => failures.push(format!("{holder}: {error}")),
        }
    }
    Err(failures.join("; "))
}

/// Where every point of the ring is, as a node sees it.
async fn ring(node: &Node<'_>) -> Value {
    node.data(&["inspect"]).await["tree"].clone()
}

async fn all_alive(nodes: &[Node<'_>]) {
    for node in nodes {
        eventually("it sees all others up", async || {
            let members = node.data(&["members"]).await;
            let members = members.as_array().unwrap();
            members.len() == nodes.len()
                && members.iter().all(|member| member["status"] == "member" && member["liveness"] == "alive")
        })
        .await;
    }
}

#[tokio::test]
async fn a_rolling_restart_under_load_moves_no_key_and_loses_no_call() {
    let place = Place::new();
    let data = |at: usize| place.path().join(format!("data{at}")).display().to_string();
    let mut nodes: Vec<Node<'_>> = Vec::new();
    for at in 0..NODES {
        let mut more = vec!["--data-dir".to_owned(), data(at)];
        if let Some(last) = nodes.last() {
            more.extend(["--meet".to_owned(), format!("127.0.0.1:{}", last.port)]);
        }
        nodes.push(place.node(&format!("n{at}"), &more.iter().map(String::as_str).collect::<Vec<_>>()).await);
    }
    all_alive(&nodes).await;
    let before = ring(&nodes[0]).await;

    let mut builder = Client::builder().cookie(Cookie::read_file(place.cookie()).unwrap());
    for node in &nodes {
        builder = builder.seed(format!("127.0.0.1:{}", node.port));
    }
    let client = in_time(builder.connect()).await.unwrap();
    in_time(client.until(|ring| ring.len() == NODES)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (caller, stopped) = (client.clone(), Arc::clone(&stop));
    let mut load = JoinSet::new();
    load.spawn(async move {
        let mut answers = Vec::new();
        // The machine has nodes to run, too.
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        while !stopped.load(Ordering::Relaxed) {
            pace.tick().await;
            let key = answers.len().to_string();
            answers.push(call(&caller, &key).await);
        }
        answers
    });

    for at in 0..NODES {
        let node = nodes.remove(at);
        let listen = format!("127.0.0.1:{}", node.port);
        node.signal(Signal::TERM);
        let (in_order, log) = node.ended().await;
        assert!(in_order, "{log}");
        let mut command = place.binary();
        command.args(["--json", "start", &format!("n{at}"), "--listen", &listen, "--stop-on-eof"]);
        command.arg("--data-dir").arg(data(at)).arg("--cookie-file").arg(place.cookie());
        nodes.insert(at, place.started(&format!("n{at}"), command).await);
        all_alive(&nodes).await;
    }
    stop.store(true, Ordering::Relaxed);
    let answers = in_time(load.join_next()).await.unwrap().unwrap();
    let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(lost.is_empty(), "{} of {} calls were lost: {:?}", lost.len(), answers.len(), lost.first());
    let by_replica = answers.iter().flatten().filter(|(owner, by)| owner != by).count();
    assert!(by_replica > 0, "no call of {} met a node that was away", answers.len());
    for node in &nodes {
        assert_eq!(ring(node).await, before, "`{}` places keys otherwise than before", node.id);
    }
    client.shutdown(ATTEMPT).await;
}

const NODES: usize = 20;
/// How long one node may take to answer before the next is asked.
const ATTEMPT: Duration = Duration::from_secs(5);
