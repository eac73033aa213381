//! Locks that are held for a few instructions only, never over an `await` or a system call.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic of another holder: every holder leaves the data valid at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
