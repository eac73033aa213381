//! Detects a half-open connection: a ping after silence, and a limit for what arrives in response.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::bug::Bug;

/// Longer than any run.
const FOREVER: Duration = Duration::from_hours(1);

/// What is due when [`Liveness::deadline`] has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    Lost,
}

/// The timers of one connection.
#[derive(Debug)]
pub(super) struct Liveness {
    ping: Duration,
    pong: Duration,
    bug: Option<Bug>,
    /// When the next ping is due.
    ping_at: Instant,
    /// Until when something must arrive, after a ping.
    lost_at: Option<Instant>,
}

impl Liveness {
    pub(super) fn new(ping: Duration, pong: Duration, bug: Option<Bug>) -> Self {
        Self {
            ping,
            pong,
            bug,
            ping_at: Instant::now() + ping,
            lost_at: None,
        }
    }

    pub(super) fn on_received(&mut self) {
        self.ping_at = Instant::now() + self.ping;
        self.lost_at = None;
    }

    /// A message was written to the socket, which says nothing of the peer.
    pub(super) fn on_sent(&mut self) {
        match self.bug {
            Some(Bug::ProbeStarvedBySends) => self.ping_at = Instant::now() + self.ping,
            Some(Bug::LivenessBySends) => self.on_received(),
            _ => {}
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        if self.bug == Some(Bug::NeverPings) {
            return Instant::now() + FOREVER;
        }
        self.lost_at.unwrap_or(self.ping_at)
    }

    /// What is due now. The caller sends the ping.
    pub(super) fn due(&mut self) -> Option<Due> {
        let now = Instant::now();
        if now < self.deadline() {
            return None;
        }
        if self.lost_at.is_some() {
            return Some(Due::Lost);
        }
        self.lost_at = Some(now + self.pong);
        Some(Due::Ping)
    }
}
