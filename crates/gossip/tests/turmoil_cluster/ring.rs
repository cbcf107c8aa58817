//! A ring of hosts, each with a disk that outlives it, and what a test does with them from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gossip::{Config, Gossip, MemoryStore, RingName, View};
use netkernel::{Address, Dispatch, Kernel, NodeId, Noise, Peer, Refusal, Responder, ServerName};

use crate::network::Simulated;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The nodes that run now, by name. All hosts of a simulation share one thread.
pub(crate) type Nodes = Arc<Mutex<BTreeMap<&'static str, Gossip>>>;

#[derive(Default)]
struct Door(OnceLock<Gossip>);

impl Dispatch for Door {
    fn cast(&self, from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        self.0.get().ok_or(Refusal::NoProc)?.deliver(from, body)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub(crate) fn address(name: &str) -> Address {
    Address::new(name, 7_022).unwrap()
}

/// A network that takes 1 to 80 ms for a segment, so that what two peers send overtakes each other.
pub(crate) fn simulation(seed: u64) -> turmoil::Sim<'static> {
    turmoil::Builder::new()
        .simulation_duration(600 * SECOND)
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(80))
        .rng_seed(seed)
        .build()
}

/// Hosts of these names, all of one ring. Each meets the first, unless it knows it from its disk.
pub(crate) fn hosts(simulation: &mut turmoil::Sim<'_>, names: &'static [&'static str]) -> Nodes {
    let nodes = Nodes::default();
    for name in names {
        let (shared, disk) = (Arc::clone(&nodes), Arc::new(MemoryStore::new()));
        simulation.host(*name, move || {
            let (nodes, disk) = (Arc::clone(&shared), Arc::clone(&disk));
            async move {
                let cookie = "0".repeat(64).parse()?;
                let config = netkernel::Config::builder(id(name), Noise::new(&cookie));
                let kernel = Kernel::bind(config.transport(Simulated).listen(address(name)).build()?).await?;
                let config = Config::builder().ring(RingName::new("ring")?).build()?;
                let gossip = Gossip::start(Arc::new(kernel.clone()), config, disk).await?;
                kernel.serve(Arc::new(Door(OnceLock::from(gossip.clone()))));
                nodes.lock().unwrap().insert(*name, gossip.clone());
                while gossip.view().members().len() < 2 && *name != names[0] {
                    // The other may be away, and is tried again.
                    let _met = gossip.meet(&address(names[0])).await;
                }
                std::future::pending::<()>().await;
                Ok(())
            }
        });
    }
    nodes
}

/// Lets simulated time pass: every host's clock is the simulation's.
pub(crate) async fn passed(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}

pub(crate) fn node(nodes: &Nodes, name: &str) -> Option<Gossip> {
    nodes.lock().unwrap().get(name).cloned()
}

/// Waits until every node sees what the condition wants.
pub(crate) async fn all_see(nodes: &Nodes, names: &[&str], what: &str, holds: impl Fn(&View) -> bool) {
    let wait = async {
        loop {
            let all = names.iter().all(|name| node(nodes, name).is_some_and(|node| holds(&node.view())));
            if all {
                return;
            }
            passed(SECOND / 10).await;
        }
    };
    let waited = tokio::time::timeout(120 * SECOND, wait).await;
    let members = |view: &View| {
        let members = view.members().iter().map(|member| format!("{}:{:?}", member.id, member.liveness));
        members.collect::<Vec<_>>()
    };
    let views =
        || names.iter().map(|name| node(nodes, name).map(|node| members(&node.view()))).collect::<Vec<_>>();
    assert!(waited.is_ok(), "not all see {what}: {:?}", views());
}

/// Waits until all know the same members, at least so many, place keys alike, and hold all that run for alive.
pub(crate) async fn all_agree(nodes: &Nodes, names: &[&str], members: usize) {
    let known = |view: &View| {
        let known = view.members().iter().map(|member| (member.id.clone(), member.weight));
        (view.ring().fingerprint(), known.collect::<Vec<_>>())
    };
    all_see(nodes, names, "the same", |view| {
        let first = node(nodes, names[0]).map(|node| known(&node.view()));
        let of_ring = view.members().iter().filter(|member| names.contains(&member.id.as_str()));
        view.members().len() >= members
            && of_ring.filter(|member| member.is_up()).count() == names.len()
            && Some(known(view)) == first
    })
    .await;
}
