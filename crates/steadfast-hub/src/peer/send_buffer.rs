//! Bytes for one peer that its socket has not accepted yet, as the shell reports them.

use steadfast_machine::Instant;

use crate::policy::HubSettings;

/// Unsent bytes that the shell has buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendBuffer {
    bytes: usize,
    /// The bytes that were already buffered at `since`: the write timeout applies to them.
    bytes_due: usize,
    since: Instant,
}

impl SendBuffer {
    pub(crate) const fn new(now: Instant, bytes: usize) -> Self {
        Self {
            bytes,
            bytes_due: bytes,
            since: now,
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records the size after bytes were added.
    pub(crate) const fn resize(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// Subtracts what was written. The write timeout restarts when all bytes that it applied to are written: a peer
    /// that drains steadily is slow but alive, and none of its bytes stays buffered for longer than two write timeouts.
    pub(super) const fn advance(&mut self, now: Instant, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.bytes_due = self.bytes_due.saturating_sub(written);
        if self.bytes_due == 0 {
            self.bytes_due = self.bytes;
            self.since = now;
        }
    }

    /// When the write timeout passes.
    pub(super) fn deadline(&self, settings: &HubSettings) -> Instant {
        self.since + settings.write_timeout
    }
}
