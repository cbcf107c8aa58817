//! How long a ring takes to be whole again after a partition, with the network of each node a namespace of its own.

use std::time::Duration;

use crate::namespaces::{Network, address};
use crate::place::{Failed, Place, Process, report};

/// Cuts five nodes into three and two, so many times for so many seconds, and prints how long it took from
/// the heal until a node saw all others alive.
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
            network.pass(&[0, 1, 2], &[3, 4], true)?;
            healed.extend(place.all_alive(&processes).await?);
            tokio::time::sleep(SETTLED).await;
        }
        report(&format!("cut for {cut} s, from the heal until a node sees all alive"), &mut healed);
    }
    Ok(())
}

pub(crate) const NODES: usize = 5;
/// Shorter than it takes to hold a node for down; as long as the kernels still keep their sessions; as they end them; and
/// long after.
const CUTS: [u64; 4] = [3, 13, 20, 60];
/// What one cut left behind is over before the next.
const SETTLED: Duration = Duration::from_secs(5);
