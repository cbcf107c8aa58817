//! The layouts of the types.

use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::{ActorCodec, DecodeError, Input, Malformed, write_number};
use crate::entries::Entry;
use crate::{CausalContext, Dot, DotRange, DvvSet, Seen, StampedVClock, VClock};

const CLOCK: u8 = 1;
const CONTEXT: u8 = 2;
const SET: u8 = 3;
const STAMPED: u8 = 4;

impl<A: ActorCodec> VClock<A> {
    /// The canonical bytes: the same for equal clocks, however they came about.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from([CLOCK]);
        write_entries(self, &mut out);
        out
    }

    /// The clock whose [`to_bytes`](Self::to_bytes) these are.
    ///
    /// # Errors
    /// When they are no clock's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_bytes_within(bytes, usize::MAX)
    }

    /// The same for bytes from a stranger, who may have at most `entries_max` entries.
    ///
    /// # Errors
    /// When they are no clock's, or that of a longer one.
    pub fn from_bytes_within(bytes: &[u8], entries_max: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, CLOCK, entries_max)?;
        let clock = reader.clock()?;
        reader.finish(clock)
    }
}

impl<A: ActorCodec> CausalContext<A> {
    /// The canonical bytes: the same for equal contexts, however they came about.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from([CONTEXT]);
        write_entries(self.clock(), &mut out);
        write_number(self.ahead().len() as u64, &mut out);
        let mut previous: Option<&DotRange<A>> = None;
        for run in self.ahead() {
            run.actor.encode(previous.map(|run| &run.actor), &mut out);
            write_number(run.first() - self.unbroken_before(previous, &run.actor) - 1, &mut out);
            write_number(run.count() - 1, &mut out);
            previous = Some(run);
        }
        out
    }

    /// The context whose [`to_bytes`](Self::to_bytes) these are.
    ///
    /// # Errors
    /// When they are no context's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>
    where
        A: Clone,
    {
        Self::from_bytes_within(bytes, usize::MAX)
    }

    /// The same for bytes from a stranger, who may have at most `entries_max` entries: actors in the clock
    /// and runs ahead of it, taken together.
    ///
    /// # Errors
    /// When they are no context's, or that of a longer one.
    pub fn from_bytes_within(bytes: &[u8], entries_max: usize) -> Result<Self, DecodeError>
    where
        A: Clone,
    {
        let mut reader = Reader::new(bytes, CONTEXT, entries_max)?;
        let mut context = Self::from(reader.clock()?);
        for _ in 0..reader.announced(A::BYTES_MIN + 2)? {
            let previous = context.ahead().as_slice().last();
            let actor: A = reader.part(|input| A::decode(previous.map(|run| &run.actor), input))?;
            if previous.is_some_and(|run| run.actor > actor) {
                return Err(DecodeError::Disorder { entry: reader.entry });
            }
            let before = context.unbroken_before(previous, &actor);
            let run = reader.run(actor, before)?;
            context.push_canonical(run);
        }
        reader.finish(context)
    }
}

impl<A: ActorCodec, V> DvvSet<A, V> {
    /// The canonical bytes, values as `encode` appends them: the same for equal sets if it is so for equal
    /// values.
    pub fn to_bytes_with(&self, mut encode: impl FnMut(&V, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::from([SET]);
        write_entries(self.context(), &mut out);
        write_number(self.siblings().len() as u64, &mut out);
        let mut bytes = Vec::new();
        let mut previous = None;
        for (dot, value) in self.siblings() {
            dot.actor.encode(previous, &mut out);
            previous = Some(&dot.actor);
            write_number(self.context().get(&dot.actor) - dot.counter(), &mut out);
            bytes.clear();
            encode(value, &mut bytes);
            write_number(bytes.len() as u64, &mut out);
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// The set whose [`to_bytes_with`](Self::to_bytes_with) these are; `decode` reads a value, or refuses it.
    ///
    /// # Errors
    /// When they are no set's.
    pub fn from_bytes_with(bytes: &[u8], decode: impl FnMut(&[u8]) -> Option<V>) -> Result<Self, DecodeError>
    where
        A: Clone,
    {
        Self::from_bytes_within(bytes, usize::MAX, decode)
    }

    /// The same for bytes from a stranger, who may have at most `entries_max` entries: actors in the context
    /// and siblings, taken together.
    ///
    /// # Errors
    /// When they are no set's, or that of a longer one.
    pub fn from_bytes_within(
        bytes: &[u8],
        entries_max: usize,
        mut decode: impl FnMut(&[u8]) -> Option<V>,
    ) -> Result<Self, DecodeError>
    where
        A: Clone,
    {
        let mut reader = Reader::new(bytes, SET, entries_max)?;
        let context: VClock<A> = reader.clock()?;
        let mut siblings: Vec<(Dot<A>, V)> = Vec::new();
        for _ in 0..reader.announced(A::BYTES_MIN + 2)? {
            let previous = siblings.last().map(|(dot, _)| dot);
            let actor: A = reader.part(|input| A::decode(previous.map(|dot| &dot.actor), input))?;
            let counter = context.get(&actor).checked_sub(reader.number()?);
            let dot = counter.and_then(|counter| Dot::new(actor, counter));
            let dot = dot.ok_or(DecodeError::Malformed { entry: reader.entry })?;
            if previous.is_some_and(|previous| *previous >= dot) {
                return Err(DecodeError::Disorder { entry: reader.entry });
            }
            let value = reader.value()?;
            siblings.push((dot, decode(value).ok_or(DecodeError::Malformed { entry: reader.entry })?));
            reader.entry += 1;
        }
        reader.finish(Self::from_canonical(context, siblings))
    }
}

impl<A: ActorCodec> StampedVClock<A> {
    /// The canonical bytes: the same for clocks that are equal and have the same times.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from([STAMPED]);
        write_number(self.len() as u64, &mut out);
        let mut previous = None;
        for (actor, count, seen) in self.iter() {
            actor.encode(previous, &mut out);
            previous = Some(actor);
            write_number(count, &mut out);
            write_number(seen.first_us(), &mut out);
            write_number(seen.last_us() - seen.first_us(), &mut out);
        }
        out
    }

    /// The clock whose [`to_bytes`](Self::to_bytes) these are.
    ///
    /// # Errors
    /// When they are no stamped clock's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_bytes_within(bytes, usize::MAX)
    }

    /// The same for bytes from a stranger, who may have at most `entries_max` entries.
    ///
    /// # Errors
    /// When they are no stamped clock's, or that of a longer one.
    pub fn from_bytes_within(bytes: &[u8], entries_max: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, STAMPED, entries_max)?;
        let announced = reader.announced(A::BYTES_MIN + 3)?;
        let mut entries: Vec<(A, NonZeroU64, Seen)> = Vec::with_capacity(announced);
        for _ in 0..announced {
            let actor = reader.actor(entries.last().map(|(actor, ..)| actor))?;
            let count = reader.count()?;
            let first_us = reader.number()?;
            let last_us = first_us.checked_add(reader.number()?);
            let seen = last_us.and_then(|last_us| Seen::between(first_us, last_us));
            entries.push((actor, count, seen.ok_or(DecodeError::Malformed { entry: reader.entry })?));
            reader.entry += 1;
        }
        reader.finish(Self::from_sorted(entries))
    }
}

fn write_entries<A: ActorCodec>(clock: &VClock<A>, out: &mut Vec<u8>) {
    write_number(clock.len() as u64, out);
    let mut previous = None;
    for (actor, count) in clock {
        actor.encode(previous, out);
        previous = Some(actor);
        write_number(count, out);
    }
}

/// Reads the parts of a value, and knows which entry it is at.
struct Reader<'a> {
    input: Input<'a>,
    entry: usize,
    /// How many more entries are accepted.
    allowance: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], form: u8, entries_max: usize) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&found, rest)) if found == form => {
                Ok(Self { input: Input::new(rest), entry: 0, allowance: entries_max })
            }
            other => Err(DecodeError::Form { found: other.map(|(found, _)| *found) }),
        }
    }

    fn finish<T>(&self, value: T) -> Result<T, DecodeError> {
        match self.input.len() {
            0 => Ok(value),
            bytes => Err(DecodeError::Trailing { bytes }),
        }
    }

    /// A number of entries to come, of at least `bytes_min` bytes each: never more than could be.
    fn announced(&mut self, bytes_min: usize) -> Result<usize, DecodeError> {
        let announced = self.number()?;
        let max = self.allowance.min(self.input.len() / bytes_min);
        let entries = usize::try_from(announced).ok().filter(|entries| *entries <= max);
        let entries = entries.ok_or(DecodeError::TooMany { announced, max })?;
        self.allowance -= entries;
        Ok(entries)
    }

    fn clock<A: ActorCodec>(&mut self) -> Result<VClock<A>, DecodeError> {
        let announced = self.announced(A::BYTES_MIN + 1)?;
        let mut entries: Vec<Entry<A>> = Vec::with_capacity(announced);
        for _ in 0..announced {
            let actor = self.actor(entries.last().map(|(actor, _)| actor))?;
            entries.push((actor, self.count()?));
            self.entry += 1;
        }
        Ok(VClock::from_sorted(entries))
    }

    /// A run of `actor`, the nearest seen event before it being `before`.
    fn run<A>(&mut self, actor: A, before: u64) -> Result<DotRange<A>, DecodeError> {
        let missing = self.count()?.get();
        let more = self.number()?;
        let first = before.checked_add(missing).and_then(|unseen| unseen.checked_add(1));
        let last = first.and_then(|first| first.checked_add(more));
        let run = first.zip(last).and_then(|(first, last)| DotRange::new(actor, first, last));
        let run = run.ok_or(DecodeError::Malformed { entry: self.entry })?;
        self.entry += 1;
        Ok(run)
    }

    fn actor<A: ActorCodec>(&mut self, previous: Option<&A>) -> Result<A, DecodeError> {
        let actor = self.part(|input| A::decode(previous, input))?;
        if previous.is_some_and(|previous| *previous >= actor) {
            return Err(DecodeError::Disorder { entry: self.entry });
        }
        Ok(actor)
    }

    fn count(&mut self) -> Result<NonZeroU64, DecodeError> {
        NonZeroU64::new(self.number()?).ok_or(DecodeError::Zero { entry: self.entry })
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        self.part(Input::number)
    }

    fn value(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.number()?);
        self.part(|input| input.bytes(length.map_err(|_| Malformed::Truncated)?))
    }

    fn part<T>(
        &mut self,
        read: impl FnOnce(&mut Input<'a>) -> Result<T, Malformed>,
    ) -> Result<T, DecodeError> {
        let entry = self.entry;
        read(&mut self.input).map_err(|malformed| match malformed {
            Malformed::Truncated => DecodeError::Truncated { entry },
            Malformed::NotCanonical => DecodeError::Malformed { entry },
        })
    }
}
