//! TCP with Nagle's delay off, for a session's writer already gathers what waits; and with little unsent in the
//! system's buffers, for a small message can overtake a large one only while both wait here.

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
            set_options(&stream)?;
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
            let _gone = set_options(&stream);
            Ok(connection(stream, remote.into()))
        })
    }
}

fn connection(stream: TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    Connection { read: Box::new(read), write: Box::new(write), remote }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    limit_unsent(stream);
    Ok(())
}

/// Lets the system take no more than it can send soon: `write` waits while this much is unsent. What is sent and not
/// yet acknowledged is not limited, so neither is throughput over long distances.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(stream: &TcpStream) {
    // Without it, small messages wait longer behind large ones; nothing else depends on it.
    let _unlimited = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// Elsewhere the system's send buffer is the limit: small messages wait longer behind large ones.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(_stream: &TcpStream) {}

/// One turn of a session's writer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1_024;
