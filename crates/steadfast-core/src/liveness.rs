//! Failure detection for a connection: heartbeat probes and the write timeout.
//!
//! The idle time counts from the last received byte, of any kind. After `ping_after_idle` a probe is sent, a second one
//! half a `pong_timeout` later, and at `ping_after_idle + pong_timeout` the connection is given up. Sending does not
//! reset the idle time: on a half-open connection the kernel accepts bytes for minutes, so a busy writer would not
//! detect it.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::policy::LivenessSettings;

/// What the session has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Wait,
    /// Send a ping.
    Probe,
    /// Give up the connection: nothing was received for this time.
    PongTimeout(Duration),
    /// Give up the connection: no byte was written for this time.
    WriteTimeout(Duration),
}

/// The probes since the last received byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeState {
    NotProbed,
    /// One probe was sent, at this time.
    ProbedOnce(Instant),
    /// Two probes were sent, the first at this time.
    ProbedTwice(Instant),
    /// A last probe was sent, because this process was late; the connection is given up at this time.
    ClockJumpGrace(Instant),
}

/// A send buffer without write progress.
#[derive(Clone, Copy, Debug)]
struct WriteStall {
    since: Instant,
    deadline: Instant,
    /// The deadline was extended once, because this process was late.
    is_grace_used: bool,
}

/// The liveness of one connection.
#[derive(Debug)]
pub(crate) struct Liveness {
    settings: LivenessSettings,
    last_received_at: Instant,
    probe_state: ProbeState,
    /// When the first unacknowledged probe was sent, to measure the round trip.
    probed_at: Option<Instant>,
    /// Set while the send buffer is not empty.
    stall: Option<WriteStall>,
    send_buffer_bytes: u64,
}

impl Liveness {
    pub(crate) const fn new(settings: LivenessSettings, now: Instant) -> Self {
        Self {
            settings,
            last_received_at: now,
            probe_state: ProbeState::NotProbed,
            probed_at: None,
            stall: None,
            send_buffer_bytes: 0,
        }
    }

    /// Bytes were received. Returns the round-trip time if they may be the reply to a probe.
    pub(crate) fn bytes_received(&mut self, now: Instant) -> Option<Duration> {
        self.last_received_at = now;
        self.probe_state = ProbeState::NotProbed;
        let probed_at = self.probed_at.take()?;
        Some(now.saturating_since(probed_at))
    }

    /// The size of the send buffer changed.
    pub(crate) fn send_buffer_changed(&mut self, now: Instant, bytes: u64) {
        if bytes == 0 {
            self.stall = None;
        } else if bytes < self.send_buffer_bytes || self.stall.is_none() {
            self.stall = Some(WriteStall {
                since: now,
                deadline: now + self.settings.write_timeout,
                is_grace_used: false,
            });
        }
        self.send_buffer_bytes = bytes;
    }

    /// Counts bytes added to the send buffer, or they would hide write progress.
    pub(crate) const fn bytes_queued(&mut self, bytes: u64) {
        if self.stall.is_some() {
            self.send_buffer_bytes = self.send_buffer_bytes.saturating_add(bytes);
        }
    }

    /// Whether the send buffer is not empty.
    pub(crate) const fn is_write_blocked(&self) -> bool {
        self.stall.is_some()
    }

    /// Something is about to be sent. After half of `ping_after_idle` a probe is sent immediately, so that the caller
    /// learns after `pong_timeout` that the connection is dead.
    pub(crate) fn on_send(&mut self, now: Instant) -> Action {
        let silence = now.saturating_since(self.last_received_at);
        if self.probe_state == ProbeState::NotProbed && silence >= self.settings.ping_after_idle / 2
        {
            self.start_probing(now);
            return Action::Probe;
        }
        Action::Wait
    }

    /// Starts probing regardless of the idle time. Returns false if probing has already started.
    pub(crate) fn probe_now(&mut self, now: Instant) -> bool {
        let is_due = self.probe_state == ProbeState::NotProbed;
        if is_due {
            self.start_probing(now);
        }
        is_due
    }

    pub(crate) const fn last_received_at(&self) -> Instant {
        self.last_received_at
    }

    /// When [`Self::on_timer`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        let due = match self.probe_state {
            ProbeState::NotProbed => self.last_received_at + self.settings.ping_after_idle,
            ProbeState::ProbedOnce(at) => at + self.settings.pong_timeout / 2,
            ProbeState::ProbedTwice(at) => at + self.settings.pong_timeout,
            ProbeState::ClockJumpGrace(deadline) => deadline,
        };
        match self.stall {
            Some(stall) => due.min(stall.deadline),
            None => due,
        }
    }

    pub(crate) fn on_timer(&mut self, now: Instant) -> Action {
        if let Some(action) = self.check_write_stall(now) {
            return action;
        }
        match self.probe_state {
            ProbeState::NotProbed
                if now >= self.last_received_at + self.settings.ping_after_idle =>
            {
                self.start_probing(now);
                Action::Probe
            }
            ProbeState::ProbedOnce(at) if now >= at + self.settings.pong_timeout / 2 => {
                self.probe_state = ProbeState::ProbedTwice(at);
                let due = at + self.settings.pong_timeout / 2;
                self.grant_clock_jump_grace(now, due)
                    .unwrap_or(Action::Probe)
            }
            ProbeState::ProbedTwice(at) if now >= at + self.settings.pong_timeout => {
                let due = at + self.settings.pong_timeout;
                self.grant_clock_jump_grace(now, due)
                    .unwrap_or_else(|| self.pong_timeout(now))
            }
            ProbeState::ClockJumpGrace(deadline) if now >= deadline => self.pong_timeout(now),
            ProbeState::NotProbed
            | ProbeState::ProbedOnce(_)
            | ProbeState::ProbedTwice(_)
            | ProbeState::ClockJumpGrace(_) => Action::Wait,
        }
    }

    fn start_probing(&mut self, now: Instant) {
        self.probe_state = ProbeState::ProbedOnce(now);
        self.probed_at.get_or_insert(now);
    }

    /// A suspended process or machine could not receive anything either: the peer gets one more chance.
    fn grant_clock_jump_grace(&mut self, now: Instant, due: Instant) -> Option<Action> {
        let late = now.saturating_since(due);
        (late > self.settings.pong_timeout / 2).then(|| {
            self.probe_state = ProbeState::ClockJumpGrace(now + self.settings.clock_jump_grace);
            Action::Probe
        })
    }

    /// A process that was late could not write either: then the peer gets the grace period to accept bytes.
    fn check_write_stall(&mut self, now: Instant) -> Option<Action> {
        let stall = self.stall.as_mut().filter(|stall| now >= stall.deadline)?;
        let late = now.saturating_since(stall.deadline);
        if late > self.settings.write_timeout / 2 && !stall.is_grace_used {
            stall.is_grace_used = true;
            stall.deadline = now + self.settings.clock_jump_grace;
            return None;
        }
        Some(Action::WriteTimeout(now.saturating_since(stall.since)))
    }

    fn pong_timeout(&self, now: Instant) -> Action {
        Action::PongTimeout(now.saturating_since(self.last_received_at))
    }
}
