//! Partitions of real nodes in network namespaces, one a node, joined by a router that swallows what it is told to.
//!
//! They need Linux, `ip` of iproute2 and the right to make namespaces. Where that is missing each test says so loudly
//! and ends.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::support::{Node, Place, Run, eventually, finished};

/// Namespaces that go when this does.
struct Lab {
    name: String,
    nodes: usize,
}

impl Lab {
    /// A network of so many hosts, unless this machine does not allow it.
    async fn new(name: &str, nodes: usize) -> Option<Self> {
        let lab = Self { name: format!("cl{}{name}", std::process::id()), nodes };
        let router = lab.router();
        let mut commands = vec![format!("netns add {router}")];
        for at in 0..nodes {
            let (host, address) = (lab.host(at), address(at));
            commands.push(format!("netns add {host}"));
            commands.push(format!("-n {router} link add v{at} type veth peer name eth0 netns {host}"));
            commands.push(format!("-n {router} addr add 10.77.{at}.1/24 dev v{at}"));
            commands.push(format!("-n {router} link set v{at} up"));
            commands.push(format!("-n {host} addr add {address}/24 dev eth0"));
            commands.push(format!("-n {host} link set lo up"));
            commands.push(format!("-n {host} link set eth0 up"));
            commands.push(format!("-n {host} route add default via 10.77.{at}.1"));
        }
        commands.push(format!("netns exec {router} sysctl -qw net.ipv4.ip_forward=1"));
        for command in commands {
            if let Err(why) = ip(&command).await {
                // Past the test harness, which shows nothing of a test that passes.
                let mut terminal = std::io::stderr();
                let what = format!(
                    "NOT TESTED: partition `{name}` needs network namespaces (`ip {command}`: {why})"
                );
                writeln!(terminal, "{what}").unwrap();
                return None;
            }
        }
        Some(lab)
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    fn host(&self, at: usize) -> String {
        format!("{}h{at}", self.name)
    }

    /// Nothing passes from these to those any more, or everything does again.
    async fn pass(&self, from: &[usize], to: &[usize], passes: bool) {
        let verb = if passes { "del" } else { "add" };
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            let (router, from, to) = (self.router(), address(from), address(to));
            ip(&format!("-n {router} rule {verb} from {from} to {to} blackhole")).await.unwrap();
        }
    }

    async fn pass_both(&self, one: &[usize], other: &[usize], passes: bool) {
        self.pass(one, other, passes).await;
        self.pass(other, one, passes).await;
    }

    /// Starts the nodes, each on its own host, and waits until all know all.
    async fn start<'a>(&self, place: &'a Place) -> Vec<Node<'a>> {
        let mut nodes = Vec::new();
        for at in 0..self.nodes {
            let id = format!("n{at}");
            let mut command = self.on(place, at);
            command
                .args(["--json", "start", &id, "--stop-on-eof", "--listen"])
                .arg(format!("{}:7022", address(at)));
            command.arg("--cookie-file").arg(place.cookie());
            if at > 0 {
                command.args(["--meet", &format!("{}:7022", address(at - 1))]);
            }
            nodes.push(place.started(&id, command).await);
        }
        self.all_alive(place, &(0..self.nodes).collect::<Vec<_>>()).await;
        nodes
    }

    /// The binary, run on a host.
    fn on(&self, place: &Place, at: usize) -> Command {
        let binary = place.binary();
        let binary = binary.as_std();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.host(at)])
            .arg(binary.get_program())
            .kill_on_drop(true)
            .stdin(Stdio::null());
        command.env("HOME", place.path()).env("TMPDIR", place.path());
        command
    }

    async fn run(&self, place: &Place, at: usize, arguments: &[&str]) -> Run {
        let mut command = self.on(place, at);
        command
            .args(["--json", "-H", &address(at), "-p", "7022", "--cookie-file"])
            .arg(place.cookie())
            .args(arguments);
        finished(&mut command).await
    }

    async fn members(&self, place: &Place, at: usize) -> Vec<Value> {
        let document = self.run(place, at, &["members"]).await.document();
        document["data"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until each of these nodes sees each other of them alive.
    async fn all_alive(&self, place: &Place, nodes: &[usize]) {
        for at in nodes {
            let others: Vec<_> = nodes.iter().copied().filter(|of| of != at).collect();
            self.comes_to_see(place, *at, &others, "alive").await;
        }
    }

    /// Waits until a node sees all of these so.
    async fn comes_to_see(&self, place: &Place, at: usize, of: &[usize], liveness: &str) {
        let what = format!("n{at} sees {of:?} {liveness}");
        eventually(&what, async || {
            let members = self.members(place, at).await;
            let is_so = |of: &usize| {
                let id = format!("n{of}");
                members.iter().any(|member| member["id"] == id.as_str() && member["liveness"] == liveness)
            };
            of.iter().all(is_so)
        })
        .await;
    }

    /// What these nodes tell of what happens, from now on.
    async fn watch(&self, place: &Place, nodes: &[usize]) -> Vec<Watcher> {
        let watchers: Vec<_> = nodes.iter().map(|at| Watcher::of(self, place, *at)).collect();
        let mut weight = 160;
        eventually("all watchers watch", async || {
            weight += 1;
            let changed = self.run(place, nodes[0], &["update", "n0", "-w", &weight.to_string()]).await;
            changed.success && watchers.iter().all(|watcher| !watcher.events().is_empty())
        })
        .await;
        watchers
    }

    async fn insert(&self, place: &Place, at: usize, id: &str) {
        let run = self.run(place, at, &["insert", id, "10.77.99.2", "7022"]).await;
        assert!(run.success, "{run:?}");
    }

    /// Waits until a node has all of these members.
    async fn comes_to_have(&self, place: &Place, at: usize, ids: &[&str]) {
        let what = format!("n{at} has {ids:?}");
        eventually(&what, async || {
            let members = self.members(place, at).await;
            ids.iter().all(|id| members.iter().any(|member| member["id"] == *id))
        })
        .await;
    }
}

/// What one node tells of what happens.
struct Watcher {
    events: Arc<Mutex<Vec<Value>>>,
    _child: Child,
    _reader: JoinSet<()>,
}

impl Watcher {
    fn of(lab: &Lab, place: &Place, at: usize) -> Self {
        let mut command = lab.on(place, at);
        command.args(["--json", "-H", &address(at), "-p", "7022", "--cookie-file"]);
        command.arg(place.cookie()).arg("watch").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let events = Arc::<Mutex<Vec<Value>>>::default();
        let told = Arc::clone(&events);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let document: Value = serde_json::from_str(&line).unwrap();
                told.lock().unwrap().push(document["data"].clone());
            }
        });
        Self { events, _child: child, _reader: reader }
    }

    fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Whom the node has ever held for down.
    fn down(&self) -> BTreeSet<String> {
        let downs = self.events().into_iter().filter(|event| event["event"] == "member_down");
        downs.map(|event| event["node"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in (0..self.nodes).map(|at| self.host(at)).chain([self.router()]) {
            // What was never made cannot be removed.
            let _removed = std::process::Command::new("ip")
                .args(["netns", "del", &namespace])
                .stderr(Stdio::null())
                .status();
        }
    }
}

async fn ip(arguments: &str) -> Result<(), String> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn address(at: usize) -> String {
    format!("10.77.{at}.2")
}

#[tokio::test]
async fn both_sides_of_a_partition_write_and_nothing_is_lost() {
    let Some(lab) = Lab::new("s", 5).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    lab.pass_both(&[0, 1, 2], &[3, 4], false).await;
    // Both write before either knows that it is alone, and after.
    lab.insert(&place, 1, "left-early").await;
    lab.insert(&place, 3, "right-early").await;
    for (at, of) in [(0, [3, 4]), (4, [1, 2])] {
        lab.comes_to_see(&place, at, &of, "down").await;
    }
    lab.insert(&place, 0, "left").await;
    lab.insert(&place, 4, "right").await;
    assert!(lab.members(&place, 0).await.iter().all(|member| member["id"] != "right"));
    lab.pass_both(&[0, 1, 2], &[3, 4], true).await;
    for at in 0..5 {
        lab.comes_to_have(&place, at, &["left", "left-early", "right", "right-early"]).await;
    }
    lab.all_alive(&place, &[0, 1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_node_that_hears_and_is_not_heard_is_down_until_it_is() {
    let Some(lab) = Lab::new("o", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let watchers = lab.watch(&place, &[0, 1, 2]).await;
    lab.pass(&[3], &[0, 1, 2], false).await;
    for at in 0..3 {
        lab.comes_to_see(&place, at, &[3], "down").await;
    }
    lab.pass(&[3], &[0, 1, 2], true).await;
    lab.all_alive(&place, &[0, 1, 2, 3]).await;
    for watcher in &watchers {
        assert_eq!(
            watcher.down(),
            BTreeSet::from(["n3".to_owned()]),
            "those who hear each other keep each other"
        );
    }
}

#[tokio::test]
async fn a_node_between_two_sides_keeps_both_alive() {
    let Some(lab) = Lab::new("b", 5).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let watchers = lab.watch(&place, &[0, 1, 2, 3]).await;
    // What would be down is by the time that this node is, which only one side hears.
    lab.pass_both(&[4], &[0, 1, 2, 3], false).await;
    lab.pass_both(&[0], &[1, 3], false).await;
    lab.comes_to_see(&place, 0, &[4], "down").await;
    lab.comes_to_see(&place, 3, &[4], "down").await;
    lab.insert(&place, 0, "over").await;
    for at in 1..4 {
        lab.comes_to_have(&place, at, &["over"]).await;
    }
    for watcher in &watchers {
        assert_eq!(watcher.down(), BTreeSet::from(["n4".to_owned()]));
    }
}

#[tokio::test]
async fn a_partition_that_flaps_loses_nothing() {
    let Some(lab) = Lab::new("f", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let written = ["x0", "x1", "x2", "x3", "x4", "x5"];
    for (round, id) in written.iter().enumerate() {
        lab.pass_both(&[0, 1], &[2, 3], false).await;
        lab.insert(&place, round % 4, id).await;
        // Now and then for as long as it takes to be noticed, else for less than a probe.
        if round % 2 == 1 {
            lab.comes_to_see(&place, 0, &[2, 3], "down").await;
        }
        lab.pass_both(&[0, 1], &[2, 3], true).await;
        if round == 3 {
            lab.comes_to_see(&place, 0, &[2, 3], "alive").await;
        }
    }
    for at in 0..4 {
        lab.comes_to_have(&place, at, &written).await;
    }
    lab.all_alive(&place, &[0, 1, 2, 3]).await;
}

#[tokio::test]
async fn a_node_removed_while_it_was_away_learns_it_and_stays_out() {
    let Some(lab) = Lab::new("r", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    lab.pass_both(&[3], &[0, 1, 2], false).await;
    lab.comes_to_see(&place, 0, &[3], "down").await;
    assert!(lab.run(&place, 0, &["remove", "n3"]).await.success);
    lab.pass_both(&[3], &[0, 1, 2], true).await;
    eventually("n3 knows that it was removed", async || {
        lab.run(&place, 3, &["info"]).await.document()["data"]["ring"].is_null()
    })
    .await;
    for at in 0..3 {
        let members = lab.members(&place, at).await;
        assert!(members.iter().all(|member| member["id"] != "n3"), "n{at} has it back: {members:?}");
    }
}
