#![no_main]

#[path = "../../crates/genserver/tests/decoders/mod.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::inbox(bytes));
