//! What every decoder promises of any bytes at all: a value that encodes back, or an error. Each function is
//! the body of the fuzz target `vclock_<its name>`, and of the replay of that target's corpus.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vclock::{ActorCodec, CausalContext, DotRange, DvvSet, Hlc, StampedVClock, VClock};

type Decoder = fn(&[u8]);

pub(crate) const ALL: [(&str, Decoder); 5] =
    [("clock", clock), ("context", context), ("set", set), ("stamped", stamped), ("serde", serde)];

/// Clocks read and written back are the same bytes; so are those of other actors.
pub(crate) fn clock(bytes: &[u8]) {
    fn check<A: ActorCodec + Clone + Debug>(bytes: &[u8]) {
        if let Ok(clock) = VClock::<A>::from_bytes(bytes) {
            assert_eq!(clock.to_bytes(), bytes);
            assert!(clock.iter().zip(clock.iter().skip(1)).all(|((left, _), (right, _))| left < right));
            assert!(clock.iter().all(|(actor, count)| count > 0 && clock.get(actor) == count));
        }
    }
    check::<u64>(bytes);
    check::<u8>(bytes);
    check::<u128>(bytes);
    check::<[u8; 3]>(bytes);
    check::<String>(bytes);
}

pub(crate) fn context(bytes: &[u8]) {
    fn check<A: ActorCodec + Clone + Debug>(bytes: &[u8]) {
        if let Ok(context) = CausalContext::<A>::from_bytes(bytes) {
            assert_eq!(context.to_bytes(), bytes);
            let in_order = context.clock().iter().map(|(actor, last)| DotRange::new(actor.clone(), 1, last));
            let runs = in_order.flatten().chain(context.ahead().cloned());
            assert_eq!(runs.collect::<CausalContext<A>>(), context);
        }
    }
    check::<u64>(bytes);
    check::<String>(bytes);
}

pub(crate) fn set(bytes: &[u8]) {
    fn check<A: ActorCodec + Clone + Debug>(bytes: &[u8]) {
        if let Ok(set) = DvvSet::<A, Vec<u8>>::from_bytes_with(bytes, |value| Some(value.to_vec())) {
            assert_eq!(set.to_bytes_with(|value, out| out.extend(value)), bytes);
            let (context, siblings) = set.clone().into_parts();
            assert_eq!(DvvSet::from_parts(context, siblings), Ok(set));
        }
    }
    check::<u64>(bytes);
    check::<String>(bytes);
}

pub(crate) fn stamped(bytes: &[u8]) {
    fn check<A: ActorCodec + Clone + Debug>(bytes: &[u8]) {
        if let Ok(clock) = StampedVClock::<A>::from_bytes(bytes) {
            assert_eq!(clock.to_bytes(), bytes);
            let entries = clock.iter().map(|(actor, count, seen)| (actor.clone(), count, seen));
            assert_eq!(entries.collect::<StampedVClock<A>>().to_bytes(), bytes);
        }
    }
    check::<u64>(bytes);
    check::<String>(bytes);
}

/// The serde form in a format whose own numbers are not canonical: values read and written back are equal.
pub(crate) fn serde(bytes: &[u8]) {
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
        if let Ok(value) = postcard::from_bytes::<T>(bytes) {
            let written = postcard::to_allocvec(&value).expect("memory does not run out");
            assert_eq!(postcard::from_bytes::<T>(&written).as_ref(), Ok(&value));
        }
    }
    check::<VClock<u64>>(bytes);
    check::<CausalContext<u8>>(bytes);
    check::<DvvSet<u8, String>>(bytes);
    check::<StampedVClock<String>>(bytes);
    check::<DotRange<u8>>(bytes);
    check::<Hlc>(bytes);
}
