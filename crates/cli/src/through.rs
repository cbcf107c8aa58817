//! Dials by way of a relay, as the demonstration's nodes do.

use std::io;

use clusterluck::netkernel::{Address, BoxFuture, Connection, Listener, NodeId, Tcp, Transport};
use tokio::io::AsyncWriteExt;

/// TCP, but for dials: the relay is told where to and from whom. Without the relay it is TCP.
#[derive(Debug)]
pub(crate) struct Through {
    pub(crate) relay: Address,
    pub(crate) id: NodeId,
}

impl Transport for Through {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Tcp.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            // Nodes that are kept outlive the relay.
            let Ok(mut connection) = Tcp.connect(&self.relay).await else {
                return Tcp.connect(address).await;
            };
            connection.write.write_all(format!("{address} {}\n", self.id).as_bytes()).await?;
            Ok(connection)
        })
    }
}
