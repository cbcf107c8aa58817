//! The state file: what a save leaves, what damage does, what the store refuses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use gossip::{FileStore, MemoryStore, Store, StoreError};
use tempfile::TempDir;

fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.state");
    (directory, path)
}

/// A file that holds two generations: `older`, then `newest`.
fn saved(path: &Path) -> Vec<u8> {
    let store = FileStore::new(path);
    store.save(b"older").unwrap();
    store.save(b"newest").unwrap();
    fs::read(path).unwrap()
}

fn load(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    FileStore::new(path).load()
}

#[test]
fn every_store_gives_back_what_was_saved_last() {
    let (_directory, path) = file();
    let stores: [Box<dyn Store>; 2] = [Box::new(MemoryStore::new()), Box::new(FileStore::new(path))];
    for store in stores {
        assert_eq!(store.load().unwrap(), None, "{store:?}");
        for state in [&b"one"[..], b"", b"three"] {
            store.save(state).unwrap();
            assert_eq!(store.load().unwrap().as_deref(), Some(state), "{store:?}");
        }
    }
}

#[test]
fn another_run_finds_the_state() {
    let (_directory, path) = file();
    saved(&path);
    assert_eq!(load(&path).unwrap().unwrap(), b"newest");
    let store = FileStore::new(&path);
    store.load().unwrap();
    store.save(b"third").unwrap();
    drop(store);
    assert_eq!(load(&path).unwrap().unwrap(), b"third");
}

/// Where the version of the format is: a flipped one cannot be told from another.
const VERSION_AT: usize = 7;

#[test]
fn no_flipped_byte_is_believed() {
    let (_directory, path) = file();
    let intact = saved(&path);
    for at in 0..intact.len() {
        let mut bytes = intact.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        match load(&path) {
            Ok(state) => {
                assert!(matches!(state.as_deref(), Some(b"newest" | b"older")), "byte {at}: {state:?}");
            }
            Err(error) => {
                assert!(
                    matches!(error, StoreError::Foreign { .. }) && at == VERSION_AT,
                    "byte {at}: {error}"
                );
            }
        }
    }
}

#[test]
fn the_older_generation_is_used_when_only_the_newest_is_damaged() {
    let (_directory, path) = file();
    let mut bytes = saved(&path);
    let newest_at = bytes.len() - b"newestolder".len();
    bytes[newest_at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(load(&path).unwrap().unwrap(), b"older");
}

#[test]
fn two_damaged_generations_are_refused_with_their_offsets() {
    let (_directory, path) = file();
    let mut bytes = saved(&path);
    let (newest_at, older_at) = (bytes.len() - b"newestolder".len(), bytes.len() - b"older".len());
    bytes[newest_at] ^= 1;
    bytes[older_at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    match load(&path).unwrap_err() {
        StoreError::Damaged { newest, older, .. } => {
            assert_eq!((newest, older), (newest_at as u64, older_at as u64));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_torn_file_gives_a_state_that_was_saved_or_none() {
    let (_directory, path) = file();
    let intact = saved(&path);
    for len in 0..intact.len() {
        fs::write(&path, &intact[..len]).unwrap();
        // The newest state comes first, so a torn tail may leave it whole.
        if let Ok(state) = load(&path) {
            assert_eq!(state.as_deref(), Some(&b"newest"[..]), "{len} bytes");
        }
    }
}

#[test]
fn a_temporary_left_by_a_crash_is_no_state() {
    let (_directory, path) = file();
    saved(&path);
    fs::write(path.with_file_name("node.state.new"), b"half a wri").unwrap();
    assert_eq!(load(&path).unwrap().unwrap(), b"newest");
    FileStore::new(&path).save(b"next").unwrap();
    assert_eq!(load(&path).unwrap().unwrap(), b"next");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let (directory, _) = file();
    let store = FileStore::new(directory.path().join("missing").join("node.state"));
    let error = store.save(b"state").unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn others_cannot_read_the_state() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = file();
    saved(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_second_store_is_told_that_the_file_is_in_use() {
    let (_directory, path) = file();
    saved(&path);
    let first = FileStore::new(&path);
    first.load().unwrap();
    let second = FileStore::new(&path);
    assert!(matches!(second.load(), Err(StoreError::InUse { .. })));
    assert!(matches!(second.save(b"mine"), Err(StoreError::InUse { .. })));
    assert_eq!(first.load().unwrap().unwrap(), b"newest");
    drop(first);
    assert_eq!(second.load().unwrap().unwrap(), b"newest");
}
