//! Bytes for one peer that its socket has not accepted yet, as the shell reports them.

use steadfast_machine::Instant;

use crate::policy::HubSettings;

/// Unsent bytes that the shell has buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendBuffer {
    bytes: usize,
    /// When the socket last accepted bytes, or when the first byte was buffered.
    progress_at: Instant,
}

impl SendBuffer {
    pub(crate) const fn new(now: Instant, bytes: usize) -> Self {
        Self {
            bytes,
            progress_at: now,
        }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records the size after bytes were added.
    pub(crate) const fn resize(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// Subtracts what was written. The write timeout restarts: a link that moves is slow but alive, and the size of the
    /// buffer limits how far the peer falls back.
    pub(super) const fn advance(&mut self, now: Instant, written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        self.progress_at = now;
    }

    /// When the socket last accepted bytes.
    pub(crate) const fn progress_at(&self) -> Instant {
        self.progress_at
    }

    /// When the write timeout passes.
    pub(super) fn deadline(&self, settings: &HubSettings) -> Instant {
        self.progress_at + settings.write_timeout
    }
}
