//! Pings to one peer, and the pongs that they require.

use steadfast_machine::{Generator, Instant};

use crate::policy::HubSettings;

/// The heartbeat of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// When the next ping is due.
    next: Instant,
    /// When the pong timeout of the last ping started; `None` once any byte was received.
    awaited_since: Option<Instant>,
    /// Bytes in the send buffer ahead of the last ping: the ping is not sent before these bytes.
    bytes_ahead: usize,
    /// Pings without a pong: this many pongs are legal.
    pongs_pending: u32,
}

/// What a heartbeat requires now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A ping must be sent; it counts as sent.
    Ping,
    /// The pong timeout has passed.
    NoPong,
}

impl Heartbeat {
    /// The first ping is sent after half an interval to a full interval, so that simultaneous connections do not cause
    /// simultaneous pings.
    pub(super) fn start(now: Instant, settings: &HubSettings, generator: &mut Generator) -> Self {
        let interval = settings.ping_interval;
        Self {
            next: now + generator.between(interval / 2, interval),
            awaited_since: None,
            bytes_ahead: 0,
            pongs_pending: 0,
        }
    }

    /// Records that bytes were received. This ends the pong timeout; a pong remains legal.
    pub(super) const fn record_activity(&mut self) {
        self.awaited_since = None;
    }

    /// Records that buffered bytes were written. A ping that was buffered after them is sent once no bytes are ahead of
    /// it, and its pong timeout starts.
    pub(super) const fn record_written(&mut self, now: Instant, bytes: usize) {
        if self.bytes_ahead > 0 {
            self.bytes_ahead = self.bytes_ahead.saturating_sub(bytes);
            if self.bytes_ahead == 0 && self.awaited_since.is_some() {
                self.awaited_since = Some(now);
            }
        }
    }

    /// Records that the peer is read from again. The pong timeout starts again: the pong may have arrived, and is read
    /// from now on.
    pub(super) const fn record_resumed(&mut self, now: Instant) {
        if self.awaited_since.is_some() {
            self.awaited_since = Some(now);
        }
    }

    /// Accepts a pong. Returns `false` if every ping has its pong.
    pub(super) const fn accept_pong(&mut self) -> bool {
        if self.pongs_pending == 0 {
            return false;
        }
        self.pongs_pending -= 1;
        true
    }

    /// When the heartbeat must be checked next.
    pub(super) fn next_deadline(&self, settings: &HubSettings) -> Instant {
        match self.awaited_since {
            Some(since) => self.next.min(since + settings.pong_timeout),
            None => self.next,
        }
    }

    /// What is due, with the bytes in the send buffer now. A paused peer is not read from, and a ping with bytes ahead
    /// of it is not sent yet: in both cases the silence is not the peer's fault. The write timeout closes a peer whose
    /// socket accepts nothing.
    pub(super) fn take_expired(
        &mut self,
        now: Instant,
        settings: &HubSettings,
        is_paused: bool,
        buffered_bytes: usize,
    ) -> Option<Beat> {
        if self
            .awaited_since
            .is_some_and(|since| since + settings.pong_timeout <= now)
        {
            let is_sent = self.bytes_ahead == 0;
            if is_sent && !is_paused {
                return Some(Beat::NoPong);
            }
            self.awaited_since = if is_sent { None } else { Some(now) };
        }
        if self.next > now {
            return None;
        }
        self.next = now + settings.ping_interval;
        self.awaited_since = Some(now);
        self.bytes_ahead = buffered_bytes;
        self.pongs_pending = self.pongs_pending.saturating_add(1);
        Some(Beat::Ping)
    }
}
