//! A send buffer without write progress.

use std::time::Duration;

use steadfast_machine::Instant;

/// A send buffer that is not empty.
#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Instant,
    deadline: Instant,
    /// The deadline was extended once, because this process was late.
    is_grace_used: bool,
}

/// The send buffer of one connection.
#[derive(Debug)]
pub(super) struct WriteStall {
    timeout: Duration,
    /// The additional time if this process was late.
    grace: Duration,
    stall: Option<Stall>,
    bytes: u64,
}

impl WriteStall {
    pub(super) const fn new(timeout: Duration, grace: Duration) -> Self {
        Self {
            timeout,
            grace,
            stall: None,
            bytes: 0,
        }
    }

    /// The size of the send buffer changed.
    pub(super) fn on_changed(&mut self, now: Instant, bytes: u64) {
        if bytes == 0 {
            self.stall = None;
        } else if bytes < self.bytes || self.stall.is_none() {
            self.stall = Some(Stall {
                since: now,
                deadline: now + self.timeout,
                is_grace_used: false,
            });
        }
        self.bytes = bytes;
    }

    /// Counts bytes added to the send buffer, or they would hide write progress.
    pub(super) const fn on_bytes_queued(&mut self, bytes: u64) {
        if self.stall.is_some() {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// Whether the send buffer is not empty.
    pub(super) const fn is_blocked(&self) -> bool {
        self.stall.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.stall.map(|stall| stall.deadline)
    }

    /// Returns how long no byte was written, if that is too long. A process that was late could not write either: then
    /// the peer gets the grace period to accept bytes.
    pub(super) fn on_timer(&mut self, now: Instant) -> Option<Duration> {
        let stall = self.stall.as_mut().filter(|stall| now >= stall.deadline)?;
        let late = now.saturating_since(stall.deadline);
        if late > self.timeout / 2 && !stall.is_grace_used {
            stall.is_grace_used = true;
            stall.deadline = now + self.grace;
            return None;
        }
        Some(now.saturating_since(stall.since))
    }
}
