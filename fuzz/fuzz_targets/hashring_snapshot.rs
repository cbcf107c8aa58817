#![no_main]

#[path = "../../crates/hashring/tests/fuzzed/mod.rs"]
#[expect(dead_code, reason = "each target runs one of them")]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::snapshot(bytes));
