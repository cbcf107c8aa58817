//! When others know that a node is there, or is not.

use clusterluck::control::{Insert, MemberInfo, NodeInfo, Nodes, Remove};

use tokio::time::Instant;

use crate::place::{Failed, Place, Process, report};

/// Kills a node and freezes one, again and again.
pub(crate) async fn kill_and_freeze(
    place: &Place,
    processes: &mut Vec<Process>,
    rounds: usize,
) -> Result<(), Failed> {
    let (mut killed, mut stopped, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let victim = 1 + round * 7 % (processes.len() - 1);
        killed.extend(kill(place, processes, victim).await?);
        let (down, alive) = freeze(place, processes, victim).await?;
        stopped.extend(down);
        back.extend(alive);
    }
    report("killed, until it is down, at each other node", &mut killed);
    report("stopped (SIGSTOP), until it is down, at each other node", &mut stopped);
    report("continued (SIGCONT), until it is alive, at each other node", &mut back);
    Ok(())
}

/// Kills a node, waits until all others hold it for down, and starts it again.
async fn kill(place: &Place, processes: &mut Vec<Process>, victim: usize) -> Result<Vec<f64>, Failed> {
    let mut process = processes.remove(victim);
    let id = process.id.clone();
    let onlookers = place.onlookers(processes).await?;
    let killed = Instant::now();
    process.child.kill()?;
    let times = onlookers.see(killed, is(&id, "down")).await?;
    process.child.wait()?;
    processes.insert(victim, place.start(&id, "127.0.0.1:0", Some(&processes[0].address))?);
    place.onlookers(processes).await?.see(Instant::now(), is(&id, "alive")).await?;
    Ok(times)
}

/// Stops a node, waits until all others hold it for down, and lets it go on.
async fn freeze(
    place: &Place,
    processes: &mut Vec<Process>,
    victim: usize,
) -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let process = processes.remove(victim);
    let onlookers = place.onlookers(processes).await?;
    let stopped = Instant::now();
    process.signal("-STOP")?;
    let down = onlookers.see(stopped, is(&process.id, "down")).await?;
    let onlookers = place.onlookers(processes).await?;
    let continued = Instant::now();
    process.signal("-CONT")?;
    let back = onlookers.see(continued, is(&process.id, "alive")).await?;
    processes.insert(victim, process);
    Ok((down, back))
}

/// Inserts a member that nobody has met, and removes it again.
pub(crate) async fn insert(place: &Place, processes: &[Process]) -> Result<(), Failed> {
    let mut times = Vec::new();
    for round in 0..INSERTS {
        let id = format!("inserted{round}");
        let client = place.control(&processes[round % processes.len()]).await?;
        let nodes = vec![NodeInfo { id: id.clone(), host: "127.0.0.1".to_owned(), port: 9 }];
        let wanted = id.clone();
        client.run(&Nodes {}).await?;
        let onlookers = place.onlookers(processes).await?;
        let asked = Instant::now();
        client.run(&Insert { nodes, weight: None, force: false, wait_ms: None }).await?;
        let has = move |members: &[MemberInfo]| members.iter().any(|member| member.node.id == wanted);
        times.extend(onlookers.see(asked, has).await?);
        client.run(&Remove { ids: vec![id.clone()], force: true, wait_ms: None }).await?;
        let lacks = move |members: &[MemberInfo]| members.iter().all(|member| member.node.id != id);
        place.onlookers(processes).await?.see(Instant::now(), lacks).await?;
        client.close().await;
    }
    report("inserted, until a node has it, at each node", &mut times);
    Ok(())
}

/// Whether a node is seen so, and as a member.
fn is(id: &str, liveness: &'static str) -> impl Fn(&[MemberInfo]) -> bool + Clone + Send + use<> {
    let id = id.to_owned();
    let is_it = move |member: &MemberInfo| {
        member.node.id == id && member.liveness == liveness && member.status == "member"
    };
    move |members| members.iter().any(&is_it)
}

/// Members inserted and removed.
const INSERTS: usize = 5;
