//! Kernels over turmoil's network, with connections that a test can break.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use netkernel::{Address, BoxFuture, Connection, Listener, Transport};
use tokio::io::{AsyncRead, ReadBuf};
use turmoil::net::tcp::OwnedReadHalf;

thread_local! {
    /// Counts the times all connections of this thread's simulation were broken. One that is older than the count breaks
    /// when something arrives on it.
    static BROKEN: Cell<usize> = const { Cell::new(0) };
}

/// Breaks every connection there is.
pub(crate) fn reset_all() {
    BROKEN.set(BROKEN.get() + 1);
}

/// Connections over the simulated network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulated;

impl Transport for Simulated {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = turmoil::net::TcpListener::bind(("0.0.0.0", address.port())).await?;
            Ok(Box::new(Bound { listener, address: address.clone() }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let stream = turmoil::net::TcpStream::connect((address.host(), address.port())).await?;
            Ok(connection(stream, address.clone()))
        })
    }
}

struct Bound {
    listener: turmoil::net::TcpListener,
    address: Address,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            let (stream, remote) = self.listener.accept().await?;
            Ok(connection(stream, remote.into()))
        })
    }
}

/// The reading half of a connection.
struct Breakable {
    read: OwnedReadHalf,
    made: usize,
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::task::ready!(Pin::new(&mut self.read).poll_read(cx, buf));
        if self.made < BROKEN.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(read)
    }
}

fn connection(stream: turmoil::net::TcpStream, remote: Address) -> Connection {
    let (read, write) = stream.into_split();
    let read = Breakable { read, made: BROKEN.get() };
    Connection::new(read, write, remote)
}
