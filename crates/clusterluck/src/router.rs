//! Decides which layer a message is for, and whether its sender may send it.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use gossip::Gossip;
use netkernel::{Accepted, Dispatch, Peer, Refusal, Responder, Role, ServerName};

use crate::control;

/// What arrives at a node, by layer.
pub(crate) struct Router {
    pub(crate) gossip: Gossip,
    pub(crate) servers: Arc<dyn Dispatch>,
    pub(crate) control: control::Server,
}

impl Router {
    /// Gossip frames always pass: gossip judges their header. Everything else is for members of the same ring
    /// and for clients.
    fn admit(&self, from: &Peer) -> Result<(), Refusal> {
        match from.role {
            Role::Client => Ok(()),
            Role::Node if self.gossip.view().member(&from.node.id).is_some() => Ok(()),
            Role::Node => Err(Refusal::ForeignRing),
            _ => Err(Refusal::NotAllowed),
        }
    }
}

impl Dispatch for Router {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if *server == gossip::server_name() {
            return self.gossip.deliver(from, body);
        }
        if server.is_system() {
            return Err(Refusal::NoProc);
        }
        self.admit(from)?;
        self.servers.cast(from, server, body)
    }

    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        if server.is_system() || self.admit(from).is_err() {
            return Accepted::of_each(server, bodies, |body| self.cast(from, server, body));
        }
        self.servers.casts(from, server, bodies)
    }

    fn wake_with_room(&self, server: &ServerName, next: &Bytes, waker: &Waker) {
        if !server.is_system() {
            self.servers.wake_with_room(server, next, waker);
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        if server.is_control() {
            return self.control.call(body, responder);
        }
        if server.is_system() {
            return responder.refuse(Refusal::NoProc);
        }
        match self.admit(from) {
            Ok(()) => self.servers.call(from, server, body, responder),
            Err(refusal) => responder.refuse(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use genserver::testing::Gated;
    use netkernel::MemoryNetwork;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::Cluster;
    use crate::journal::Journal;

    fn router(node: &Cluster) -> Router {
        let (kernel, gossip, servers) =
            (node.kernel().clone(), node.gossip().clone(), node.servers().clone());
        let journal = Arc::new(Journal::new(1));
        let dispatch = servers.dispatch();
        let operated =
            control::Operated { kernel, gossip: gossip.clone(), servers, started: Instant::now(), journal };
        let control = control::Server::new(operated, TaskTracker::new(), CancellationToken::new());
        Router { gossip, servers: dispatch, control }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nodes_router_is_a_dispatch() {
        let network = MemoryNetwork::new();
        let cookie = "0".repeat(64).parse().unwrap();
        let builder = Cluster::builder("a").cookie(cookie).transport(network.host("a")).listen("a:0");
        let node = builder.start().await.unwrap();
        let mut gated = Gated::start(node.servers(), "gated").await.unwrap();
        let (from, absent) = (node.node(), ServerName::new("absent").unwrap());
        netkernel::testing::dispatch(&router(&node), &from, &absent, &mut gated).await;
    }
}
