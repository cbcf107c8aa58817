//! How often to ask, how long to wait, how long to doubt.

use std::time::Duration;

use thiserror::Error;

/// The pace of a [`Swim`](super::Swim) detector. It may differ between nodes, but a node that is asked every second
/// and suspected after two should be able to answer in that time.
///
/// | | [`lan`](Self::lan), the default | [`wan`](Self::wan) | [`busy`](Self::busy) |
/// |---|---|---|---|
/// | for | one network, hosts with time | round trips up to 400 ms, lossy lines | hosts that stall for seconds |
/// | asks every / waits | 1 s / 500 ms | 2 s / 1.2 s | 1 s / 500 ms |
/// | a frozen host of 10 / 100 is down everywhere after, on average | 4.4 s / 6.3 s | 9.4 s / 12.1 s | 7.0 s / 11.8 s |
/// | of 100 hosts one pauses for 1 to 10 s every 5 s: held for down | 65 of 173 | | 0 of 181 |
/// | false suspicions in 15 minutes, 100 hosts, round trips of 100 to 400 ms, 2 % loss | 22 | 0 | |
///
/// All of it was simulated, three seeds each: `cargo xtask sim --liveness --nodes 100 --runs 3` prints it anew, with how
/// often hosts that run are held for down: never, but where hosts pause so often.
///
/// ```
/// use std::time::Duration;
/// use gossip::liveness::Pace;
///
/// let patient = Pace::lan().suspicion(Duration::from_secs(5), 6);
/// assert!(patient.check().is_ok());
/// assert!(Pace::lan().answer_within(Duration::from_secs(2)).check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    pub(super) interval_ms: u64,
    pub(super) timeout_ms: u64,
    pub(super) indirect: usize,
    pub(super) suspicion_ms: u64,
    pub(super) suspicion_factor: u64,
    pub(super) confirmations: usize,
    pub(super) health_max: u32,
    pub(super) lifeguard: bool,
}

impl Pace {
    /// For nodes on one network, whose hosts answer within a fraction of a second. The default.
    #[must_use]
    pub fn lan() -> Self {
        Self {
            interval_ms: 1_000,
            timeout_ms: 500,
            indirect: 3,
            suspicion_ms: 2_000,
            suspicion_factor: 6,
            confirmations: 2,
            health_max: 8,
            lifeguard: true,
        }
    }

    /// For nodes on several continents: slow lines that lose packets are no reason to suspect anyone.
    #[must_use]
    pub fn wan() -> Self {
        Self { interval_ms: 2_000, timeout_ms: 1_200, suspicion_ms: 4_000, ..Self::lan() }
    }

    /// For hosts that stall now and then for seconds: overcommitted machines, long garbage collections, laptops.
    #[must_use]
    pub fn busy() -> Self {
        Self { suspicion_ms: 5_000, suspicion_factor: 8, ..Self::lan() }
    }

    /// SWIM as it was published, without what Lifeguard adds and without the shortcut for closed sessions: to
    /// compare with, and nothing else.
    #[must_use]
    pub fn plain_swim() -> Self {
        Self { suspicion_factor: 1, confirmations: 0, health_max: 0, lifeguard: false, ..Self::lan() }
    }

    /// The pause between probes; each goes to another member. Default 1 s.
    #[must_use]
    pub fn probe_every(mut self, pause: Duration) -> Self {
        self.interval_ms = millis(pause);
        self
    }

    /// How long a member has to answer before others are asked to ask it. Has to be less than the pause between
    /// probes. Default 500 ms.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.timeout_ms = millis(limit);
        self
    }

    /// How many others are asked to ask a member that does not answer. Default 3.
    #[must_use]
    pub fn indirect_probes(mut self, count: usize) -> Self {
        self.indirect = count;
        self
    }

    /// How long a suspected member may refute: at least `base` times the decimal logarithm of the number of
    /// members, but for rings under ten `base`; while nobody else has found the same, `factor` times as long.
    /// Default 2 s and 6.
    #[must_use]
    pub fn suspicion(mut self, base: Duration, factor: u32) -> Self {
        self.suspicion_ms = millis(base);
        self.suspicion_factor = u64::from(factor);
        self
    }

    /// How many others must have found the same until a suspicion is as short as it gets. Default 2.
    #[must_use]
    pub fn confirmations(mut self, count: usize) -> Self {
        self.confirmations = count;
        self
    }

    /// By how much a node that does badly itself slows its probes down, at most. Default 8; 1 never.
    #[must_use]
    pub fn local_health_max(mut self, factor: u32) -> Self {
        self.health_max = factor;
        self
    }

    /// Whether the settings fit together.
    ///
    /// # Errors
    ///
    /// [`PaceError`] names what does not.
    pub fn check(&self) -> Result<(), PaceError> {
        if self.interval_ms < INTERVAL_MIN_MS {
            return Err(PaceError::TooFast { interval_ms: self.interval_ms });
        }
        if self.timeout_ms == 0 || self.timeout_ms >= self.interval_ms {
            let (timeout_ms, interval_ms) = (self.timeout_ms, self.interval_ms);
            return Err(PaceError::NoTimeForOthers { timeout_ms, interval_ms });
        }
        if self.suspicion_ms == 0 || self.suspicion_factor == 0 {
            return Err(PaceError::NoTimeToRefute);
        }
        if self.interval_ms > HOUR_MS || self.suspicion_ms.saturating_mul(self.suspicion_factor) > HOUR_MS {
            return Err(PaceError::TooSlow);
        }
        if self.indirect > OTHERS_MAX || self.confirmations > OTHERS_MAX || self.health_max > HEALTH_MAX {
            return Err(PaceError::TooMany);
        }
        Ok(())
    }

    pub(super) fn suspicion_min_ms(&self, members: usize) -> u64 {
        (self.suspicion_ms as f64 * (members as f64).log10().max(1.0)) as u64
    }

    pub(super) fn suspicion_max_ms(&self, members: usize) -> u64 {
        self.suspicion_min_ms(members).saturating_mul(self.suspicion_factor)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::lan()
    }
}

/// Which settings of a pace do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PaceError {
    /// Asking so often would keep every node busy with nothing else.
    #[error("probes every {interval_ms} ms are more than one every {INTERVAL_MIN_MS} ms")]
    TooFast {
        /// The pause asked for, in milliseconds.
        interval_ms: u64,
    },
    /// A probe has to leave time for asking through others.
    #[error(
        "an answer within {timeout_ms} ms leaves nothing of a probe of {interval_ms} ms for asking through others"
    )]
    NoTimeForOthers {
        /// How long a member may take to answer, in milliseconds.
        timeout_ms: u64,
        /// The pause between probes, in milliseconds.
        interval_ms: u64,
    },
    /// A pause or a suspicion is longer than an hour.
    #[error("a pause between probes, or a suspicion, of over an hour finds nobody in time")]
    TooSlow,
    /// More others are asked or waited for than one probe may concern, or a node may slow down too far.
    #[error(
        "a probe asks or waits for at most {OTHERS_MAX} others, and slows down to a {HEALTH_MAX}th at most"
    )]
    TooMany,
    /// A suspicion of no time cannot be refuted.
    #[error("a suspicion that lasts no time cannot be refuted")]
    NoTimeToRefute,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 1_024)
}

/// What is down for longer than this is found by people.
const HOUR_MS: u64 = 3_600_000;

/// Others that one probe concerns.
const OTHERS_MAX: usize = 64;

/// How far a node may slow down.
const HEALTH_MAX: u32 = 64;

/// A hundred probes a second and node are for tests.
const INTERVAL_MIN_MS: u64 = 10;
