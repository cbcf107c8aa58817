//! A store that forgets with the process.

use std::sync::{Mutex, PoisonError};

use super::{Store, StoreError};

/// Keeps the state in memory: for nodes without a disk, and for tests.
///
/// A node that loses its state comes back as a new run of itself and is told the rest by the others.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<Option<Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, state: &[u8]) -> Result<(), StoreError> {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.to_vec());
        Ok(())
    }
}
