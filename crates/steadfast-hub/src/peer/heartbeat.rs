//! Pings to one peer, and the pongs that they require.

use steadfast_machine::{Generator, Instant};

use crate::policy::HubSettings;

/// The heartbeat of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// When the next ping is due.
    next: Instant,
    /// The ping that nothing was received after; `None` once any byte was received.
    awaited: Option<Awaited>,
    /// Bytes in the send buffer up to the end of the last ping: the ping is not sent before these bytes.
    bytes_ahead: usize,
    /// Pings without a pong: this many pongs are legal.
    pongs_pending: u32,
}

/// The silence of a peer after a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Awaited {
    /// When the pong timeout started, or was extended.
    since: Instant,
    /// When the ping was sent.
    pinged_at: Instant,
}

impl Awaited {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            pinged_at: now,
        }
    }

    /// When the pong timeout passes. What the peer acknowledges extends it up to an interval after the ping.
    fn deadline(self, settings: &HubSettings) -> Instant {
        let latest = self.pinged_at + settings.ping_interval;
        latest.min(self.since + settings.pong_timeout)
    }
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
            awaited: None,
            bytes_ahead: 0,
            pongs_pending: 0,
        }
    }

    /// Records that bytes were received. This ends the pong timeout; a pong remains legal.
    pub(super) const fn record_activity(&mut self) {
        self.awaited = None;
    }

    /// Records that the last ping is in the send buffer, and sent once this many bytes are written.
    pub(super) const fn record_buffered(&mut self, bytes: usize) {
        self.bytes_ahead = bytes;
    }

    /// Records that buffered bytes were written. The pong timeout starts once the ping is sent. After that, each write
    /// extends it: the socket has space because the peer has acknowledged bytes, so it is alive, and on a slow link
    /// its pong follows what it has not received yet.
    pub(super) const fn record_written(&mut self, now: Instant, bytes: usize) {
        let Some(awaited) = &mut self.awaited else {
            return;
        };
        awaited.since = now;
        if self.bytes_ahead > 0 {
            self.bytes_ahead = self.bytes_ahead.saturating_sub(bytes);
            awaited.pinged_at = now;
        }
    }

    /// Records that the peer is read from again. The pong timeout starts again: the pong may have arrived, and is read
    /// from now on.
    pub(super) const fn record_resumed(&mut self, now: Instant) {
        if self.awaited.is_some() {
            self.awaited = Some(Awaited::new(now));
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
        match self.awaited {
            Some(awaited) => self.next.min(awaited.deadline(settings)),
            None => self.next,
        }
    }

    /// What is due. A paused peer is not read from, and a ping with bytes ahead of it is not sent yet: in both cases the
    /// silence is not the peer's fault. The write timeout closes a peer whose socket accepts nothing.
    pub(super) fn take_expired(
        &mut self,
        now: Instant,
        settings: &HubSettings,
        is_paused: bool,
    ) -> Option<Beat> {
        if let Some(awaited) = self.awaited
            && awaited.deadline(settings) <= now
        {
            let is_sent = self.bytes_ahead == 0;
            if is_sent && !is_paused {
                return Some(Beat::NoPong);
            }
            self.awaited = (!is_sent).then(|| Awaited::new(now));
        }
        if self.next > now {
            return None;
        }
        self.next = now + settings.ping_interval;
        // A ping without a pong yet keeps its timeout: otherwise every ping would extend it.
        self.awaited.get_or_insert_with(|| Awaited::new(now));
        self.bytes_ahead = 0;
        self.pongs_pending = self.pongs_pending.saturating_add(1);
        Some(Beat::Ping)
    }
}
