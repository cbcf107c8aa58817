//! Replays the fuzz targets' inputs, and every way to spoil one byte of them.

mod decoders;

use std::fs;
use std::path::Path;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/vclock_{target}"));
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read =
        |file: Result<fs::DirEntry, _>| fs::read(file.expect("a file").path()).expect("it can be read");
    files.map(read).collect()
}

#[test]
fn every_committed_input_is_read_or_refused() {
    for (target, decode) in decoders::ALL {
        let inputs = inputs(target);
        assert!(inputs.len() >= 5, "vclock_{target} has lost its inputs");
        for input in inputs {
            decode(&input);
        }
    }
}

#[test]
fn so_is_what_is_one_byte_away() {
    for (target, decode) in decoders::ALL {
        for input in inputs(target) {
            for at in (0..input.len()).step_by(if cfg!(miri) { 5 } else { 1 }) {
                let mut spoilt = input.clone();
                for byte in [0, 1, 0x7f, 0x80, 0xff, spoilt[at] ^ 1, spoilt[at].wrapping_add(1)] {
                    spoilt[at] = byte;
                    decode(&spoilt);
                }
                decode(&input[..at]);
                spoilt.remove(at);
                decode(&spoilt);
                spoilt.insert(at, 0x80);
                spoilt.insert(at, 0x01);
                decode(&spoilt);
            }
        }
    }
}
