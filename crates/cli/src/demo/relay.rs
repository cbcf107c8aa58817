//! The network between the nodes: a relay that can be cut in two.
//!
//! Nodes dial each other through it, and say first who they are and whom they want. It is a part of the demonstration
//! and knows its nodes; it is no proxy for others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use clusterluck::netkernel::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A network on this machine.
pub(super) struct Relay {
    pub(super) address: Address,
    network: Arc<Network>,
    _accepts: JoinSet<()>,
}

struct Network {
    /// Which node is where.
    places: Mutex<BTreeMap<Address, String>>,
    /// The nodes of one side, while the network is in two.
    apart: watch::Sender<BTreeSet<String>>,
}

impl Relay {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.into();
        let network =
            Arc::new(Network { places: Mutex::default(), apart: watch::Sender::new(BTreeSet::new()) });
        let mut accepts = JoinSet::new();
        accepts.spawn(accept(listener, Arc::clone(&network)));
        Ok(Self { address, network, _accepts: accepts })
    }

    /// A node is to be reached at this address.
    pub(super) fn place(&self, id: &str, address: &Address) {
        self.network.places(|places| places.insert(address.clone(), id.to_owned()));
    }

    /// Cuts every connection between these nodes and the others, and lets none through from now on.
    pub(super) fn cut(&self, side: &[&str]) {
        self.network.apart.send_replace(side.iter().map(ToString::to_string).collect());
    }

    /// Lets everyone through again.
    pub(super) fn heal(&self) {
        self.cut(&[]);
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    let mut connections = JoinSet::new();
    // Where the system gives no more connections, dials fail, and the demonstration says so.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let network = Arc::clone(&network);
        connections.spawn(async move {
            // One that breaks is for its two ends to notice.
            drop(network.carry(stream).await);
        });
    }
}

impl Network {
    async fn carry(&self, stream: TcpStream) -> io::Result<()> {
        let mut dialer = BufReader::new(stream);
        let mut line = String::new();
        (&mut dialer).take(LINE_BYTES_MAX).read_line(&mut line).await?;
        let (address, from) = line.trim_end().split_once(' ').ok_or(io::ErrorKind::InvalidData)?;
        let address: Address = address.parse().map_err(|_| io::ErrorKind::InvalidData)?;
        let to = self.places(|places| places.get(&address).cloned()).unwrap_or_default();
        let mut apart = self.apart.subscribe();
        let parts = |side: &BTreeSet<String>| side.contains(from) != side.contains(&to);
        if parts(&apart.borrow_and_update()) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let mut listener = TcpStream::connect((address.host(), address.port())).await?;
        listener.set_nodelay(true)?;
        dialer.get_ref().set_nodelay(true)?;
        tokio::select! {
            carried = copy_bidirectional(&mut dialer, &mut listener) => carried.map(drop),
            _cut = apart.wait_for(parts) => Err(io::ErrorKind::HostUnreachable.into()),
        }
    }

    fn places<T>(&self, use_them: impl FnOnce(&mut BTreeMap<Address, String>) -> T) -> T {
        use_them(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An address and an id, each at its longest.
const LINE_BYTES_MAX: u64 = 1_024;
