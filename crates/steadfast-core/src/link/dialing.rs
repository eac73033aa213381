//! From the request for a connection to the open transport, and the delay between two attempts.

use std::time::Duration;

use steadfast_machine::Instant;

use super::{Lifecycle, Link, LinkOutput};
use crate::backoff::BackoffReason;
use crate::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use crate::io::{Attempt, DialFailure};
use crate::liveness::Liveness;

/// The shortest time between two attempts of a caller that repeats its request for a connection. An attempt in progress
/// that is this old is replaced: a younger one began with the network that the caller reports.
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

impl Link {
    /// The application opens the link, or revokes a close that is in progress.
    pub fn open(&mut self, now: Instant) {
        match self.lifecycle {
            Lifecycle::Idle => {}
            // The application opened the link again: do not wait for the old connection to close.
            Lifecycle::Closing { .. } => self.end_immediately(now),
            Lifecycle::Connected { is_ready, .. } => {
                if self.drain_until.take().is_some() {
                    let phase = if is_ready {
                        SessionPhase::Ready
                    } else {
                        SessionPhase::Resuming
                    };
                    self.transition(now, SessionState::Connected, phase);
                }
                return;
            }
            Lifecycle::Dialing { .. } | Lifecycle::Handshake { .. } | Lifecycle::Waiting { .. } => {
                self.drain_until = None;
                return;
            }
            Lifecycle::Failed => return,
        }
        self.disconnected_since = Some(now);
        self.backoff.opened(now);
        self.dial(now);
    }

    /// The network is available again: the next attempt starts now, or the open connection is probed. An attempt that has
    /// not succeeded for a while is replaced: its packets may have been lost with the network.
    ///
    /// The attempt starts later, but not later than without this call, if an earlier call caused one less than 1 s ago, or
    /// while each endpoint has requested a delay: that the network is available says nothing about the servers.
    pub fn reconnect_now(&mut self, now: Instant) {
        let is_replaced = !self.is_fetching_credentials()
            && now.saturating_since(self.attempt_started_at) >= REQUEST_INTERVAL;
        match &mut self.lifecycle {
            Lifecycle::Waiting { until } => {
                let by_interval = self.requested_at.map(|at| at + REQUEST_INTERVAL);
                let earliest = by_interval.max(Some(self.endpoints.available_at()));
                let at = earliest.map_or(now, |at| at.max(now)).min(*until);
                *until = at;
                self.requested_at = Some(at);
                self.snapshot.next_attempt_at = Some(at);
                if at <= now {
                    self.dial(now);
                }
            }
            Lifecycle::Dialing { deadline: Some(_) } | Lifecycle::Handshake { .. }
                if is_replaced =>
            {
                self.abort_transport();
                self.report_down(false);
                self.endpoints.on_inconclusive(self.endpoint);
                self.requested_at = Some(now);
                self.dial(now);
            }
            Lifecycle::Connected { liveness, .. } => {
                if liveness.probe_now(now) {
                    self.probe(self.attempt);
                }
                if let Some(standby) = &mut self.standby {
                    let attempt = standby.attempt;
                    if standby.liveness_mut().is_some_and(|it| it.probe_now(now)) {
                        self.probe(attempt);
                    }
                }
            }
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => {}
        }
    }

    /// The application restarts a failed link; has no effect on any other.
    pub fn restart(&mut self, now: Instant) {
        if matches!(self.lifecycle, Lifecycle::Failed) {
            self.endpoints.on_closed();
            self.disconnected_since.get_or_insert(now);
            self.snapshot.attempt = 0;
            self.backoff.opened(now);
            self.dial(now);
        }
    }

    pub(super) fn dial(&mut self, now: Instant) {
        let endpoint = self.choose_endpoint(now);
        self.attempt = self.next_attempt();
        self.attempt_started_at = now;
        self.lifecycle = Lifecycle::Dialing {
            deadline: Some(now + self.settings.connect_timeout),
        };
        self.snapshot.attempt = self.snapshot.attempt.saturating_add(1);
        self.snapshot.endpoint = endpoint;
        let state = self.state_without_connection();
        self.transition(now, state, SessionPhase::Dialing);
        self.begin_attempt();
        let attempt = self.snapshot.attempt;
        self.notify(SessionEvent::Attempting { attempt, endpoint });
    }

    /// The shell queued the dial, because too many are in progress: the connect timeout does not run.
    pub fn dial_queued(&mut self, attempt: Attempt) {
        if let Some(deadline) = self.dial_deadline(attempt) {
            *deadline = None;
        }
    }

    /// The deadline of a dial; `None` unless this attempt is dialling.
    fn dial_deadline(&mut self, attempt: Attempt) -> Option<&mut Option<Instant>> {
        if self.is_standby(attempt) {
            return self.standby.as_mut()?.dial_deadline();
        }
        if !self.is_current(attempt) {
            return None;
        }
        match &mut self.lifecycle {
            Lifecycle::Dialing { deadline } => Some(deadline),
            Lifecycle::Idle
            | Lifecycle::Handshake { .. }
            | Lifecycle::Connected { .. }
            | Lifecycle::Waiting { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => None,
        }
    }

    /// The queued dial starts, and with it the connect timeout.
    pub fn dial_started(&mut self, now: Instant, attempt: Attempt) {
        let limit = self.settings.connect_timeout;
        if let Some(deadline) = self.dial_deadline(attempt)
            && deadline.is_none()
        {
            *deadline = Some(now + limit);
            if self.is_current(attempt) {
                self.attempt_started_at = now;
            }
        }
    }

    /// `Connecting` before the first connection, `Reconnecting` after it.
    fn state_without_connection(&self) -> SessionState {
        match self.snapshot.state {
            SessionState::Connected | SessionState::Reconnecting => SessionState::Reconnecting,
            SessionState::Disconnected | SessionState::Connecting | SessionState::Failed => {
                SessionState::Connecting
            }
        }
    }

    /// The transport is open; nothing was sent yet.
    pub fn dialled(&mut self, now: Instant, attempt: Attempt) {
        if self.is_standby(attempt) {
            return self.standby_dialled(now);
        }
        let Lifecycle::Dialing { deadline } = self.lifecycle else {
            return;
        };
        if !self.is_current(attempt) {
            return;
        }
        self.endpoints.on_opened(self.endpoint);
        self.lifecycle = Lifecycle::Handshake {
            deadline: deadline.unwrap_or(now + self.settings.connect_timeout),
            liveness: Liveness::new(self.settings.liveness, now),
        };
        self.outputs
            .push_back(LinkOutput::StartHandshake { attempt });
        let state = self.snapshot.state;
        self.transition(now, state, SessionPhase::Handshake);
    }

    /// The transport did not open.
    pub fn dial_failed(&mut self, now: Instant, attempt: Attempt, failure: DialFailure) {
        if self.is_standby(attempt) {
            return self.standby_dial_failed(now, failure);
        }
        // The failure of an open transport is reported as a loss.
        if !self.is_current(attempt) || !matches!(self.lifecycle, Lifecycle::Dialing { .. }) {
            return;
        }
        let (is_final, retry_after) = (failure.is_final, failure.retry_after);
        let cause = DisconnectCause::from(failure);
        if is_final && self.endpoints.on_failed_for_good(self.endpoint) {
            return self.fail(now, cause);
        }
        self.attempt_failed(now, cause, BackoffReason::AttemptFailed { retry_after });
    }

    pub(super) fn attempt_timed_out(&mut self, now: Instant) {
        if self.is_fetching_credentials() {
            let text = "timed out waiting for the credentials".to_owned();
            return self.credentials_failed(now, text, false);
        }
        self.abort_transport();
        let reason = BackoffReason::AttemptFailed { retry_after: None };
        self.attempt_failed(now, DisconnectCause::ConnectTimeout, reason);
    }

    /// Schedules the next attempt. The delay counts from the start of this one, so that a slow failure does not add to
    /// it. A delay that the server requested postpones attempts at its endpoint only.
    pub(super) fn attempt_failed(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        reason: BackoffReason,
    ) {
        self.report_down(false);
        self.report_failed_attempt(now, self.endpoint, &cause);
        let limit = self.settings.backoff.attempts_max;
        if limit.is_some_and(|limit| self.snapshot.attempt >= limit) {
            let attempts = self.snapshot.attempt;
            return self.fail(now, DisconnectCause::AttemptsExhausted(attempts));
        }
        let has_request = !matches!(reason, BackoffReason::AttemptFailed { retry_after: None });
        let reason = self.postpone_endpoint(now, reason);
        // A delay that the server requested counts from its request.
        let from = if has_request {
            now
        } else {
            self.attempt_started_at
        };
        // The other endpoints of a round are tried after the minimum delay, unless these need the same credentials; the
        // backoff applies between rounds.
        let has_credentials = !matches!(cause, DisconnectCause::Credentials(_));
        let delay = if self.endpoints.is_round_over(now) || !has_credentials {
            self.backoff.next(reason, from)
        } else {
            self.settings.backoff.floor
        };
        let until = (from + delay).max(self.endpoints.available_at()).max(now);
        self.wait(now, until, cause);
    }

    pub(super) fn wait(&mut self, now: Instant, until: Instant, cause: DisconnectCause) {
        self.lifecycle = Lifecycle::Waiting { until };
        self.snapshot.cause = Some(cause.clone());
        let state = self.state_without_connection();
        self.transition(now, state, SessionPhase::Waiting);
        let attempt = self.snapshot.attempt.saturating_add(1);
        self.notify(SessionEvent::Waiting {
            attempt,
            until,
            cause,
        });
        self.degrade(now);
    }

    /// When a waiting link becomes degraded; `None` if it is degraded already, or not waiting.
    pub(super) fn degrade_at(&self) -> Option<Instant> {
        let is_waiting = self.snapshot.phase == SessionPhase::Waiting;
        let since = self.disconnected_since.filter(|_| is_waiting)?;
        Some(since + self.settings.degraded_after)
    }

    /// A link that waits for long becomes degraded, and reports it once in an outage.
    pub(super) fn degrade(&mut self, now: Instant) {
        if self.degrade_at().is_none_or(|at| now < at) {
            return;
        }
        self.snapshot.phase = SessionPhase::Degraded;
        if let (Some(since), Some(cause)) = (self.disconnected_since, self.snapshot.cause.clone())
            && !std::mem::replace(&mut self.has_reported_degraded, true)
        {
            let downtime = now.saturating_since(since);
            self.notify(SessionEvent::Degraded { downtime, cause });
        }
    }
}
