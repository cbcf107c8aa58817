//! Serialisation through serde: plain tuples and sequences, decoded only when they are what encoding writes.
//!
//! Decoding starts from serde's own `Vec`, which makes room for what has arrived rather than for what a
//! length claims.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU64;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entries::Entry;
use crate::{CausalContext, Dot, DotRange, DvvSet, Hlc, Seen, StampedVClock, VClock};

impl<A: Serialize> Serialize for VClock<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries())
    }
}

impl<'de, A: Deserialize<'de> + Ord> Deserialize<'de> for VClock<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries: Vec<Entry<A>> = Deserialize::deserialize(deserializer)?;
        refuse_disorder("actor", &entries, |(left, _), (right, _)| left < right)?;
        Ok(Self::from_sorted(entries))
    }
}

impl<A: Serialize> Serialize for Dot<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.actor, self.counter).serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Dot<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (actor, counter) = Deserialize::deserialize(deserializer)?;
        Ok(Self { actor, counter })
    }
}

impl<A: Serialize> Serialize for DotRange<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.actor, self.first, self.last).serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de>> Deserialize<'de> for DotRange<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (actor, first, last) = Deserialize::deserialize(deserializer)?;
        Self::new(actor, first, last)
            .ok_or_else(|| D::Error::custom(format_args!("no run of events goes from {first} to {last}")))
    }
}

impl<A: Serialize> Serialize for CausalContext<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.clock(), self.ahead().as_slice()).serialize(serializer)
    }
}

impl<'de, A: Deserialize<'de> + Ord> Deserialize<'de> for CausalContext<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (clock, ahead): (VClock<A>, Vec<DotRange<A>>) = Deserialize::deserialize(deserializer)?;
        refuse_disorder("run ahead of the clock", &ahead, |left, right| {
            left.actor < right.actor || (left.actor == right.actor && !right.follows(left.last()))
        })?;
        match ahead.iter().position(|run| run.follows(clock.get(&run.actor))) {
            Some(at) => Err(D::Error::custom(format_args!("run ahead of the clock {at} belongs into it"))),
            None => Ok(Self::from_canonical(clock, ahead)),
        }
    }
}

impl<A: Serialize, V: Serialize> Serialize for DvvSet<A, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.context(), self.sorted_siblings()).serialize(serializer)
    }
}

impl<'de, A, V> Deserialize<'de> for DvvSet<A, V>
where
    A: Deserialize<'de> + Ord + Clone + fmt::Debug,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (context, siblings): (VClock<A>, Vec<(Dot<A>, V)>) = Deserialize::deserialize(deserializer)?;
        refuse_disorder("sibling", &siblings, |(left, _), (right, _)| left < right)?;
        Self::from_parts(context, siblings).map_err(D::Error::custom)
    }
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.first_us(), self.last_us()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (first_us, last_us) = Deserialize::deserialize(deserializer)?;
        seen_between(first_us, last_us)
    }
}

impl<A: Serialize> Serialize for StampedVClock<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = |(actor, count, seen): (_, _, Seen)| (actor, count, seen.first_us(), seen.last_us());
        serializer.collect_seq(self.iter().map(entry))
    }
}

impl<'de, A: Deserialize<'de> + Ord> Deserialize<'de> for StampedVClock<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries: Vec<(A, NonZeroU64, u64, u64)> = Deserialize::deserialize(deserializer)?;
        refuse_disorder("actor", &entries, |(left, ..), (right, ..)| left < right)?;
        let stamped =
            |(actor, count, first_us, last_us)| Ok((actor, count, seen_between(first_us, last_us)?));
        let entries: Result<Vec<_>, D::Error> = entries.into_iter().map(stamped).collect();
        Ok(Self::from_sorted(entries?))
    }
}

impl Serialize for Hlc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.wall_us(), self.logical()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Hlc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (wall_us, logical) = Deserialize::deserialize(deserializer)?;
        Ok(Self::new(wall_us, logical))
    }
}

fn seen_between<E: Error>(first_us: u64, last_us: u64) -> Result<Seen, E> {
    Seen::between(first_us, last_us)
        .ok_or_else(|| E::custom(format_args!("last seen at {last_us}, before first seen at {first_us}")))
}

/// Refuses items of which one is not above the one before it, naming it.
fn refuse_disorder<T, E: Error>(what: &str, items: &[T], in_order: impl Fn(&T, &T) -> bool) -> Result<(), E> {
    match items.windows(2).position(|pair| !in_order(&pair[0], &pair[1])) {
        Some(at) => Err(E::custom(format_args!("{what} {} is not above the one before it", at + 1))),
        None => Ok(()),
    }
}
