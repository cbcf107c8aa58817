//! The canonical bytes: what they are, and what is refused.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

use vclock::{
    ActorCodec, CausalContext, DecodeError, Dot, DotRange, DvvSet, Hlc, Input, Malformed, Seen,
    StampedVClock, VClock, write_number, write_wide,
};

fn decode(bytes: &[u8]) -> Result<VClock<u64>, DecodeError> {
    VClock::from_bytes(bytes)
}

fn decode_names(bytes: &[u8]) -> Result<VClock<String>, DecodeError> {
    VClock::from_bytes(bytes)
}

/// Values written to disk or sent today must be read for ever: a change here is a new form, not a fix.
#[test]
fn golden_bytes_of_every_form() {
    let clock: VClock<u64> = [(3, 1), (20, 300), (1 << 60, u64::MAX)].into_iter().collect();
    #[rustfmt::skip]
    let golden = [
        1, 3,
        0x03, 1,
        0x10, 17, 0xac, 0x02,
        0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    assert_eq!(clock.to_bytes(), golden);
    assert_eq!(decode(&golden), Ok(clock));
    assert_eq!(VClock::<u64>::new().to_bytes(), [1, 0]);

    let named: VClock<Arc<str>> = [("a".into(), 2), ("node".into(), 1)].into_iter().collect();
    assert_eq!(named.to_bytes(), *b"\x01\x02\x01a\x02\x04node\x01");
    let bytes: VClock<[u8; 2]> = [(*b"xy", 5)].into_iter().collect();
    assert_eq!(bytes.to_bytes(), *b"\x01\x01xy\x05");

    let mut context = CausalContext::from([(3_u64, 2)].into_iter().collect::<VClock<_>>());
    for (first, last) in [(5, 6), (9, 9)] {
        context.insert_range(DotRange::new(3, first, last).unwrap());
    }
    context.insert_range(DotRange::new(4, 2, 3).unwrap());
    assert_eq!(context.to_bytes(), [2, 1, 3, 2, 3, 3, 2, 1, 0, 2, 0, 1, 1, 1]);
    assert_eq!(CausalContext::from_bytes(&context.to_bytes()), Ok(context));

    let siblings = [(Dot::new(3_u64, 2).unwrap(), "old"), (Dot::new(5, 1).unwrap(), "")];
    let set = DvvSet::from_parts([(3, 4), (5, 1)].into_iter().collect(), siblings).unwrap();
    let bytes = set.to_bytes_with(|value, out| out.extend(value.bytes()));
    assert_eq!(bytes, *b"\x03\x02\x03\x04\x02\x01\x02\x03\x02\x03old\x02\x00\x00");

    let stamped: StampedVClock<u64> = [(3, 2, Seen::between(200, 201).unwrap())].into_iter().collect();
    assert_eq!(stamped.to_bytes(), [4, 1, 3, 2, 0xc8, 0x01, 1]);

    assert_eq!(Hlc::new(258, 3).to_bytes(), [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3]);
}

#[test]
fn every_width_of_integer_round_trips() {
    for bit in 0..64 {
        for actor in [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1, u64::MAX - bit] {
            for count in [1, 1 << bit, u64::MAX >> bit] {
                let clock: VClock<u64> = [(0, 1), (actor, count)].into_iter().collect();
                assert_eq!(decode(&clock.to_bytes()), Ok(clock));
            }
        }
    }
    fn round_trips<A: ActorCodec + Clone + Debug>(actors: impl IntoIterator<Item = A>) {
        let clock: VClock<A> = actors.into_iter().map(|actor| (actor, 7)).collect();
        assert_eq!(VClock::from_bytes(&clock.to_bytes()), Ok(clock));
    }
    round_trips([0, 1, u8::MAX]);
    round_trips([0, 1, u16::MAX]);
    round_trips([0, 1, u32::MAX]);
    round_trips([0, 1, u128::MAX]);
    round_trips([[0; 16], [1; 16], [255; 16]]);
    round_trips([[]; 1] as [[u8; 0]; 1]);
    round_trips(["".to_owned(), "é".to_owned(), "x".repeat(300)]);
    round_trips([Box::<str>::from("b")]);
}

#[test]
fn entries_that_encoding_never_writes_are_refused_by_name() {
    assert_eq!(decode(&[1, 2, 3, 1, 0, 1]), Err(DecodeError::Disorder { entry: 1 }), "a duplicate");
    assert_eq!(decode_names(b"\x01\x02\x01a\x01\x01a\x01"), Err(DecodeError::Disorder { entry: 1 }));
    assert_eq!(decode_names(b"\x01\x03\x01b\x01\x01c\x01\x01a\x01"), Err(DecodeError::Disorder { entry: 2 }));
    assert_eq!(decode(&[1, 2, 3, 1, 1, 0]), Err(DecodeError::Zero { entry: 1 }));
    assert_eq!(decode_names(b"\x01\x01\x01\xff\x01"), Err(DecodeError::Malformed { entry: 0 }), "not UTF-8");
    let past_the_last = [1, 2, 0x80, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 1];
    assert_eq!(
        decode(&past_the_last),
        Err(DecodeError::Disorder { entry: 1 }),
        "past the last, and round to the first"
    );
    assert_eq!(
        VClock::<u8>::from_bytes(&[1, 1, 0x11, 0, 1]),
        Err(DecodeError::Malformed { entry: 0 }),
        "256 is no u8"
    );
}

/// Numbers of one's own order: an actor's integer may be below the one before it.
#[test]
fn actors_that_descend_as_integers_round_trip() {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Highest<T>(T);

    impl<T: Ord> Ord for Highest<T> {
        fn cmp(&self, other: &Self) -> Ordering {
            other.0.cmp(&self.0)
        }
    }

    impl<T: Ord> PartialOrd for Highest<T> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl<T: ActorCodec> ActorCodec for Highest<T> {
        const BYTES_MIN: usize = T::BYTES_MIN;

        fn encode(&self, previous: Option<&Self>, out: &mut Vec<u8>) {
            self.0.encode(previous.map(|actor| &actor.0), out);
        }

        fn decode(previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
            T::decode(previous.map(|actor| &actor.0), input).map(Highest)
        }
    }

    fn round_trips<T: ActorCodec + Copy + Debug>(actors: impl IntoIterator<Item = T>) {
        let clock: VClock<Highest<T>> = actors.into_iter().map(|actor| (Highest(actor), 3)).collect();
        let bytes = clock.to_bytes();
        assert_eq!(VClock::from_bytes(&bytes), Ok(clock.clone()));
        let mut context = CausalContext::from(clock.clone());
        for (Highest(actor), _) in &clock {
            context.insert(Dot::new(Highest(*actor), 9).unwrap());
        }
        assert_eq!(CausalContext::from_bytes(&context.to_bytes()), Ok(context));
    }
    round_trips([0, 7, u8::MAX]);
    round_trips([0, 7, u16::MAX]);
    round_trips([0, 7, u32::MAX]);
    round_trips([0, 7, 1 << 40, u64::MAX]);
    round_trips([0, 7, u128::MAX]);
}

#[test]
fn numbers_for_a_codec_of_ones_own_are_written_as_they_are_read() {
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Place {
        rack: u64,
        disk: u64,
    }

    impl ActorCodec for Place {
        const BYTES_MIN: usize = 2;

        fn encode(&self, _previous: Option<&Self>, out: &mut Vec<u8>) {
            write_number(self.rack, out);
            write_wide(self.disk, out);
        }

        fn decode(_previous: Option<&Self>, input: &mut Input<'_>) -> Result<Self, Malformed> {
            Ok(Self { rack: input.number()?, disk: input.wide()? })
        }
    }

    let places = (0..64).map(|bit| Place { rack: 1 << bit, disk: u64::MAX >> bit });
    let clock: VClock<Place> = places.map(|place| (place, 1)).collect();
    assert_eq!(VClock::from_bytes(&clock.to_bytes()), Ok(clock));
}

#[test]
fn numbers_in_more_bytes_than_they_need_are_refused() {
    let malformed = Err(DecodeError::Malformed { entry: 0 });
    assert_eq!(decode(&[1, 1, 3, 0x81, 0]), malformed);
    assert_eq!(decode(&[1, 0x81, 0x00, 3, 1]), malformed);
    assert_eq!(decode(&[1, 1, 0x10, 3, 1]), malformed);
    assert_eq!(decode(&[1, 1, 0x21, 0, 0, 1]).map(|clock| clock.get(&0x10000)), Ok(1));
    assert_eq!(decode(&[1, 1, 0x20, 0x0f, 0xff, 1]), malformed);
    assert_eq!(decode(&[1, 1, 0x81, 255, 255, 255, 255, 255, 255, 255, 255, 1]), malformed, "68 bits");
    assert_eq!(decode(&[1, 1, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), malformed, "nine bytes more");
    let too_large = [1, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(decode(&too_large), malformed);
    let too_long = [1, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(decode(&too_long), malformed);
}

#[test]
fn the_first_byte_tells_kinds_and_versions_apart() {
    assert_eq!(decode(&[]), Err(DecodeError::Form { found: None }));
    for found in (0..=255).filter(|form| *form != 1) {
        assert_eq!(decode(&[found, 0]), Err(DecodeError::Form { found: Some(found) }));
    }
    assert!(CausalContext::<u64>::from_bytes(&[1, 0]).is_err());
    assert!(StampedVClock::<u64>::from_bytes(&[1, 0]).is_err());
    assert!(DvvSet::<u64, ()>::from_bytes_with(&[1, 0, 0], |_| Some(())).is_err());
}

#[test]
fn bytes_cut_short_or_left_over_are_refused() {
    let clock: VClock<String> = (0..40).map(|actor| (format!("node-{actor}"), actor + 100)).collect();
    let bytes = clock.to_bytes();
    for length in 1..bytes.len() {
        match decode_names(&bytes[..length]) {
            Err(DecodeError::Truncated { .. } | DecodeError::TooMany { .. }) => {}
            other => panic!("{length} of {} bytes: {other:?}", bytes.len()),
        }
    }
    let longer = [&bytes[..], &[0, 0]].concat();
    assert_eq!(decode_names(&longer), Err(DecodeError::Trailing { bytes: 2 }));
}

#[test]
fn a_million_entries_are_refused_before_any_is_read() {
    let header = [1, 0xc0, 0x84, 0x3d, 1, 1];
    assert_eq!(decode(&header), Err(DecodeError::TooMany { announced: 1_000_000, max: 1 }));
    let announced = if cfg!(miri) { 2_000 } else { 1_000_000 };
    let huge: VClock<u64> = (0..announced).map(|actor| (actor, 1)).collect();
    let bytes = huge.to_bytes();
    let refused = VClock::<u64>::from_bytes_within(&bytes, 1_000);
    assert_eq!(refused, Err(DecodeError::TooMany { announced, max: 1_000 }));
    assert_eq!(decode(&bytes), Ok(huge), "and read where they are welcome");
}

#[test]
fn an_allowance_counts_all_parts_of_a_value() {
    let mut context: CausalContext<u64> = (1..=3_u64).map(|actor| Dot::new(actor, 1).unwrap()).collect();
    context.insert(Dot::new(9, 9).unwrap());
    let bytes = context.to_bytes();
    assert_eq!(CausalContext::from_bytes_within(&bytes, 4), Ok(context));
    let too_many = Err(DecodeError::TooMany { announced: 1, max: 0 });
    assert_eq!(CausalContext::<u64>::from_bytes_within(&bytes, 3), too_many);

    let mut set: DvvSet<u64, ()> = DvvSet::new();
    set.write(&VClock::new(), (), 1).unwrap();
    let bytes = set.to_bytes_with(|(), _| {});
    assert_eq!(DvvSet::from_bytes_within(&bytes, 2, |_| Some(())), Ok(set));
    assert!(DvvSet::<u64, ()>::from_bytes_within(&bytes, 1, |_| Some(())).is_err());
}

#[test]
fn runs_that_touch_overlap_or_overflow_are_refused() {
    let decode = CausalContext::<u64>::from_bytes;
    assert_eq!(decode(&[2, 1, 3, 2, 1, 3, 0, 5]), Err(DecodeError::Zero { entry: 1 }), "touches the clock");
    assert_eq!(decode(&[2, 0, 2, 3, 1, 0, 0, 0, 0]), Err(DecodeError::Zero { entry: 1 }), "touches a run");
    let to_the_top = [2, 0, 1, 3, 1, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(decode(&to_the_top).map(|context| context.latest(&3)), Ok(u64::MAX));
    let over_it = [2, 0, 1, 3, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(decode(&over_it), Err(DecodeError::Malformed { entry: 0 }));
    let decode = CausalContext::<String>::from_bytes;
    assert_eq!(decode(b"\x02\x00\x02\x01b\x01\x00\x01a\x01\x00"), Err(DecodeError::Disorder { entry: 1 }));
}

#[test]
fn siblings_outside_their_context_are_refused() {
    let decode = |bytes: &[u8]| DvvSet::<u64, Vec<u8>>::from_bytes_with(bytes, |value| Some(value.to_vec()));
    assert!(decode(&[3, 1, 3, 2, 1, 3, 1, 0]).is_ok());
    assert_eq!(decode(&[3, 1, 3, 2, 1, 3, 2, 0]), Err(DecodeError::Malformed { entry: 1 }), "counter 0");
    assert_eq!(decode(&[3, 1, 3, 2, 1, 4, 0, 0]), Err(DecodeError::Malformed { entry: 1 }), "actor unseen");
    assert_eq!(
        decode(&[3, 1, 3, 2, 2, 3, 0, 0, 0, 0, 0]),
        Err(DecodeError::Disorder { entry: 2 }),
        "one dot twice"
    );
    assert_eq!(
        decode(&[3, 1, 3, 2, 2, 3, 0, 0, 0, 1, 0]),
        Err(DecodeError::Disorder { entry: 2 }),
        "backwards"
    );
    assert_eq!(decode(&[3, 1, 3, 2, 1, 3, 1, 9, 0]), Err(DecodeError::Truncated { entry: 1 }));
    let refused = DvvSet::<u64, ()>::from_bytes_with(&[3, 1, 3, 2, 1, 3, 1, 0], |_| None);
    assert_eq!(refused, Err(DecodeError::Malformed { entry: 1 }));
}

#[test]
fn times_that_run_over_are_refused() {
    let bytes = [4, 1, 3, 1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(StampedVClock::<u64>::from_bytes(&bytes), Err(DecodeError::Malformed { entry: 0 }));
}

#[test]
fn fifty_random_actors_take_a_tenth_less_than_in_a_plain_encoding() {
    let mut state = 42_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) << 32 | (state.rotate_left(17) >> 32)
    };
    let total: usize = (0..100)
        .map(|_| {
            (0..50).map(|_| (random(), 128 + random() % 10_000)).collect::<VClock<u64>>().to_bytes().len()
        })
        .sum();
    assert!(total / 100 <= 520, "{} bytes", total / 100);
}
