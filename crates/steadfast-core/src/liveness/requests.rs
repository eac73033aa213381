//! Requests in flight: since when there are any, how long the measured ones took, and how many bytes the peer may not
//! have received.
//!
//! One request at a time is measured, as in TCP without timestamps. Its reply proves that the peer has received
//! everything before it, because a connection keeps the order of its bytes.

use std::time::Duration;

use steadfast_machine::Instant;

use super::transmission_time;

/// The request that is being measured.
#[derive(Clone, Copy, Debug)]
struct MeasuredRequest {
    command: u32,
    sent_at: Instant,
    /// The number of bytes sent on this connection, up to the message of this request and including it.
    end: u64,
}

/// The requests in flight of one connection.
#[derive(Debug, Default)]
pub(super) struct RequestsInFlight {
    since: Option<Instant>,
    /// Whether a byte was received after the last request was sent.
    has_received: bool,
    measured: Option<MeasuredRequest>,
    /// Bytes that were passed to the transport.
    sent: u64,
    /// Of these, the bytes before the first probe.
    sent_before_probe: u64,
    /// Of these, the bytes that the peer has certainly received.
    received: u64,
}

impl RequestsInFlight {
    pub(super) const fn on_bytes_queued(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// The first probe is sent: its reply does not wait for later bytes.
    pub(super) const fn on_probe(&mut self) {
        self.sent_before_probe = self.sent;
    }

    /// Requests were sent, the newest with this command. A measurement is given up after `measured_max`, because its
    /// request may have expired.
    pub(super) fn on_sent(&mut self, now: Instant, newest: u32, measured_max: Duration) {
        self.since.get_or_insert(now);
        self.has_received = false;
        let is_measuring = self
            .measured
            .is_some_and(|it| now.saturating_since(it.sent_at) <= measured_max);
        if !is_measuring {
            self.measured = Some(MeasuredRequest {
                command: newest,
                sent_at: now,
                end: self.sent,
            });
        }
    }

    /// A command got its reply. Returns the time that it took, if it was measured.
    pub(super) fn on_reply(&mut self, now: Instant, command: u32) -> Option<Duration> {
        let measured = self.measured.take_if(|it| it.command == command)?;
        self.received = measured.end;
        Some(now.saturating_since(measured.sent_at))
    }

    pub(super) const fn on_bytes_received(&mut self) {
        self.has_received = true;
    }

    /// No request is in flight. Requests that expired without a byte from the peer are still counted: it may be dead.
    pub(super) const fn on_none_in_flight(&mut self) {
        if self.has_received {
            self.since = None;
            self.measured = None;
            self.received = self.sent;
        }
    }

    /// Since when a request is in flight; `None` if there is none.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How long the bytes take that the peer may have to receive before the probe.
    pub(super) fn transmission_time(&self) -> Duration {
        transmission_time(self.sent_before_probe.saturating_sub(self.received))
    }
}
