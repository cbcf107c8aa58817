//! TCP with Nagle's delay off, for a session's writer already gathers what waits; and with little unsent in the
//! system's buffers, for a small message can overtake a large one only while both wait here.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Connection, Listener, Transport};
use crate::net::BoxFuture;
use crate::node::Address;

/// Connections over TCP. On Linux one ends when nothing that was sent by it is acknowledged, or taken by the other end, for
/// 15 seconds, or one and a half times its kernel's [`write_stall`](crate::Builder::write_stall) where that is longer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(Bearing(UNACKNOWLEDGED_MAX).listen(address))
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(Bearing(UNACKNOWLEDGED_MAX).dial(address))
    }

    fn bearing(&self, write_stall: Duration) -> Option<Arc<dyn Transport>> {
        Some(Arc::new(Bearing::for_stalls_of(write_stall)))
    }
}

/// TCP, ending connections of which nothing is acknowledged for so long.
#[derive(Debug, Clone, Copy)]
struct Bearing(Duration);

impl Bearing {
    /// So long that this ends none that is merely slow: the session does that, and knows why.
    fn for_stalls_of(write_stall: Duration) -> Self {
        Self(write_stall.saturating_add(write_stall / 2).max(UNACKNOWLEDGED_MAX))
    }

    async fn listen(self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind((address.host(), address.port())).await?;
        let local = listener.local_addr()?.into();
        Ok(Box::new(Bound { listener, local, bearing: self }))
    }

    async fn dial(self, address: &Address) -> io::Result<Connection> {
        let found = tokio::net::lookup_host((address.host(), address.port())).await?;
        let stream = connect_any(found).await?;
        self.set_options(&stream)?;
        Ok(connection(stream, address.clone()))
    }

    fn set_options(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        self.set_limits(stream);
        Ok(())
    }

    /// Lets the system take no more than it can send soon: `write` waits while this much is unsent. What is sent and not
    /// yet acknowledged is not limited, so neither is throughput over long distances. But the connection ends where nothing
    /// of it is acknowledged for so long: the system, which sends it again ever more rarely, up to two minutes apart, would
    /// find out that much later that the way is whole again.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_limits(self, stream: &TcpStream) {
        let socket = socket2::SockRef::from(stream);
        // Without them, small messages wait longer behind large ones, and heartbeats find dead ways; nothing else depends on them.
        let _unlimited = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let _patient = socket.set_tcp_user_timeout(Some(self.0));
    }

    /// Elsewhere the system's send buffer is the limit, and small messages wait longer behind large ones; heartbeats alone
    /// find dead ways.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_limits(self, _stream: &TcpStream) {}
}

impl Transport for Bearing {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(self.listen(address))
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(self.dial(address))
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
    bearing: Bearing,
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.local.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (stream, remote) = self.listener.accept().await?;
            // A client that is gone already is no failure of the listener: whoever reads from it will see.
            let _gone = self.bearing.set_options(&stream);
            Ok(connection(stream, remote.into()))
        })
    }
}

fn connection(stream: TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    Connection::new(read, write, remote)
}

/// One turn of a session's writer.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 128 * 1_024;
/// One and a half times what a session's `write_stall` is by default.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);
/// What RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::node::NodeId;
    use crate::security::Insecure;

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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connections_outlast_the_write_stall_of_their_kernel() {
        for (write_stall, unacknowledged) in [(1, Some(15)), (10, Some(15)), (60, Some(90)), (u64::MAX, None)]
        {
            let (listener, address) = listener().await;
            let bearing = Bearing::for_stalls_of(Duration::from_secs(write_stall));
            let mut bound = Bound { listener, local: address.into(), bearing };
            let near = TcpStream::connect(address).await.unwrap();
            bearing.set_options(&near).unwrap();
            bound.accept().await.unwrap();
            let limit = socket2::SockRef::from(&near).tcp_user_timeout().unwrap();
            assert_eq!(limit.map(|limit| limit.as_secs()), unacknowledged);
        }
    }

    #[test]
    fn a_kernel_over_tcp_gets_connections_that_outlast_its_stalls_however_tcp_was_given() {
        let config =
            || Config::builder(NodeId::new("a").unwrap(), Insecure).write_stall(Duration::from_secs(60));
        let shared: Arc<dyn Transport> = Arc::new(Tcp);
        for builder in [config(), config().transport(Tcp), config().transport(shared)] {
            assert_eq!(format!("{:?}", builder.build().unwrap().transport), "Bearing(90s)");
        }
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
