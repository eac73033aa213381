//! The loss of a connection: its cause, its effects, and the delay before the next attempt.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, retry_in};

use super::{Lifecycle, Session};
use crate::backoff::BackoffReason;
use crate::event::{DisconnectCause, SessionEvent};
use crate::io::{ConnectionLoss, Output};

/// The code that a close frame without a code counts as (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

impl Session {
    /// Aborts the transport, because the peer is unresponsive or violated the protocol.
    pub(super) fn drop_connection(&mut self, now: Instant, cause: DisconnectCause) {
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) {
            return self.end_immediately(now);
        }
        self.abort_transport();
        self.reconnect_after_loss(now, cause, BackoffReason::ConnectionLost);
    }

    /// The transport was closed by the peer, or failed.
    pub(super) fn on_connection_lost(&mut self, now: Instant, loss: ConnectionLoss) {
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) {
            return self.end(now);
        }
        if matches!(loss, ConnectionLoss::MessageTooLarge(_)) {
            self.subscriptions.on_message_too_large();
        }
        let (cause, advice, reason) = classify(loss);
        match advice {
            Advice::Terminal => {
                self.record_loss(now, &cause);
                self.fail(now, cause);
            }
            Advice::ReconnectWithFreshState => {
                self.subscriptions.invalidate_positions();
                self.reconnect_after_loss(now, cause, reason);
            }
            Advice::Reconnect
            | Advice::Retry
            | Advice::RenewToken
            | Advice::Resubscribe
            | Advice::ResubscribeWithFreshState
            | Advice::EndSubscription
            | Advice::ReportToCaller => self.reconnect_after_loss(now, cause, reason),
        }
    }

    fn reconnect_after_loss(
        &mut self,
        now: Instant,
        cause: DisconnectCause,
        reason: BackoffReason,
    ) {
        if !matches!(self.lifecycle, Lifecycle::Connected { .. }) {
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
        self.record_loss(now, &cause);
        let until = now + self.backoff.next(reason, now);
        self.wait(now, until, cause);
    }

    /// The effects of every loss, whatever the advice is.
    fn record_loss(&mut self, now: Instant, cause: &DisconnectCause) {
        let Lifecycle::Connected {
            since,
            liveness,
            is_ready,
            ..
        } = &self.lifecycle
        else {
            return;
        };
        let connected_for = now.saturating_since(*since);
        let detection = now.saturating_since(liveness.last_received_at());
        // A connection that was never ready reduces no backoff, so that a server that accepts and then drops
        // connections is not flooded with attempts.
        let stable_for = if *is_ready {
            connected_for
        } else {
            Duration::ZERO
        };
        self.backoff.disconnected(now, stable_for);
        self.disconnected_since = Some(now);
        self.outgoing.clear();
        self.outbox.on_connection_lost();
        self.subscriptions.on_connection_lost();
        for (id, error) in self.calls.on_connection_lost() {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
        let epoch = self.snapshot.epoch;
        let cause = cause.clone();
        self.notify(SessionEvent::Lost {
            epoch,
            cause,
            detection,
        });
    }
}

/// The cause of a loss, the advice for it, and the backoff that applies.
fn classify(loss: ConnectionLoss) -> (DisconnectCause, Advice, BackoffReason) {
    match loss {
        ConnectionLoss::Failed(text) | ConnectionLoss::MessageTooLarge(text) => (
            DisconnectCause::ConnectionFailed(text),
            Advice::Reconnect,
            BackoffReason::ConnectionLost,
        ),
        ConnectionLoss::CloseFrame { code, reason } => {
            let code = code.unwrap_or(NO_CODE);
            let advice = Advice::for_disconnect(u32::from(code));
            let retry_after = retry_in(&reason);
            let backoff_reason = backoff_reason(code, retry_after);
            (
                DisconnectCause::Closed { code, reason },
                advice,
                backoff_reason,
            )
        }
    }
}

/// The backoff after a close frame with this code.
fn backoff_reason(code: u16, retry_after: Option<Duration>) -> BackoffReason {
    let is_one_of = |codes: &[u16]| codes.contains(&code);
    let going_away_codes = [
        CloseCode::GoingAway.code(),
        1012,
        DisconnectCode::Shutdown.code(),
    ];
    let busy_codes = [1013, DisconnectCode::TooManyRequests.code()];
    if is_one_of(&going_away_codes) {
        BackoffReason::ServerGoingAway { retry_after }
    } else if is_one_of(&busy_codes) || retry_after.is_some() {
        BackoffReason::AttemptFailed { retry_after }
    } else {
        BackoffReason::ConnectionLost
    }
}
