//! What arrives for a system goes by the rules of the network below.

use std::sync::Arc;

use genserver::testing::Gated;
use genserver::{Config, System};
use netkernel::testing::{self, LocalMesh, Recorder};
use netkernel::{Net, NodeId, ServerName};

#[tokio::test(start_paused = true)]
async fn the_inbox_of_a_system_is_a_dispatch() {
    let net = LocalMesh::new().node(NodeId::new("a").unwrap(), Arc::new(Recorder::default()));
    let from = net.local();
    let system = System::new(Arc::new(net), Config::default().mailbox_messages(40));
    let mut gated = Gated::start(&system, "gated").await.unwrap();
    let absent = ServerName::new("absent").unwrap();
    testing::dispatch(&*system.dispatch(), &from, &absent, &mut gated).await;
}
