//! What happens later, in the order of its time and then of its request.

use std::collections::BTreeMap;

use steadfast_machine::Instant;

/// A queue of things to do, by time.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    entries: BTreeMap<(Instant, u64), T>,
    next: u64,
}

impl<T> Schedule<T> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn add(&mut self, at: Instant, entry: T) {
        self.entries.insert((at, self.next), entry);
        self.next += 1;
    }

    /// The next time at which something is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// Takes the first entry that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Removes the entries that a function selects, and returns them in order.
    pub(crate) fn take_where(&mut self, mut is_selected: impl FnMut(&T) -> bool) -> Vec<T> {
        let selected = self.entries.extract_if(.., |_, entry| is_selected(entry));
        selected.map(|(_, entry)| entry).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
