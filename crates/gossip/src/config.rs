//! How a node gossips, and what it says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashring::{HashRing, LAYOUT_VERSION, WEIGHT_DEFAULT, WEIGHT_MAX};
use netkernel::Node;
use thiserror::Error;

use crate::liveness::{Detector, Never, PaceError, RemovalPolicy};
use crate::message::PROTOCOL;
use crate::proto::{Protocols, Settings, TAG_BYTES_MAX, ZONE_BYTES_MAX, tag_bytes};
use crate::ring_name::RingName;
use crate::view::RingMember;

/// How a node gossips, and what it says of itself.
///
/// The layout seed must match on all nodes of a ring: it decides where keys are, and nodes that differ refuse each
/// other with [`ConfigMismatch`](crate::Event::ConfigMismatch). Everything else may differ.
///
/// ```
/// use gossip::{Config, RingName};
///
/// let config = Config::builder().ring(RingName::new("ring")?).weight(320).tag("zone", "eu").build()?;
/// assert_eq!(config.weight(), 320);
/// assert!(Config::builder().weight(u32::MAX).build().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    ring: Option<RingName>,
    layout_seed: u64,
    weight: u32,
    zone: Option<String>,
    tags: BTreeMap<String, String>,
    sync_every: Duration,
    flush_within: Duration,
    meet_within: Duration,
    leave_within: Duration,
    members_max: usize,
    inbox_frames: usize,
    detector: Detector,
    removal: Arc<dyn RemovalPolicy>,
    protocols: Protocols,
    extension: Bytes,
}

impl Config {
    /// Settings to choose from, at their defaults.
    pub fn builder() -> Builder {
        Builder { config: Self::default() }
    }

    /// The weight of this node when it founds or joins a ring, and of nodes inserted without one, in points.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What decides, with the members, where keys are.
    #[must_use]
    pub fn layout_seed(&self) -> u64 {
        self.layout_seed
    }

    pub(crate) fn inbox_frames(&self) -> usize {
        self.inbox_frames
    }

    /// An empty ring of this layout.
    pub(crate) fn empty_ring(&self) -> HashRing<RingMember> {
        let ring = HashRing::builder().seed(self.layout_seed).default_weight(self.weight).build();
        ring.expect("the weight was checked, and no nodes are over no limit")
    }

    pub(crate) fn settings(&self, node: Node) -> Settings {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4).max(1);
        let mut settings = Settings::new(node.id, node.address);
        settings.ring.clone_from(&self.ring);
        settings.layout = layout_fingerprint(self.layout_seed);
        settings.weight = self.weight;
        settings.zone = self.zone.as_deref().map(Into::into);
        settings.tags.clone_from(&self.tags);
        settings.sync_ms = millis(self.sync_every);
        settings.flush_ms = millis(self.flush_within);
        settings.meet_ms = millis(self.meet_within);
        settings.leave_ms = millis(self.leave_within);
        settings.members_max = self.members_max;
        settings.detector = self.detector.clone();
        settings.removal = Arc::clone(&self.removal);
        settings.protocols = self.protocols;
        settings.extension = self.extension.clone();
        settings
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ring: None,
            layout_seed: 0,
            weight: WEIGHT_DEFAULT,
            zone: None,
            tags: BTreeMap::new(),
            sync_every: SYNC_EVERY,
            flush_within: FLUSH_WITHIN,
            meet_within: MEET_WITHIN,
            leave_within: LEAVE_WITHIN,
            members_max: MEMBERS_MAX,
            inbox_frames: INBOX_FRAMES,
            detector: Detector::default(),
            removal: Arc::new(Never),
            protocols: Protocols { oldest: PROTOCOL, newest: PROTOCOL },
            extension: Bytes::new(),
        }
    }
}

/// Builds a [`Config`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// The ring to be in when nothing is stored yet. Without it, a new node stays outside until it joins.
    pub fn ring(mut self, ring: RingName) -> Self {
        self.config.ring = Some(ring);
        self
    }

    /// What decides, with the members, where keys are. Must match on all nodes of the ring. Default 0.
    pub fn layout_seed(mut self, seed: u64) -> Self {
        self.config.layout_seed = seed;
        self
    }

    /// This node's points on the ring when it founds or joins one, and those of nodes it inserts without saying.
    /// 0 is a member that owns nothing. Default 160.
    pub fn weight(mut self, points: u32) -> Self {
        self.config.weight = points;
        self
    }

    /// This node's failure domain, at most 255 bytes.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.config.zone = Some(zone.into());
        self
    }

    /// A label of this node for others to see. All of them together take at most 4 KiB.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.tags.insert(key.into(), value.into());
        self
    }

    /// The pause between comparisons with another member: how long a node that missed a rumour stays behind, and
    /// what an idle node sends. Default 1 s. A comparison comes up to a quarter later, or 250 ms sooner, to go along with a
    /// probe of the failure detector, to the same member; else it is with a random one.
    pub fn sync_every(mut self, pause: Duration) -> Self {
        self.config.sync_every = pause;
        self
    }

    /// How long what others changed may wait to be stored; they still have it. Default 1 s.
    pub fn flush_within(mut self, delay: Duration) -> Self {
        self.config.flush_within = delay;
        self
    }

    /// How long a meet is tried. Default 5 s.
    pub fn meet_within(mut self, limit: Duration) -> Self {
        self.config.meet_within = limit;
        self
    }

    /// How long a leave waits for acknowledgement. Default 5 s.
    pub fn leave_within(mut self, limit: Duration) -> Self {
        self.config.leave_within = limit;
        self
    }

    /// How many members an insert on this node may make the ring have. Who comes by a meet, or was inserted elsewhere, is not
    /// counted. Default 10,000.
    pub fn members_max(mut self, members: usize) -> Self {
        self.config.members_max = members;
        self
    }

    /// What decides which members are alive. Default [`Swim`](crate::liveness::Swim) at the pace of
    /// [`Pace::lan`](crate::liveness::Pace::lan).
    pub fn detector(mut self, detector: Detector) -> Self {
        self.config.detector = detector;
        self
    }

    /// Whether members that are down are removed in time. Default [`Never`]: no key moves unless someone says so.
    pub fn removal(mut self, policy: impl RemovalPolicy + 'static) -> Self {
        self.config.removal = Arc::new(policy);
        self
    }

    /// Lets the node speak the next version of the protocol too, and write `extension` into its records as that would, to
    /// test rings of two versions.
    #[cfg(feature = "sim")]
    pub fn later_version(mut self, extension: &'static [u8]) -> Self {
        self.config.protocols.newest = PROTOCOL + 1;
        self.config.extension = Bytes::from_static(extension);
        self
    }

    /// Frames that may wait to be handled; what comes on top is turned away and repaired by the protocol.
    /// Default 4,096.
    pub fn inbox_frames(mut self, frames: usize) -> Self {
        self.config.inbox_frames = frames;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the setting that is out of its range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Config { weight, zone, tags, sync_every, inbox_frames, .. } = &self.config;
        if *weight > WEIGHT_MAX {
            return Err(ConfigError::WeightTooLarge { weight: *weight });
        }
        if let Some(bytes) = zone.as_ref().map(String::len).filter(|bytes| *bytes > ZONE_BYTES_MAX) {
            return Err(ConfigError::ZoneTooLong { bytes });
        }
        if tag_bytes(tags) > TAG_BYTES_MAX {
            return Err(ConfigError::TagsTooLarge { bytes: tag_bytes(tags) });
        }
        if *sync_every < Duration::from_millis(10) {
            return Err(ConfigError::SyncTooOften);
        }
        if *sync_every > Duration::from_secs(3_600) {
            return Err(ConfigError::SyncTooSeldom);
        }
        if let Some(pace) = self.config.detector.pace() {
            pace.check()?;
        }
        if *inbox_frames == 0 {
            return Err(ConfigError::NoInbox);
        }
        if *inbox_frames > INBOX_FRAMES_MAX {
            return Err(ConfigError::InboxTooLarge);
        }
        Ok(self.config)
    }
}

/// Which setting is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The weight is over the limit of a ring.
    #[error("weight {weight} is over the limit of {WEIGHT_MAX}")]
    WeightTooLarge {
        /// The weight asked for, in points.
        weight: u32,
    },
    /// The name of the zone is too long.
    #[error("a zone of {bytes} bytes is over the limit of {ZONE_BYTES_MAX}")]
    ZoneTooLong {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// The tags together are too much to travel with every change.
    #[error("tags of {bytes} bytes are over the limit of {TAG_BYTES_MAX}")]
    TagsTooLarge {
        /// Keys and values together, in bytes.
        bytes: usize,
    },
    /// Comparing so often would keep every node busy with nothing else.
    #[error("sync_every is under 10 ms")]
    SyncTooOften,
    /// A node that compares itself more seldom stays behind for hours.
    #[error("sync_every is over an hour")]
    SyncTooSeldom,
    /// The pace of the failure detector makes no sense.
    #[error(transparent)]
    Pace(#[from] PaceError),
    /// Without room for a frame nothing could arrive.
    #[error("inbox_frames is 0")]
    NoInbox,
    /// More frames than a node could handle in minutes.
    #[error("inbox_frames is over {INBOX_FRAMES_MAX}")]
    InboxTooLarge,
}

/// Everything that must match because keys would move. Versioned by its label.
fn layout_fingerprint(seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("clusterluck gossip v1 layout");
    hasher.update(&u64::from(LAYOUT_VERSION).to_le_bytes());
    hasher.update(&seed.to_le_bytes());
    let bytes: [u8; 8] = hasher.finalize().as_bytes()[..8].try_into().expect("a range of eight");
    u64::from_le_bytes(bytes)
}

/// Often enough that a missed rumour is a matter of seconds, seldom enough to cost an idle node nothing.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// One write to disk for all that a burst changes.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Ten attempts.
const MEET_WITHIN: Duration = Duration::from_secs(5);

/// An operator waits this long.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Twice the largest ring simulated.
const MEMBERS_MAX: usize = 10_000;

/// What a node of the largest ring may be sent in a second of turmoil.
const INBOX_FRAMES: usize = 4_096;

/// A minute's work of a busy node.
const INBOX_FRAMES_MAX: usize = 1 << 20;
