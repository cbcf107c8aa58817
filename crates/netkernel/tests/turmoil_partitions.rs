//! Kernels on hosts of a simulated network, each with a clock and a runtime of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, cookie, id, next, server};
use netkernel::testing::{self, Recorder};
use netkernel::{
    Address, BoxFuture, CallError, Config, Connection, Dispatch, DownReason, Kernel, Listener, Net, Noise,
    Peer, PeerEvent, Refusal, Responder, ServerName, Transport,
};

/// Connections over the simulated network.
#[derive(Debug, Clone, Copy)]
struct Simulated;

impl Transport for Simulated {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = turmoil::net::TcpListener::bind(("0.0.0.0", address.port())).await?;
            let port = listener.local_addr()?.port();
            let address = Address::new(address.host(), port).map_err(io::Error::other)?;
            Ok(Box::new(Bound { listener, address }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = turmoil::net::TcpStream::connect((address.host(), address.port())).await?;
            Ok(connection(stream, address.clone()))
        })
    }
}

struct Bound {
    listener: turmoil::net::TcpListener,
    address: Address,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (stream, remote) = self.listener.accept().await?;
            Ok(connection(stream, remote.into()))
        })
    }
}

fn connection(stream: turmoil::net::TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    Connection::new(read, write, remote)
}

struct Echo;

impl Dispatch for Echo {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        responder.reply(body);
    }
}

fn address(name: &str) -> Address {
    Address::new(name, 7_022).unwrap()
}

async fn kernel(name: &str) -> Kernel {
    let security = Noise::new(&cookie(false));
    let config = Config::builder(id(name), security).transport(Simulated).listen(address(name));
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    kernel.serve(Arc::new(Echo));
    kernel
}

fn simulation() -> turmoil::Sim<'static> {
    // A host here forgets a connection with its last half and resets what still comes for it. Where messages overtook each
    // other, that would take away what was sent just before, as no system does.
    let latency = Duration::from_millis(20);
    let mut simulation = turmoil::Builder::new()
        .simulation_duration(300 * SECOND)
        .tick_duration(Duration::from_millis(5))
        .min_message_latency(latency)
        .max_message_latency(latency)
        .rng_seed(5)
        .build();
    simulation.host("b", || async {
        let b = kernel("b").await;
        b.connect(&id("a"), &address("a"));
        std::future::pending::<()>().await;
        Ok(())
    });
    simulation
}

async fn echo(kernel: &Kernel, timeout: Duration) -> Result<Bytes, CallError> {
    kernel.call(&id("b"), &server("echo"), Bytes::from("hello"), timeout).await
}

/// Lets simulated time pass: every host's clock is the simulation's.
async fn simulated(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}

/// A partition is noticed within the heartbeat's time, and once it has healed there is one session again.
fn survives(partition: fn(), repair: fn()) {
    let mut simulation = simulation();
    simulation.client("a", async move {
        let a = kernel("a").await;
        a.connect(&id("b"), &address("b"));
        echo(&a, 10 * SECOND).await?;
        let mut events = a.events();
        partition();
        let begun = tokio::time::Instant::now();
        let error = echo(&a, 60 * SECOND).await.unwrap_err();
        assert!(matches!(error, CallError::LinkDown), "{error:?}");
        // A call is pending: 2 s of silence, a second until the next look, a probe, 5 s for its answer; and where the peer is
        // heard, up to 2 s in which it may have sent a heartbeat of its own.
        assert!(begun.elapsed() <= 10 * SECOND, "{:?}", begun.elapsed());
        let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        assert!(matches!(down, PeerEvent::Down { reason: DownReason::Silent | DownReason::LinkLost, .. }));
        simulated(40 * SECOND).await;
        repair();
        echo(&a, 30 * SECOND).await?;
        simulated(5 * SECOND).await;
        let peer = &a.peers()[0];
        assert_eq!((peer.connected, peer.sessions), (true, 1));
        Ok(())
    });
    simulation.run().unwrap();
}

#[test]
fn the_simulated_network_is_a_transport() {
    let mut simulation = turmoil::Builder::new().simulation_duration(60 * SECOND).rng_seed(5).build();
    simulation.client("a", async {
        testing::transport(&Simulated, &Address::new("a", 0).unwrap()).await;
        Ok(())
    });
    simulation.run().unwrap();
}

#[test]
fn a_kernel_over_the_simulated_network_is_a_net() {
    let mut simulation = turmoil::Builder::new().simulation_duration(300 * SECOND).rng_seed(5).build();
    let at_b = Arc::new(Recorder::default());
    // Both kernels are driven from one host's test; b runs on a host of its own.
    let (there, mut b) = tokio::sync::mpsc::channel(1);
    let recorder = Arc::clone(&at_b);
    simulation.host("b", move || {
        let (there, recorder) = (there.clone(), Arc::clone(&recorder));
        async move {
            let security = Noise::new(&cookie(false));
            let config = Config::builder(id("b"), security).transport(Simulated).listen(address("b"));
            let kernel = Kernel::bind(config.build()?).await?;
            kernel.serve(recorder);
            there.send(kernel).await?;
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    simulation.client("a", async move {
        let (a, b) = (kernel("a").await, b.recv().await.unwrap());
        testing::net(&a, &b, &at_b).await;
        Ok(())
    });
    simulation.run().unwrap();
}

#[test]
fn a_symmetric_partition_is_noticed_and_healed() {
    survives(|| turmoil::partition("a", "b"), || turmoil::repair("a", "b"));
}

#[test]
fn a_one_way_partition_towards_the_peer_is_noticed_and_healed() {
    survives(|| turmoil::partition_oneway("a", "b"), || turmoil::repair_oneway("a", "b"));
}

#[test]
fn a_one_way_partition_from_the_peer_is_noticed_and_healed() {
    survives(|| turmoil::partition_oneway("b", "a"), || turmoil::repair_oneway("b", "a"));
}

#[test]
fn a_host_that_crashes_and_comes_back_is_reached_again() {
    let mut simulation = simulation();
    simulation.client("a", async {
        let a = kernel("a").await;
        a.connect(&id("b"), &address("b"));
        for _ in 0..40 {
            // Some of these fall into the crash; each ends, and the last is answered.
            let _ended = echo(&a, SECOND).await;
            simulated(SECOND).await;
        }
        echo(&a, 10 * SECOND).await?;
        Ok(())
    });
    for step in 0.. {
        if step == 1_000 {
            simulation.crash("b");
        } else if step == 2_000 {
            simulation.bounce("b");
        }
        if simulation.step().unwrap() {
            break;
        }
    }
}
