//! The crate's own transports, nets and securities, each by the suite of its trait.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{cookie, id};
use netkernel::testing::{self, Recorder};
use netkernel::{
    Address, Config, Dispatch, Insecure, Kernel, MemoryNetwork, Noise, Security, Tcp, Transport,
};

#[tokio::test]
async fn memory_is_a_transport() {
    testing::transport(&MemoryNetwork::new().host("a"), &"a:0".parse().unwrap()).await;
}

#[tokio::test]
async fn tcp_is_a_transport() {
    testing::transport(&Tcp, &"127.0.0.1:0".parse().unwrap()).await;
}

async fn kernel(
    name: &str,
    transport: impl Transport,
    security: impl Security,
    listen: Address,
) -> (Kernel, Arc<Recorder>) {
    let config = Config::builder(id(name), security).transport(transport).listen(listen);
    let (kernel, recorder) =
        (Kernel::bind(config.build().unwrap()).await.unwrap(), Arc::new(Recorder::default()));
    kernel.serve(Arc::clone(&recorder) as Arc<dyn Dispatch>);
    (kernel, recorder)
}

#[tokio::test]
async fn a_kernel_over_memory_is_a_net() {
    let network = MemoryNetwork::new();
    let noise = || Noise::new(&cookie(false));
    let (a, _) = kernel("a", network.host("a"), noise(), "a:0".parse().unwrap()).await;
    let (b, at_b) = kernel("b", network.host("b"), noise(), "b:0".parse().unwrap()).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn a_kernel_over_tcp_is_a_net() {
    let listen: Address = "127.0.0.1:0".parse().unwrap();
    let noise = || Noise::new(&cookie(false));
    let (a, _) = kernel("a", Tcp, noise(), listen.clone()).await;
    let (b, at_b) = kernel("b", Tcp, noise(), listen).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn a_kernel_without_security_is_a_net() {
    let network = MemoryNetwork::new();
    let (a, _) = kernel("a", network.host("a"), Insecure, "a:0".parse().unwrap()).await;
    let (b, at_b) = kernel("b", network.host("b"), Insecure, "b:0".parse().unwrap()).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn nodes_of_one_process_are_a_net() {
    let (mesh, at_b) = (testing::LocalMesh::new(), Arc::new(Recorder::default()));
    let a = mesh.node(id("a"), Arc::new(Recorder::default()));
    let b = mesh.node(id("b"), Arc::clone(&at_b) as Arc<dyn Dispatch>);
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn noise_is_a_security() {
    let other = Noise::new(&cookie(true));
    testing::security(&Noise::new(&cookie(false)), Some(&other)).await;
}

#[tokio::test]
async fn noise_and_no_security_are_strangers() {
    testing::security(&Noise::new(&cookie(false)), Some(&Insecure)).await;
}

#[tokio::test]
async fn no_security_is_a_security() {
    testing::security(&Insecure, None).await;
}
