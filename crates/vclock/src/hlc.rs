//! The hybrid logical clock: timestamps that never run backwards.

use core::fmt;

/// A timestamp near the wall clock that respects causality: what was stamped after seeing another stamp is
/// greater. Between stamps that did not see each other the wall clocks decide, which is a fair guess and no
/// more; to *detect* concurrency takes a [`VClock`](crate::VClock). Two clocks may make the same stamp: where each
/// event needs one of its own, put the actor behind it.
///
/// Ordered by wall time, then by the logical counter; so are the bytes of [`to_bytes`](Self::to_bytes).
///
/// After Kulkarni, Demirbas, Madappa, Avva and Leone, *Logical Physical Clocks* (2014).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    wall_us: u64,
    logical: u32,
}

impl Hlc {
    /// The stamp with these parts.
    pub const fn new(wall_us: u64, logical: u32) -> Self {
        Self { wall_us, logical }
    }

    /// The highest wall time seen when it was made, in microseconds; one more after each 2³² stamps at that time.
    pub const fn wall_us(self) -> u64 {
        self.wall_us
    }

    /// Its place among stamps with this wall time: 0, or above all that its clock had made or observed.
    pub const fn logical(self) -> u32 {
        self.logical
    }

    /// How far, in microseconds, it is in the future of `now_us`; 0 if it is not.
    pub const fn ahead_us(self, now_us: u64) -> u64 {
        self.wall_us.saturating_sub(now_us)
    }

    /// Twelve bytes that sort as the stamps do.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.wall_us.to_be_bytes());
        bytes[8..].copy_from_slice(&self.logical.to_be_bytes());
        bytes
    }

    /// The stamp that [`to_bytes`](Self::to_bytes) wrote. Any twelve bytes are some stamp.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            wall_us: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            logical: u32::from_be_bytes([i, j, k, l]),
        }
    }

    /// The least stamp above it.
    fn next(self) -> Option<Self> {
        match self.logical.checked_add(1) {
            Some(logical) => Some(Self { logical, ..self }),
            None => Some(Self { wall_us: self.wall_us.checked_add(1)?, logical: 0 }),
        }
    }
}

/// Makes [`Hlc`] stamps, each above all that it made or observed before. Reads no clock: the caller says what
/// time it is, in microseconds, and a time that went backwards does no harm.
///
/// ```
/// use vclock::HlcClock;
///
/// let mut here = HlcClock::new();
/// let mut there = HlcClock::new();
/// let sent = there.tick(5_000_000)?; // their clock is four seconds fast
/// let received = here.observe(sent, 1_000_000)?;
/// assert!(received.stamp > sent);
/// assert_eq!(received.ahead_us, 4_000_000);
/// assert!(here.tick(1_000_001)? > received.stamp);
/// # Ok::<(), vclock::HlcOverflow>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HlcClock {
    latest: Hlc,
}

/// What [`HlcClock::observe`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The stamp of the observation itself, above the one observed.
    pub stamp: Hlc,
    /// How far the observed stamp was in the future, in microseconds; 0 if it was not. Clocks in step leave it
    /// at 0, since a stamp takes time to arrive. More is a clock that runs ahead, where the stamp was made or at
    /// any node it heard from, or this one behind; one that runs ahead by less than messages take stays unseen.
    pub ahead_us: u64,
}

impl HlcClock {
    /// A clock that has made no stamp yet.
    pub const fn new() -> Self {
        Self { latest: Hlc::new(0, 0) }
    }

    /// A clock that goes on above `latest`: after a restart, from the highest stamp on disk.
    pub const fn resume(latest: Hlc) -> Self {
        Self { latest }
    }

    /// The highest stamp made or observed.
    pub const fn latest(&self) -> Hlc {
        self.latest
    }

    /// A stamp for an event of one's own at `now_us`.
    ///
    /// # Errors
    /// When no higher stamp exists. The clock is unchanged.
    pub fn tick(&mut self, now_us: u64) -> Result<Hlc, HlcOverflow> {
        self.advance(self.latest, now_us)
    }

    /// Takes note of another's stamp at `now_us`, and stamps that. Never refuses or clamps a stamp for being
    /// far ahead: it would break the order of events. Where stamps come from strangers, look at
    /// [`Hlc::ahead_us`] first, since one stamp near the end of time leaves no room above it.
    ///
    /// # Errors
    /// When no stamp above `remote` and the clock's own exists. The clock is unchanged.
    pub fn observe(&mut self, remote: Hlc, now_us: u64) -> Result<Observed, HlcOverflow> {
        let stamp = self.advance(self.latest.max(remote), now_us)?;
        Ok(Observed { stamp, ahead_us: remote.ahead_us(now_us) })
    }

    fn advance(&mut self, past: Hlc, now_us: u64) -> Result<Hlc, HlcOverflow> {
        let next =
            if now_us > past.wall_us { Hlc::new(now_us, 0) } else { past.next().ok_or(HlcOverflow)? };
        self.latest = next;
        Ok(next)
    }
}

/// The clock is at the highest stamp there is. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HlcOverflow;

impl fmt::Display for HlcOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no timestamp is higher; nothing was changed")
    }
}

impl core::error::Error for HlcOverflow {}
