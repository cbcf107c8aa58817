//! What arrives for a system goes by the rules of the network below.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use genserver::{Config, Cx, GenServer, HandleCast, Outcome, Routes, System, Wire};
use netkernel::testing::{self, LocalMesh, Recorder, Served};
use netkernel::{BoxFuture, Net, NodeId, ServerName};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc};

#[derive(Debug, Serialize, Deserialize)]
struct Number(u32);

impl Wire for Number {
    const TAG: &'static str = "number";
}

/// Deals with a number when it is let, and says which it was.
struct Gate {
    lets: Arc<Semaphore>,
    dealt_with: mpsc::Sender<u32>,
}

impl GenServer for Gate {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Number>();
    }
}

impl HandleCast<Number> for Gate {
    async fn cast(&mut self, Number(number): Number, _cx: &mut Cx<Self>) -> Outcome {
        self.lets.acquire().await.unwrap().forget();
        self.dealt_with.send(number).await.unwrap();
        Outcome::Continue
    }
}

struct Gated {
    lets: Arc<Semaphore>,
    dealt_with: mpsc::Receiver<u32>,
}

impl Served for Gated {
    fn name(&self) -> ServerName {
        ServerName::new("gate").unwrap()
    }

    fn body(&self, number: u32) -> Bytes {
        // Layout 1, for the server the envelope names, a tag and its version, no chain of callers.
        let mut body = vec![1, 0, 6];
        body.extend_from_slice(b"number");
        body.extend_from_slice(&[1, 0]);
        body.extend(postcard::to_allocvec(&Number(number)).unwrap());
        body.into()
    }

    fn refused_body(&self) -> Option<Bytes> {
        // A layout of no release.
        Some(Bytes::from_static(b"\xffnumber"))
    }

    fn next(&mut self) -> BoxFuture<'_, u32> {
        self.lets.add_permits(1);
        Box::pin(async { self.dealt_with.recv().await.unwrap() })
    }
}

#[tokio::test(start_paused = true)]
async fn the_inbox_of_a_system_is_a_dispatch() {
    let net = LocalMesh::new().node(NodeId::new("a").unwrap(), Arc::new(Recorder::default()));
    let from = net.local();
    let system = System::new(Arc::new(net), Config::default().mailbox_messages(40));
    let (lets, (sender, dealt_with)) = (Arc::new(Semaphore::new(0)), mpsc::channel(1_000));
    let gate = Gate { lets: Arc::clone(&lets), dealt_with: sender };
    let _gate = system.spawn("gate", gate).await.unwrap();
    let absent = ServerName::new("absent").unwrap();
    testing::dispatch(&*system.dispatch(), &from, &absent, &mut Gated { lets, dealt_with }).await;
}
