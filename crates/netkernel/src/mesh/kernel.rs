//! The kernel: the handle users hold, and what its tasks share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;

use super::refused::RefusedReason;
use super::shared::Shared;
use super::{acceptor, supervisor};
use crate::config::Config;
use crate::net::Dispatch;
use crate::node::{Address, Node};

/// A node's end of the mesh. Clones are the same kernel. When the last is dropped without a [`shutdown`](Kernel::shutdown),
/// connections are cut and what waits is dropped; calls under way end at once, as [`LinkDown`](crate::CallError::LinkDown) where a part of
/// them was written, and as [`ShuttingDown`](crate::CallError::ShuttingDown) where nothing was.
///
/// See the [crate's front page](crate) for an example.
#[derive(Clone)]
pub struct Kernel {
    pub(super) shared: Arc<Shared>,
    _stop: Arc<Stop>,
}

/// Why a kernel could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address asked for.
        address: Address,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Randomness,
    /// The node listens everywhere, but an address everywhere cannot be dialed.
    #[error("listening at {address} needs an address to advertise, at which others reach this node")]
    Advertise {
        /// The address asked for.
        address: Address,
    },
    /// The address to advertise is everywhere, or has no port: nobody can dial it.
    #[error("{address} cannot be advertised: others cannot reach a node there")]
    Undialable {
        /// The address to advertise.
        address: Address,
    },
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything queued for connected peers was sent and every session was closed by both ends. What waited for peers that
    /// were away was dropped.
    Drained,
    /// The time was up, and what remained was dropped; or a session broke or was left unanswered, so that its peer may
    /// not have read what it was sent.
    Forced,
}

impl Kernel {
    /// Listens, if the configuration says so. Nothing is accepted or dialed before [`serve`](Self::serve); messages
    /// for nodes named to [`connect`](crate::Net::connect) wait until then.
    ///
    /// # Errors
    ///
    /// [`BindError`]
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The kernel's tasks run on the one it is called in.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let listener = match &config.listen {
            None => None,
            Some(address) => {
                let bound = config.transport.bind(address).await;
                Some(bound.map_err(|source| BindError::Listen { address: address.clone(), source })?)
            }
        };
        let address = match (&config.advertise, &listener) {
            (Some(address), _) if is_everywhere(address) || address.port() == 0 => {
                return Err(BindError::Undialable { address: address.clone() });
            }
            (Some(address), _) => address.clone(),
            (None, Some(listener)) => dialable(listener.local_address())?,
            (None, None) => Address::new("0.0.0.0", 0).expect("the address of nobody is well-formed"),
        };
        let node = Node { id: config.id.clone(), address, incarnation: config.incarnation };
        let shared = Arc::new(Shared::new(config, node, listener)?);
        Ok(Self { shared: Arc::clone(&shared), _stop: Arc::new(Stop(shared)) })
    }

    /// Starts to accept and to dial; what arrives goes to `dispatch`. Has an effect the first time only.
    pub fn serve(&self, dispatch: Arc<dyn Dispatch>) {
        if !self.shared.set_dispatch(dispatch) {
            return;
        }
        if let Some(listener) = self.shared.take_listener() {
            self.shared.spawn(acceptor::run(Arc::clone(&self.shared), listener));
        }
        self.shared.spawn(self.shared.watch());
        #[cfg(feature = "metrics")]
        self.shared.spawn(self.shared.sampler());
        for link in self.shared.all_links() {
            supervisor::begin(&self.shared, &link);
        }
    }

    /// How many connections this node refused since it was bound, by reason; reasons without any are left out. The
    /// log tells of them a few at a time, with their numbers.
    #[must_use]
    pub fn refused(&self) -> Vec<(RefusedReason, u64)> {
        self.shared.refused.counts()
    }

    /// Stops accepting and dialing, sends what is queued, closes every session in good order and waits for every
    /// task, all within `within`; after that, what remains is dropped. Streams of events end, also where other handles
    /// of this kernel are kept.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has begun what it does, and nothing forces it any more: call it again.
    pub async fn shutdown(&self, within: Duration) -> Stopped {
        let shared = &self.shared;
        shared.latch.shut(|| {
            shared.closing.cancel();
            shared.tasks.close();
            for link in shared.all_links() {
                link.end_wish();
                link.shut_down();
            }
        });
        let drained = tokio::time::timeout(within, shared.tasks.wait()).await.is_ok();
        if !drained {
            // Whoever else waits for the same, or asks later, is told the same.
            shared.is_drained.store(false, Ordering::Relaxed);
        }
        shared.stop();
        shared.tasks.wait().await;
        shared.forget_all();
        shared.events.close();
        if shared.is_drained.load(Ordering::Relaxed) { Stopped::Drained } else { Stopped::Forced }
    }
}

/// Ends the kernel with its last handle.
struct Stop(Arc<Shared>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.latch.shut(|| self.0.stop());
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kernel").field("node", &self.shared.node()).finish_non_exhaustive()
    }
}

/// What a listener's own address tells others, unless it listens everywhere.
fn dialable(address: Address) -> Result<Address, BindError> {
    if is_everywhere(&address) { Err(BindError::Advertise { address }) } else { Ok(address) }
}

fn is_everywhere(address: &Address) -> bool {
    address.host().parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified())
}
