//! netkernel's connections over turmoil's simulated TCP.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;

use netkernel::{Address, BoxFuture, Connection, Listener, Transport};
use turmoil::net::{TcpListener, TcpStream};

/// Connections between turmoil's hosts; an address names a host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turmoil;

impl Transport for Turmoil {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
            let port = listener.local_addr()?.port();
            let local = Address::new(address.host(), port).map_err(io::Error::other)?;
            Ok(Box::new(Bound { listener, local }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = TcpStream::connect((address.host(), address.port())).await?;
            Ok(connection(stream, address.clone()))
        })
    }
}

struct Bound {
    listener: TcpListener,
    local: Address,
}

impl fmt::Debug for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bound").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.local.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (stream, remote) = self.listener.accept().await?;
            Ok(connection(stream, remote.into()))
        })
    }
}

fn connection(stream: TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    Connection::new(read, write, remote)
}
