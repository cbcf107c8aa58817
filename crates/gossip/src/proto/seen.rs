//! Which roster events were seen, with a hash that is kept up with each change.

use std::collections::{BTreeMap, BTreeSet};

use super::hash::Hash;
use super::record::{Actor, Context, Dot, Ended};

/// Which roster events were seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    context: Context,
    /// The last events of actors that will never write again, as the nodes say whose they were.
    ended: BTreeMap<Actor, u64>,
    /// How many versions and floors are of each actor.
    used: BTreeMap<Actor, usize>,
    hash: Hash,
}

impl Seen {
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Of all events, but those of actors that have ended, of which everything was seen and nothing is left: who forgot
    /// them and who has not compare as equal.
    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn insert(&mut self, dot: Dot) {
        if !self.context.contains(&dot) {
            self.change([dot.actor], |seen| {
                seen.context.insert(dot);
            });
        }
    }

    pub(crate) fn join(&mut self, upto: &Context) {
        let actors: BTreeSet<_> = upto.missing_from(&self.context).map(|run| *run.actor()).collect();
        if !actors.is_empty() {
            self.change(actors, |seen| {
                seen.context.merge(upto);
            });
        }
    }

    pub(crate) fn retire(&mut self, actor: Actor) {
        self.change([actor], |seen| {
            seen.context.retire(&actor);
        });
    }

    /// These actors have ended.
    pub(crate) fn end(&mut self, ended: &[Ended]) {
        self.change(ended.iter().map(|ended| ended.actor), |seen| {
            seen.ended.extend(ended.iter().map(|Ended { actor, last }| (*actor, *last)));
        });
    }

    /// Nobody says any more that these actors have ended.
    pub(crate) fn unend(&mut self, ended: &[Ended]) {
        self.change(ended.iter().map(|ended| ended.actor), |seen| {
            seen.ended.retain(|actor, _| !ended.iter().any(|ended| ended.actor == *actor));
        });
    }

    /// Something that is there now is of these events.
    pub(crate) fn hold<'a>(&mut self, dots: impl Iterator<Item = &'a Dot>) {
        let actors: Vec<_> = dots.map(|dot| dot.actor).collect();
        self.change(actors.clone(), |seen| {
            actors.into_iter().for_each(|actor| *seen.used.entry(actor).or_default() += 1);
        });
    }

    /// Something that was of these events is gone.
    pub(crate) fn release<'a>(&mut self, dots: impl Iterator<Item = &'a Dot>) {
        let actors: Vec<_> = dots.map(|dot| dot.actor).collect();
        self.change(actors.clone(), |seen| {
            for actor in actors {
                let left = seen.used.get(&actor).map_or(0, |count| count - 1);
                match left {
                    0 => seen.used.remove(&actor),
                    left => seen.used.insert(actor, left),
                };
            }
        });
    }

    /// The actors that have ended, of which everything was seen and nothing is left, and that are not forgotten yet.
    pub(crate) fn complete(&self) -> impl Iterator<Item = Actor> + '_ {
        let is_known = |actor: &Actor| self.context.latest(actor) > 0;
        self.ended.keys().copied().filter(move |actor| is_known(actor) && self.is_complete(*actor))
    }

    fn is_complete(&self, actor: Actor) -> bool {
        let last = self.ended.get(&actor);
        let is_used = self.used.contains_key(&actor);
        !is_used
            && last.is_some_and(|last| {
                self.context.latest(&actor) == *last && self.context.clock().get(&actor) == *last
            })
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
        if self.context.latest(&actor) == 0 || self.is_complete(actor) {
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
    fn an_ended_actor_may_be_forgotten_unseen_by_the_hash() {
        let ended = [Ended { actor: Actor(1), last: 2 }];
        let mut whole = of([dot(1, 1), dot(1, 2), dot(2, 1)]);
        let mut part = of([dot(1, 1), dot(2, 1)]);
        whole.end(&ended);
        part.end(&ended);
        assert_ne!(whole.hash(), part.hash(), "something of it is missing here");
        assert_eq!(whole.complete().collect::<Vec<_>>(), [Actor(1)]);
        let mut forgotten = whole.clone();
        forgotten.retire(Actor(1));
        assert_eq!(forgotten.hash(), whole.hash());
        assert_eq!(forgotten.complete().count(), 0);
        forgotten.insert(dot(1, 3));
        assert_ne!(forgotten.hash(), of([dot(2, 1)]).hash(), "it had not ended after all");
    }
}
