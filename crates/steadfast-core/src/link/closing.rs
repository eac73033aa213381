//! The ends of a link: closed by the application, or failed until it is restarted.

use std::time::Duration;

use steadfast_machine::Instant;

use super::{Lifecycle, Link, LinkOutput};
use crate::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};

impl Link {
    /// Closes the link. With a `drain` above zero, the layer above may still send what it has queued for that time, also
    /// over a later connection, and calls [`Self::drained`] when nothing is left.
    pub fn close(&mut self, now: Instant, drain: Duration) {
        let can_drain = !drain.is_zero();
        self.abandon_standby();
        match self.lifecycle {
            // An idle link cannot send what is queued, and reports no end.
            Lifecycle::Idle => self.outputs.push_back(LinkOutput::Ended { failure: None }),
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

    /// The layer above has nothing left to send; has no effect unless the link is draining.
    pub fn drained(&mut self, now: Instant) {
        if self.is_draining() {
            self.close_connection(now);
        }
    }

    /// Closes the connection and waits for the peer until a deadline; without a connection the link ends immediately.
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
        self.outputs.push_back(LinkOutput::Close { attempt });
        self.lifecycle = Lifecycle::Closing {
            deadline: now + self.settings.close_timeout,
        };
        self.transition(now, SessionState::Connected, SessionPhase::Closing);
    }

    /// Ends the link as requested, without waiting for the peer.
    pub(super) fn end_immediately(&mut self, now: Instant) {
        self.abort_transport();
        self.end(now);
    }

    /// Ends the link as requested; the transport is already closed.
    pub(super) fn end(&mut self, now: Instant) {
        self.lifecycle = Lifecycle::Idle;
        self.abort_retiring();
        self.credentials.is_fetching = false;
        self.drain_until = None;
        self.disconnected_since = None;
        self.has_reported_degraded = false;
        self.endpoints.on_closed();
        self.snapshot.attempt = 0;
        self.report_down(false);
        self.outputs.push_back(LinkOutput::Ended { failure: None });
        self.transition(now, SessionState::Disconnected, SessionPhase::Idle);
        self.notify(SessionEvent::Closed);
    }

    /// Stops reconnecting until the application restarts the link.
    pub(super) fn fail(&mut self, now: Instant, cause: DisconnectCause) {
        self.lifecycle = Lifecycle::Failed;
        self.abandon_standby();
        self.credentials.is_fetching = false;
        if self.drain_until.take().is_some() {
            return self.end(now);
        }
        self.report_down(false);
        self.snapshot.cause = Some(cause.clone());
        self.outputs.push_back(LinkOutput::Ended {
            failure: Some(cause.clone()),
        });
        self.transition(now, SessionState::Failed, SessionPhase::Idle);
        self.notify(SessionEvent::Failed { cause });
    }

    /// The cause of a failed link.
    pub const fn failure(&self) -> Option<&DisconnectCause> {
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
}
