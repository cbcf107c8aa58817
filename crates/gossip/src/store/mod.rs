//! Where a node keeps its state between two runs.

#[cfg(test)]
mod crashed_nodes;
#[cfg(test)]
mod crashes;
mod disk;
mod file;
mod memory;
#[cfg(test)]
mod virtual_disk;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use file::FileStore;
pub use memory::MemoryStore;

/// Keeps one state, replacing the one before.
///
/// A save is all or nothing: after a crash at any moment, [`load`](Store::load) gives the state of some completed
/// save, the last or the one under way. Both methods may block; they are called away from the async runtime's
/// workers, and never at the same time.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The state saved last, or `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is a state that cannot be read. A state that cannot be trusted is never given out.
    fn load(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Saves the state. When this returns, it survives a loss of power.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if that cannot be promised. The next load gives this state or the one before.
    fn save(&self, state: &[u8]) -> Result<(), StoreError>;
}

/// Why a state could not be read or written.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused. Where a save was under way, the state before it is still there.
    #[error("cannot {attempt} {}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// The file is there, and neither generation in it is intact.
    #[error("{} is damaged at byte {newest} and, in its older generation, at byte {older}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first damaged part of the newest generation begins, in bytes.
        newest: u64,
        /// Where the first damaged part of the older generation begins, in bytes.
        older: u64,
    },
    /// The file is none of this store's, or of another version.
    #[error("{} is not a state file of this version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another store uses the file: a second process with this data directory, or this one twice. Nothing was read
    /// or written.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The store itself failed.
    #[error("the store panicked")]
    Panicked,
}
