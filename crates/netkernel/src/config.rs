//! The settings of a kernel.

mod builder;
mod check;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::Builder;
pub use check::ConfigError;

use crate::node::{Address, Incarnation, NodeId, Role};
use crate::proto::credit::{CAST_OVERHEAD_BYTES, LINK_BYTES};
use crate::proto::hello::Receives;
use crate::proto::reassembly::MESSAGES_MAX as UNFINISHED_MAX;
use crate::security::Security;
use crate::transport::{Tcp, Transport};

/// How a kernel is set up. Security has no default: it is the one choice that must be made.
///
/// What both ends of a session have to agree on, and what no deployment has a reason to change, is no setting: the credit
/// of a server (4,096 casts or 2 MiB) and of a link (16 MiB), 4,096 names and 1,024 unfinished messages a session, 64 KiB
/// that may go ahead, pieces of 60 KiB at most, how much bulk may be under way (64 KiB to 16 MiB, as its way is), and the
/// turns of those who dial at once. The [wire format](crate::wire_v1) says what of this a peer can rely on.
///
/// ```
/// use netkernel::{Config, ConfigError, Cookie, NodeId, Noise};
///
/// let cookie = Cookie::generate()?;
/// let config = Config::builder(NodeId::new("a")?, Noise::new(&cookie)).listen("127.0.0.1:0".parse()?).build()?;
/// assert_eq!(config.id().as_str(), "a");
/// // What cannot work is refused before anything is started.
/// let refused = Config::builder(NodeId::new("a")?, Noise::new(&cookie)).message_bytes_max(16 << 20).build();
/// assert!(matches!(refused, Err(ConfigError::Exceeds { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Config {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) role: Role,
    pub(crate) listen: Option<Address>,
    pub(crate) advertise: Option<Address>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) security: Arc<dyn Security>,
    pub(crate) limits: Limits,
}

/// The limits of a kernel's links and handshakes.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) message_bytes_max: usize,
    pub(crate) queue_bytes_soft: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) offline_messages_max: usize,
    pub(crate) offline_bytes_max: usize,
    pub(crate) offline_age_max: Duration,
    pub(crate) offline_policy: OfflinePolicy,
    pub(crate) reassembly_bytes_max: usize,
    pub(crate) control_frames_max: usize,
    pub(crate) calls_max: usize,
    pub(crate) heartbeat_idle: Duration,
    pub(crate) heartbeat_busy: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) handshake_first: Duration,
    pub(crate) handshake_whole: Duration,
    pub(crate) handshakes_max: usize,
    pub(crate) handshakes_per_host_max: usize,
    pub(crate) sessions_max: usize,
    pub(crate) sessions_per_peer_max: usize,
    pub(crate) dials_max: usize,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) probe: Duration,
}

impl Limits {
    /// What the other end of a session is told of them.
    pub(crate) fn receives(&self) -> Receives {
        Receives {
            message_bytes: self.message_bytes_max as u64,
            unfinished_bytes: self.reassembly_bytes_max as u64,
            unfinished_messages: UNFINISHED_MAX as u64,
        }
    }

    /// What casts of one peer may take here while they wait for their mailboxes: all that a peer which keeps to its
    /// credit can have under way, what waited while it was away included, and one message of the largest size that
    /// exceeds it.
    pub(crate) fn held_bytes_max(&self) -> usize {
        let overhead = 2 * CAST_OVERHEAD_BYTES as usize;
        LINK_BYTES as usize + self.message_bytes_max + overhead
    }
}

impl Config {
    /// Settings to choose from, at their defaults, for a node of this name. Without [`listen`](Builder::listen) it only
    /// dials.
    pub fn builder(id: NodeId, security: impl Security) -> Builder {
        Builder::new(Self {
            id,
            incarnation: Incarnation::default(),
            role: Role::Node,
            listen: None,
            advertise: None,
            transport: Arc::new(Tcp),
            security: Arc::new(security),
            limits: Limits::default(),
        })
    }

    /// The name of the node.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }
}

/// What happens to a message for a peer that is not connected when as many wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OfflinePolicy {
    /// It is not accepted: its sender gets it back as [`SendError::Busy`](crate::SendError::Busy).
    #[default]
    FailNew,
    /// The oldest cast that waits is dropped for it, and counted.
    DropOldest,
}

/// The reasons stand with the setters.
impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            queue_bytes_soft: 1 << 20,
            queue_bytes_max: 8 << 20,
            offline_messages_max: 1_024,
            offline_bytes_max: 8 << 20,
            offline_age_max: Duration::from_secs(30),
            offline_policy: OfflinePolicy::FailNew,
            reassembly_bytes_max: 8 << 20,
            control_frames_max: 4_096,
            calls_max: 65_536,
            heartbeat_idle: Duration::from_secs(15),
            heartbeat_busy: Duration::from_secs(2),
            heartbeat_timeout: Duration::from_secs(5),
            write_stall: Duration::from_secs(10),
            handshake_first: Duration::from_millis(500),
            handshake_whole: Duration::from_secs(3),
            handshakes_max: 128,
            handshakes_per_host_max: 32,
            sessions_max: 4_096,
            sessions_per_peer_max: 8,
            dials_max: 8,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            probe: Duration::from_secs(1),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("id", &self.id)
            .field("incarnation", &self.incarnation)
            .field("role", &self.role)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("transport", &self.transport)
            .field("security", &self.security)
            .field("limits", &self.limits)
            .finish()
    }
}
