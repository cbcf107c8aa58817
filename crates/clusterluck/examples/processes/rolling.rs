//! Restarts every node in turn while callers call the owners of keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clusterluck::Client;
use clusterluck::control::Inspect;
use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use clusterluck::netkernel::{Net, NodeId};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::place::{Failed, Place, Process, millis};

/// Restarts them, prints what callers saw, and fails if a call was lost or a key is owned by another node now.
pub(crate) async fn restart_each(place: &Place, processes: &mut [Process]) -> Result<(), Failed> {
    let mut builder = Client::builder().cookie(place.cookie.clone());
    for process in processes.iter() {
        builder = builder.seed(process.address.to_string());
    }
    let client = builder.connect().await?;
    let nodes = processes.len();
    client.until(|ring| ring.len() == nodes).await.ok_or("the client was stopped")?;
    let ring = client.ring();
    let before = fingerprints(place, processes).await?;
    let load = Load::start(&client);

    let began = Instant::now();
    for at in 0..processes.len() {
        processes[at].signal("-TERM")?;
        let ended = processes[at].child.wait()?;
        if !ended.success() {
            return Err(format!("`{}` did not stop in good order: {ended}", processes[at].id).into());
        }
        let (id, listen) = (processes[at].id.clone(), processes[at].address.to_string());
        processes[at] = place.start(&id, &listen, None)?;
        place.all_alive(processes).await?;
    }
    println!("{nodes} nodes restarted one after the other: {:.0} ms", millis(began.elapsed()));

    let seen = load.stop().await;
    println!(
        "{} calls of the owners of {KEYS} keys: {} answered by a replica instead, slowest {:.0} ms, {} lost",
        seen.calls,
        seen.by_replica,
        millis(seen.slowest),
        seen.lost.len()
    );
    let after = fingerprints(place, processes).await?;
    let moved = (0..KEYS).filter(|key| {
        let key = key.to_string();
        ring.owner(key.as_bytes()) != client.ring().owner(key.as_bytes())
    });
    println!("keys with another owner than before: {}", moved.count());
    client.shutdown(Duration::from_secs(5)).await;
    if let Some(loss) = seen.lost.first() {
        return Err(format!("a call was lost: {loss}").into());
    }
    if before != after || before.values().any(|print| *print != ring.fingerprint().to_string()) {
        return Err(format!("the ring is not what it was: {before:?}, now {after:?}").into());
    }
    Ok(())
}

/// How every node places keys.
async fn fingerprints(place: &Place, processes: &[Process]) -> Result<BTreeMap<String, String>, Failed> {
    let mut prints = BTreeMap::new();
    for process in processes {
        let client = place.control(process).await?;
        prints.insert(process.id.clone(), client.run(&Inspect { points: false }).await?.fingerprint);
        client.close().await;
    }
    Ok(prints)
}

/// Callers at work.
struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Seen>,
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    calls: u64,
    by_replica: u64,
    slowest: Duration,
    lost: Vec<String>,
}

impl Load {
    fn start(client: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for first in 0..CALLERS {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            callers.spawn(async move {
                let mut seen = Seen::default();
                let mut key = first;
                while !stop.load(Ordering::Relaxed) {
                    key = (key + 2 * first + 1) % KEYS;
                    seen.call(&client, &key.to_string()).await;
                    tokio::time::sleep(PACE).await;
                }
                seen
            });
        }
        Self { stop, callers }
    }

    async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for seen in self.callers.join_all().await {
            all.calls += seen.calls;
            all.by_replica += seen.by_replica;
            all.slowest = all.slowest.max(seen.slowest);
            all.lost.extend(seen.lost);
        }
        all
    }
}

impl Seen {
    /// Calls the owner of the key or, where that cannot be reached, those that stand in for it.
    async fn call(&mut self, client: &Client, key: &str) {
        let began = Instant::now();
        let mut holders: Vec<NodeId> =
            client.ring().replicas(key.as_bytes(), HOLDERS).map(|holder| holder.id.clone()).collect();
        let owner = holders.first().cloned();
        let peers = client.kernel().peers();
        holders.sort_by_key(|holder| !peers.iter().any(|peer| peer.id == *holder && peer.connected));
        let mut failures = String::new();
        for holder in holders {
            let echo = client.addr::<Echo>(&holder, "echo");
            match echo.call(Say { text: key.to_owned() }).timeout(ATTEMPT).await {
                Ok(_heard) => {
                    self.calls += 1;
                    self.by_replica += u64::from(Some(holder) != owner);
                    self.slowest = self.slowest.max(began.elapsed());
                    return;
                }
                Err(error) => failures += &format!("`{holder}`: {error}; "),
            }
        }
        self.lost.push(format!("`{key}`: {failures}"));
    }
}

/// The server that every stock node runs, and this process never: it says back what it hears.
enum Echo {}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Say {
    text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Heard {
    text: String,
    node: String,
    nth: u64,
}

impl Request for Say {
    type Reply = Heard;
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

impl GenServer for Echo {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>();
    }
}

impl HandleCall<Say> for Echo {
    async fn call(&mut self, _: Say, _: ReplyTo<Heard>, _: &mut Cx<Self>) -> Outcome {
        match *self {}
    }
}

/// Keys whose owners are called.
const KEYS: usize = 10_000;
/// The owner and two more.
const HOLDERS: usize = 3;
const CALLERS: usize = 16;
/// The pause of a caller between calls: enough to see every gap, little enough to leave the machine to the nodes.
const PACE: Duration = Duration::from_millis(2);
/// How long one node may take to answer before the next is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
