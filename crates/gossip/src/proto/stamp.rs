//! Hybrid logical time: what breaks ties between truly concurrent writes, and nothing else.

use serde::{Deserialize, Serialize};

/// A hybrid logical time: 48 bits of wall-clock milliseconds, 16 bits that count within one of them.
///
/// After Kulkarni, Demirbas, Madappa, Avva and Leone, *Logical Physical Clocks* (2014). A stamp is above every
/// stamp its writer had seen, so it agrees with causality; between concurrent writes it prefers the later by the
/// wall clock, which is only a preference: both writes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Stamp(u64);

impl Stamp {
    /// The wall-clock part, in milliseconds since 1970.
    #[must_use]
    pub const fn wall_ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The first stamp of a millisecond since 1970, of which the lowest 48 bits count.
    #[must_use]
    pub const fn at(wall_ms: u64) -> Self {
        Self(wall_ms << LOGICAL_BITS)
    }
}

/// Draws stamps, each above all it has drawn or seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StampClock {
    last: Stamp,
}

impl StampClock {
    /// The stamp of a write made now.
    pub(crate) fn tick(&mut self, wall_ms: u64) -> Stamp {
        self.last = Stamp(self.last.0.saturating_add(1)).max(Stamp::at(wall_ms));
        self.last
    }

    /// Takes note of another node's stamp, whatever it claims: clamping it would make two nodes that saw the
    /// same writes order them differently.
    pub(crate) fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }
}

const LOGICAL_BITS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_above_all_seen_though_the_clock_is_behind() {
        let mut clock = StampClock::default();
        clock.observe(Stamp::at(1_000_000));
        let first = clock.tick(5);
        let second = clock.tick(4);
        assert!(Stamp::at(1_000_000) < first && first < second);
        assert_eq!(clock.tick(2_000_000).wall_ms(), 2_000_000);
    }
}
