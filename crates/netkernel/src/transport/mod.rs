//! How bytes get from one node to another.

mod memory;
mod tcp;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::{MemoryHost, MemoryNetwork};
pub use tcp::Tcp;

use crate::net::BoxFuture;
use crate::node::Address;

/// Makes connections: ordered, reliable byte streams in both directions. Security is not its business.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Starts to listen. Port 0 asks for any free port; [`Listener::local_address`] tells which.
    ///
    /// # Errors
    ///
    /// What the system says: the address is in use, not this machine's, or not allowed.
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// Connects to a listener.
    ///
    /// # Errors
    ///
    /// What the system says: refused, unreachable, unknown host.
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>>;

    /// The same transport for a kernel that bears a connection which takes nothing for so long
    /// ([`write_stall`](crate::Builder::write_stall)): asked for once, when a kernel is configured. One that ends connections
    /// by a time limit of its own gives itself with a limit that is longer than this. By default it has none, and is used
    /// as it is.
    fn bearing(&self, write_stall: Duration) -> Option<Arc<dyn Transport>> {
        let _ = write_stall;
        None
    }
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        T::bind(self, address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        T::connect(self, address)
    }

    fn bearing(&self, write_stall: Duration) -> Option<Arc<dyn Transport>> {
        T::bearing(self, write_stall)
    }
}

/// Takes connections in.
pub trait Listener: Send + fmt::Debug {
    /// Where it listens.
    fn local_address(&self) -> Address;

    /// The next connection.
    ///
    /// # Errors
    ///
    /// What the system says; the listener stays usable.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no connection.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;
}

/// The two halves of a byte stream.
#[non_exhaustive]
pub struct Connection {
    /// What the other end wrote.
    pub read: Box<dyn AsyncRead + Send + Unpin>,
    /// What the other end will read.
    pub write: Box<dyn AsyncWrite + Send + Unpin>,
    /// The other end's address, as the transport sees it.
    pub remote: Address,
}

impl Connection {
    /// A connection with whoever is at `remote`.
    #[must_use]
    pub fn new(
        read: impl AsyncRead + Send + Unpin + 'static,
        write: impl AsyncWrite + Send + Unpin + 'static,
        remote: Address,
    ) -> Self {
        Self { read: Box::new(read), write: Box::new(write), remote }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").field("remote", &self.remote).finish_non_exhaustive()
    }
}
