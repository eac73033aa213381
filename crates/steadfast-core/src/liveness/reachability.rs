//! Whether the peer receives what is sent. Only a reply proves it: on a connection that is dead in one direction, data
//! keeps arriving.
//!
//! A ping is due `ping_after` after the last proof, and its pong is due within `timeout`. What is in front of the pong
//! extends this time: the bytes that were written before the ping and that the peer may not have received, and the bytes
//! that arrived since. So a slow link with a backlog is not given up while it moves. Bytes that the socket has not
//! accepted count too: a ping overtakes only what the transport has not begun to write. If the socket accepts nothing any
//! more, the write timeout applies.

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
    /// The id of the newest request before it.
    newest_id: u32,
    /// Bytes that arrived since it was sent.
    received: u64,
    /// Set once if this process was late.
    extended_to: Option<Instant>,
}

/// A request whose reply proves that the peer has received everything before it, because a connection keeps the order of
/// its bytes.
#[derive(Clone, Copy, Debug)]
struct Mark {
    id: u32,
    /// The number of bytes that were written up to it.
    position: u64,
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
    /// The id of the newest request that was passed to the transport; 0 before the first.
    newest_id: u32,
    /// One request at a time.
    mark: Option<Mark>,
    /// Bytes that were passed to the transport.
    queued: u64,
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
            newest_id: 0,
            mark: None,
            queued: 0,
            received_by_peer: 0,
        }
    }

    /// A message of this length was passed to the transport. The newest request in it, or before it, has this id.
    pub(super) fn on_bytes_queued(&mut self, bytes: u64, newest_id: u32) {
        self.queued = self.queued.saturating_add(bytes);
        if std::mem::replace(&mut self.newest_id, newest_id) != newest_id {
            let position = self.queued;
            self.mark.get_or_insert(Mark {
                id: newest_id,
                position,
            });
        }
    }

    pub(super) const fn on_bytes_received(&mut self, bytes: u64) {
        if let Some(ping) = &mut self.ping {
            ping.received = ping.received.saturating_add(bytes);
        }
    }

    /// A ping is sent, for whatever reason. Only the first one without a pong counts.
    pub(super) fn on_probe(&mut self, now: Instant) {
        self.ping.get_or_insert(PendingPing {
            sent_at: now,
            position: self.queued,
            newest_id: self.newest_id,
            received: 0,
            extended_to: None,
        });
    }

    /// Returns the time since the ping; `None` if no ping is pending.
    pub(super) fn on_pong(&mut self, now: Instant) -> Option<Duration> {
        let ping = self.ping.take()?;
        self.proved_at = now;
        self.has_received(ping.position);
        Some(now.saturating_since(ping.sent_at))
    }

    /// The request with this id got its reply. One that was sent before the pending ping proves nothing about the time after
    /// it, and one that was never sent, or that has the id 0, proves nothing at all.
    pub(super) fn on_reply(&mut self, now: Instant, id: u32) {
        if id == 0 || is_after(id, self.newest_id) {
            return;
        }
        if let Some(mark) = self.mark.take_if(|mark| !is_after(mark.id, id)) {
            self.has_received(mark.position);
        }
        if let Some(ping) = self.ping.take_if(|ping| is_after(id, ping.newest_id)) {
            self.has_received(ping.position);
        }
        if self.ping.is_none() {
            self.proved_at = now;
        }
    }

    /// The peer has received this number of bytes, and possibly more.
    fn has_received(&mut self, bytes: u64) {
        self.received_by_peer = self.received_by_peer.max(bytes);
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

/// Whether a request was sent after another one. The largest id is followed by the smallest one.
const fn is_after(id: u32, other: u32) -> bool {
    let distance = id.wrapping_sub(other);
    distance != 0 && distance <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn new() -> Reachability {
        Reachability::new(secs(15), secs(10), secs(2), Instant::START)
    }

    fn pinged(queued: u64) -> Reachability {
        let mut peer = new();
        peer.on_bytes_queued(queued, 1);
        peer.on_probe(Instant::START);
        peer
    }

    #[test]
    fn what_was_written_before_a_ping_postpones_its_pong() {
        let bytes = super::super::BYTES_PER_SECOND;

        assert_eq!(pinged(0).deadline(), Instant::START + secs(10));
        assert_eq!(pinged(8 * bytes).deadline(), Instant::START + secs(18));
    }

    #[test]
    fn what_a_pong_proves_is_not_waited_for_again() {
        let bytes = super::super::BYTES_PER_SECOND;
        let mut peer = pinged(8 * bytes);
        let now = Instant::START + secs(17);

        assert_eq!(peer.on_pong(now), Some(secs(17)));
        assert_eq!(peer.deadline(), now + secs(15));
        peer.on_bytes_queued(bytes, 1);
        peer.on_probe(now + secs(15));

        assert_eq!(peer.deadline(), now + secs(15 + 10 + 1));
    }

    #[test]
    fn what_a_reply_proves_is_not_waited_for_either() {
        let bytes = super::super::BYTES_PER_SECOND;
        let mut peer = new();
        // A reply to a later request proves the same, and a request that is in flight is waited for.
        for (ids, reply, seconds) in [(1..=2, 1, 1), (3..=4, 4, 1), (5..=7, 6, 2)] {
            for id in ids {
                peer.on_bytes_queued(bytes, id);
            }
            peer.on_reply(Instant::START, reply);
            let mut probed = Reachability { ..peer };
            probed.on_probe(Instant::START);
            assert!(
                probed.deadline() <= Instant::START + secs(10 + seconds),
                "{probed:?}"
            );
        }
    }

    #[test]
    fn only_a_reply_to_a_request_after_the_ping_is_as_good_as_its_pong() {
        let now = Instant::START + secs(5);
        // The ids of requests start again after the largest one.
        for (before, after) in [
            (7, 8),
            (u32::MAX - 1, u32::MAX),
            (u32::MAX, 1),
            (u32::MAX, 2),
        ] {
            let mut peer = new();
            peer.on_bytes_queued(1, before);
            peer.on_probe(Instant::START);
            peer.on_reply(now, before);
            peer.on_reply(now, after);
            assert!(peer.ping.is_some(), "{after} was not sent");

            peer.on_bytes_queued(1, after);
            peer.on_reply(now, after);
            assert!(peer.ping.is_none(), "{after}");
            assert_eq!(peer.deadline(), now + secs(15));
        }
    }

    #[test]
    fn a_suspension_extends_the_wait_for_a_pong_once() {
        let mut peer = pinged(0);
        let late = Instant::START + secs(16);

        assert_eq!(peer.on_timer(late), Verdict::Probe);
        assert_eq!(peer.on_timer(late + secs(1)), Verdict::Wait);
        assert_eq!(
            peer.on_timer(late + secs(60)),
            Verdict::Unreachable(secs(76))
        );
    }
}
