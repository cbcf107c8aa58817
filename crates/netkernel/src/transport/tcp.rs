//! TCP with Nagle's delay off, for a session's writer already gathers what waits; and with little unsent in the
//! system's buffers, for a small message can overtake a large one only while both wait here.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

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
            let found = tokio::net::lookup_host((address.host(), address.port())).await?;
            let stream = connect_any(found).await?;
            set_options(&stream)?;
            Ok(connection(stream, address.clone()))
        })
    }
}

/// Connects to whichever of a name's addresses answers first. They are tried in turn, the next as soon as one fails or
/// has not answered for a while, so that one that is dead takes no time from those behind it.
///
/// Source: D. Schinazi and T. Pauly, "Happy Eyeballs Version 2", RFC 8305, 2017, section 5.
async fn connect_any(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.peekable();
    let mut attempts = JoinSet::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = addresses.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                None => return Err(failed),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failed = error,
                Some(Err(ended)) => failed = io::Error::other(ended),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if addresses.peek().is_some() => {}
        }
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
    set_limits(stream);
    Ok(())
}

/// Lets the system take no more than it can send soon: `write` waits while this much is unsent. What is sent and not
/// yet acknowledged is not limited, so neither is throughput over long distances. But the connection ends where nothing
/// of it is acknowledged for so long: the system, which sends it again ever more rarely, up to two minutes apart, would
/// find out that much later that the way is whole again.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_limits(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    // Without them, small messages wait longer behind large ones, and heartbeats find dead ways; nothing else depends on them.
    let _unlimited = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    let _patient = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
}

/// Elsewhere the system's send buffer is the limit, and small messages wait longer behind large ones; heartbeats alone find
/// dead ways.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_limits(_stream: &TcpStream) {}

/// One turn of a session's writer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1_024;
/// Longer than a session's `write_stall` is by default, so that this ends none that is merely slow.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);
/// What RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn closed() -> SocketAddr {
        listener().await.1
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_passed_over() {
        let (_open, address) = listener().await;
        let stream = connect_any([closed().await, closed().await, address].into_iter()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let refused = connect_any([closed().await, closed().await].into_iter()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let none = connect_any([].into_iter()).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    /// A listener whose backlog is full answers no more than a host that is not there.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_does_not_answer_does_not_hide_the_next() {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let dead = full.local_addr().unwrap().as_socket().unwrap();
        let _taken = TcpStream::connect(dead).await.unwrap();
        let (_open, address) = listener().await;
        let stream = connect_any([dead, address].into_iter()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    }
}
