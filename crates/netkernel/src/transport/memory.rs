//! A network in memory, for tests: named hosts, links that can be cut and healed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Connection, Listener, Transport};
use crate::net::BoxFuture;
use crate::node::Address;

/// A network of hosts that exist in this process only. Clones are the same network.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use netkernel::{MemoryNetwork, Transport};
///
/// let network = MemoryNetwork::new();
/// let mut listener = network.host("a").bind(&"a:0".parse()?).await?;
/// let address = listener.local_address();
///
/// network.cut("a", "b");
/// assert!(network.host("b").connect(&address).await.is_err());
/// network.heal("a", "b");
/// assert!(network.host("b").connect(&address).await.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: BTreeMap<Address, mpsc::Sender<Connection>>,
    ports: u16,
    cut: BTreeSet<(String, String)>,
    muted: BTreeSet<(String, String)>,
    connections: Vec<((String, String), Faults)>,
}

/// What may befall one connection, seen by both its ends.
#[derive(Debug, Clone, Default)]
struct Faults {
    reset: CancellationToken,
    mute: Arc<Mutex<Mute>>,
}

/// Whether reads find nothing, and who waits for that to end.
#[derive(Debug, Default)]
struct Mute {
    muted: bool,
    waiting: Vec<Waker>,
}

impl Faults {
    fn set_muted(&self, muted: bool) {
        let mut mute = self.mute.lock().unwrap_or_else(PoisonError::into_inner);
        mute.muted = muted;
        if !muted {
            mute.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

impl MemoryNetwork {
    /// A network without hosts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of one host. It listens at, and is reached by, addresses with its name as the host.
    #[must_use]
    pub fn host(&self, name: impl Into<String>) -> MemoryHost {
        MemoryHost { name: name.into(), network: self.clone() }
    }

    /// Resets the connections between two hosts and refuses new ones until [`heal`](Self::heal).
    pub fn cut(&self, one: &str, other: &str) {
        self.inner().cut.insert(pair(one, other));
        self.reset(one, other);
    }

    /// Lets nothing more arrive between two hosts until [`heal`](Self::heal), without breaking a connection: what
    /// a cable pulled out does.
    pub fn mute(&self, one: &str, other: &str) {
        self.set_muted(one, other, true);
    }

    /// Lets two hosts connect and hear each other again.
    pub fn heal(&self, one: &str, other: &str) {
        self.inner().cut.remove(&pair(one, other));
        self.set_muted(one, other, false);
    }

    fn set_muted(&self, one: &str, other: &str, muted: bool) {
        let (pair, mut inner) = (pair(one, other), self.inner());
        for (_, faults) in inner.connections.iter().filter(|(between, _)| *between == pair) {
            faults.set_muted(muted);
        }
        if muted {
            inner.muted.insert(pair);
        } else {
            inner.muted.remove(&pair);
        }
    }

    /// Resets the connections between two hosts; they may connect again at once.
    pub fn reset(&self, one: &str, other: &str) {
        let pair = pair(one, other);
        self.inner().connections.retain(|(between, faults)| {
            if *between == pair {
                faults.reset.cancel();
            }
            *between != pair
        });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One host of a [`MemoryNetwork`].
#[derive(Debug, Clone)]
pub struct MemoryHost {
    name: String,
    network: MemoryNetwork,
}

impl MemoryHost {
    fn listen(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let mut inner = self.network.inner();
        let mut address = address.clone();
        if address.port() == 0 {
            inner.ports = inner.ports.checked_add(1).ok_or(io::ErrorKind::AddrNotAvailable)?;
            address = Address::new(address.host(), inner.ports).map_err(io::Error::other)?;
        }
        if inner.listeners.get(&address).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        inner.listeners.insert(address.clone(), sender);
        Ok(Box::new(Bound { address, incoming }))
    }

    fn open(&self, address: &Address) -> io::Result<(Connection, mpsc::Sender<Connection>, Connection)> {
        let mut inner = self.network.inner();
        let between = pair(&self.name, address.host());
        if inner.cut.contains(&between) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let listener = inner.listeners.get(address).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        let faults = Faults::default();
        faults.set_muted(inner.muted.contains(&between));
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let remote = Address::new(&self.name, 0).map_err(io::Error::other)?;
        let near = connection(near, &faults, address.clone());
        let far = connection(far, &faults, remote);
        inner.connections.retain(|(_, faults)| Arc::strong_count(&faults.mute) > 1);
        inner.connections.push((between, faults));
        Ok((near, listener, far))
    }
}

impl Transport for MemoryHost {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(std::future::ready(self.listen(address)))
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let (near, listener, far) = self.open(address)?;
            listener.send(far).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(near)
        })
    }
}

struct Bound {
    address: Address,
    incoming: mpsc::Receiver<Connection>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener for Bound {
    fn local_address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async { self.incoming.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

/// One half of a pipe that suffers its connection's faults.
struct Half<T> {
    stream: T,
    reset: Pin<Box<WaitForCancellationFutureOwned>>,
    mute: Arc<Mutex<Mute>>,
}

impl<T: Unpin> Half<T> {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.reset.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Half<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        {
            let mut mute = self.mute.lock().unwrap_or_else(PoisonError::into_inner);
            if mute.muted {
                mute.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Half<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn connection(stream: DuplexStream, faults: &Faults, remote: Address) -> Connection {
    let (read, write) = tokio::io::split(stream);
    let reset = || Box::pin(faults.reset.clone().cancelled_owned());
    let mute = || Arc::clone(&faults.mute);
    let read = Half { stream: read, reset: reset(), mute: mute() };
    Connection::new(read, Half { stream: write, reset: reset(), mute: mute() }, remote)
}

fn pair(one: &str, other: &str) -> (String, String) {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    (low.to_owned(), high.to_owned())
}

/// Connections that wait to be accepted; a further `connect` waits.
const BACKLOG: usize = 128;
/// Bytes under way in one direction, about what a socket buffer on loopback holds.
const PIPE_BYTES: usize = 256 * 1_024;
