//! Which roster events were seen, with a hash that is kept up with each change.

use std::collections::{BTreeMap, BTreeSet};

use vclock::DotRange;

use super::hash::Hash;
use super::record::{Actor, Context, Dot, Ended};

/// Which roster events were seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// All events, but those of retired actors.
    context: Context,
    /// Actors that are out of the context, and up to which event: all of these were seen and replaced everywhere.
    retired: BTreeMap<Actor, u64>,
    hash: Hash,
}

impl Seen {
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Of the context. Who has retired an actor and who has not compare as different, until the other is told.
    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether the event was seen, be it of an actor that is retired.
    pub(crate) fn covers(&self, dot: &Dot) -> bool {
        self.context.contains(dot) || self.is_retired(dot.actor, dot.counter())
    }

    /// Whether all of these events were seen.
    pub(crate) fn covers_all(&self, events: &Context) -> bool {
        self.context.covers(events)
            || events.missing_from(&self.context).all(|run| self.is_retired(*run.actor(), run.last()))
    }

    pub(crate) fn insert(&mut self, dot: Dot) {
        if !self.covers(&dot) {
            self.change([dot.actor], |seen| {
                seen.context.insert(dot);
            });
        }
    }

    pub(crate) fn join(&mut self, upto: &Context) {
        let left = |run: DotRange<Actor>| {
            let first = run.first().max(self.retired_upto(*run.actor()).saturating_add(1));
            DotRange::new(*run.actor(), first, run.last())
        };
        let unseen: Context = upto.missing_from(&self.context).filter_map(left).collect();
        if !unseen.is_empty() {
            let actors: BTreeSet<_> = unseen.missing_from(&Context::new()).map(|run| *run.actor()).collect();
            self.change(actors, |seen| {
                seen.context.merge(&unseen);
            });
        }
    }

    /// Takes an actor out of the context, and returns whether it was not out already.
    pub(crate) fn retire(&mut self, Ended { actor, last }: Ended) -> bool {
        if self.is_retired(actor, last) {
            return false;
        }
        self.change([actor], |seen| {
            seen.retired.insert(actor, last);
            // Should it have written more, a run of it that was cloned is still alive: that stays.
            let all = std::mem::take(&mut seen.context);
            let later = |run: DotRange<Actor>| {
                let first = run.first().max(last.saturating_add(1));
                DotRange::new(actor, first, run.last())
            };
            let of_it = all.missing_from(&seen.context).filter(|run| *run.actor() == actor);
            let later: Context = of_it.filter_map(later).collect();
            seen.context = all;
            seen.context.retire(&actor);
            seen.context.merge(&later);
        });
        true
    }

    /// Forgets that an actor was retired.
    pub(crate) fn forget_retired(&mut self, actor: Actor) {
        self.retired.remove(&actor);
    }

    /// Whether the event is of a retired actor, and not after its end.
    pub(crate) fn is_retired(&self, actor: Actor, counter: u64) -> bool {
        counter <= self.retired_upto(actor)
    }

    /// The last event up to which the actor is retired; 0 if it is not.
    fn retired_upto(&self, actor: Actor) -> u64 {
        self.retired.get(&actor).copied().unwrap_or(0)
    }

    /// The retired actors.
    pub(crate) fn retired(&self) -> impl Iterator<Item = Ended> + '_ {
        self.retired.iter().map(|(actor, last)| Ended { actor: *actor, last: *last })
    }

    /// The retired actors that are not retired in this context.
    pub(crate) fn retired_in<'a>(&'a self, context: &'a Context) -> impl Iterator<Item = Ended> + 'a {
        let is_counted = move |ended: &Ended| {
            let first = context.ahead().find(|run| *run.actor() == ended.actor).map(DotRange::first);
            context.clock().get(&ended.actor) > 0 || first.is_some_and(|first| first <= ended.last)
        };
        self.retired().filter(is_counted)
    }

    /// The last event of each actor in the context, by actor, if all before it were seen: what was not may be on a disk
    /// that comes back.
    pub(crate) fn ends(&self) -> impl Iterator<Item = Ended> + '_ {
        let ahead = self.context.ahead().map(|run| *run.actor());
        let actors: BTreeSet<_> = self.context.clock().iter().map(|(actor, _)| *actor).chain(ahead).collect();
        let ends = actors.into_iter().map(|actor| Ended { actor, last: self.context.latest(&actor) });
        ends.filter(|ended| self.unbroken(ended.actor) == ended.last)
    }

    /// The last event of the actor before one that was not seen.
    fn unbroken(&self, actor: Actor) -> u64 {
        let upto = self.retired_upto(actor);
        if upto == 0 {
            return self.context.clock().get(&actor);
        }
        let next = self.context.ahead().find(|run| *run.actor() == actor);
        next.filter(|run| run.first() == upto.saturating_add(1)).map_or(upto, DotRange::last)
    }

    /// Changes what is known of these actors, and the hash with it.
    fn change(&mut self, actors: impl IntoIterator<Item = Actor>, change: impl FnOnce(&mut Self)) {
        let actors: BTreeSet<_> = actors.into_iter().collect();
        actors.iter().for_each(|actor| self.hash ^= self.share(*actor));
        change(self);
        actors.iter().for_each(|actor| self.hash ^= self.share(*actor));
    }

    /// What one actor adds to the hash.
    fn share(&self, actor: Actor) -> Hash {
        if self.context.latest(&actor) == 0 {
            return Hash::default();
        }
        let first = self.context.ahead().as_slice().partition_point(|run| *run.actor() < actor);
        let runs = self.context.ahead().as_slice()[first..].iter().take_while(|run| *run.actor() == actor);
        let runs: Vec<_> = runs.map(|run| (run.first(), run.last())).collect();
        Hash::of(&(actor, self.context.clock().get(&actor), runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(actor: u64, counter: u64) -> Dot {
        Dot::new(Actor(actor), counter).expect("counted from 1")
    }

    fn of(dots: impl IntoIterator<Item = Dot>) -> Seen {
        let mut seen = Seen::default();
        dots.into_iter().for_each(|dot| seen.insert(dot));
        seen
    }

    fn ended(last: u64) -> Ended {
        Ended { actor: Actor(1), last }
    }

    #[test]
    fn the_hash_is_that_of_what_was_seen_in_any_order() {
        let one = of([dot(1, 1), dot(1, 2), dot(2, 3), dot(1, 5)]);
        let other = of([dot(1, 5), dot(2, 3), dot(1, 2), dot(1, 1)]);
        assert_eq!(one.hash(), other.hash());
        let mut joined = of([dot(1, 1)]);
        joined.join(one.context());
        assert_eq!(joined.hash(), one.hash());
        assert_ne!(of([dot(1, 1)]).hash(), one.hash());
    }

    #[test]
    fn a_retired_actor_is_out_of_the_context_and_its_events_are_seen_all_the_same() {
        let mut seen = of([dot(1, 1), dot(1, 2), dot(2, 1)]);
        let before = seen.context().clone();
        assert!(seen.retire(ended(2)));
        assert!(!seen.retire(ended(2)), "once");
        assert_eq!(seen.hash(), of([dot(2, 1)]).hash());
        assert!(seen.covers(&dot(1, 2)) && seen.covers_all(&before));
        seen.join(&before);
        seen.insert(dot(1, 1));
        assert_eq!(seen.hash(), of([dot(2, 1)]).hash(), "it does not come back");
        assert_eq!(seen.retired_in(&before).collect::<Vec<_>>(), [ended(2)]);
        assert_eq!(seen.retired_in(seen.context()).count(), 0);
    }

    #[test]
    fn what_a_retired_actor_wrote_after_its_end_counts() {
        let mut early = of([dot(1, 1), dot(1, 2)]);
        early.retire(ended(2));
        early.insert(dot(1, 3));
        let mut late = of([dot(1, 1), dot(1, 2), dot(1, 3)]);
        late.retire(ended(2));
        assert_eq!(early.hash(), late.hash());
        assert_ne!(early.hash(), Seen::default().hash());
        assert!(!early.covers(&dot(1, 4)));
        assert_eq!(early.ends().collect::<Vec<_>>(), [ended(3)]);
        assert!(early.retire(ended(3)));
        assert_eq!(early.hash(), Seen::default().hash());
    }

    #[test]
    fn an_actor_of_which_an_event_is_missing_has_no_end() {
        assert_eq!(of([dot(1, 1), dot(1, 3)]).ends().count(), 0);
        assert_eq!(of([dot(1, 1), dot(2, 4), dot(1, 2)]).ends().collect::<Vec<_>>(), [ended(2)]);
        assert_eq!(of([]).ends().count(), 0);
    }
}
