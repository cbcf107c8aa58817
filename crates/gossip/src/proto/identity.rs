//! Which run of which node this is, and under which actor it writes.

use netkernel::Incarnation;

use super::random::Random;
use super::record::{ACTORS_MAX, Actor, Dot, ENDED_MAX, Ended, OwnVersion};

/// What one boot of a node is and has used up.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    incarnation: Incarnation,
    /// The incarnation this boot began with.
    first: Incarnation,
    /// The highest incarnation of this node that anyone has told it of.
    told: Incarnation,
    /// Writes of the own record in this incarnation.
    own_version: u32,
    /// The actor of this boot's roster writes, once there was one, and how many it made.
    actor: Option<(Actor, u64)>,
    /// Every actor this node answers for: its own, oldest first, and those of nodes that are gone.
    actors: Vec<Actor>,
    /// The actors it retired last.
    ended: Vec<Ended>,
}

impl Identity {
    /// A new run of a node whose stored state, if any, has this incarnation and these actors.
    pub(crate) fn boot(stored: Option<Incarnation>, actors: Vec<Actor>, wall_ms: u64) -> Self {
        let told = stored.unwrap_or_default();
        let incarnation = Incarnation::default();
        let mut identity = Self {
            incarnation,
            first: incarnation,
            told,
            own_version: 0,
            actor: None,
            actors,
            ended: Vec::new(),
        };
        identity.mint(wall_ms);
        identity.first = identity.incarnation;
        identity
    }

    pub(crate) fn first(&self) -> Incarnation {
        self.first
    }

    /// The newest own record this boot has made, stored or not.
    pub(crate) fn age(&self) -> OwnVersion {
        OwnVersion { incarnation: self.incarnation, version: self.own_version }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn actors(&self) -> &[Actor] {
        &self.actors
    }

    /// Takes note of an incarnation of this node that someone knows, so that the next is above it.
    pub(crate) fn told(&mut self, incarnation: Incarnation) {
        self.told = self.told.max(incarnation);
    }

    /// Makes this a new run: above the last, above all it was told of, and not below the wall clock, which
    /// keeps a node that lost its disk above what it forgot.
    pub(crate) fn mint(&mut self, wall_ms: u64) {
        let floor = self.incarnation.max(self.told).0;
        self.incarnation = Incarnation(floor.saturating_add(1).max(wall_ms));
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
        if counter == 1 {
            self.actors.push(actor);
            let over = self.actors.len().saturating_sub(ACTORS_MAX);
            self.actors.drain(..over);
        }
        self.actor = Some((actor, counter));
        Dot::new(actor, counter).expect("counters start at 1")
    }

    /// The actors it answers for and writes under no more.
    pub(crate) fn earlier_actors(&self) -> Vec<Actor> {
        let present = self.actor.map(|(actor, _)| actor);
        self.actors.iter().copied().filter(|actor| Some(*actor) != present).collect()
    }

    /// Answers for these actors from now on: of a run whose disk was lost, or of a node that is gone.
    pub(crate) fn adopt(&mut self, actors: &[Actor]) {
        let room = ACTORS_MAX.saturating_sub(self.actors.len());
        let new = actors.iter().filter(|actor| !self.actors.contains(actor)).take(room);
        let mut all: Vec<_> = new.copied().collect();
        all.append(&mut self.actors);
        self.actors = all;
    }

    /// Answers no more for actors of which nobody knows anything: what they wrote was never published.
    pub(crate) fn disown(&mut self, is_unknown: impl Fn(&Actor) -> bool) {
        let present = self.actor.map(|(actor, _)| actor);
        self.actors.retain(|actor| Some(*actor) == present || !is_unknown(actor));
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

    /// An actor was retired: there is nothing to answer for any more.
    pub(crate) fn forget_actor(&mut self, actor: Actor) {
        let present = self.actor.map(|(actor, _)| actor);
        self.actors.retain(|known| *known != actor || Some(actor) == present);
    }

    /// Begins anew in a ring that knows nothing of the last one.
    pub(crate) fn forget_ring(&mut self) {
        self.retire_actor();
        self.actors.clear();
        self.ended.clear();
    }

    /// Ends the use of the present actor: one of its events was given out and may or may not be on disk. With a
    /// fresh actor no gap is left in what others have seen.
    pub(crate) fn retire_actor(&mut self) {
        self.actor = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnations_grow_though_the_clock_goes_back() {
        let identity = Identity::boot(Some(Incarnation(5_000)), Vec::new(), 1_000);
        assert_eq!(identity.incarnation(), Incarnation(5_001));
        let mut identity = Identity::boot(Some(Incarnation(5_000)), Vec::new(), 9_000);
        assert_eq!(identity.incarnation(), Incarnation(9_000));
        identity.told(Incarnation(20_000));
        identity.mint(9_001);
        assert_eq!(identity.incarnation(), Incarnation(20_001));
    }

    #[test]
    fn boots_never_share_an_actor() {
        let mut random = Random::new(1);
        let mut first = Identity::boot(None, Vec::new(), 1);
        let dot = first.next_dot(&mut random);
        let mut second = Identity::boot(Some(first.incarnation()), first.actors().to_vec(), 1);
        assert_ne!(second.next_dot(&mut random).actor, dot.actor);
        assert_eq!(second.actors().len(), 2);
    }
}
