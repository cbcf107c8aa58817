//! Measures failure detection and idle cost on real processes over loopback.
//!
//! ```text
//! cargo build --release -p clusterluck-cli
//! cargo run --release -p clusterluck --example processes -- target/release/clusterluck [nodes [rounds]]
//! ```
//!
//! Starts so many nodes (20), each a process; kills one and starts it again, freezes one and thaws it, as many rounds
//! (5) as asked for, and prints when every other node knew; inserts a member and prints when all had it; and prints
//! what the nodes cost while nothing happens.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clusterluck::control::{Client, Insert, Members, NodeInfo, Nodes};
use clusterluck::netkernel::{Address, Cookie};
use tokio::task::JoinSet;
use tokio::time::Instant;

type Failed = Box<dyn Error + Send + Sync>;

/// What is started, and with what.
struct Place {
    binary: PathBuf,
    folder: tempfile::TempDir,
    cookie: Cookie,
}

/// A node in a process of its own. It ends with its standard input.
struct Process {
    id: String,
    address: Address,
    child: Child,
    _life: Option<ChildStdin>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut words = std::env::args().skip(1);
    let binary = words.next().ok_or("usage: processes <clusterluck binary> [nodes [rounds]]")?.into();
    let nodes = words.next().map_or(Ok(20), |word| word.parse())?;
    let rounds = words.next().map_or(Ok(5), |word| word.parse())?;
    let place = Place { binary, folder: tempfile::tempdir()?, cookie: Cookie::generate()? };
    place.cookie.write_new_file(place.folder.path().join("cookie"))?;

    let began = Instant::now();
    let mut processes: Vec<Process> = Vec::new();
    for at in 0..nodes {
        let known = processes.last().map(|process| process.address.clone());
        processes.push(place.start(&format!("n{at}"), known.as_ref())?);
    }
    place
        .all(&processes, move |members| {
            members.len() == nodes && members.iter().all(|(_, liveness)| liveness == "alive")
        })
        .await?;
    println!("{nodes} nodes started and agreed: {:.0} ms", millis(began.elapsed()));

    idle(&processes).await?;
    insert(&place, &processes).await?;
    let mut killed = Vec::new();
    let mut stopped = Vec::new();
    let mut back = Vec::new();
    for round in 0..rounds {
        let victim = 1 + round * 7 % (nodes - 1);
        killed.extend(kill(&place, &mut processes, victim).await?);
        let (down, alive) = freeze(&place, &mut processes, victim).await?;
        stopped.extend(down);
        back.extend(alive);
    }
    report("killed, until it is down, at each other node", &mut killed);
    report("stopped (SIGSTOP), until it is down, at each other node", &mut stopped);
    report("continued (SIGCONT), until it is alive, at each other node", &mut back);
    Ok(())
}

impl Place {
    fn start(&self, id: &str, known: Option<&Address>) -> Result<Process, Failed> {
        let mut command = Command::new(&self.binary);
        command.args(["--json", "start", id, "--listen", "127.0.0.1:0", "--stop-on-eof", "--cookie-file"]);
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
        Ok(Process { id: id.to_owned(), address: Address::new("127.0.0.1", port)?, child, _life: life })
    }

    /// Waits until what every node says of its members fulfils the condition; gives how long that took at each.
    async fn all(
        &self,
        processes: &[Process],
        holds: impl Fn(&[(String, String)]) -> bool + Clone + Send + 'static,
    ) -> Result<Vec<f64>, Failed> {
        let began = Instant::now();
        let mut waits = JoinSet::new();
        for process in processes {
            let (address, cookie, holds) = (process.address.clone(), self.cookie.clone(), holds.clone());
            waits.spawn(async move {
                let client = Client::connect(&address, None, &cookie, PATIENCE).await?;
                loop {
                    let members = client.run(&Members {}).await?;
                    let seen: Vec<_> =
                        members.into_iter().map(|member| (member.node.id, member.liveness)).collect();
                    if holds(&seen) {
                        client.close().await;
                        return Ok::<_, Failed>(millis(began.elapsed()));
                    }
                    if began.elapsed() > PATIENCE {
                        return Err(format!("{address} still sees {seen:?}").into());
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

/// Kills a node, waits until all others hold it for down, and starts it again.
async fn kill(place: &Place, processes: &mut Vec<Process>, victim: usize) -> Result<Vec<f64>, Failed> {
    let mut process = processes.remove(victim);
    let id = process.id.clone();
    // Sessions to ask by are there before the clock starts.
    place.all(processes, |_| true).await?;
    process.child.kill()?;
    let wanted = id.clone();
    let times = place.all(processes, move |members| is(members, &wanted, "down")).await?;
    process.child.wait()?;
    processes.insert(victim, place.start(&id, Some(&processes[0].address))?);
    place.all(processes, move |members| is(members, &id, "alive")).await?;
    Ok(times)
}

/// Stops a node, waits until all others hold it for down, and lets it go on.
async fn freeze(
    place: &Place,
    processes: &mut Vec<Process>,
    victim: usize,
) -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let process = processes.remove(victim);
    let id = process.id.clone();
    signal(&process, "-STOP")?;
    let wanted = id.clone();
    let down = place.all(processes, move |members| is(members, &wanted, "down")).await?;
    signal(&process, "-CONT")?;
    let wanted = id.clone();
    let back = place.all(processes, move |members| is(members, &wanted, "alive")).await?;
    processes.insert(victim, process);
    Ok((down, back))
}

/// Inserts a member that nobody has met, and removes it again.
async fn insert(place: &Place, processes: &[Process]) -> Result<(), Failed> {
    let mut times = Vec::new();
    for round in 0..INSERTS {
        let id = format!("inserted{round}");
        let client =
            Client::connect(&processes[round % processes.len()].address, None, &place.cookie, PATIENCE)
                .await?;
        let nodes = vec![NodeInfo { id: id.clone(), host: "127.0.0.1".to_owned(), port: 9 }];
        let wanted = id.clone();
        client.run(&Nodes {}).await?;
        client.run(&Insert { nodes, weight: None, force: false, wait_ms: None }).await?;
        times.extend(place.all(processes, move |members| members.iter().any(|(id, _)| *id == wanted)).await?);
        client
            .run(&clusterluck::control::Remove { ids: vec![id.clone()], force: true, wait_ms: None })
            .await?;
        place.all(processes, move |members| members.iter().all(|(member, _)| *member != id)).await?;
        client.close().await;
    }
    report("inserted, until a node has it, at each node", &mut times);
    Ok(())
}

/// What the nodes cost in ten seconds in which nothing happens.
async fn idle(processes: &[Process]) -> Result<(), Failed> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = cpu_ticks(processes)?;
    tokio::time::sleep(IDLE).await;
    let ticks = cpu_ticks(processes)? - before;
    let mut memory = Vec::new();
    for process in processes {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        memory.push(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0);
    }
    memory.sort_by(f64::total_cmp);
    let share = ticks as f64 / TICKS_A_SECOND / IDLE.as_secs_f64() * 100.0;
    println!("idle: {share:.2} % of one core in total, {:.3} % a node", share / processes.len() as f64);
    println!(
        "memory: {:.1} MB a process (median), {:.1} at most",
        memory[memory.len() / 2],
        memory[memory.len() - 1]
    );
    Ok(())
}

fn cpu_ticks(processes: &[Process]) -> Result<u64, Failed> {
    let mut ticks = 0;
    for process in processes {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id()))?;
        let after_name = stat.rsplit(") ").next().ok_or("no name")?;
        let mut fields = after_name.split(' ').skip(11);
        for _ in 0..2 {
            ticks += fields.next().ok_or("no times")?.parse::<u64>()?;
        }
    }
    Ok(ticks)
}

fn is(members: &[(String, String)], id: &str, liveness: &str) -> bool {
    members.iter().any(|(member, seen)| member == id && seen == liveness)
}

fn signal(process: &Process, signal: &str) -> Result<(), Failed> {
    let sent = Command::new("kill").args([signal, &process.child.id().to_string()]).status()?;
    if sent.success() { Ok(()) } else { Err(format!("kill {signal}: {sent}").into()) }
}

fn report(what: &str, times: &mut [f64]) {
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that cannot be killed has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// The kernel's unit of CPU time, on all machines this runs on.
const TICKS_A_SECOND: f64 = 100.0;
/// How long the idle nodes are watched.
const IDLE: Duration = Duration::from_secs(10);
/// Members inserted and removed.
const INSERTS: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two questions.
const LOOK: Duration = Duration::from_millis(20);
