#![no_main]

#[path = "../../crates/gossip/tests/decoders/mod.rs"]
#[expect(dead_code, reason = "each target runs one of them")]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::state_file(bytes));
