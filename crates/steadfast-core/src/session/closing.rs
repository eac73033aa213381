//! The ends of a session: closed by the application, or failed until it is restarted.

use std::time::Duration;

use steadfast_machine::Instant;
use steadfast_protocol::codes::CloseCode;

use super::{Lifecycle, Session};
use crate::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use crate::io::{CallError, DropReason, Output};

impl Session {
    /// Closes the session. Queued publications are still sent for at most the time `drain`, also over a later
    /// connection.
    pub(super) fn close(&mut self, now: Instant, drain: Duration) {
        let can_drain = !drain.is_zero() && !self.outbox.is_empty();
        match self.lifecycle {
            // An idle session cannot send what is queued, and reports no end.
            Lifecycle::Idle => self.complete_everything(&DropReason::Closed, &CallError::Closed),
            Lifecycle::Closing { .. } => {}
            Lifecycle::Connected { .. } if can_drain => {
                self.drain_until = Some(now + drain);
                self.transition(now, SessionState::Connected, SessionPhase::Draining);
            }
            Lifecycle::Dialing { .. } | Lifecycle::Handshake { .. } | Lifecycle::Waiting { .. }
                if can_drain =>
            {
                self.drain_until = Some(now + drain);
            }
            Lifecycle::Connected { .. }
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Waiting { .. } => self.close_connection(now),
            Lifecycle::Failed => self.end(now),
        }
    }

    /// Whether the application requested to close the session, and the session has not ended.
    pub(super) const fn is_closing(&self) -> bool {
        self.drain_until.is_some() || matches!(self.lifecycle, Lifecycle::Closing { .. })
    }

    /// The first phase of a new connection.
    pub(super) const fn resuming_phase(&self) -> SessionPhase {
        if self.drain_until.is_some() {
            SessionPhase::Draining
        } else {
            SessionPhase::Resuming
        }
    }

    /// Sends the close frame and waits for the peer until a deadline; without a connection the session ends
    /// immediately.
    pub(super) fn close_connection(&mut self, now: Instant) {
        self.drain_until = None;
        match self.lifecycle {
            Lifecycle::Connected { .. } => {}
            Lifecycle::Dialing { .. } | Lifecycle::Handshake { .. } => {
                return self.end_immediately(now);
            }
            Lifecycle::Waiting { .. }
            | Lifecycle::Failed
            | Lifecycle::Idle
            | Lifecycle::Closing { .. } => {
                return self.end(now);
            }
        }
        let attempt = self.attempt;
        // Commands that were collected before are sent before the close frame.
        let messages = self.outgoing.take().into_iter();
        self.outputs
            .extend(messages.map(|message| Output::Transmit { attempt, message }));
        self.outputs.push_back(Output::Close {
            attempt,
            code: CloseCode::Normal.code(),
            reason: "closed by the client",
        });
        self.lifecycle = Lifecycle::Closing {
            deadline: now + self.settings().close_timeout,
        };
        self.transition(now, SessionState::Connected, SessionPhase::Closing);
    }

    /// Ends the session as requested, without waiting for the peer.
    pub(super) fn end_immediately(&mut self, now: Instant) {
        self.abort_transport();
        self.end(now);
    }

    /// Ends the session as requested; the transport is already closed.
    pub(super) fn end(&mut self, now: Instant) {
        self.lifecycle = Lifecycle::Idle;
        self.drain_until = None;
        self.disconnected_since = None;
        self.failures = 0;
        self.snapshot.attempt = 0;
        self.outgoing.clear();
        self.subscriptions.on_connection_lost();
        self.complete_everything(&DropReason::Closed, &CallError::Closed);
        self.transition(now, SessionState::Disconnected, SessionPhase::Idle);
        self.notify(SessionEvent::Closed);
    }

    /// Stops reconnecting until the application restarts the session. Publications and calls end with the cause, so that
    /// none waits for a restart that may never come. Subscriptions stay: a restarted session resumes them.
    pub(super) fn fail(&mut self, now: Instant, cause: DisconnectCause) {
        self.lifecycle = Lifecycle::Failed;
        self.outgoing.clear();
        self.subscriptions.on_connection_lost();
        if self.drain_until.take().is_some() {
            return self.end(now);
        }
        self.snapshot.cause = Some(cause.clone());
        self.complete_everything(
            &DropReason::Failed(cause.clone()),
            &CallError::Failed(cause.clone()),
        );
        self.transition(now, SessionState::Failed, SessionPhase::Idle);
        self.notify(SessionEvent::Failed { cause });
    }

    /// The cause of a failed session, which accepts neither publications nor calls.
    pub(super) const fn failure(&self) -> Option<&DisconnectCause> {
        match self.lifecycle {
            Lifecycle::Failed => self.snapshot.cause.as_ref(),
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Connected { .. }
            | Lifecycle::Waiting { .. }
            | Lifecycle::Closing { .. } => None,
        }
    }

    fn complete_everything(&mut self, dropped: &DropReason, failed: &CallError) {
        for (id, outcome) in self.outbox.close(dropped) {
            self.outputs
                .push_back(Output::CompletePublication { id, outcome });
        }
        for (id, error) in self.calls.close(failed) {
            let outcome = Err(error);
            self.outputs.push_back(Output::CompleteCall { id, outcome });
        }
    }
}
