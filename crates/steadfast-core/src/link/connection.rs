//! An open transport: what is received over it and passed to it, and whether its peer responds.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::{Lifecycle, Link};
use crate::event::{ConnectionEpoch, SessionEvent, SessionPhase, SessionState};
use crate::io::Attempt;
use crate::liveness::{Action, Liveness};

impl Link {
    /// This number of bytes of any kind was received: the peer is alive.
    pub fn bytes_received(&mut self, now: Instant, attempt: Attempt, bytes: u64) {
        if let Some(liveness) = self.liveness_of(attempt) {
            liveness.bytes_received(now, bytes);
        }
    }

    /// A pong was received: the peer receives what is sent.
    pub fn pong_received(&mut self, now: Instant, attempt: Attempt) {
        let round_trip = self
            .liveness_of(attempt)
            .and_then(|liveness| liveness.pong_received(now));
        if self.is_current(attempt) {
            self.snapshot.rtt = round_trip.or(self.snapshot.rtt);
        }
    }

    /// The socket has not accepted this number of bytes; reported after a partial write, and when nothing is left.
    pub fn send_buffer_changed(&mut self, now: Instant, attempt: Attempt, bytes: u64) {
        if let Some(liveness) = self.liveness_of(attempt) {
            liveness.send_buffer_changed(now, bytes);
        }
    }

    /// A message of this length was passed to the transport, which may buffer it. The newest request in it, or before it, has
    /// this id.
    pub fn transmitted(&mut self, attempt: Attempt, bytes: usize, newest_id: u32) {
        if let Some(liveness) = self.liveness_of(attempt) {
            liveness.bytes_queued(convert::to_u64(bytes), newest_id);
        }
    }

    /// The failure detection of an open transport; `None` if this attempt has none, or is closing.
    fn liveness_of(&mut self, attempt: Attempt) -> Option<&mut Liveness> {
        if self.is_standby(attempt) {
            return self.standby.as_mut()?.liveness_mut();
        }
        if self.is_current(attempt) {
            return self.liveness_mut();
        }
        None
    }

    /// Requests are about to be sent. After a long silence the peer is probed first, so that the caller learns soon
    /// whether it is alive.
    pub fn requests_pending(&mut self, now: Instant) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle
            && liveness.on_send(now) == Action::Probe
        {
            self.probe(self.attempt);
        }
    }

    /// Requests were passed to the transport, the newest with this id: the peer has to reply.
    pub fn requests_sent(&mut self, now: Instant, newest: u32) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.requests_sent(now, newest);
        }
    }

    /// Every request has its reply: the peer has no reason to send anything.
    pub const fn no_request_in_flight(&mut self) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.no_request_in_flight();
        }
    }

    /// The request with this id got its reply.
    pub fn reply_received(&mut self, now: Instant, id: u32) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.reply_received(now, id);
        }
    }

    /// The peer accepted the client; has no effect unless this attempt is in a handshake.
    pub fn accepted(&mut self, now: Instant, attempt: Attempt) {
        if self.is_standby(attempt) {
            return self.standby_accepted(now);
        }
        if !self.is_in_handshake() || !self.is_current(attempt) {
            return;
        }
        let Lifecycle::Handshake { liveness, .. } =
            std::mem::replace(&mut self.lifecycle, Lifecycle::Idle)
        else {
            return;
        };
        self.backoff.connected(now);
        let downtime = self
            .disconnected_since
            .take()
            .map(|since| now.saturating_since(since));
        self.snapshot.reconnects += u64::from(!self.is_first_connection());
        self.begin_connection(now, liveness, downtime);
    }

    fn is_first_connection(&self) -> bool {
        self.snapshot.epoch == ConnectionEpoch::default()
    }

    /// The attempt has a connection, after this time without one.
    pub(super) fn begin_connection(
        &mut self,
        now: Instant,
        liveness: Liveness,
        downtime: Option<Duration>,
    ) {
        let downtime = downtime.filter(|_| !self.is_first_connection());
        let epoch = ConnectionEpoch(self.snapshot.epoch.0 + 1);
        let endpoint = self.snapshot.endpoint;
        self.lifecycle = Lifecycle::Connected {
            since: now,
            liveness,
            is_ready: false,
        };
        self.silent_endpoint = None;
        self.has_reported_degraded = false;
        self.snapshot.epoch = epoch;
        self.snapshot.attempt = 0;
        let phase = self.resuming_phase();
        self.transition(now, SessionState::Connected, phase);
        self.notify(SessionEvent::Connected {
            epoch,
            endpoint,
            downtime,
        });
    }

    /// The layer above has restored its state over the new connection; repeated calls have no effect.
    pub fn ready(&mut self, now: Instant) {
        let Lifecycle::Connected { is_ready, .. } = &mut self.lifecycle else {
            return;
        };
        if std::mem::replace(is_ready, true) {
            return;
        }
        self.endpoints.on_connected(now, self.endpoint);
        let epoch = self.snapshot.epoch;
        if !self.is_draining() {
            self.transition(now, SessionState::Connected, SessionPhase::Ready);
        }
        self.notify(SessionEvent::Ready { epoch });
    }

    /// The peer no longer knows the client on the open connection, which logs in again.
    pub fn login_expired(&mut self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        let epoch = self.snapshot.epoch;
        if !self.is_draining() {
            self.transition(now, SessionState::Connected, SessionPhase::LoggingIn);
        }
        self.notify(SessionEvent::LoginExpired { epoch });
    }

    /// The client has logged in again over the open connection.
    pub fn logged_in(&mut self, now: Instant) {
        let Lifecycle::Connected { is_ready, .. } = &self.lifecycle else {
            return;
        };
        let phase = if *is_ready && !self.is_draining() {
            SessionPhase::Ready
        } else {
            self.resuming_phase()
        };
        self.transition(now, SessionState::Connected, phase);
        let epoch = self.snapshot.epoch;
        self.notify(SessionEvent::LoggedIn { epoch });
    }

    pub(super) fn check_liveness(&mut self, now: Instant) {
        let Some(liveness) = self.liveness_mut() else {
            return;
        };
        match liveness.on_timer(now) {
            Action::Wait => {}
            Action::Probe => self.probe(self.attempt),
            Action::GiveUp(cause) => self.give_up_connection(now, self.attempt, cause),
        }
    }

    /// The first phase of a new connection.
    const fn resuming_phase(&self) -> SessionPhase {
        if self.is_draining() {
            SessionPhase::Draining
        } else {
            SessionPhase::Resuming
        }
    }

    /// How long a connection must have been ready to count as stable for this time.
    pub(super) const fn stable_for(connected_for: Duration, is_ready: bool) -> Duration {
        // A connection that was never ready reduces no backoff, so that a server that accepts and then drops
        // connections is not flooded with attempts.
        if is_ready {
            connected_for
        } else {
            Duration::ZERO
        }
    }
}
