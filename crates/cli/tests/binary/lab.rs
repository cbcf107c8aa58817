//! A network of real hosts for real nodes: a namespace each, joined by a router that swallows or slows down what it is
//! told to.
//!
//! It needs Linux, `ip` and `tc` of iproute2 and the right to make namespaces. Where that is missing each test says so
//! loudly and ends.

use std::collections::BTreeSet;
use std::io::Write;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::support::{Node, Place, Run, eventually, finished};

/// Namespaces that go when this does.
pub(crate) struct Lab {
    name: String,
    nodes: usize,
}

impl Lab {
    /// A network of so many hosts, unless this machine does not allow it.
    pub(crate) async fn new(name: &str, nodes: usize) -> Option<Self> {
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
            if let Err(why) = tool("ip", &command).await {
                not_tested(name, &format!("network namespaces (`ip {command}`: {why})"));
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
    pub(crate) async fn pass(&self, from: &[usize], to: &[usize], passes: bool) {
        let verb = if passes { "del" } else { "add" };
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
            let (router, from, to) = (self.router(), address(from), address(to));
            let rule = format!("-n {router} rule {verb} from {from} to {to} blackhole");
            tool("ip", &rule).await.unwrap();
        }
    }

    /// From now on no more passes to and from a host than this, as `tc` writes it. False, and said, where that cannot be.
    #[cfg(target_os = "linux")]
    pub(crate) async fn slow_down(&self, at: usize, rate: &str) -> bool {
        let (router, host) = (self.router(), self.host(at));
        for line in [format!("-n {router} qdisc add dev v{at}"), format!("-n {host} qdisc add dev eth0")] {
            let limit = format!("{line} root tbf rate {rate} burst 16kb latency 300ms");
            if let Err(why) = tool("tc", &limit).await {
                not_tested(&self.name, &format!("slow lines (`tc {limit}`: {why})"));
                return false;
            }
        }
        true
    }

    /// How often something had to wait for a line towards a host that was slowed down.
    #[cfg(target_os = "linux")]
    pub(crate) async fn waits_for(&self, at: usize) -> u64 {
        let router = self.router();
        let shown = tool("tc", &format!("-n {router} -s -j qdisc show dev v{at}")).await.unwrap();
        let queues: Value = serde_json::from_str(&shown).unwrap();
        queues[0]["overlimits"].as_u64().expect("the line has a limit")
    }

    /// Runs something of this very process on a host: in a thread that is there, with a runtime of its own.
    #[cfg(target_os = "linux")]
    pub(crate) async fn inside<T: Send + 'static, F: Future<Output = T>>(
        &self,
        at: usize,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> T {
        let namespace = std::fs::File::open(format!("/var/run/netns/{}", self.host(at))).unwrap();
        let run = move || {
            rustix::thread::move_into_link_name_space(
                namespace.as_fd(),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work())
        };
        // Not one of tokio's threads, which others use after this.
        let (done, told) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || drop(done.send(run())));
        let outcome = told.await;
        thread.join().unwrap();
        outcome.unwrap()
    }

    pub(crate) async fn pass_both(&self, one: &[usize], other: &[usize], passes: bool) {
        self.pass(one, other, passes).await;
        self.pass(other, one, passes).await;
    }

    /// Starts a node on each host, and waits until all know all.
    pub(crate) async fn start<'a>(&self, place: &'a Place) -> Vec<Node<'a>> {
        self.start_first(self.nodes, place).await
    }

    /// Starts a node on each of the first so many hosts, and waits until all know all.
    pub(crate) async fn start_first<'a>(&self, count: usize, place: &'a Place) -> Vec<Node<'a>> {
        let mut nodes = Vec::new();
        for at in 0..count {
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
        self.all_alive(place, &(0..count).collect::<Vec<_>>()).await;
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

    pub(crate) async fn run(&self, place: &Place, at: usize, arguments: &[&str]) -> Run {
        let mut command = self.on(place, at);
        command
            .args(["--json", "-H", &address(at), "-p", "7022", "--cookie-file"])
            .arg(place.cookie())
            .args(arguments);
        finished(&mut command).await
    }

    pub(crate) async fn members(&self, place: &Place, at: usize) -> Vec<Value> {
        let document = self.run(place, at, &["members"]).await.document();
        document["data"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until each of these nodes sees each other of them alive.
    pub(crate) async fn all_alive(&self, place: &Place, nodes: &[usize]) {
        for at in nodes {
            let others: Vec<_> = nodes.iter().copied().filter(|of| of != at).collect();
            self.comes_to_see(place, *at, &others, "alive").await;
        }
    }

    /// Waits until a node sees all of these so.
    pub(crate) async fn comes_to_see(&self, place: &Place, at: usize, of: &[usize], liveness: &str) {
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
    pub(crate) async fn watch(&self, place: &Place, nodes: &[usize]) -> Vec<Watcher> {
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

    pub(crate) async fn insert(&self, place: &Place, at: usize, id: &str) {
        let run = self.run(place, at, &["insert", id, "10.77.99.2", "7022"]).await;
        assert!(run.success, "{run:?}");
    }

    /// Waits until a node has all of these members.
    pub(crate) async fn comes_to_have(&self, place: &Place, at: usize, ids: &[&str]) {
        let what = format!("n{at} has {ids:?}");
        eventually(&what, async || {
            let members = self.members(place, at).await;
            ids.iter().all(|id| members.iter().any(|member| member["id"] == *id))
        })
        .await;
    }
}

/// What one node tells of what happens.
pub(crate) struct Watcher {
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

    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Whom the node has ever held for down.
    pub(crate) fn down(&self) -> BTreeSet<String> {
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

async fn tool(name: &str, arguments: &str) -> Result<String, String> {
    let output =
        Command::new(name).args(arguments.split(' ')).output().await.map_err(|error| error.to_string())?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// Said past the test harness, which shows nothing of a test that passes.
fn not_tested(lab: &str, needs: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "NOT TESTED: `{lab}` needs {needs}").unwrap();
}

pub(crate) fn address(at: usize) -> String {
    format!("10.77.{at}.2")
}
