//! How long nodes take to become one ring.

use std::sync::Arc;

use clusterluck::control::{Client, Follow, Meet};
use clusterluck::netkernel::Address;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::place::{Failed, PATIENCE, Place, Process, millis, report};

/// Who meets whom.
#[derive(Clone, Copy)]
enum Order {
    /// Each the one before, once that has met.
    Chained,
    /// Each one that was started before it, all at the same moment.
    AtOnce { seed: u64 },
}

/// Prints how long 10, 20 and 50 nodes take, so many times each.
pub(crate) async fn measure(binary: &str, runs: u64) -> Result<(), Failed> {
    for nodes in [10, 20, 50] {
        let (mut chained, mut at_once) = (Vec::new(), Vec::new());
        for run in 0..runs {
            chained.push(form(binary, nodes, Order::Chained).await?);
            at_once.push(form(binary, nodes, Order::AtOnce { seed: run + 1 }).await?);
        }
        report(&format!("{nodes} nodes, chained meets, until all agree"), &mut chained);
        report(&format!("{nodes} nodes, simultaneous meets, until all agree"), &mut at_once);
    }
    Ok(())
}

/// How long so many take from their first meet until all know all and place keys alike, in milliseconds: as the nodes
/// tell by long polls, so that nobody asks in vain.
async fn form(binary: &str, nodes: usize, order: Order) -> Result<f64, Failed> {
    let place = Place::new(binary.to_owned())?;
    let (mut processes, mut clients) = (Vec::<Process>::new(), Vec::new());
    for at in 0..nodes {
        let process = place.start(&format!("n{at}"), "127.0.0.1:0", None)?;
        clients.push(Arc::new(place.control(&process).await?));
        processes.push(process);
    }
    let began = Instant::now();
    let mut agreed: JoinSet<_> = clients.iter().map(|client| knows(Arc::clone(client), nodes)).collect();
    match order {
        Order::Chained => {
            for (client, before) in clients[1..].iter().zip(&processes) {
                meet(Arc::clone(client), before.address.clone()).await?;
            }
        }
        Order::AtOnce { mut seed } => {
            let mut meets = JoinSet::new();
            for at in 1..nodes {
                // Knuth's linear congruential generator: any spread will do, if it is the same each time.
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let other = &processes[(seed >> 33) as usize % at];
                meets.spawn(meet(Arc::clone(&clients[at]), other.address.clone()));
            }
            while let Some(met) = meets.join_next().await {
                met??;
            }
        }
    }
    let mut rings = Vec::new();
    while let Some(ring) = agreed.join_next().await {
        rings.push(ring??);
    }
    let took_ms = millis(began.elapsed());
    if rings.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err("they know the same nodes and place keys differently".into());
    }
    Ok(took_ms)
}

async fn meet(client: Arc<Client>, address: Address) -> Result<(), Failed> {
    let (host, port) = (address.host().to_owned(), address.port());
    client.run(&Meet { id: String::new(), host, port, wait_ms: None }).await?;
    Ok(())
}

/// Waits until a node knows so many, and gives the fingerprint of its ring.
async fn knows(client: Arc<Client>, nodes: usize) -> Result<String, Failed> {
    let (began, mut seen) = (Instant::now(), 0);
    loop {
        let followed = client.run_within(&Follow { seen, wait_ms: 5_000 }, PATIENCE).await?;
        if followed.nodes.len() == nodes {
            return Ok(followed.fingerprint);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("a node knows {} of {nodes}", followed.nodes.len()).into());
        }
        seen = followed.version;
    }
}
