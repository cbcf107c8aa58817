//! Nodes in processes of their own, and how to ask them.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clusterluck::control::{Client, MemberInfo, Members};
use clusterluck::netkernel::{Address, Cookie};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// What is started, and with what.
pub(crate) struct Place {
    binary: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) cookie: Cookie,
}

/// A node in a process of its own. It ends with its standard input.
pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) address: Address,
    pub(crate) child: Child,
    _life: Option<ChildStdin>,
}

impl Place {
    pub(crate) fn new(binary: String) -> Result<Self, Failed> {
        let place = Self { binary: binary.into(), folder: tempfile::tempdir()?, cookie: Cookie::generate()? };
        place.cookie.write_new_file(place.folder.path().join("cookie"))?;
        Ok(place)
    }

    /// Starts a node, with what an earlier run of it has stored.
    pub(crate) fn start(&self, id: &str, listen: &str, known: Option<&Address>) -> Result<Process, Failed> {
        self.start_by(Command::new(&self.binary), id, listen, known)
    }

    /// The binary, run in a network namespace.
    pub(crate) fn on_host(&self, namespace: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(&self.binary);
        command
    }

    /// Starts a node by a command that wants arguments.
    pub(crate) fn start_by(
        &self,
        mut command: Command,
        id: &str,
        listen: &str,
        known: Option<&Address>,
    ) -> Result<Process, Failed> {
        command.args(["--json", "start", id, "--listen", listen, "--stop-on-eof", "--cookie-file"]);
        command.arg(self.folder.path().join("cookie")).arg("--data-dir").arg(self.folder.path().join(id));
        if let Some(known) = known {
            command.args(["--meet", &known.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let life = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let port = line.split("\"port\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let port = port.ok_or_else(|| format!("`{id}` did not start: {line}"))?.parse()?;
        let host = listen.rsplit_once(':').ok_or("an address has a port")?.0;
        Ok(Process { id: id.to_owned(), address: Address::new(host, port)?, child, _life: life })
    }

    /// A session with a node's control server.
    pub(crate) async fn control(&self, process: &Process) -> Result<Client, Failed> {
        connected(&process.address, &self.cookie).await
    }

    /// Sessions with these nodes, to ask them by.
    pub(crate) async fn onlookers(&self, processes: &[Process]) -> Result<Onlookers, Failed> {
        let mut clients = Vec::new();
        for process in processes {
            clients.push(self.control(process).await?);
        }
        Ok(Onlookers(clients))
    }

    /// Waits until all these nodes see each other alive, and nobody else; gives how long that took at each, in milliseconds.
    pub(crate) async fn all_alive(&self, processes: &[Process]) -> Result<Vec<f64>, Failed> {
        let began = Instant::now();
        self.onlookers(processes).await?.all_alive(began).await
    }
}

/// Sessions with nodes that are asked what they see.
pub(crate) struct Onlookers(Vec<Client>);

impl Onlookers {
    /// Waits until all of them see each other alive, and nobody else; gives for each how long after `began` that was, in
    /// milliseconds.
    pub(crate) async fn all_alive(self, began: Instant) -> Result<Vec<f64>, Failed> {
        let count = self.0.len();
        let hold = move |members: &[MemberInfo]| {
            let is_there = |member: &MemberInfo| member.liveness == "alive" && member.status == "member";
            members.len() == count && members.iter().all(is_there)
        };
        self.see(began, hold).await
    }

    /// Waits until what every one says of its members fulfils the condition; gives for each how long after `began` that was.
    pub(crate) async fn see(
        self,
        began: Instant,
        holds: impl Fn(&[MemberInfo]) -> bool + Clone + Send + 'static,
    ) -> Result<Vec<f64>, Failed> {
        let mut waits = JoinSet::new();
        for client in self.0 {
            let holds = holds.clone();
            waits.spawn(async move {
                loop {
                    let members = client.run(&Members {}).await?;
                    if holds(&members) {
                        let took = began.elapsed();
                        client.close().await;
                        return Ok::<_, Failed>(millis(took));
                    }
                    if began.elapsed() > PATIENCE {
                        return Err(format!("a node still sees {members:?}").into());
                    }
                    tokio::time::sleep(LOOK).await;
                }
            });
        }
        let mut times = Vec::new();
        while let Some(time) = waits.join_next().await {
            times.push(time??);
        }
        Ok(times)
    }
}

/// A session with a node, which may be too busy for a first attempt while dozens start on one machine.
async fn connected(address: &Address, cookie: &Cookie) -> Result<Client, Failed> {
    let began = Instant::now();
    loop {
        match Client::connect(address, None, cookie, PATIENCE).await {
            Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(LOOK).await,
            Ok(client) => return Ok(client),
        }
    }
}

impl Process {
    /// Sends a signal, as `kill` names it.
    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failed> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("kill {signal}: {sent}").into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that cannot be killed has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

pub(crate) fn report(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
    };
    println!(
        "{what}: median {:.0} ms, p99 {:.0} ms, max {:.0} ms ({} times)",
        at(50),
        at(99),
        at(100),
        times.len()
    );
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two questions.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
