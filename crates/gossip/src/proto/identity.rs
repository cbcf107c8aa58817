//! Which run of which node this is, and under which actor it writes.

use netkernel::Incarnation;

use super::random::Random;
use super::record::{Actor, Dot, ENDED_MAX, Ended, OwnVersion};

/// What one boot of a node is and has used up.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    incarnation: Incarnation,
    /// The incarnation this boot began with.
    first: Incarnation,
    /// The highest incarnation of this node that anyone has told it of.
    told: Incarnation,
    /// The incarnation of a live node of this id that a session was refused for, when it was above this one.
    rival: Option<Incarnation>,
    /// Writes of the own record in this incarnation.
    own_version: u32,
    /// The actor of this boot's roster writes, once there was one, and how many it made.
    actor: Option<(Actor, u64)>,
    /// The actors it retired last.
    ended: Vec<Ended>,
}

impl Identity {
    /// A new run of a node whose stored state, if any, has this incarnation.
    pub(crate) fn boot(stored: Option<Incarnation>, wall_ms: u64, random: &mut Random) -> Self {
        let told = stored.unwrap_or_default();
        let incarnation = Incarnation::default();
        let mut identity = Self {
            incarnation,
            first: incarnation,
            told,
            rival: None,
            own_version: 0,
            actor: None,
            ended: Vec::new(),
        };
        identity.mint(wall_ms, random);
        identity.first = identity.incarnation;
        identity
    }

    /// Takes note of a node of this id that runs under a higher incarnation, which none of this boot can be.
    pub(crate) fn outrun_by(&mut self, rival: Incarnation) {
        self.rival = Some(rival);
        self.told(rival);
    }

    /// Whether a node of this id and that incarnation is another than this boot.
    pub(crate) fn is_another(&self, incarnation: Incarnation) -> bool {
        incarnation < self.first || self.rival == Some(incarnation)
    }

    /// The newest own record this boot has made, stored or not.
    pub(crate) fn age(&self) -> OwnVersion {
        OwnVersion { incarnation: self.incarnation, version: self.own_version }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Under which actor this boot writes, once it has written.
    pub(crate) fn actor(&self) -> Option<Actor> {
        self.actor.map(|(actor, _)| actor)
    }

    /// Takes note of an incarnation of this node that someone knows, so that the next is above it.
    pub(crate) fn told(&mut self, incarnation: Incarnation) {
        self.told = self.told.max(incarnation);
    }

    /// Whether a run was told of that this one is not above.
    pub(crate) fn is_outrun(&self) -> bool {
        self.told >= self.incarnation
    }

    /// Makes this a new run: above the last, above all it was told of, and not below the wall clock, which
    /// keeps a node that lost its disk above what it forgot. Where the clock does not tell two runs apart, which were told
    /// of the same one or started from the same disk, chance does.
    pub(crate) fn mint(&mut self, wall_ms: u64, random: &mut Random) {
        let floor = self.incarnation.max(self.told).0;
        let above = floor.saturating_add(1).saturating_add(random.below(SPREAD));
        self.incarnation = Incarnation(if wall_ms > floor { wall_ms } else { above });
        self.own_version = 0;
    }

    /// The version of the next own record.
    pub(crate) fn next_own_version(&mut self) -> u32 {
        self.own_version += 1;
        self.own_version
    }

    /// The event of the next roster write. It may never be written, but no other write gets it.
    pub(crate) fn next_dot(&mut self, random: &mut Random) -> Dot {
        let (actor, counter) = match self.actor {
            Some((actor, counter)) => (actor, counter + 1),
            None => (Actor(random.bits()), 1),
        };
        self.actor = Some((actor, counter));
        Dot::new(actor, counter).expect("counters start at 1")
    }

    /// The actors it retired last.
    pub(crate) fn ended(&self) -> &[Ended] {
        &self.ended
    }

    /// Takes up what an earlier run retired last, for not everyone may have heard of it.
    pub(crate) fn resume(&mut self, ended: Vec<Ended>) {
        self.ended = ended;
    }

    /// Retires these actors. All members have heard of those before.
    pub(crate) fn end(&mut self, mut ended: Vec<Ended>) {
        ended.truncate(ENDED_MAX);
        self.ended = ended;
    }

    /// Begins anew in a ring that knows nothing of the last one.
    pub(crate) fn forget_ring(&mut self) {
        self.leave_actor();
        self.ended.clear();
    }

    /// Ends the use of the present actor: one of its events was given out and may or may not be on disk. With a
    /// fresh actor no gap is left in what others have seen.
    pub(crate) fn leave_actor(&mut self) {
        self.actor = None;
    }
}

/// Incarnations among which a run whose clock is behind draws its own: as many as milliseconds in a minute.
const SPREAD: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_grow_though_the_clock_goes_back() {
        let mut random = Random::new(1);
        let mut boot = |wall_ms| Identity::boot(Some(Incarnation(5_000)), wall_ms, &mut random);
        let (first, second) = (boot(1_000).incarnation(), boot(1_000).incarnation());
        assert!(first > Incarnation(5_000) && second > Incarnation(5_000));
        assert_ne!(first, second, "two runs from one disk are told apart");
        let mut identity = boot(9_000);
        assert_eq!(identity.incarnation(), Incarnation(9_000));
        identity.told(Incarnation(20_000));
        identity.mint(9_001, &mut random);
        assert!(identity.incarnation() > Incarnation(20_000));
    }

    #[test]
    fn boots_never_share_an_actor() {
        let mut random = Random::new(1);
        let mut first = Identity::boot(None, 1, &mut random);
        let dot = first.next_dot(&mut random);
        let mut second = Identity::boot(Some(first.incarnation()), 1, &mut random);
        assert_ne!(second.next_dot(&mut random).actor, dot.actor);
    }
}
