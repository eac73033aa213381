//! The switch from the present connection to its standby, and the end of the connection that was replaced.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use super::standby::StandbyStage;
use super::{Lifecycle, Link, LinkOutput};
use crate::endpoints::EndpointId;
use crate::io::Attempt;
use crate::liveness::Liveness;

/// A connection that was replaced, and whose peer has not closed it yet.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) attempt: Attempt,
    /// Its transport is given up at this time.
    pub(super) deadline: Instant,
}

/// A standby that becomes the present connection.
struct Accepted {
    attempt: Attempt,
    endpoint: EndpointId,
    liveness: Liveness,
}

impl Link {
    /// Makes the standby the present connection, and closes the former one: what was collected for it is sent before. Has no
    /// effect unless [`Self::is_switching`].
    pub fn switch(&mut self, now: Instant) {
        let Lifecycle::Connected {
            since, is_ready, ..
        } = &self.lifecycle
        else {
            return;
        };
        let stable_for = Self::stable_for(now.saturating_since(*since), *is_ready);
        let Some(accepted) = self.take_accepted_standby() else {
            return;
        };
        let attempt = self.attempt;
        self.backoff.replaced(stable_for);
        self.endpoints.on_replaced(now);
        self.abort_retiring();
        self.outputs.push_back(LinkOutput::Close { attempt });
        self.retiring = Some(Retiring {
            attempt,
            deadline: now + self.settings.close_timeout,
        });
        self.report_down(true);
        self.adopt(now, accepted);
    }

    /// The present connection is lost: switches without waiting for what was in flight. Returns whether there was an
    /// accepted standby.
    pub(super) fn switch_after_loss(&mut self, now: Instant) -> bool {
        let Some(accepted) = self.take_accepted_standby() else {
            return false;
        };
        self.backoff.connected(now);
        self.disconnected_since = None;
        self.snapshot.reconnects += 1;
        self.adopt(now, accepted);
        true
    }

    /// The standby, if its peer has accepted the client.
    fn take_accepted_standby(&mut self) -> Option<Accepted> {
        if !self.is_switching() {
            return None;
        }
        let standby = *self.standby.take()?;
        let (attempt, endpoint) = (standby.attempt, standby.endpoint);
        match standby.stage {
            StandbyStage::Accepted { liveness, .. } => Some(Accepted {
                attempt,
                endpoint,
                liveness,
            }),
            StandbyStage::Dialing { .. } | StandbyStage::Handshake { .. } => None,
        }
    }

    /// Begins the connection of a standby; the former one is down.
    fn adopt(&mut self, now: Instant, accepted: Accepted) {
        let Accepted {
            attempt,
            endpoint,
            liveness,
        } = accepted;
        self.attempt = attempt;
        self.endpoint = endpoint;
        self.snapshot.endpoint = convert::saturating(endpoint.0);
        self.outputs.push_back(LinkOutput::Switched { attempt });
        self.begin_connection(now, liveness, Some(Duration::ZERO));
    }

    /// Whether the peer of this attempt has not closed the connection that was replaced.
    fn is_retiring(&self, attempt: Attempt) -> bool {
        self.retiring
            .as_ref()
            .is_some_and(|it| it.attempt == attempt)
    }

    /// The transport of this attempt is gone, if it was that of a connection that was replaced.
    pub(super) fn end_retiring(&mut self, attempt: Attempt) {
        if self.is_retiring(attempt) {
            self.retiring = None;
        }
    }

    pub(super) fn tick_retiring(&mut self, now: Instant) {
        if self.retiring.as_ref().is_some_and(|it| now >= it.deadline) {
            self.abort_retiring();
        }
    }

    /// Does not wait any longer for the peer of a connection that was replaced.
    pub(super) fn abort_retiring(&mut self) {
        if let Some(Retiring { attempt, .. }) = self.retiring.take() {
            self.outputs.push_back(LinkOutput::Abort { attempt });
        }
    }
}
