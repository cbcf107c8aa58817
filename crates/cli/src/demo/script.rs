//! What happens, in order; each step a claim that is checked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clusterluck::Client;
use clusterluck::control::{Insert, Meet, NodeInfo, Owner, Remove};
use tokio::time::Instant;

use super::caller::{Caller, HOLDERS};
use super::load::{Load, Tally};
use super::nodes::{IDS, Nodes, RING, until};
use super::process::Process;
use super::report::Figures;
use super::stage::Stage;
use crate::render::ring;
use crate::render::table::{Cell, Table};
use crate::render::text::{STRONG, count};

/// Plays it all. An error is a claim that did not come true.
pub(super) async fn play(nodes: &mut Nodes, stage: &mut Stage) -> Result<Figures> {
    stage.text(&format!(
        "{STRONG}Clusterluck{STRONG:#}: five nodes on this machine, each a process of its own\n"
    ));
    start(nodes, stage).await?;
    let agree = meet(nodes, stage).await?;
    let caller = connect_client(nodes, stage).await?;
    place_keys(nodes, &caller, stage).await?;
    let calm = call_owners(&caller, stage).await?;

    let began = Instant::now();
    let load = Load::start(&caller, CALLERS, KEYS);
    let victim = caller.holders(SHOWN[0]).first().context("the ring is empty")?.to_string();
    let Crash { takeover, noticed, mut seen } = crash(nodes, &load, &victim, stage).await?;
    let back = bring_back(nodes, &load, &victim, stage).await?;
    stage.begin(&format!("{CALLERS} callers go on with {victim} back"));
    tokio::time::sleep(WATCHED).await;
    let parted = part(nodes, stage).await?;
    let merged = heal(nodes, stage).await?;
    seen.join(load.stop().await);
    ensure!(seen.lost.is_empty(), "{} calls were lost, the first because {}", seen.lost.len(), seen.lost[0]);
    let others = seen.by_replica.keys().filter(|owner| owner.as_str() != victim).count();
    ensure!(others == 0, "others answered for nodes that were up: {:?}", seen.by_replica);
    let calls = count(seen.times.len() as u64);
    stage.done(&format!("{calls} calls went on throughout, and none was lost"), began.elapsed());

    caller.client.shutdown(CLIENT_STOPS_WITHIN).await;
    Ok(Figures { agree, calm, load: seen, takeover, noticed, back, parted, merged, whole: Duration::ZERO })
}

async fn start(nodes: &mut Nodes, stage: &mut Stage) -> Result<()> {
    stage.begin("starting five nodes");
    let began = Instant::now();
    nodes.start().await?;
    stage.done("five nodes run, each with a port and a data folder of its own", began.elapsed());
    Ok(())
}

/// Each meets the one before it. None is told of the others.
async fn meet(nodes: &Nodes, stage: &mut Stage) -> Result<Duration> {
    stage.begin("each meets the one before it");
    let began = Instant::now();
    for pair in nodes.running.windows(2) {
        let [known, newcomer] = pair else { continue };
        newcomer.ask(&meeting(known)).await?;
    }
    let agreed = nodes.agreed(IDS.len()).await?;
    let took = began.elapsed();
    stage.done("each has met the one before it, and all agree on one ring", took);
    stage.text(&format!("\n{}\n", ring::drawn(&agreed, ring::terminal_columns().min(80))));
    Ok(took)
}

/// A client sees the ring and is no member, so that the five nodes' ring stays as it is.
async fn connect_client(nodes: &Nodes, stage: &mut Stage) -> Result<Caller> {
    stage.begin("this process connects as a client");
    let began = Instant::now();
    let builder = Client::builder().cookie(nodes.common.cookie.clone()).ring(RING);
    let seeds = nodes.running.iter().map(|node| node.address.to_string());
    let client = seeds.fold(builder, clusterluck::client::Builder::seed).connect().await;
    let client = client.context("the client did not connect")?;
    ensure!(client.ring().len() == IDS.len(), "the client sees {} nodes on the ring", client.ring().len());
    let caller = Caller { client };
    until("the client is connected to all nodes", async || {
        Ok(nodes.running.iter().all(|node| caller.reaches(&node.id)).then_some(()))
    })
    .await?;
    stage.done("this process is a client: it has the ring, and is no member of it", began.elapsed());
    Ok(caller)
}

async fn place_keys(nodes: &Nodes, caller: &Caller, stage: &mut Stage) -> Result<()> {
    stage.begin("asking every node where keys belong");
    let began = Instant::now();
    for at in 0..KEYS_COMPARED {
        let key = format!("user:{at}");
        let holders = caller.holders(&key);
        for node in &nodes.running {
            let command = Owner { key: key.clone().into_bytes(), replicas: u32::try_from(HOLDERS)? };
            let said: Vec<String> = node.ask(&command).await?.into_iter().map(|holder| holder.id).collect();
            ensure!(
                holders.iter().map(ToString::to_string).eq(said.iter().cloned()),
                "`{}` places {key} on {said:?}, the client on {holders:?}",
                node.id
            );
        }
    }
    stage.done(&format!("all nodes place {KEYS_COMPARED} keys alike, asking nobody"), began.elapsed());
    let mut table = Table::new(["  key", "owner", "then"]);
    for key in SHOWN {
        let holders: Vec<String> = caller.holders(key).iter().map(ToString::to_string).collect();
        let (owner, then) = holders.split_first().context("the ring is empty")?;
        let place = IDS.iter().position(|id| id == owner).unwrap_or_default();
        table.row([
            format!("  {key}").into(),
            Cell::styled(owner, ring::colour(place)),
            then.join(", ").into(),
        ]);
    }
    stage.text(&format!("\n{table}\n"));
    Ok(())
}

async fn call_owners(caller: &Caller, stage: &mut Stage) -> Result<Tally> {
    stage.begin("calling the echo server of each key's owner");
    let began = Instant::now();
    let mut tally = Tally::default();
    for at in 0..CALM_CALLS {
        tally.add(caller.call(&format!("user:{}", at % KEYS)).await);
    }
    ensure!(tally.lost.is_empty(), "a call was lost with all nodes up: {}", tally.lost[0]);
    ensure!(tally.by_replica.is_empty(), "with all nodes up, others answered for {:?}", tally.by_replica);
    let calls = count(tally.times.len() as u64);
    stage.done(&format!("{calls} calls, each answered by its key's owner"), began.elapsed());
    Ok(tally)
}

struct Crash {
    takeover: Duration,
    noticed: Duration,
    /// What the callers saw, from before the kill until now.
    seen: Tally,
}

/// Kills the node while callers go on calling.
async fn crash(nodes: &mut Nodes, load: &Load, victim: &str, stage: &mut Stage) -> Result<Crash> {
    stage.begin(&format!("killing {victim} while {CALLERS} callers go on"));
    tokio::time::sleep(WATCHED / 2).await;
    let before = load.take();
    ensure!(before.by_replica.is_empty(), "with all nodes up, others answered for {:?}", before.by_replica);
    let process = nodes.take(victim)?;
    let killed = Instant::now();
    process.kill().await?;
    let first =
        until("a replica answers for the dead node", async || Ok(load.look(|tally| tally.first_by_replica)));
    let takeover = first.await?.saturating_duration_since(killed);
    stage.done(&format!("{victim} was killed; the next replicas answer for its keys"), takeover);
    stage.begin("the others notice");
    nodes.missed(victim).await?;
    let noticed = killed.elapsed();
    stage.done("the other four have seen that it is gone", noticed);
    stage.begin(&format!("{CALLERS} callers go on without {victim}"));
    tokio::time::sleep(WATCHED).await;
    let mut seen = before;
    seen.join(load.take());
    Ok(Crash { takeover, noticed, seen })
}

/// Starts the node again: a new process on a new port, with the old one's data folder.
async fn bring_back(nodes: &mut Nodes, load: &Load, victim: &str, stage: &mut Stage) -> Result<Duration> {
    stage.begin(&format!("starting {victim} again"));
    let began = Instant::now();
    let known = nodes.running.first().context("no node runs")?.address.clone();
    let process = Process::start(&nodes.common, victim, Some(&known)).await?;
    let (id, address) = (process.id.clone(), process.address.clone());
    nodes.put(process);
    let first = until("it answers for its keys again", async || {
        Ok(load.look(|tally| tally.first_answer.get(&id).copied()))
    });
    let back = first.await?.saturating_duration_since(began);
    stage.done(&format!("{victim} was started again, met its way back and answers for its keys"), back);

    stage.begin("all agree again");
    nodes.agreed(IDS.len()).await?;
    nodes.found(victim, &address).await?;
    stage.done("all agree again, and know its new port", began.elapsed());
    Ok(back)
}

/// Cuts the network in two. Each side goes on, and changes the ring by itself.
async fn part(nodes: &Nodes, stage: &mut Stage) -> Result<Duration> {
    let (first, second) = (SIDES[0].join(", "), SIDES[1].join(", "));
    stage.begin(&format!("cutting the network in two: {first} | {second}"));
    let cut = Instant::now();
    nodes.relay.cut(SIDES[0]);
    nodes.parted(SIDES[0]).await?;
    let parted = cut.elapsed();
    stage.done(&format!("the network is in two: {first} | {second}"), parted);
    stage.begin("each side inserts a member of its own");
    let began = Instant::now();
    for (side, newcomer) in SIDES.iter().zip(INSERTED) {
        nodes.node(side[0])?.ask(&insertion(newcomer)).await?;
        nodes.have(|id| side.contains(&id), newcomer, true).await?;
    }
    let took = began.elapsed();
    tokio::time::sleep(WATCHED).await;
    for (side, newcomer) in SIDES.iter().zip(INSERTED) {
        nodes.have(|id| !side.contains(&id), newcomer, false).await?;
    }
    let [one, other] = INSERTED;
    stage.done(&format!("one side inserted {one}, the other {other}; neither knows both"), took);
    Ok(parted)
}

/// Heals the network: what either side has changed is kept.
async fn heal(nodes: &Nodes, stage: &mut Stage) -> Result<Duration> {
    stage.begin("healing the network");
    let healed = Instant::now();
    nodes.relay.heal();
    for newcomer in INSERTED {
        nodes.have(|_| true, newcomer, true).await?;
    }
    let merged = healed.elapsed();
    let [one, other] = INSERTED;
    stage.done(&format!("the network is whole: all five nodes have both {one} and {other}"), merged);
    stage.begin("taking them out again");
    let ids = INSERTED.map(str::to_owned).to_vec();
    nodes.node(IDS[0])?.ask(&Remove { ids, force: false, wait_ms: None }).await?;
    for newcomer in INSERTED {
        nodes.have(|_| true, newcomer, false).await?;
    }
    nodes.agreed(IDS.len()).await?;
    stage.done("both are removed, and all agree again", healed.elapsed().saturating_sub(merged));
    Ok(merged)
}

/// Nobody listens there, so it stays a member that has not been heard from.
fn insertion(id: &str) -> Insert {
    let node = NodeInfo { id: id.to_owned(), host: "127.0.0.1".to_owned(), port: DISCARD };
    Insert { nodes: vec![node], weight: None, force: false, wait_ms: None }
}

fn meeting(known: &Process) -> Meet {
    Meet {
        id: known.id.to_string(),
        host: known.address.host().to_owned(),
        port: known.address.port(),
        wait_ms: None,
    }
}

/// The two sides of the partition.
const SIDES: [&[&str]; 2] = [&["ash", "birch"], &["cedar", "dogwood", "elm"]];
/// The members they insert, one each.
const INSERTED: [&str; 2] = ["fir", "gorse"];
/// A port of the system's, at which no node listens.
const DISCARD: u16 = 9;
/// Keys whose place is shown.
const SHOWN: [&str; 5] = ["user:1", "user:2", "user:3", "user:4", "user:5"];
/// Keys that are called.
const KEYS: usize = 500;
/// Keys whose place every node is asked for.
const KEYS_COMPARED: usize = 100;
/// Calls one after another.
const CALM_CALLS: usize = 2_000;
/// Callers that go on while a node dies.
const CALLERS: usize = 8;
/// How long callers go on after each event.
const WATCHED: Duration = Duration::from_millis(1_500);
const CLIENT_STOPS_WITHIN: Duration = Duration::from_secs(2);
