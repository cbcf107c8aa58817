//! How a client is set up.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gossip::{RingName, RingNameError};
use netkernel::{
    Address, AddressError, BindError, Config, Cookie, CookieError, Kernel, NodeId, Noise, Role, Tcp,
    Transport,
};
use thiserror::Error;

use super::follower::FollowError;
use super::handle::{Client, Parts};
use crate::user_cookie::{self, UserCookieError};

/// Sets up a client; see [`Client::builder`].
///
/// Nothing is checked before [`connect`](Builder::connect), which names the first thing that is wrong.
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    cookie: Option<Secret>,
    ring: Option<String>,
    seeds: Vec<String>,
    within: Duration,
    transport: Box<dyn FnOnce(netkernel::Builder) -> netkernel::Builder + Send>,
}

/// Where the cookie comes from.
enum Secret {
    Given(Cookie),
    File(PathBuf),
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            cookie: None,
            ring: None,
            seeds: Vec::new(),
            within: WITHIN,
            transport: Box::new(|config| config.transport(Tcp)),
        }
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

    /// A node to ask for the ring, as `host:port`. One is enough; several are for when it is away.
    pub fn seed(mut self, address: impl Into<String>) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// The ring to be a client of: nodes of another are passed over. Without it, the ring of the first node that
    /// answers.
    pub fn ring(mut self, name: impl Into<String>) -> Self {
        self.ring = Some(name.into());
        self
    }

    /// How long to wait for a first answer. Default 5 s.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// How connections are made. Default TCP.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Box::new(|config| config.transport(transport));
        self
    }

    /// Connects, and returns once the ring is known.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] names what is wrong; nothing goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, nothing goes on.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        if self.seeds.is_empty() {
            return Err(ConnectError::NoSeed);
        }
        let ring = self.ring.as_deref().map(RingName::new).transpose()?;
        let seed = |text: &String| {
            text.parse::<Address>().map_err(|source| ConnectError::Address { address: text.clone(), source })
        };
        let seeds = self.seeds.iter().map(seed).collect::<Result<Vec<_>, _>>()?;
        let cookie = match self.cookie {
            Some(Secret::Given(cookie)) => cookie,
            Some(Secret::File(path)) => Cookie::read_file(path)?,
            None => user_cookie::read_or_make()?,
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| BindError::Randomness)?;
        let id = NodeId::new(format!("client-{:032x}", u128::from_le_bytes(random)))
            .expect("a prefix and 32 digits are a valid id");
        let config = Config::builder(id, Noise::new(&cookie)).role(Role::Client);
        let config = (self.transport)(config).build().expect("no limit is set");
        let kernel = Kernel::bind(config).await?;
        let start = usize::from(u16::from_le_bytes([random[0], random[1]]));
        Client::connect(Parts { kernel, seeds, ring, start }, self.within).await
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Builder").field("seeds", &self.seeds).finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No node to ask was named.
    #[error("no node to ask was given; name one as host:port")]
    NoSeed,
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
    /// This end could not be set up.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No node told of a ring in time.
    #[error("no node told of the ring within {within:?}")]
    NobodyAnswered {
        /// How long was waited.
        within: Duration,
        /// What became of the last attempt, if one has ended.
        source: Option<Arc<FollowError>>,
    },
}

const WITHIN: Duration = Duration::from_secs(5);
