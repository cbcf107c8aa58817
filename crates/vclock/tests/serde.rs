//! The serde form: round trips, and what decoding refuses.
#![cfg(feature = "serde")]

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vclock::{CausalContext, Dot, DotRange, DvvSet, Hlc, Seen, StampedVClock, TrimPolicy, VClock};

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("encodes");
    assert_eq!(serde_json::from_str::<T>(&text).expect("decodes"), *value, "{text}");
    let bytes = postcard::to_allocvec(value).expect("encodes");
    assert_eq!(postcard::from_bytes::<T>(&bytes).expect("decodes"), *value);
}

fn refusal<T: DeserializeOwned + Debug>(text: &str) -> String {
    serde_json::from_str::<T>(text).expect_err("refused").to_string()
}

#[test]
fn every_type_round_trips() {
    let clock: VClock<String> = [("b".to_owned(), 2), ("a".to_owned(), u64::MAX)].into_iter().collect();
    round_trips(&clock);
    assert_eq!(serde_json::to_string(&clock).unwrap(), r#"[["a",18446744073709551615],["b",2]]"#);
    let wide: VClock<u64> = (0..1_000).map(|actor| (actor, actor)).collect();
    round_trips(&wide);
    round_trips(&DotRange::new(7_u64, 2, u64::MAX).unwrap());
    let mut context = CausalContext::from(wide.clone());
    context.insert(Dot::new(3, 9).unwrap());
    context.insert(Dot::new(3, 11).unwrap());
    context.insert(Dot::new(2_000, 2).unwrap());
    round_trips(&context);
    let mut set = DvvSet::new();
    set.write(&wide, "left".to_owned(), 3).unwrap();
    set.write(&wide, "right".to_owned(), 4).unwrap();
    round_trips(&set);
    let stamped: StampedVClock<u64> = [(3, 1, Seen::at(9)), (4, 7, Seen::at(2))].into_iter().collect();
    round_trips(&stamped);
    let text = serde_json::to_string(&stamped).unwrap();
    let again: StampedVClock<u64> = serde_json::from_str(&text).unwrap();
    assert_eq!(again.to_bytes(), stamped.to_bytes(), "times included");
    round_trips(&Hlc::new(u64::MAX, 3));
    round_trips(&Dot::new("a".to_owned(), 3).unwrap());
    round_trips(&Seen::between(3, u64::MAX).unwrap());
    round_trips(&TrimPolicy { min_entries: 3, ..TrimPolicy::default() });
    let partial: TrimPolicy = serde_json::from_str(r#"{"max_entries": 7}"#).unwrap();
    assert_eq!(
        partial,
        TrimPolicy { max_entries: 7, ..TrimPolicy::default() },
        "what is left out is the default"
    );
}

#[test]
fn entries_that_encoding_never_writes_are_refused_by_position() {
    assert!(refusal::<VClock<String>>(r#"[["a",1],["c",1],["b",1]]"#).contains("actor 2 is not above"));
    assert!(refusal::<VClock<String>>(r#"[["a",1],["a",1]]"#).contains("actor 1 is not above"));
    assert!(refusal::<VClock<String>>(r#"[["a",0]]"#).contains('0'));
    assert!(refusal::<Dot<u64>>("[1,0]").contains('0'));
    assert!(refusal::<DotRange<u64>>("[1,3,2]").contains("no run"));
    assert!(refusal::<CausalContext<u64>>("[[],[[1,5,6],[1,7,8]]]").contains("1 is not above"));
    assert!(refusal::<CausalContext<u64>>("[[],[[2,5,6],[1,7,8]]]").contains("1 is not above"));
    assert!(refusal::<CausalContext<u64>>("[[[1,4]],[[1,5,6]]]").contains("0 belongs into"));
    assert!(refusal::<CausalContext<u64>>("[[],[[1,1,6]]]").contains("0 belongs into"));
    assert!(refusal::<StampedVClock<u64>>("[[3,1,9,8]]").contains("before first seen"));
    assert!(refusal::<StampedVClock<u64>>("[[3,1,9,9],[3,1,9,9]]").contains("actor 1 is not above"));
    assert!(refusal::<Seen>("[9,8]").contains("before first seen"));
    assert!(refusal::<TrimPolicy>(r#"{"min_entires": 7}"#).contains("min_entires"));
    let sibling = |actor: u64, counter: u64| format!(r#"[[{actor},{counter}],"v"]"#);
    let set = |siblings: &[String]| format!("[[[1,4]],[{}]]", siblings.join(","));
    assert!(refusal::<DvvSet<u64, String>>(&set(&[sibling(2, 1)])).contains("not seen"));
    let backwards = set(&[sibling(1, 2), sibling(1, 1)]);
    assert!(refusal::<DvvSet<u64, String>>(&backwards).contains("sibling 1 is not above"));
}

#[test]
fn a_length_that_nothing_backs_is_refused() {
    let mut bytes = postcard::to_allocvec(&u64::MAX).unwrap();
    bytes.extend([1, 1]);
    assert!(postcard::from_bytes::<VClock<u64>>(&bytes).is_err());
    assert!(postcard::from_bytes::<CausalContext<u64>>(&bytes).is_err());
}
