//! A file system in memory that can fail at any step, and lose at a crash whatever a real one may lose.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, Lock, NewFile};

/// What a crash leaves of bytes that were written and not synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tear {
    /// Nothing.
    Lost,
    /// All.
    Kept,
    /// So many sectors from the front.
    Front(usize),
    /// All but so many sectors from the front, which are zeroes: the later ones were written first.
    Back(usize),
}

/// What a crash leaves of changes to the directory that were not synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Lost,
    Kept,
    /// Only the latest change.
    Latest,
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    cached: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Change {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
}

#[derive(Debug, Clone, Default)]
struct State {
    contents: Vec<Content>,
    /// The directory as processes see it, and as it is on disk.
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    /// Steps that may still be taken before one fails, and how many were taken.
    steps_left: Option<usize>,
    steps: usize,
}

/// A file system in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct VirtualDisk(Arc<Mutex<State>>);

impl VirtualDisk {
    /// Lets so many steps succeed, and the one after that fail; none fails with `None`.
    pub(super) fn fail_after(&self, steps: Option<usize>) {
        self.with(|state| state.steps_left = steps);
    }

    /// How many steps were taken so far.
    pub(super) fn steps(&self) -> usize {
        self.with(|state| state.steps)
    }

    /// The disk that a crash at this moment leaves.
    pub(super) fn crashed(&self, tear: Tear, names: Names) -> Self {
        let State { contents, changes, mut synced_names, .. } = self.with(|state| state.clone());
        let kept = match names {
            Names::Lost => &[],
            Names::Kept => &changes[..],
            Names::Latest => &changes[changes.len().saturating_sub(1)..],
        };
        kept.iter().for_each(|change| change.apply(&mut synced_names));
        let left = |content: Content| {
            let synced = content.after(tear);
            Content { cached: synced.clone(), synced }
        };
        let contents = contents.into_iter().map(left).collect();
        let names = synced_names.clone();
        Self(Arc::new(Mutex::new(State { contents, names, synced_names, ..State::default() })))
    }

    /// The most sectors that any file has waiting.
    pub(super) fn sectors(&self) -> usize {
        self.with(|state| state.contents.iter().map(|content| content.cached.len().div_ceil(SECTOR)).max())
            .unwrap_or(0)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Takes a step, unless it is the one that fails.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.steps_left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                self.steps += 1;
                Ok(())
            }
            None => {
                self.steps += 1;
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Content {
    fn after(&self, tear: Tear) -> Vec<u8> {
        let Self { synced, cached } = self;
        if synced == cached {
            return synced.clone();
        }
        match tear {
            Tear::Lost => synced.clone(),
            Tear::Kept => cached.clone(),
            Tear::Front(sectors) => cached[..cached.len().min(sectors * SECTOR)].to_vec(),
            Tear::Back(sectors) => {
                let mut left = cached.clone();
                left[..cached.len().min(sectors * SECTOR)].fill(0);
                left
            }
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, content) => {
                names.insert(path.clone(), *content);
            }
            Self::Rename(from, to, content) => {
                names.remove(from);
                names.insert(to.clone(), *content);
            }
        }
    }
}

impl Disk for VirtualDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.with(|state| {
            let content = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(state.contents[*content].cached.clone())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let content = self.with(|state| {
            state.step()?;
            // Truncated in place it would be the same for a store, which only ever reads what was renamed.
            state.contents.push(Content::default());
            let content = state.contents.len() - 1;
            state.change(Change::Create(path.to_owned(), content));
            Ok::<_, io::Error>(content)
        })?;
        Ok(Box::new(VirtualFile { disk: self.clone(), content }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            state.step()?;
            let content = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.change(Change::Rename(from.to_owned(), to.to_owned(), content));
            Ok(())
        })
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        self.with(|state| {
            state.step()?;
            state.synced_names = state.names.clone();
            state.changes.clear();
            Ok(())
        })
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(Unlocked)))
    }
}

/// The tests of crashes share no disk between two stores.
#[derive(Debug)]
struct Unlocked;

impl Lock for Unlocked {}

struct VirtualFile {
    disk: VirtualDisk,
    content: usize,
}

impl Write for VirtualFile {
    /// One sector at a time, so that a step can fail in mid-file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.with(|state| {
            state.step()?;
            let bytes = &bytes[..bytes.len().min(SECTOR)];
            state.contents[self.content].cached.extend_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for VirtualFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.with(|state| {
            state.step()?;
            let content = &mut state.contents[self.content];
            content.synced = content.cached.clone();
            Ok(())
        })
    }
}

/// What a disk writes as one.
pub(super) const SECTOR: usize = 512;
