//! The dotted version vector set: the values of one key, with their causality.

use alloc::vec::Vec;
use core::fmt;
use core::iter::Peekable;
use core::slice;

use crate::causality::Walk;
use crate::{CounterOverflow, Dot, VClock};

/// The current values of one replicated key, each under the event that wrote it.
///
/// A write names what its writer had read (a context); it replaces exactly those values and stands beside
/// all others. So a value is lost only to a writer that saw it, and two writers that did not see each other
/// leave two *siblings*, which a later write or [`reconcile`](Self::reconcile) settles. Replicas exchange
/// whole sets and [`sync`](Self::sync) them, in any order, any number of times.
///
/// Every dot belongs to one write, in all sets that share an actor: [`write`](Self::write) counts within this
/// set, [`write_at`](Self::write_at) takes a dot from a counter that many sets may share (the gaps in this
/// set then belong to the others). The dots of one actor must reach a set in ascending order; the context
/// takes a higher one as proof that the lower ones were here.
///
/// A write looks every sibling up in its context and moves those with a higher dot. [`sync`](Self::sync) and
/// [`from_parts`](Self::from_parts) take in many at once, and cost far less than as many writes.
///
/// After Preguiça, Baquero, Almeida, Fonte and Gonçalves, *Dotted Version Vectors: Logical Clocks for
/// Optimistic Replication* (2010), and Almeida and others, *Scalable and Accurate Causality Tracking for
/// Eventually Consistent Stores* (2014).
///
/// ```
/// use vclock::DvvSet;
///
/// let mut cart = DvvSet::new();
/// cart.write(&cart.context().clone(), "apples", "node-1")?;
/// let read = cart.context().clone(); // two clients read here, then both write
/// cart.write(&read, "apples, pears", "node-1")?;
/// cart.write(&read, "apples, bread", "node-1")?;
/// assert_eq!(cart.values().len(), 2);
///
/// cart.write(&cart.context().clone(), "apples, pears, bread", "node-1")?;
/// assert_eq!(cart.values().collect::<Vec<_>>(), [&"apples, pears, bread"]);
/// # Ok::<(), vclock::WriteError<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DvvSet<A, V> {
    /// Covers the dot of every sibling.
    context: VClock<A>,
    /// Sorted by dot, each dot once.
    siblings: Vec<(Dot<A>, V)>,
}

impl<A, V> DvvSet<A, V> {
    /// A set that was never written.
    pub const fn new() -> Self {
        Self { context: VClock::new(), siblings: Vec::new() }
    }

    /// Everything the set has seen. What a reader takes along, to write with it later.
    pub fn context(&self) -> &VClock<A> {
        &self.context
    }

    /// The values that no write has replaced, in the order of their dots.
    pub fn values(&self) -> Values<'_, A, V> {
        Values(self.siblings.iter())
    }

    /// The values that no write has replaced, with the events that wrote them, in order.
    pub fn siblings(&self) -> impl ExactSizeIterator<Item = (&Dot<A>, &V)> {
        self.siblings.iter().map(|(dot, value)| (dot, value))
    }

    /// Whether it holds no value: it was never written.
    pub fn is_empty(&self) -> bool {
        self.siblings.is_empty()
    }

    /// Parts that are already as [`from_parts`](Self::from_parts) would put them.
    pub(crate) fn from_canonical(context: VClock<A>, siblings: Vec<(Dot<A>, V)>) -> Self {
        Self { context, siblings }
    }

    #[cfg(feature = "serde")]
    pub(crate) fn sorted_siblings(&self) -> &[(Dot<A>, V)] {
        &self.siblings
    }

    /// The context and the siblings, as [`from_parts`](Self::from_parts) takes them.
    pub fn into_parts(self) -> (VClock<A>, Vec<(Dot<A>, V)>) {
        (self.context, self.siblings)
    }
}

impl<A: Ord, V> DvvSet<A, V> {
    /// Puts a set together again, from siblings in any order.
    ///
    /// # Errors
    /// When two siblings have one dot, or the context does not cover a sibling's dot: no history leads there.
    pub fn from_parts(
        context: VClock<A>,
        siblings: impl IntoIterator<Item = (Dot<A>, V)>,
    ) -> Result<Self, PartsError<A>>
    where
        A: Clone,
    {
        let mut siblings: Vec<_> = siblings.into_iter().collect();
        siblings.sort_by(|(left, _), (right, _)| left.cmp(right));
        if let Some(pair) = siblings.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(PartsError::Duplicate(pair[0].0.clone()));
        }
        match siblings.iter().find(|(dot, _)| !context.contains(dot)) {
            Some((dot, _)) => Err(PartsError::Uncovered(dot.clone())),
            None => Ok(Self { context, siblings }),
        }
    }

    /// Whether the event is in the set's past: it wrote one of the siblings, or what it wrote was replaced
    /// (or, with a shared counter, it wrote to another set).
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        self.context.contains(dot)
    }

    /// The value the event wrote, unless it was replaced.
    pub fn get(&self, dot: &Dot<A>) -> Option<&V> {
        let at = self.position(dot).ok()?;
        Some(&self.siblings[at].1)
    }

    /// The sibling that is greatest by `order`, for readers that want one value. Of equal ones, that with
    /// the greatest dot.
    ///
    /// Nothing is dropped: the others stay until a write replaces them. Two replicas that dropped by orders
    /// that differ would lose both values.
    pub fn lww_by(&self, mut order: impl FnMut(&V, &V) -> core::cmp::Ordering) -> Option<(&Dot<A>, &V)> {
        // `max_by` keeps the last of equals, and siblings are sorted by dot.
        self.siblings().max_by(|(_, left), (_, right)| order(left, right))
    }

    fn position(&self, dot: &Dot<A>) -> Result<usize, usize> {
        self.siblings.binary_search_by(|(candidate, _)| candidate.cmp(dot))
    }
}

impl<A: Ord + Clone, V> DvvSet<A, V> {
    /// The next event of `actor` if this set alone counts for it.
    ///
    /// # Errors
    /// When the actor's count in the context is `u64::MAX`.
    pub fn next_dot(&self, actor: A) -> Result<Dot<A>, CounterOverflow> {
        self.context.next_dot(actor)
    }

    /// Forgets an actor that will never write again, unless a sibling is still its. Returns whether the
    /// context forgot it.
    ///
    /// Nothing is lost by it, but values may come back: a copy of the set that still holds one of `actor`'s,
    /// since it never met the write that replaced it, brings that value back as a sibling. So wait until no
    /// copy does, on a replica or on its way to one. Then [`sync`](Self::sync) brings back the entry alone,
    /// from any that did not retire it yet. Should `actor` write again, its dots start at 1, and replicas that
    /// still count it take what it writes for long replaced.
    ///
    /// ```
    /// use vclock::{DvvSet, VClock};
    ///
    /// let mut here = DvvSet::new();
    /// here.write(&VClock::new(), "old", "gone")?;
    /// let unaware = here.clone();
    /// here.write(&here.context().clone(), "new", "ash")?;
    /// assert!(here.retire(&"gone")); // too early: `unaware` still holds "old"
    /// here.sync(&unaware).expect("no dot is used twice");
    /// assert_eq!(here.values().collect::<Vec<_>>(), [&"new", &"old"]);
    /// # Ok::<(), vclock::WriteError<&str>>(())
    /// ```
    pub fn retire(&mut self, actor: &A) -> bool {
        self.siblings.iter().all(|(dot, _)| dot.actor != *actor) && self.context.retire(actor) > 0
    }
}

impl<A: Ord + Clone, V: PartialEq> DvvSet<A, V> {
    /// Writes `value` as the event `dot`, by a writer that had read `ctx`. Siblings that `ctx` covers are
    /// replaced, the others stay. Returns `false`, changing nothing, when the set already holds this very
    /// write.
    ///
    /// # Errors
    /// When `dot` is in the past of the set or of `ctx` ([`WriteError::Covered`]), or when a sibling with
    /// another value has it ([`WriteError::Reused`]). The set is unchanged.
    pub fn write_at(&mut self, ctx: &VClock<A>, value: V, dot: Dot<A>) -> Result<bool, WriteError<A>> {
        match self.get(&dot) {
            Some(written) if *written == value => return Ok(false),
            Some(_) => return Err(WriteError::Reused(DotReused { dot })),
            None => {}
        }
        if self.context.contains(&dot) || ctx.contains(&dot) {
            return Err(WriteError::Covered(dot));
        }
        self.siblings.retain(|(sibling, _)| !ctx.contains(sibling));
        self.context.merge(ctx);
        self.context.witness(dot.clone());
        let at = self.position(&dot).unwrap_or_else(|at| at);
        self.siblings.insert(at, (dot, value));
        Ok(true)
    }

    /// Writes `value` by a writer that had read `ctx`, as the next event of `actor`, and returns that event.
    /// Siblings that `ctx` covers are replaced, the others stay.
    ///
    /// # Errors
    /// When the actor's counter is at its maximum ([`WriteError::Overflow`]). The set is unchanged.
    pub fn write(&mut self, ctx: &VClock<A>, value: V, actor: A) -> Result<Dot<A>, WriteError<A>> {
        let seen = self.context.get(&actor).max(ctx.get(&actor));
        let dot = Dot::after(seen, actor).map_err(WriteError::Overflow)?;
        self.write_at(ctx, value, dot.clone())?;
        Ok(dot)
    }

    /// Settles siblings: writes what `resolve` makes of them as the event `dot`, in place of them all.
    /// Returns `false`, changing nothing, when there are fewer than two.
    ///
    /// # Errors
    /// When `dot` is in the past of the set ([`WriteError::Covered`]), and be it that of a sibling. The set is
    /// unchanged, and `resolve` was not called.
    pub fn reconcile(
        &mut self,
        dot: Dot<A>,
        resolve: impl FnOnce(Values<'_, A, V>) -> V,
    ) -> Result<bool, WriteError<A>> {
        if self.siblings.len() < 2 {
            return Ok(false);
        }
        if self.context.contains(&dot) {
            return Err(WriteError::Covered(dot));
        }
        let value = resolve(self.values());
        self.write_at(&self.context.clone(), value, dot)
    }

    /// Takes in all that another replica of the same key has seen. A value stays if both have it, or if the
    /// side that lacks it has not seen it. Returns whether anything changed.
    ///
    /// Walks along the siblings and contexts of both sides, so the cost is the sum of their lengths.
    ///
    /// # Errors
    /// When one event wrote two different values: some actor is not unique. The set is unchanged.
    pub fn sync(&mut self, other: &Self) -> Result<bool, DotReused<A>>
    where
        V: Clone,
    {
        let mut mine = self.siblings.iter().peekable();
        let differs = |(dot, value): &(&Dot<A>, &V)| seek(&mut mine, dot).is_some_and(|own| own != *value);
        if let Some((dot, _)) = other.siblings().find(differs) {
            return Err(DotReused { dot: dot.clone() });
        }
        let mut seen = Walk::new(self.context.entries());
        let unseen = other.siblings.iter().filter(|(dot, _)| !seen.contains(dot));
        let unseen: Vec<(Dot<A>, V)> = unseen.cloned().collect();
        let before = self.siblings.len();
        let (mut theirs, mut seen) = (other.siblings.iter().peekable(), Walk::new(other.context.entries()));
        self.siblings.retain(|(dot, _)| seek(&mut theirs, dot).is_some() || !seen.contains(dot));
        let mut changed = self.siblings.len() < before;
        if !unseen.is_empty() {
            changed = true;
            self.siblings.extend(unseen);
            // A stable sort knows two sorted runs when it sees them, and merges them in one pass.
            self.siblings.sort_by(|(left, _), (right, _)| left.cmp(right));
        }
        changed |= self.context.merge(&other.context);
        Ok(changed)
    }
}

/// The value under `dot`, where dots are asked for in ascending order: passes over those before it.
fn seek<'a, A: Ord, V>(siblings: &mut Peekable<slice::Iter<'a, (Dot<A>, V)>>, dot: &Dot<A>) -> Option<&'a V> {
    while siblings.next_if(|(candidate, _)| candidate < dot).is_some() {}
    siblings.next_if(|(candidate, _)| candidate == dot).map(|(_, value)| value)
}

impl<A, V> Default for DvvSet<A, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// The values of a [`DvvSet`] in the order of their dots. From [`DvvSet::values`].
#[derive(Debug)]
pub struct Values<'a, A, V>(slice::Iter<'a, (Dot<A>, V)>);

impl<A, V> Clone for Values<'_, A, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, A, V> Iterator for Values<'a, A, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        self.0.next().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<A, V> ExactSizeIterator for Values<'_, A, V> {}

/// Two different values under one dot: two writers use one actor, or a writer's counter went back. Nothing
/// was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotReused<A> {
    /// The event that both claim to be.
    pub dot: Dot<A>,
}

impl<A: fmt::Debug> fmt::Display for DotReused<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dot { actor, counter } = &self.dot;
        write!(f, "event {counter} of {actor:?} wrote two different values; nothing was changed")
    }
}

impl<A: fmt::Debug> core::error::Error for DotReused<A> {}

/// Why a [`DvvSet`] refused a write. The set is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError<A> {
    /// The event is in the past of the set or of the writer's context: what it wrote was replaced, or it came
    /// after a later event of its actor, which a context cannot tell apart.
    Covered(Dot<A>),
    /// The event wrote another value.
    Reused(DotReused<A>),
    /// The actor cannot count another event.
    Overflow(CounterOverflow),
}

impl<A: fmt::Debug> fmt::Display for WriteError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Covered(Dot { actor, counter }) => {
                write!(f, "event {counter} of {actor:?} is already in the past; nothing was changed")
            }
            Self::Reused(_) => f.write_str("the event was already used; nothing was changed"),
            Self::Overflow(_) => f.write_str("the actor cannot write any more; nothing was changed"),
        }
    }
}

impl<A: fmt::Debug + 'static> core::error::Error for WriteError<A> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Covered(_) => None,
            Self::Reused(reused) => Some(reused),
            Self::Overflow(overflow) => Some(overflow),
        }
    }
}

/// Why a context and siblings are no [`DvvSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartsError<A> {
    /// Two siblings have this dot.
    Duplicate(Dot<A>),
    /// A sibling has this dot, and the context has not seen it.
    Uncovered(Dot<A>),
}

impl<A: fmt::Debug> fmt::Display for PartsError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(Dot { actor, counter }) => {
                write!(f, "two siblings have event {counter} of {actor:?}")
            }
            Self::Uncovered(Dot { actor, counter }) => {
                write!(f, "a sibling has event {counter} of {actor:?}, which the context has not seen")
            }
        }
    }
}

impl<A: fmt::Debug> core::error::Error for PartsError<A> {}
