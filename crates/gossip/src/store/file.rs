//! A store in one file that is replaced as a whole and holds the state before as well.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, Lock, RealDisk};
use super::{Store, StoreError};

/// Keeps the state in one file.
///
/// ```text
/// 0    magic, format version                     8 bytes
/// 8    generation ┐                              8
/// 16   length     │ of the newest state          8
/// 24   checksum   ┘ (BLAKE3 of all three)       32
/// 56   the same of the state before             48
/// 104  the newest state, then the state before
/// ```
///
/// A save writes all of it to a temporary file beside it, synchronises that, renames it over the file and
/// synchronises the directory; so a crash leaves the old file or the new one. Damage that comes later, to the disk
/// itself, is found by the checksums: the older generation is used if only the newest is damaged.
///
/// One store at a time uses the file: the first load or save locks it, by an empty file beside it whose name ends in
/// `.lock`, until the store is dropped or its process ends. Others get [`StoreError::InUse`].
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    held: Mutex<Held>,
}

/// What a store has in hand once it was used.
#[derive(Debug, Default)]
struct Held {
    lock: Option<Box<dyn Lock>>,
    /// The generation on disk. It becomes the older one of the next save.
    present: Option<Generation>,
}

#[derive(Debug, Clone)]
struct Generation {
    number: u64,
    state: Vec<u8>,
}

impl FileStore {
    /// A store in the file of this path. Its directory has to exist; the file is made by the first save.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(RealDisk), path.into())
    }

    pub(super) fn on(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { path, disk, held: Mutex::default() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(ending);
        self.path.with_file_name(name)
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// What is in hand, with the lock among it.
    fn hold(&self) -> Result<MutexGuard<'_, Held>, StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.lock.is_none() {
            let path = self.beside(".lock");
            let lock = self.disk.lock(&path).map_err(failed("lock", &path))?;
            held.lock = Some(lock.ok_or_else(|| StoreError::InUse { path: self.path.clone() })?);
        }
        Ok(held)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let temporary = self.beside(".new");
        let mut file = self.disk.create(&temporary).map_err(failed("create", &temporary))?;
        file.write_all(bytes).map_err(failed("write", &temporary))?;
        file.sync().map_err(failed("synchronise", &temporary))?;
        self.disk.rename(&temporary, &self.path).map_err(failed("replace", &self.path))?;
        let directory = self.directory();
        self.disk.sync_directory(directory).map_err(failed("synchronise", directory))
    }

    fn parse(&self, bytes: &[u8]) -> Result<Generation, StoreError> {
        let (version, magic) = MAGIC.split_last().expect("eight bytes");
        if bytes.get(MAGIC.len() - 1) != Some(version) {
            return Err(StoreError::Foreign { path: self.path.clone() });
        }
        if !bytes.starts_with(magic) {
            // A checksum that holds tells a damaged file of this store from any other.
            let intact = section(bytes, Part::Newest).or_else(|_| section(bytes, Part::Older));
            return intact
                .inspect(|_| tracing::warn!(path = %self.path.display(), "state damaged in its first bytes"))
                .map_err(|_| StoreError::Foreign { path: self.path.clone() });
        }
        let newest = match section(bytes, Part::Newest) {
            Ok(generation) => return Ok(generation),
            Err(offset) => offset,
        };
        section(bytes, Part::Older)
            .inspect(|_| tracing::warn!(path = %self.path.display(), offset = newest, "state damaged, using the older generation"))
            .map_err(|older| StoreError::Damaged { path: self.path.clone(), newest, older })
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut held = self.hold()?;
        let bytes = match self.disk.read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let generation = self.parse(&bytes)?;
        Ok(Some(held.present.insert(generation).state.clone()))
    }

    fn save(&self, state: &[u8]) -> Result<(), StoreError> {
        let mut held = self.hold()?;
        let older = held.present.clone().unwrap_or(Generation { number: 0, state: state.to_vec() });
        let newest = Generation { number: older.number.saturating_add(1), state: state.to_vec() };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + newest.state.len() + older.state.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&newest.entry());
        bytes.extend_from_slice(&older.entry());
        bytes.extend_from_slice(&newest.state);
        bytes.extend_from_slice(&older.state);
        self.write(&bytes)?;
        held.present = Some(newest);
        Ok(())
    }
}

impl Generation {
    /// What the head of the file says of this generation.
    fn entry(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&self.number.to_le_bytes());
        entry[8..16].copy_from_slice(&(self.state.len() as u64).to_le_bytes());
        let sum = checksum(&entry[..16], &self.state);
        entry[16..].copy_from_slice(&sum);
        entry
    }
}

/// Which generation of the two in the file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Newest,
    Older,
}

/// One generation, or the offset of what is damaged of it.
fn section(bytes: &[u8], part: Part) -> Result<Generation, u64> {
    let at = MAGIC.len() + if part == Part::Newest { 0 } else { ENTRY_BYTES };
    let entry = bytes.get(at..at + ENTRY_BYTES).ok_or(at as u64)?;
    let field = |from: usize| {
        let bytes: [u8; 8] = entry[from..from + 8].try_into().expect("a range of eight");
        u64::from_le_bytes(bytes)
    };
    let len = usize::try_from(field(8)).map_err(|_| at as u64 + 8)?;
    // The newest state follows the head, the older one ends the file: either is found without the other's length.
    let start = match part {
        Part::Newest => HEAD_BYTES,
        Part::Older => {
            bytes.len().checked_sub(len).filter(|start| *start >= HEAD_BYTES).ok_or(at as u64 + 8)?
        }
    };
    let state = start.checked_add(len).and_then(|end| bytes.get(start..end)).ok_or(at as u64 + 8)?;
    if entry[16..] != checksum(&entry[..16], state) {
        return Err(start as u64);
    }
    Ok(Generation { number: field(0), state: state.to_vec() })
}

fn checksum(head: &[u8], state: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(head).update(state).finalize().as_bytes()
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { attempt, path, source: Arc::new(source) }
}

/// The last byte is the version of the format.
const MAGIC: &[u8; 8] = b"CLKGSP\0\x01";

/// Generation, length, checksum.
const ENTRY_BYTES: usize = 8 + 8 + 32;

const HEAD_BYTES: usize = MAGIC.len() + 2 * ENTRY_BYTES;
