//! A node's counters: as a table, as a document, and over HTTP.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Place, in_time};

/// What the exporter at this address answers.
async fn answer(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(format!("{request} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(connection.read_to_string(&mut answer)).await.unwrap();
    answer
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

    let url = one.ready["data"]["metrics"].as_str().unwrap();
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    let page = answer(address, "GET /metrics").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("openmetrics-text"), "{page}");
    for line in [
        "# TYPE clusterluck_link_messages_sent counter",
        "clusterluck_link_messages_sent_total{peer=\"n2\"} ",
        "clusterluck_ring_members 2.0",
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
