//! Files that hold a secret: short, and for their owner alone.

use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Why such a file is not used.
pub(super) enum FileError {
    Unreadable(io::Error),
    /// A folder, a pipe or a device.
    NotAFile,
    /// Its group or others can read it; its permission bits.
    Shared(u32),
}

/// What a file holds: no more than any secret needs.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, FileError> {
    // To open a pipe is to wait for its writer.
    if !std::fs::metadata(path).map_err(FileError::Unreadable)?.is_file() {
        return Err(FileError::NotAFile);
    }
    let file = std::fs::File::open(path).map_err(FileError::Unreadable)?;
    refuse_if_shared(&file.metadata().map_err(FileError::Unreadable)?)?;
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text).map_err(FileError::Unreadable)?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_if_shared(metadata: &std::fs::Metadata) -> Result<(), FileError> {
    let mode = std::os::unix::fs::MetadataExt::mode(metadata) & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Shared(mode)) }
}

#[cfg(not(unix))]
fn refuse_if_shared(_metadata: &std::fs::Metadata) -> Result<(), FileError> {
    Ok(())
}

/// More than any cookie or passphrase takes.
const FILE_BYTES_MAX: usize = 4_096;
