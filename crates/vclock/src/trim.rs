//! When a [`StampedVClock`](crate::StampedVClock) forgets, and what it forgot.

use alloc::vec::{self, Vec};
use core::num::NonZeroU64;
use core::slice;
use core::time::Duration;

use crate::Seen;

/// How far trimming may go. Where bounds disagree the one that keeps more wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct TrimPolicy {
    /// Never fewer entries than these.
    pub min_entries: usize,
    /// Above these, the oldest goes even when it is not [`old`](Self::old).
    pub max_entries: usize,
    /// Entries seen more recently, or dated ahead, stay, whatever their number: their events may still be on
    /// their way.
    pub young: Duration,
    /// Entries not seen for longer than this go, though there be room.
    pub old: Duration,
}

impl TrimPolicy {
    /// Whether the oldest of `entries` entries goes, last seen `age_us` ago.
    pub(crate) fn drops(&self, entries: usize, age_us: u64) -> bool {
        let age = Duration::from_micros(age_us);
        entries > self.min_entries && age >= self.young && (entries > self.max_entries || age > self.old)
    }
}

/// 10 to 50 entries, young for 20 s, old after 24 h: what Riak made the custom.
impl Default for TrimPolicy {
    fn default() -> Self {
        Self {
            min_entries: 10,
            max_entries: 50,
            young: Duration::from_secs(20),
            old: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What [`trim`](crate::StampedVClock::trim) forgot, oldest first. It cannot be told from events never seen
/// any more, so whoever trims may want to log it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is the last trace of the events that were forgotten"]
pub struct Trimmed<A>(Vec<TrimmedEntry<A>>);

/// One actor that a clock forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimmedEntry<A> {
    /// Whose events they were.
    pub actor: A,
    /// How many.
    pub count: NonZeroU64,
    /// When they were counted.
    pub seen: Seen,
}

impl<A> Trimmed<A> {
    pub(crate) fn new(entries: Vec<TrimmedEntry<A>>) -> Self {
        Self(entries)
    }

    /// How many actors were forgotten.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was forgotten.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was forgotten, oldest first.
    pub fn iter(&self) -> slice::Iter<'_, TrimmedEntry<A>> {
        self.0.iter()
    }
}

impl<A> IntoIterator for Trimmed<A> {
    type Item = TrimmedEntry<A>;
    type IntoIter = vec::IntoIter<TrimmedEntry<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, A> IntoIterator for &'a Trimmed<A> {
    type Item = &'a TrimmedEntry<A>;
    type IntoIter = slice::Iter<'a, TrimmedEntry<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
