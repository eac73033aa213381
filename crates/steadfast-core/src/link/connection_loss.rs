//! The loss of a connection: its cause, its effects, and the delay before the next attempt.

use steadfast_machine::Instant;

use super::{Lifecycle, Link, LinkOutput};
use crate::backoff::BackoffReason;
use crate::event::{DisconnectCause, SessionEvent};
use crate::io::{Attempt, RenewalReason};
use crate::retry_advice::{Action, Pace, RetryAdvice};

impl Link {
    /// Gives up the transport of this attempt, because the peer is unresponsive or violated the protocol.
    pub fn give_up_connection(&mut self, now: Instant, attempt: Attempt, cause: DisconnectCause) {
        if self.is_standby(attempt) {
            return self.give_up_standby(now, cause);
        }
        if !self.is_current(attempt) {
            return;
        }
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) {
            return self.end_immediately(now);
        }
        self.abort_transport();
        self.reconnect_after_loss(now, cause, RetryAdvice::RETRY);
    }

    /// The peer said in a message that it ends the connection.
    pub fn dismissed(
        &mut self,
        now: Instant,
        attempt: Attempt,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        if self.is_standby(attempt) {
            self.abort_standby_transport();
        } else if self.is_current(attempt) {
            self.abort_transport();
        }
        self.lost(now, attempt, cause, advice);
    }

    /// The transport was closed by the peer, or failed.
    pub fn lost(
        &mut self,
        now: Instant,
        attempt: Attempt,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        if self.is_standby(attempt) {
            return self.standby_failed(now, cause, advice);
        }
        self.end_retiring(attempt);
        if !self.is_current(attempt) {
            return;
        }
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) {
            return self.end(now);
        }
        match advice.action {
            Action::GiveUp => {
                self.record_loss(now, &cause, advice.pace);
                self.fail(now, cause);
            }
            Action::DiscardPositions => {
                self.outputs.push_back(LinkOutput::DiscardPositions);
                self.reconnect_after_loss(now, cause, advice);
            }
            // A peer may reject credentials by closing the connection.
            Action::RenewCredentials if self.is_in_handshake() => {
                self.credentials_rejected(now, cause);
            }
            Action::RenewCredentials => {
                self.require_credentials(RenewalReason::Rejected);
                self.reconnect_after_loss(now, cause, advice);
            }
            Action::Retry => self.reconnect_after_loss(now, cause, advice),
        }
    }

    /// The peer rejected the client; has no effect unless this attempt is in a handshake.
    pub fn rejected(
        &mut self,
        now: Instant,
        attempt: Attempt,
        cause: DisconnectCause,
        advice: RetryAdvice,
    ) {
        if self.is_standby(attempt) {
            return self.standby_rejected(now, cause, advice);
        }
        if !self.is_in_handshake() || !self.is_current(attempt) {
            return;
        }
        self.abort_transport();
        match advice.action {
            Action::Retry | Action::DiscardPositions => {
                let retry_after = advice.retry_after;
                self.attempt_failed(now, cause, BackoffReason::AttemptFailed { retry_after });
            }
            Action::RenewCredentials => self.credentials_rejected(now, cause),
            Action::GiveUp => self.fail(now, cause),
        }
    }

    fn reconnect_after_loss(&mut self, now: Instant, cause: DisconnectCause, advice: RetryAdvice) {
        let reason = backoff_reason(advice);
        if !self.is_connected() {
            let reason = match reason {
                BackoffReason::ConnectionLost => BackoffReason::AttemptFailed { retry_after: None },
                BackoffReason::AttemptFailed { .. } => reason,
                BackoffReason::ServerGoingAway { .. } => {
                    self.backoff.on_failure();
                    reason
                }
            };
            return self.attempt_failed(now, cause, reason);
        }
        self.record_loss(now, &cause, advice.pace);
        let reason = self.postpone_endpoint(now, reason);
        if self.switch_after_loss(now) {
            self.snapshot.cause = Some(cause);
            return;
        }
        self.abandon_standby();
        let until = now + self.backoff.next(reason, now);
        self.wait(now, until, cause);
    }

    /// The effects of every loss, whatever the advice is.
    fn record_loss(&mut self, now: Instant, cause: &DisconnectCause, pace: Pace) {
        let Lifecycle::Connected {
            since,
            liveness,
            is_ready,
        } = &self.lifecycle
        else {
            return;
        };
        let is_ready = *is_ready;
        let stable_for = Self::stable_for(now.saturating_since(*since), is_ready);
        let detection = now.saturating_since(liveness.last_received_at());
        self.backoff.disconnected(now, stable_for);
        self.disconnected_since = Some(now);
        self.report_loss(now, is_ready, cause, pace);
        self.report_down(true);
        let epoch = self.snapshot.epoch;
        let cause = cause.clone();
        self.notify(SessionEvent::Lost {
            epoch,
            cause,
            detection,
        });
    }

    pub(super) fn report_down(&mut self, was_connected: bool) {
        let attempt = self.attempt;
        self.outputs.push_back(LinkOutput::Down {
            attempt,
            was_connected,
        });
    }
}

/// The backoff that a advice requires.
const fn backoff_reason(advice: RetryAdvice) -> BackoffReason {
    let retry_after = advice.retry_after;
    match advice.pace {
        Pace::GoingAway => BackoffReason::ServerGoingAway { retry_after },
        Pace::Slowed | Pace::Overloaded => BackoffReason::AttemptFailed { retry_after },
        Pace::Usual if retry_after.is_some() => BackoffReason::AttemptFailed { retry_after },
        Pace::Usual => BackoffReason::ConnectionLost,
    }
}
