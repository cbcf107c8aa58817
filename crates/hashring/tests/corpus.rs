//! Replays the fuzz targets' inputs, and ways to spoil one byte of them.

// The fuzzers watch memory on these themselves, and the largest are beyond miri's patience.
#![cfg(not(miri))]

mod fuzzed;

use std::fs;
use std::path::Path;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/hashring_{target}"));
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read =
        |file: Result<fs::DirEntry, _>| fs::read(file.expect("a file").path()).expect("it can be read");
    files.map(read).collect()
}

#[test]
fn every_committed_input_holds() {
    for (target, holds) in fuzzed::ALL {
        let inputs = inputs(target);
        assert!(inputs.len() >= 5, "hashring_{target} has lost its inputs");
        inputs.iter().for_each(|input| holds(input));
    }
}

#[test]
fn so_does_a_snapshot_one_byte_away() {
    for input in inputs("snapshot") {
        for at in 0..input.len() {
            fuzzed::snapshot(&input[..at]);
            for byte in [0, 1, 0x7f, 0x80, 0xff, input[at] ^ 1] {
                let mut spoilt = input.clone();
                spoilt[at] = byte;
                fuzzed::snapshot(&spoilt);
            }
        }
    }
}
