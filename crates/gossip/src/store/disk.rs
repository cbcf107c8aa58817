//! What a store needs of a file system, and the real one.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a store needs of a file system. As with a real one, what was not synchronised may be lost.
pub(super) trait Disk: Send + Sync + fmt::Debug {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// An empty file at the path, for its owner alone to read.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Locks the file at the path, which is made if need be. `None` when another has locked it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// A file that is being written.
pub(super) trait NewFile: Write {
    fn sync(&mut self) -> io::Result<()>;
}

/// A lock, until it is dropped.
pub(super) trait Lock: Send + Sync + fmt::Debug {}

/// The file system of the machine.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let file = private().truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a rename is on disk when it returns, and a directory cannot be opened.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    #[cfg(unix)]
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        use rustix::fs::{FlockOperation, flock};
        use rustix::io::Errno;
        drop(private().truncate(false).open(path)?);
        // Held open for reading only, so that the file system can be made read-only under a running node.
        let file = File::open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(Locked(file)))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        // There a file that is open for writing and shared with nobody cannot be opened again.
        #[cfg(windows)]
        let open = std::os::windows::fs::OpenOptionsExt::share_mode(private().truncate(false), 0).open(path);
        #[cfg(not(windows))]
        let open = private().truncate(false).open(path);
        match open {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

#[cfg(not(unix))]
impl Lock for File {}

/// A file that is locked until this is dropped.
#[cfg(unix)]
#[derive(Debug)]
struct Locked(File);

#[cfg(unix)]
impl Lock for Locked {}

#[cfg(unix)]
impl Drop for Locked {
    /// A process that is just being started holds a copy of whatever is open, for a moment, and the lock by it.
    fn drop(&mut self) {
        // It ends with the last copy at the latest.
        let _unlocked = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

/// Opens for writing what only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What Windows says of a file that another has open.
#[cfg(not(unix))]
const ERROR_SHARING_VIOLATION: i32 = 32;
