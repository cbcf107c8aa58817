//! Bytes from other nodes, well-formed and not: inputs worth keeping, and inputs at random.

mod decoders;

use proptest::prelude::*;

#[test]
fn kept_inputs_are_taken_without_harm() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/genserver_inbox");
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        decoders::inbox(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 8, "the inputs are there");
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decoders::inbox(&bytes);
    }

    #[test]
    fn any_message_of_a_known_tag_is_taken_without_harm(
        message in proptest::collection::vec(any::<u8>(), 0..100),
        tag in proptest::sample::select(vec!["note", "monitor", "demonitor", "ended", "other"]),
        links in 0..3_u8,
    ) {
        let mut bytes = vec![1, 0, u8::try_from(tag.len()).unwrap()];
        bytes.extend_from_slice(tag.as_bytes());
        bytes.extend_from_slice(&[1, links]);
        bytes.extend_from_slice(&message);
        decoders::inbox(&bytes);
    }
}
