//! TCP with Nagle's delay off: the kernel's writer already gathers what waits.

use std::io;

use tokio::net::{TcpListener, TcpStream};

use super::{Connection, Listener, Transport};
use crate::net::BoxFuture;
use crate::node::Address;

/// Connections over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind((address.host(), address.port())).await?;
            let local = listener.local_addr()?.into();
            Ok(Box::new(Bound { listener, local }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = TcpStream::connect((address.host(), address.port())).await?;
            stream.set_nodelay(true)?;
            Ok(connection(stream, address.clone()))
        })
    }
}

#[derive(Debug)]
struct Bound {
    listener: TcpListener,
    local: Address,
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.local.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (stream, remote) = self.listener.accept().await?;
            // A client that is gone already is no failure of the listener: whoever reads from it will see.
            let _gone = stream.set_nodelay(true);
            Ok(connection(stream, remote.into()))
        })
    }
}

fn connection(stream: TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    Connection { read: Box::new(read), write: Box::new(write), remote }
}
