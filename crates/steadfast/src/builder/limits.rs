//! Setters of delays, time limits, and sizes.

use std::time::Duration;

use steadfast_core::dialect::Dialect;
use steadfast_core::policy::{BackoffSettings, LivenessSettings, OutboxSettings};

use super::Builder;
use crate::connector::StageTimeouts;
use crate::dial_limit::DialLimit;
use crate::overflow::Overflow;

impl<D: Dialect> Builder<D> {
    /// Sets the delays between attempts; [`crate::defaults::BACKOFF`] by default, whose setters change it.
    #[must_use]
    pub const fn backoff(mut self, backoff: BackoffSettings) -> Self {
        self.settings.link.backoff = backoff;
        self
    }

    /// Sets the detection of dead connections; [`crate::defaults::LIVENESS`] by default, whose setters change it.
    #[must_use]
    pub const fn liveness(mut self, liveness: LivenessSettings) -> Self {
        self.settings.link.liveness = liveness;
        self
    }

    /// Sets the limits for queued publications; [`crate::defaults::OUTBOX`] by default, whose setters change it.
    #[must_use]
    pub const fn outbox(mut self, outbox: OutboxSettings) -> Self {
        self.settings.outbox = outbox;
        self
    }

    /// Sets what happens to publications while the outbox is full; [`Overflow::Wait`] by default.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets the time limit of an attempt; [`crate::defaults::CONNECT_TIMEOUT`] by default.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.link.connect_timeout = timeout;
        self
    }

    /// Sets the time from a call to its reply, after which it fails; [`crate::defaults::CALL_TIMEOUT`] by default. For less
    /// time, use [`tokio::time::timeout`]: it withdraws the call.
    #[must_use]
    pub const fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the timeout of each stage of an attempt; [`StageTimeouts::DEFAULT`] by default.
    #[must_use]
    pub const fn stage_timeouts(mut self, timeouts: StageTimeouts) -> Self {
        self.stage_timeouts = timeouts;
        self
    }

    /// Sets the time from the close frame to the end of the session, if the server does not reply to it;
    /// [`crate::defaults::CLOSE_TIMEOUT`] by default.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.link.close_timeout = timeout;
        self
    }

    /// Sets the time without a connection after which the session is degraded; [`crate::defaults::DEGRADED_AFTER`] by
    /// default. It is reported once in an outage, between two attempts: by [`SessionEvent::Degraded`] and in a log line at WARN.
    ///
    /// The session keeps trying as before, and what is queued stays queued: a message without a time to live has no limit,
    /// because the application set none. The outbox bounds how much that is.
    ///
    /// [`SessionEvent::Degraded`]: crate::SessionEvent::Degraded
    #[must_use]
    pub const fn degraded_after(mut self, time: Duration) -> Self {
        self.settings.link.degraded_after = time;
        self
    }

    /// Sets the maximum number of calls without a reply, above zero; [`crate::defaults::CALLS_MAX`] by default.
    #[must_use]
    pub const fn calls_max(mut self, calls: usize) -> Self {
        self.settings.calls_max = calls;
        self
    }

    /// Sets the maximum number of calls that are sent and have no reply, above zero; further ones wait in order. As many as
    /// [`Self::calls_max`] by default. A server that refuses more calls than it executes at a time needs a limit.
    #[must_use]
    pub const fn calls_in_flight_max(mut self, calls: usize) -> Self {
        self.settings.calls_in_flight_max = calls;
        self
    }

    /// Sets the maximum number of subscriptions, above zero; [`crate::defaults::SUBSCRIPTIONS_MAX`] by default.
    #[must_use]
    pub const fn subscriptions_max(mut self, subscriptions: usize) -> Self {
        self.settings.subscriptions_max = subscriptions;
        self
    }

    /// Sets the length of the longest message that is accepted from the server, in bytes;
    /// [`crate::defaults::RECEIVED_MESSAGE_BYTES_MAX`] by default. A longer message ends the connection; where the dialect finds out
    /// which call it belongs to, as that of JSON-RPC, it ends this call only.
    #[must_use]
    pub const fn received_message_bytes_max(mut self, bytes: u32) -> Self {
        self.received_message_bytes_max = bytes;
        self
    }

    /// Sets the length of the longest message above [`Self::received_message_bytes_max`] that is discarded while it arrives,
    /// in bytes; [`crate::defaults::SKIPPED_MESSAGE_BYTES_MAX`] by default. A longer one ends the connection. It has no effect
    /// for dialects that do not find out which call a message belongs to.
    #[must_use]
    pub const fn skipped_message_bytes_max(mut self, bytes: u32) -> Self {
        self.skipped_message_bytes_max = bytes;
        self
    }

    /// Sets the limit on concurrent attempts that this client shares; [`DialLimit::process_wide`] by default.
    #[must_use]
    pub fn dial_limit(mut self, limit: DialLimit) -> Self {
        self.dial_limit = limit;
        self
    }

    /// Seeds the jitter, so that a run is reproducible; a random seed by default.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
