//! How a node is set up.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gossip::liveness::{Detector, RemovalPolicy};
use gossip::{FileStore, Gossip, MemoryStore, RingName, RingNameError, Store};
use netkernel::{
    Address, AddressError, BindError, Cookie, CookieError, Kernel, NameError, Net, NodeId, Noise, Tcp,
    Transport,
};
use thiserror::Error;

use crate::cluster::{Cluster, Parts};
use crate::user_cookie::{self, UserCookieError};

/// Sets up a node; see [`Cluster::builder`].
///
/// Nothing is checked before [`start`](Builder::start), which names the first thing that is wrong.
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    id: String,
    listen: String,
    advertise: Option<String>,
    cookie: Option<Secret>,
    ring: String,
    data_dir: Option<PathBuf>,
    weight: u32,
    zone: Option<String>,
    tags: BTreeMap<String, String>,
    seeds: Vec<String>,
    liveness: Box<dyn FnOnce(gossip::Builder) -> gossip::Builder + Send>,
    /// The detector asks every member in turn.
    is_probed: bool,
    transport: Box<dyn FnOnce(netkernel::Builder) -> netkernel::Builder + Send>,
}

/// Where the cookie comes from.
enum Secret {
    Given(Cookie),
    File(PathBuf),
}

impl Builder {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            listen: LISTEN.to_owned(),
            advertise: None,
            cookie: None,
            ring: RING.to_owned(),
            data_dir: None,
            weight: hashring::WEIGHT_DEFAULT,
            zone: None,
            tags: BTreeMap::new(),
            seeds: Vec::new(),
            liveness: Box::new(|settings| settings),
            is_probed: true,
            transport: Box::new(|config| config.transport(Tcp)),
        }
    }

    /// Where to listen, as `host:port`; port 0 takes any free port. Default `127.0.0.1:0`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// The address told to others, as `host:port`, where it is not the one listened at.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// The cluster's secret. Without this or [`cookie_file`](Self::cookie_file) it is the
    /// [user's own](crate::user_cookie), which is made if there is none.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.cookie = Some(Secret::Given(cookie));
        self
    }

    /// The file that holds the cluster's secret; only its owner may be able to read it.
    pub fn cookie_file(mut self, path: impl AsRef<Path>) -> Self {
        self.cookie = Some(Secret::File(path.as_ref().to_owned()));
        self
    }

    /// The ring to be in. Nodes of one cookie and one ring name that meet become one ring. Default `clusterluck`.
    /// A node that left of itself or was removed stays out until told to [`join`](Cluster::join).
    pub fn ring(mut self, name: impl Into<String>) -> Self {
        self.ring = name.into();
        self
    }

    /// Where this node keeps what it knows of the ring, so that it finds its way back after a restart. Without
    /// one it starts from nothing each time.
    pub fn data_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.data_dir = Some(path.as_ref().to_owned());
        self
    }

    /// How many points this node has on the ring; 0 makes it a member that owns no keys. Default 160.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The zone this node is in, for placements that spread over zones.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Something to tell all members about this node.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// A node to meet, as `host:port`, tried until it answers. Meeting oneself does nothing, so all nodes may be
    /// given the same list.
    pub fn meet(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// What decides which members are alive. Default [`Pace::lan`](gossip::liveness::Pace::lan).
    pub fn detector(mut self, detector: Detector) -> Self {
        let before = self.liveness;
        self.is_probed = detector.pace().is_some();
        self.liveness = Box::new(|settings| before(settings).detector(detector));
        self
    }

    /// Whether members that are down are removed in time, so that their keys pass to others for good. Default
    /// [`Never`](gossip::liveness::Never).
    pub fn removal(mut self, policy: impl RemovalPolicy + 'static) -> Self {
        let before = self.liveness;
        self.liveness = Box::new(|settings| before(settings).removal(policy));
        self
    }

    /// How connections are made. Default TCP.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Box::new(|config| config.transport(transport));
        self
    }

    /// Starts the node: listens, loads what was stored, is in its ring, and answers the command line.
    ///
    /// # Errors
    ///
    /// [`StartError`] names what is wrong; nothing was started.
    pub async fn start(self) -> Result<Cluster, StartError> {
        let id = NodeId::new(&self.id).map_err(|source| StartError::Id { id: self.id.clone(), source })?;
        let ring = RingName::new(&self.ring)?;
        let listen = parse(&self.listen)?;
        let advertise = self.advertise.as_deref().map(parse).transpose()?;
        let seeds = self.seeds.iter().map(|seed| parse(seed)).collect::<Result<Vec<_>, _>>()?;
        let cookie = match self.cookie {
            Some(Secret::Given(cookie)) => cookie,
            Some(Secret::File(path)) => Cookie::read_file(path)?,
            None => user_cookie::read_or_make()?,
        };
        let store = store(self.data_dir.as_deref())?;
        let mut settings = gossip::Config::builder().ring(ring).weight(self.weight);
        if let Some(zone) = self.zone {
            settings = settings.zone(zone);
        }
        for (key, value) in self.tags {
            settings = settings.tag(key, value);
        }
        let settings = (self.liveness)(settings).build()?;
        let mut config = netkernel::Config::builder(id, Noise::new(&cookie)).listen(listen);
        if let Some(advertise) = advertise {
            config = config.advertise(advertise);
        }
        if self.is_probed {
            config = config.heartbeat(HEARTBEAT_IDLE, HEARTBEAT_BUSY, HEARTBEAT_TIMEOUT);
        }
        let config = (self.transport)(config).build().expect("all that is set is in range");
        let kernel = Kernel::bind(config).await?;
        let net: Arc<dyn Net> = Arc::new(kernel.clone());
        match Gossip::start(net, settings, store).await {
            Ok(gossip) => Ok(Cluster::assemble(Parts { kernel, gossip, seeds })),
            Err(error) => {
                kernel.shutdown(Duration::ZERO).await;
                Err(error.into())
            }
        }
    }
}

/// The members probe each other, and a session with one that is down is asked at once: heartbeats of each with each, more of
/// them than of anything else in a large idle mesh, need not find that out as well.
const HEARTBEAT_IDLE: Duration = Duration::from_secs(60);
/// As the kernel's own defaults are.
const HEARTBEAT_BUSY: Duration = Duration::from_secs(2);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a node could not be started. Nothing was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The id is not one.
    #[error("`{id}` cannot be a node's id: {source}")]
    Id {
        /// The id given.
        id: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// The ring's name is not one.
    #[error(transparent)]
    Ring(#[from] RingNameError),
    /// An address is not one.
    #[error("`{address}` is not an address: {source}")]
    Address {
        /// The address given.
        address: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// The cookie cannot be read.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// No cookie was given, and there is none of the user's own.
    #[error(transparent)]
    UserCookie(#[from] UserCookieError),
    /// The node cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A setting of gossip makes no sense.
    #[error(transparent)]
    Config(#[from] gossip::ConfigError),
    /// Gossip cannot start.
    #[error(transparent)]
    Gossip(#[from] gossip::StartError),
}

/// Where gossip keeps its state: a file in the data directory, which is made if it is not there.
fn store(data_dir: Option<&Path>) -> Result<Arc<dyn Store>, StartError> {
    let Some(path) = data_dir else { return Ok(Arc::new(MemoryStore::new())) };
    std::fs::create_dir_all(path)
        .map_err(|source| StartError::DataDir { path: path.display().to_string(), source })?;
    Ok(Arc::new(FileStore::new(path.join(STATE_FILE))))
}

fn parse(address: &str) -> Result<Address, StartError> {
    address.parse().map_err(|source| StartError::Address { address: address.to_owned(), source })
}

const LISTEN: &str = "127.0.0.1:0";
const STATE_FILE: &str = "gossip.state";
const RING: &str = "clusterluck";
