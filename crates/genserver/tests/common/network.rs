//! Nodes on simulated networks: each test that needs one runs on a network in memory and on turmoil's.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use genserver::{Addr, Config, NodeId, System};
use netkernel::{Address, Cookie, Dispatch, Kernel, MemoryNetwork, Net, Noise, Stopped};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{Lab, SECOND, id};
use crate::common::turmoil_transport::Turmoil;

/// A simulated network, for one test.
#[derive(Clone)]
pub(crate) enum Network {
    /// Of bytes in memory, without latency, on one runtime.
    Memory(MemoryNetwork),
    /// Of turmoil's hosts: each a runtime of its own, a tick between any two.
    Turmoil(Hosts),
}

/// What turmoil's hosts are asked to run, by name.
#[derive(Clone)]
pub(crate) struct Hosts(Arc<Vec<(&'static str, mpsc::Sender<Job>)>>);

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Runs a test on each network, in virtual time. It runs on host `a`.
pub(crate) fn on_each_network<F: Future<Output = ()> + 'static>(test: fn(Network) -> F) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    eprintln!("on a network in memory");
    runtime.block_on(test(Network::Memory(MemoryNetwork::new())));
    eprintln!("on a network of turmoil's");
    on_turmoil(test);
}

fn on_turmoil<F: Future<Output = ()> + 'static>(test: fn(Network) -> F) {
    let mut simulation = turmoil::Builder::new()
        .simulation_duration(600 * SECOND)
        .max_message_latency(Duration::from_millis(2))
        .tcp_capacity(1 << 16)
        .rng_seed(1)
        .build();
    let mut hosts = Vec::new();
    for name in ["b", "c", "d"] {
        let (sender, receiver) = mpsc::channel::<Job>(8);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        simulation.host(name, move || {
            let receiver = Arc::clone(&receiver);
            async move {
                while let Some(job) = receiver.lock().await.recv().await {
                    job().await;
                }
                std::future::pending().await
            }
        });
        hosts.push((name, sender));
    }
    let network = Network::Turmoil(Hosts(Arc::new(hosts)));
    simulation.client("a", async move {
        test(network).await;
        Ok(())
    });
    simulation.run().unwrap();
}

impl Network {
    /// A node of that name on the host of that name.
    pub(crate) async fn start(&self, name: &'static str, config: Config) -> TestNode {
        self.start_as(name, name, config).await
    }

    /// A node of that name whose messages this takes, instead of its system.
    pub(crate) async fn start_closed(&self, name: &'static str, entrance: Arc<dyn Dispatch>) -> TestNode {
        self.start_with(name, name, Config::default(), Some(entrance)).await
    }

    /// A node named `id` on `host`.
    pub(crate) async fn start_as(&self, host: &'static str, id: &'static str, config: Config) -> TestNode {
        self.start_with(host, id, config, None).await
    }

    async fn start_with(
        &self,
        host: &'static str,
        id: &'static str,
        config: Config,
        entrance: Option<Arc<dyn Dispatch>>,
    ) -> TestNode {
        let cookie: Cookie = "0".repeat(64).parse().unwrap();
        let kernel = netkernel::Config::builder(super::id(id), Noise::new(&cookie));
        let kernel = kernel.listen(Address::new(host, 0).unwrap());
        match self {
            Self::Memory(network) => {
                TestNode::bind(kernel.transport(network.host(host)), config, entrance).await
            }
            Self::Turmoil(hosts) => {
                let kernel = kernel.transport(Turmoil);
                match hosts.0.iter().find(|(name, _)| *name == host) {
                    // The test's own.
                    None => TestNode::bind(kernel, config, entrance).await,
                    Some((_, jobs)) => {
                        let (started, starting) = oneshot::channel();
                        let job: Job = Box::new(move || {
                            Box::pin(async move {
                                let node = TestNode::bind(kernel, config, entrance).await;
                                assert!(started.send(node).is_ok());
                            })
                        });
                        assert!(jobs.send(job).await.is_ok());
                        starting.await.unwrap()
                    }
                }
            }
        }
    }

    /// Nodes `a` and `b`, connected, each with a lab named `lab`.
    pub(crate) async fn pair(&self) -> (TestNode, TestNode) {
        let a = self.start("a", Config::default()).await;
        let b = self.start("b", Config::default()).await;
        a.connect(&b);
        b.connect(&a);
        for node in [&a, &b] {
            node.system.spawn("lab", Lab::default()).await.unwrap();
        }
        (a, b)
    }
}

/// One node of a network.
pub(crate) struct TestNode {
    pub(crate) system: System,
    pub(crate) kernel: Kernel,
    /// Where its own tasks run.
    host: Handle,
}

impl TestNode {
    async fn bind(
        config_of_kernel: netkernel::Builder,
        config: Config,
        entrance: Option<Arc<dyn Dispatch>>,
    ) -> Self {
        let kernel = Kernel::bind(config_of_kernel.build().unwrap()).await.unwrap();
        let system = System::new(Arc::new(kernel.clone()), config);
        kernel.serve(entrance.unwrap_or_else(|| system.dispatch()));
        Self { system, kernel, host: Handle::current() }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.kernel.local().id
    }

    pub(crate) fn connect(&self, other: &Self) {
        let _on_its_host = self.host.enter();
        self.kernel.connect(&other.id(), &other.kernel.local().address);
    }

    pub(crate) fn disconnect(&self, other: &Self) {
        let _on_its_host = self.host.enter();
        self.kernel.disconnect(&other.id(), false);
    }

    pub(crate) async fn shutdown(&self) -> Stopped {
        self.kernel.shutdown(SECOND).await
    }

    /// The calls this node still knows of, made here or executed here.
    pub(crate) fn calls_under_way(&self) -> usize {
        self.kernel.peers().iter().map(|peer| peer.calls_pending + peer.calls_executing).sum()
    }

    /// The lab of that name on the other node.
    pub(crate) fn lab_on(&self, other: &Self, name: &str) -> Addr<Lab> {
        self.system.addr(&other.id(), name)
    }

    /// The lab of that name on a node that nobody has heard of.
    pub(crate) fn lab_nowhere(&self) -> Addr<Lab> {
        self.system.addr(&id("nowhere"), "lab")
    }
}
