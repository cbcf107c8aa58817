//! A DNS name that stands for several nodes, as a headless service of Kubernetes does.

use std::net::TcpListener;

use crate::mounts;
use crate::support::{Place, eventually};

/// A port that is free on each of these hosts.
fn free_on(hosts: &[&str]) -> u16 {
    loop {
        let first = TcpListener::bind((hosts[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if hosts[1..].iter().all(|host| TcpListener::bind((*host, port)).is_ok()) {
            return port;
        }
    }
}

#[tokio::test]
async fn nodes_find_each_other_by_a_name_that_stands_for_all_of_them() {
    if !mounts::are_allowed("a name of several addresses").await {
        return;
    }
    let place = Place::new();
    let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let file = place.path().join("hosts");
    let lines: String = hosts.iter().map(|host| format!("{host} nodes.test\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let (file, cookie) = (file.display().to_string(), place.cookie().display().to_string());
    let port = free_on(&hosts);
    let seed = format!("dns:nodes.test:{port}");
    let mut nodes = Vec::new();
    for (id, host) in ["n0", "n1", "n2"].iter().zip(hosts) {
        let listen = format!("{host}:{port}");
        let arguments =
            ["--json", "start", id, "--listen", &listen, "--stop-on-eof", "--cookie-file", &cookie];
        let more = ["--meet", &seed, "--expect", "3"];
        let command =
            mounts::with_mount(&place, &["--bind", &file, "/etc/hosts"], &[&arguments[..], &more].concat());
        nodes.push((host, place.started(id, command).await));
    }
    for (host, node) in &nodes {
        eventually(&format!("`{}` knows three", node.id), async || {
            let known = node.run(&["-H", host, "nodes"]).await.document();
            known["data"].as_array().is_some_and(|known| known.len() == 3)
        })
        .await;
    }
}
