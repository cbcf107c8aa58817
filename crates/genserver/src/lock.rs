//! Locks that a panic elsewhere does not poison.

use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Nothing of a user's runs under this crate's locks, so what they guard is whole even after a panic.
pub(crate) trait Lock<T> {
    fn locked(&self) -> MutexGuard<'_, T>;
}

impl<T> Lock<T> for Mutex<T> {
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
