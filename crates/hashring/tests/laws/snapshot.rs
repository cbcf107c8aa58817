//! Snapshots: what was written comes back, anything else is refused.

use hashring::{DecodeError, HashRing, NodeSpec, RestoreError, RingError, Snapshot, WEIGHT_MAX};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cases::config;
use crate::model::{Node, rings};

fn sample() -> Vec<u8> {
    let nodes =
        [NodeSpec::new("ash".to_owned()).weight(3).zone("z"), NodeSpec::new("birch".to_owned()).weight(4)];
    HashRing::builder().nodes(nodes).build().expect("within the limits").snapshot().to_bytes()
}

fn decode(bytes: &[u8]) -> Result<Snapshot<String>, DecodeError> {
    Snapshot::from_bytes(bytes)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_written_comes_back(ring in rings(), seed in any::<u64>()) {
        let nodes = ring.members().map(NodeSpec::from);
        let ring = HashRing::builder().seed(seed).nodes(nodes).build().expect("within the limits");
        let bytes = ring.snapshot().to_bytes();
        let snapshot = Snapshot::from_bytes(&bytes).expect("it was just written");
        prop_assert_eq!(snapshot.to_bytes(), bytes);
        prop_assert_eq!(snapshot.fingerprint(), ring.fingerprint());
        prop_assert!(snapshot.members().eq(ring.members()));
        let restored = HashRing::builder().seed(seed).restore(snapshot.clone()).expect("it was just written");
        prop_assert!(restored.points().eq(ring.points()));
        prop_assert_eq!(restored, ring);
        let elsewhere = HashRing::<Node>::builder().seed(seed ^ 1).restore(snapshot);
        prop_assert_eq!(elsewhere, Err(RestoreError::FingerprintMismatch));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_written_the_same(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(snapshot) = decode(&bytes) {
            prop_assert_eq!(snapshot.to_bytes(), bytes);
        }
    }

    #[test]
    fn altered_bytes_are_refused(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let restored = decode(&bytes).map_err(|_| ()).and_then(|snapshot| HashRing::builder().restore(snapshot).map_err(|_| ()));
        prop_assert!(restored.is_err());
    }

    #[test]
    fn cut_bytes_are_refused(end in any::<prop::sample::Index>()) {
        let bytes = sample();
        prop_assert_eq!(decode(&bytes[..end.index(bytes.len())]), Err(DecodeError::Truncated));
    }
}

#[test]
fn each_fault_has_its_error() {
    let good = sample();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        decode(&bytes)
    };
    assert!(decode(&good).is_ok());
    assert_eq!(with(0, b'X'), Err(DecodeError::NotASnapshot));
    assert_eq!(with(4, 2), Err(DecodeError::UnknownLayout { version: 2 }));
    assert_eq!(with(43, 0xff), Err(DecodeError::TooManyNodes));
    assert_eq!(with(42, 0x0f), Err(DecodeError::Truncated));
    assert_eq!(with(46, 0xff), Err(DecodeError::BadId { index: 0 }));
    assert_eq!(with(46, b'c'), Err(DecodeError::OutOfOrder { index: 1 }));
    assert_eq!(with(53, 2), Err(DecodeError::BadZone { index: 0 }));
    assert_eq!(with(56, 0xff), Err(DecodeError::BadZone { index: 0 }));
    let mut twice = good[..40].to_vec();
    twice.extend([2, 0, 0, 0, 1, 0, b'a', 1, 0, 0, 0, 0, 1, 0, b'a', 1, 0, 0, 0, 0]);
    assert_eq!(decode(&twice), Err(DecodeError::OutOfOrder { index: 1 }));
    let longer = [&good[..], &[0]].concat();
    assert_eq!(decode(&longer), Err(DecodeError::TrailingBytes { bytes: 1 }));
    let integers = Snapshot::<u64>::from_bytes(&good);
    assert_eq!(integers, Err(DecodeError::BadId { index: 0 }));
    let stranger = Snapshot::from_bytes_with(&good, |_| Some("stranger".to_owned()));
    assert_eq!(stranger, Err(DecodeError::BadId { index: 0 }));
}

#[test]
fn a_weight_over_the_limit_is_refused_before_a_point_is_made() {
    let mut bytes = sample();
    let weight = 44 + 2 + 3;
    bytes[weight..weight + 4].copy_from_slice(&(WEIGHT_MAX + 1).to_le_bytes());
    let snapshot = decode(&bytes).expect("well formed");
    assert_eq!(HashRing::builder().restore(snapshot), Err(RestoreError::FingerprintMismatch));
}

mod with_serde {
    use super::*;

    #[test]
    fn json_comes_back_and_bad_json_is_refused() {
        let snapshot = decode(&sample()).expect("well formed");
        let json = serde_json::to_string(&snapshot).expect("a snapshot has a form in JSON");
        assert_eq!(serde_json::from_str::<Snapshot<String>>(&json).expect("it was just written"), snapshot);

        let altered = json.replace("\"weight\":3", "\"weight\":70000");
        let snapshot = serde_json::from_str::<Snapshot<String>>(&altered).expect("well formed");
        assert_eq!(HashRing::builder().restore(snapshot), Err(RestoreError::FingerprintMismatch));
    }

    /// The sample with one part of its JSON changed, and what is said of it.
    fn refused(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let snapshot = decode(&sample()).expect("well formed");
        let mut json = serde_json::to_value(&snapshot).expect("a snapshot has a form in JSON");
        change(&mut json);
        serde_json::from_value::<Snapshot<String>>(json).expect_err("it was spoilt").to_string()
    }

    #[test]
    fn what_no_ring_gives_is_refused_as_bytes_are() {
        let cases = [
            (refused(|json| json["layout"] = 2.into()), DecodeError::UnknownLayout { version: 2 }),
            (
                refused(|json| json["members"].as_array_mut().expect("a list").reverse()),
                DecodeError::OutOfOrder { index: 1 },
            ),
            (
                refused(|json| json["members"][1] = json["members"][0].clone()),
                DecodeError::OutOfOrder { index: 1 },
            ),
            (
                refused(|json| json["members"][1]["node"] = "x".repeat(1 << 16).into()),
                DecodeError::BadId { index: 1 },
            ),
            (
                refused(|json| json["members"][0]["zone"] = "x".repeat(1 << 16).into()),
                DecodeError::BadZone { index: 0 },
            ),
            (
                refused(|json| json["members"][1]["weight"] = serde_json::Value::Null),
                DecodeError::NoWeight { index: 1 },
            ),
        ];
        for (said, error) in cases {
            assert_eq!(said, error.to_string());
        }
    }

    /// A weight left out once counted as none in the fingerprint and as the default in the ring.
    #[test]
    fn a_draining_node_stays_draining() {
        let nodes = [NodeSpec::new(1_u64).weight(0), NodeSpec::new(2).weight(3)];
        let ring = HashRing::builder().nodes(nodes).build().expect("within the limits");
        let json = serde_json::to_string(&ring.snapshot()).expect("a snapshot has a form in JSON");
        let snapshot: Snapshot<u64> = serde_json::from_str(&json).expect("it was just written");
        assert_eq!(
            HashRing::builder().restore(snapshot).expect("it was just written").fingerprint(),
            ring.fingerprint()
        );
    }
}

#[test]
fn errors_name_their_source() {
    use std::error::Error as _;
    let error = RestoreError::Ring(RingError::TooManyNodes);
    assert_eq!(error.source().expect("the reason").to_string(), RingError::TooManyNodes.to_string());
}
