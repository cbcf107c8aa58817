//! Replays the fuzz targets' inputs, and every way to spoil one byte of them.

mod decoders;

use std::fs;
use std::path::Path;

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/gossip_{target}"));
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read =
        |file: Result<fs::DirEntry, _>| fs::read(file.expect("a file").path()).expect("it can be read");
    files.map(read).collect()
}

#[test]
fn every_committed_input_is_read_or_refused() {
    for (target, decode) in decoders::ALL {
        let inputs = inputs(target);
        assert!(inputs.len() >= 5, "gossip_{target} has lost its inputs");
        for input in inputs {
            decode(&input);
        }
    }
}

#[test]
fn so_is_what_is_one_byte_away() {
    for (target, decode) in decoders::ALL {
        for input in inputs(target) {
            // Of those that take long for each input, some of the places.
            let every = match target {
                "state_file" => 7,
                "machine" => 17,
                _ => 1,
            };
            for at in (0..input.len()).step_by(every) {
                let mut spoilt = input.clone();
                for byte in [0, 0x7f, 0xff, input[at] ^ 1, input[at].wrapping_add(1)] {
                    spoilt[at] = byte;
                    decode(&spoilt);
                }
                decode(&input[..at]);
                spoilt.remove(at);
                decode(&spoilt);
                spoilt.insert(at, 0x80);
                decode(&spoilt);
            }
        }
    }
}
