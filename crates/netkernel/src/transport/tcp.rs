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
        Box::pin(async move { connection(TcpStream::connect((address.host(), address.port())).await?) })
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
        Box::pin(async { connection(self.listener.accept().await?.0) })
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let remote = stream.peer_addr()?.into();
    let (read, write) = stream.into_split();
    Ok(Connection { read: Box::new(read), write: Box::new(write), remote })
}
