//! One face for all that is compared, and the reference.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use peer_crdts::CmRDT;
use serde::Serialize;

/// What identifies an actor here: numbers and strings.
pub(crate) trait Actor: Ord + Clone + Hash + Debug + Serialize + vclock::ActorCodec + 'static {}

impl<A: Ord + Clone + Hash + Debug + Serialize + vclock::ActorCodec + 'static> Actor for A {}

pub(crate) type Counts<A> = BTreeMap<A, u64>;

pub(crate) trait Contender<A: Actor>: Clone + 'static {
    const NAME: &'static str;

    fn new(counts: &Counts<A>) -> Self;
    fn descends(&self, other: &Self) -> bool;
    fn is_equal(&self, other: &Self) -> bool;
    fn merge(&mut self, other: &Self);
    fn increment(&mut self, actor: &A);
    fn bytes(&self) -> usize;
}

fn postcard(value: &impl Serialize) -> usize {
    postcard::to_allocvec(value).expect("memory does not run out").len()
}

impl<A: Actor> Contender<A> for vclock::VClock<A> {
    const NAME: &'static str = "clusterluck";

    fn new(counts: &Counts<A>) -> Self {
        counts.iter().map(|(actor, count)| (actor.clone(), *count)).collect()
    }

    fn descends(&self, other: &Self) -> bool {
        self.descends(other)
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.compare(other) == vclock::Causality::Equal
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn increment(&mut self, actor: &A) {
        self.increment_ref(actor).expect("counts are small");
    }

    fn bytes(&self) -> usize {
        self.to_bytes().len()
    }
}

impl<A: Actor> Contender<A> for peer_vclock::VClock<A, u64> {
    const NAME: &'static str = "vclock 0.4.4";

    fn new(counts: &Counts<A>) -> Self {
        Self::from(counts.clone().into_iter().collect::<HashMap<_, _>>())
    }

    fn descends(&self, other: &Self) -> bool {
        self >= other
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.partial_cmp(other).is_some_and(|order| order.is_eq())
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn increment(&mut self, actor: &A) {
        self.incr(actor);
    }

    fn bytes(&self) -> usize {
        postcard(self)
    }
}

impl<A: Actor> Contender<A> for peer_crdts::VClock<A> {
    const NAME: &'static str = "crdts 7.3.2";

    fn new(counts: &Counts<A>) -> Self {
        Self { dots: counts.clone() }
    }

    fn descends(&self, other: &Self) -> bool {
        self >= other
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.partial_cmp(other).is_some_and(|order| order.is_eq())
    }

    /// Its own merge takes the other clock away; this spares it that copy.
    fn merge(&mut self, other: &Self) {
        for dot in other.iter() {
            if self.get(dot.actor) < dot.counter {
                self.dots.insert(dot.actor.clone(), dot.counter);
            }
        }
    }

    fn increment(&mut self, actor: &A) {
        self.apply(self.inc(actor.clone()));
    }

    fn bytes(&self) -> usize {
        postcard(self)
    }
}

/// What anyone would write in an afternoon: a sorted vector, walked.
#[derive(Clone)]
pub(crate) struct SortedSlice<A>(Vec<(A, u64)>);

impl<A: Actor> Contender<A> for SortedSlice<A> {
    const NAME: &'static str = "reference: sorted slice";

    fn new(counts: &Counts<A>) -> Self {
        Self(counts.iter().map(|(actor, count)| (actor.clone(), *count)).collect())
    }

    fn descends(&self, other: &Self) -> bool {
        let mut mine = self.0.iter();
        other.0.iter().all(|(actor, needed)| {
            mine.find(|(candidate, _)| candidate >= actor)
                .is_some_and(|(candidate, seen)| candidate == actor && seen >= needed)
        })
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.descends(other) && other.descends(self)
    }

    fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (&self.0, &other.0);
        let (mut at, mut next) = (0, 0);
        let mut merged = Vec::with_capacity(mine.len() + theirs.len());
        while at < mine.len() && next < theirs.len() {
            let ((actor, count), (other, other_count)) = (&mine[at], &theirs[next]);
            let order = actor.cmp(other);
            merged.push(match order {
                std::cmp::Ordering::Less => (actor.clone(), *count),
                std::cmp::Ordering::Equal => (actor.clone(), *count.max(other_count)),
                std::cmp::Ordering::Greater => (other.clone(), *other_count),
            });
            at += usize::from(order.is_le());
            next += usize::from(order.is_ge());
        }
        merged.extend_from_slice(&mine[at..]);
        merged.extend_from_slice(&theirs[next..]);
        self.0 = merged;
    }

    fn increment(&mut self, actor: &A) {
        match self.0.binary_search_by(|(candidate, _)| candidate.cmp(actor)) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (actor.clone(), 1)),
        }
    }

    fn bytes(&self) -> usize {
        postcard(&self.0)
    }
}
