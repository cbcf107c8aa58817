//! A node's counters: as a table, as a document, and over HTTP.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, Place, in_time};

/// What the exporter at this address answers.
async fn answer(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(format!("{request} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(connection.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// Where a node serves its counters.
fn exporter_of<'a>(node: &'a Node<'_>) -> &'a str {
    let url = node.ready["data"]["metrics"].as_str().unwrap();
    url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap()
}

#[tokio::test]
async fn prometheus_collects_what_the_command_shows() {
    let place = Place::new();
    let one = place.node("n1", &["--metrics-listen", "127.0.0.1:0"]).await;
    let two = place.node("n2", &[]).await;
    one.change(&["meet", "n2", "127.0.0.1", &two.port, "--wait"]).await;
    let metrics = one.data(&["metrics"]).await;
    let value = |name: &str| {
        let metric = metrics.as_array().unwrap().iter().find(|metric| metric["name"] == name);
        metric.unwrap_or_else(|| panic!("no {name}"))["samples"][0].clone()
    };
    assert_eq!(value("clusterluck_ring_members")["value"], 2.0);
    assert_eq!(value("clusterluck_link_up")["labels"]["peer"], "n2");
    assert!(value("clusterluck_link_messages_sent")["value"].as_f64().unwrap() > 0.0);

    let address = exporter_of(&one);
    let page = answer(address, "GET /metrics").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("openmetrics-text"), "{page}");
    for line in [
        "# TYPE clusterluck_link_messages_sent counter",
        "clusterluck_link_messages_sent_total{peer=\"n2\"} ",
        "clusterluck_ring_members 2.0",
        "clusterluck_gossip_tombstones_overdue 0.0",
        "clusterluck_gossip_stores_failed_total 0.0",
        "clusterluck_gossip_divergences_total 0.0",
        "clusterluck_server_messages_handled_total{server=\"echo\"} 0.0",
        "# EOF",
    ] {
        assert!(page.contains(line), "no `{line}` in {page}");
    }
    assert!(answer(address, "GET /").await.starts_with("HTTP/1.1 404"));
    assert!(answer(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
    one.assert_unharmed().await;
    assert_eq!(two.ready["data"]["metrics"], Value::Null);
}

#[tokio::test]
async fn strangers_at_the_exporter_keep_nobody_out() {
    let place = Place::new();
    let node = place.node("n1", &["--metrics-listen", "127.0.0.1:0"]).await;
    let address = exporter_of(&node);
    // Far more than it takes at once: some say nothing, some never come to the end of a request.
    let mut strangers = Vec::new();
    for at in 0..200 {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        if at % 2 == 0 {
            stranger.write_all(b"GET /metrics HTTP/1.1\r\nhost: ").await.unwrap();
        }
        strangers.push(stranger);
    }
    assert!(answer(address, "GET /metrics").await.contains("# EOF"));
    // The first ones have made way.
    let mut rest = Vec::new();
    drop(in_time(strangers[0].read_to_end(&mut rest)).await);
    assert!(rest.is_empty(), "{rest:?}");

    // Headers without an end are not read to their end.
    let mut shouting = TcpStream::connect(address).await.unwrap();
    shouting.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    let header = format!("x-header: {}\r\n", "x".repeat(4_000));
    let shouted = async { while shouting.write_all(header.as_bytes()).await.is_ok() {} };
    in_time(shouted).await;
    assert!(answer(address, "GET /metrics").await.contains("# EOF"));
    assert!(answer(address, "\u{0} nonsense").await.starts_with("HTTP/1.1 400"));
    node.assert_unharmed().await;
}
