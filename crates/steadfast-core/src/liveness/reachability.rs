//! Whether the peer receives what is sent. Only a reply proves it: on a connection that is dead in one direction, data
//! keeps arriving.
//!
//! A ping is due `ping_after` after the last proof, and its pong is due within `timeout`. What is in front of the pong
//! extends this time: the bytes that were written before the ping, and the bytes that arrived since. So a slow link with
//! a backlog is not given up while it moves.

use std::time::Duration;

use steadfast_machine::Instant;

use super::transmission_time;

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    /// Send a ping.
    Probe,
    /// There is no pong after this time.
    Unreachable(Duration),
}

/// A ping without a pong.
#[derive(Clone, Copy, Debug)]
struct PendingPing {
    sent_at: Instant,
    /// The number of bytes that were written before it on this connection.
    position: u64,
    /// The newest request before it.
    newest_request: u32,
    /// Bytes that arrived since it was sent.
    received: u64,
    /// Set once if this process was late.
    extended_to: Option<Instant>,
}

/// The reachability of one peer.
#[derive(Debug)]
pub(super) struct Reachability {
    ping_after: Duration,
    timeout: Duration,
    /// The additional time if this process was late.
    grace: Duration,
    /// The last proof.
    proved_at: Instant,
    ping: Option<PendingPing>,
    newest_request: u32,
    /// Bytes that were passed to the transport.
    queued: u64,
    /// Of these, the bytes that the socket has not accepted.
    unsent: u64,
    /// Of these, the bytes that the peer has certainly received.
    received_by_peer: u64,
}

impl Reachability {
    pub(super) const fn new(
        ping_after: Duration,
        timeout: Duration,
        grace: Duration,
        now: Instant,
    ) -> Self {
        Self {
            ping_after,
            timeout,
            grace,
            proved_at: now,
            ping: None,
            newest_request: 0,
            queued: 0,
            unsent: 0,
            received_by_peer: 0,
        }
    }

    pub(super) const fn on_bytes_queued(&mut self, bytes: u64) {
        self.queued = self.queued.saturating_add(bytes);
    }

    pub(super) const fn on_send_buffer_changed(&mut self, bytes: u64) {
        self.unsent = bytes;
    }

    pub(super) const fn on_bytes_received(&mut self, bytes: u64) {
        if let Some(ping) = &mut self.ping {
            ping.received = ping.received.saturating_add(bytes);
        }
    }

    pub(super) const fn on_request_sent(&mut self, request: u32) {
        self.newest_request = request;
    }

    /// A ping is sent, for whatever reason. Only the first one without a pong counts.
    pub(super) fn on_probe(&mut self, now: Instant) {
        self.ping.get_or_insert_with(|| PendingPing {
            sent_at: now,
            // A ping overtakes what is in the send buffer.
            position: self.queued.saturating_sub(self.unsent),
            newest_request: self.newest_request,
            received: 0,
            extended_to: None,
        });
    }

    /// Returns the time since the ping; `None` if no ping is pending.
    pub(super) fn on_pong(&mut self, now: Instant) -> Option<Duration> {
        let ping = self.ping.take()?;
        self.proved_at = now;
        self.received_by_peer = self.received_by_peer.max(ping.position);
        Some(now.saturating_since(ping.sent_at))
    }

    /// A request got its reply. One that was sent before the pending ping proves nothing about the time after it.
    pub(super) fn on_reply(&mut self, now: Instant, request: u32) {
        self.ping
            .take_if(|ping| ping.newest_request < request)
            .inspect(|ping| {
                self.received_by_peer = self.received_by_peer.max(ping.position);
            });
        if self.ping.is_none() {
            self.proved_at = now;
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.ping
            .map_or(self.proved_at + self.ping_after, |ping| self.due(&ping))
    }

    /// When the pong is due.
    fn due(&self, ping: &PendingPing) -> Instant {
        let due = ping.sent_at + self.allowed(ping);
        ping.extended_to.map_or(due, |at| at.max(due))
    }

    /// The time from a ping to its pong.
    fn allowed(&self, ping: &PendingPing) -> Duration {
        let before = ping.position.saturating_sub(self.received_by_peer);
        self.timeout
            .saturating_add(transmission_time(before.saturating_add(ping.received)))
    }

    pub(super) fn on_timer(&mut self, now: Instant) -> Verdict {
        let deadline = self.deadline();
        if now < deadline {
            return Verdict::Wait;
        }
        let Some(ping) = self.ping else {
            return Verdict::Probe;
        };
        // A suspended process or machine could not receive the pong.
        let is_late = now.saturating_since(deadline) > self.timeout / 2;
        if is_late && ping.extended_to.is_none() {
            self.extend(now);
            return Verdict::Probe;
        }
        Verdict::Unreachable(now.saturating_since(ping.sent_at))
    }

    /// This process was late: the peer gets the grace period for the pong.
    pub(super) fn extend(&mut self, now: Instant) {
        if let Some(ping) = &mut self.ping {
            ping.extended_to.get_or_insert(now + self.grace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn pinged(queued: u64, unsent: u64) -> Reachability {
        let mut peer = Reachability::new(secs(15), secs(10), secs(2), Instant::START);
        peer.on_bytes_queued(queued);
        peer.on_send_buffer_changed(unsent);
        peer.on_probe(Instant::START);
        peer
    }

    #[test]
    fn what_was_written_before_a_ping_postpones_its_pong() {
        let bytes = super::super::BYTES_PER_SECOND;

        assert_eq!(pinged(0, 0).deadline(), Instant::START + secs(10));
        assert_eq!(pinged(8 * bytes, 0).deadline(), Instant::START + secs(18));
        // A ping overtakes what the socket has not accepted.
        let partly = pinged(8 * bytes, 7 * bytes);
        assert_eq!(partly.deadline(), Instant::START + secs(11));
    }

    #[test]
    fn what_a_pong_proves_is_not_waited_for_again() {
        let bytes = super::super::BYTES_PER_SECOND;
        let mut peer = pinged(8 * bytes, 0);
        let now = Instant::START + secs(17);

        assert_eq!(peer.on_pong(now), Some(secs(17)));
        assert_eq!(peer.deadline(), now + secs(15));
        peer.on_bytes_queued(bytes);
        peer.on_probe(now + secs(15));

        assert_eq!(peer.deadline(), now + secs(15 + 10 + 1));
    }

    #[test]
    fn a_suspension_extends_the_wait_for_a_pong_once() {
        let mut peer = pinged(0, 0);
        let late = Instant::START + secs(16);

        assert_eq!(peer.on_timer(late), Verdict::Probe);
        assert_eq!(peer.on_timer(late + secs(1)), Verdict::Wait);
        assert_eq!(
            peer.on_timer(late + secs(60)),
            Verdict::Unreachable(secs(76))
        );
    }
}
