//! What was delivered to the application and is not consumed: the number of events, and the size of their items.

use std::collections::VecDeque;

/// The events in the buffer of one subscription.
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    len: usize,
    bytes: usize,
    /// The size of each event in bytes, the oldest first; empty if the size is not limited.
    sizes: VecDeque<usize>,
}

impl EventBuffer {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an event, with its size if that is limited.
    pub(super) fn add(&mut self, bytes: Option<usize>) {
        self.len += 1;
        if let Some(bytes) = bytes {
            self.bytes = self.bytes.saturating_add(bytes);
            self.sizes.push_back(bytes);
        }
    }

    /// The application consumed the oldest events, as many as this.
    pub(super) fn remove(&mut self, events: usize) {
        self.len = self.len.saturating_sub(events);
        let sizes = self.sizes.drain(..events.min(self.sizes.len()));
        self.bytes = self.bytes.saturating_sub(sizes.sum());
    }

    /// Whether the buffer has more events or more bytes than these.
    pub(super) const fn exceeds(&self, len_max: usize, bytes_max: usize) -> bool {
        self.len > len_max || self.bytes > bytes_max
    }
}
