//! How long a ring takes to be whole again after a partition, with the network of each node a namespace of its own.

use std::time::Duration;

use crate::namespaces::{Network, address};
use clusterluck::control::Info;
use tokio::time::Instant;

use crate::place::{Failed, LOOK, PATIENCE, Place, Process, millis, report};

/// Cuts five nodes into three and two, so many times for so many seconds, and prints how long it took from
/// the heal until a node saw all others alive; then the way between two of them alone.
pub(crate) async fn measure(network: &Network, place: &Place, rounds: usize) -> Result<(), Failed> {
    let mut processes: Vec<Process> = Vec::new();
    for at in 0..NODES {
        let known = processes.last().map(|process| process.address.clone());
        let listen = format!("{}:7022", address(at));
        let command = place.on_host(&network.host(at));
        processes.push(place.start_by(command, &format!("n{at}"), &listen, known.as_ref())?);
    }
    place.all_alive(&processes).await?;
    for cut in CUTS {
        let mut healed = Vec::new();
        for _ in 0..rounds {
            network.pass(&[0, 1, 2], &[3, 4], false)?;
            tokio::time::sleep(Duration::from_secs(cut)).await;
            let onlookers = place.onlookers(&processes).await?;
            network.pass(&[0, 1, 2], &[3, 4], true)?;
            healed.extend(onlookers.all_alive(Instant::now()).await?);
            tokio::time::sleep(SETTLED).await;
        }
        report(&format!("cut for {cut} s, from the heal until a node sees all alive"), &mut healed);
    }
    for cut in CUTS {
        let mut healed = Vec::new();
        for _ in 0..rounds {
            healed.push(bridge(network, place, &processes, Duration::from_secs(cut)).await?);
            tokio::time::sleep(SETTLED).await;
        }
        report(&format!("one way cut for {cut} s, from the heal until something comes by it"), &mut healed);
    }
    Ok(())
}

/// Cuts the way between two nodes, which all others hear, and gives how long after the heal the one had something from the
/// other.
async fn bridge(
    network: &Network,
    place: &Place,
    processes: &[Process],
    cut: Duration,
) -> Result<f64, Failed> {
    let client = place.control(&processes[0]).await?;
    let other = &processes[1].id;
    let received = async || -> Result<u64, Failed> {
        let links = client.run(&Info {}).await?.links;
        Ok(links.iter().find(|link| link.id == *other).map_or(0, |link| link.received))
    };
    network.pass(&[0], &[1], false)?;
    tokio::time::sleep(cut).await;
    let before = received().await?;
    network.pass(&[0], &[1], true)?;
    let healed = Instant::now();
    while received().await? == before {
        if healed.elapsed() > PATIENCE {
            return Err("nothing comes by a way that is whole again".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let took = healed.elapsed();
    client.close().await;
    Ok(millis(took))
}

pub(crate) const NODES: usize = 5;
/// Shorter than it takes to hold a node for down; as long as the kernels still keep their sessions; as they end them; and
/// long after.
const CUTS: [u64; 5] = [3, 13, 20, 30, 60];
/// What one cut left behind is over before the next.
const SETTLED: Duration = Duration::from_secs(5);
