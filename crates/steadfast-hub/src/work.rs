//! Counts work in tests: entries of lists that were visited or copied.

use std::cell::Cell;

thread_local! {
    static ENTRIES: Cell<usize> = const { Cell::new(0) };
}

/// Records that entries were visited or copied.
pub(crate) fn count(entries: usize) {
    ENTRIES.set(ENTRIES.get() + entries);
}

/// The entries that this thread has visited or copied since the last call.
pub(crate) fn take() -> usize {
    ENTRIES.take()
}
