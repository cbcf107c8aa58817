//! Measures failure detection, idle cost and restarts on real processes over loopback.
//!
//! ```text
//! cargo build --release -p clusterluck-cli
//! cargo run --release -p clusterluck --example processes -- target/release/clusterluck [nodes [rounds]]
//! cargo run --release -p clusterluck --example processes -- target/release/clusterluck rolling [nodes]
//! cargo run --release -p clusterluck --example processes -- target/release/clusterluck forming [runs]
//! cargo run --release -p clusterluck --example processes -- target/release/clusterluck healing [rounds]
//! ```
//!
//! Starts so many nodes (20), each a process, and prints what they cost while nothing happens; inserts members and
//! prints when all had them; kills one and starts it again, freezes one and thaws it, as many rounds (5) as asked for,
//! and prints when every other node knew.
//!
//! `rolling` restarts each node in turn while callers call the owners of keys, and fails if a call was lost, or if a
//! key has another owner in the end on any node.
//!
//! `forming` starts 10, 20 and 50 nodes that know of nobody and lets them meet, as many runs (7) as asked for: each the
//! one before, one after the other, and then all at once. It prints the time from the first meet until all agree.
//!
//! `healing` starts five nodes in network namespaces, for which it needs Linux, `ip` of iproute2 and the right to make
//! them, cuts two off for 3, 13, 20, 30 and 60 seconds, as many rounds (1) as asked for, and prints how long it took from the
//! heal until each saw all others alive; then it cuts the way between two alone, and prints how long it took until something
//! came by it.

mod forming;
#[cfg(target_os = "linux")]
mod healing;
mod idle;
mod liveness;
#[cfg(target_os = "linux")]
mod namespaces;
mod place;
mod rolling;

use std::iter::Peekable;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use place::{Failed, Place, Process, millis};

fn main() -> Result<(), Failed> {
    let mut words = std::env::args().skip(1).peekable();
    let usage = "usage: processes <clusterluck binary> [forming [runs] | healing [rounds] | [rolling] [nodes [rounds]]]";
    let binary = words.next().ok_or(usage)?;
    #[cfg(target_os = "linux")]
    if words.next_if(|word| word == "healing").is_some() {
        let rounds = words.next().map_or(Ok(1), |word| word.parse())?;
        let network = namespaces::Network::new(healing::NODES)?;
        network.enter()?;
        // Its threads begin where this one is.
        let place = Place::new(binary)?;
        return Runtime::new()?.block_on(healing::measure(&network, &place, rounds));
    }
    Runtime::new()?.block_on(measure(binary, words))
}

async fn measure(binary: String, mut words: Peekable<impl Iterator<Item = String>>) -> Result<(), Failed> {
    if words.next_if(|word| word == "forming").is_some() {
        let runs = words.next().map_or(Ok(7), |word| word.parse())?;
        return forming::measure(&binary, runs).await;
    }
    let place = Place::new(binary)?;
    let rolls = words.next_if(|word| word == "rolling").is_some();
    let nodes = words.next().map_or(Ok(20), |word| word.parse())?;
    let rounds = words.next().map_or(Ok(5), |word| word.parse())?;

    let began = Instant::now();
    let mut processes: Vec<Process> = Vec::new();
    for at in 0..nodes {
        let known = processes.last().map(|process| process.address.clone());
        processes.push(place.start(&format!("n{at}"), "127.0.0.1:0", known.as_ref())?);
    }
    place.all_alive(&processes).await?;
    println!("{nodes} nodes started and agreed: {:.0} ms", millis(began.elapsed()));
    if rolls {
        return rolling::restart_each(&place, &mut processes).await;
    }
    idle::measure(&processes).await?;
    liveness::insert(&place, &processes).await?;
    liveness::kill_and_freeze(&place, &mut processes, rounds).await
}
