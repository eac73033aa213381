//! What the ends of attempts and connections mean for their endpoints. [`Endpoints`] remembers it, and chooses the endpoint
//! of the next attempt.

use steadfast_machine::{Instant, Seed, convert};

use super::Link;
use crate::backoff::BackoffReason;
use crate::endpoints::{EndpointId, Endpoints, ListedEndpoint};
use crate::event::{DisconnectCause, LoginErrorKind};
use crate::policy::{EndpointsPolicy, LinkSettings};
use crate::retry_advice::Pace;

/// The endpoints of a link: their ids are the indexes of the shell's list.
pub(super) fn create(settings: &LinkSettings, seed: Seed) -> Endpoints {
    let ids = (0..).map(EndpointId);
    let listed = ids.zip(&settings.priorities);
    let list: Vec<ListedEndpoint> = listed
        .map(|(id, priority)| ListedEndpoint {
            id,
            priority: *priority,
        })
        .collect();
    let policy = EndpointsPolicy::new(settings.endpoints).expect("the policy of the link is valid");
    Endpoints::new(policy, &list, seed).expect("the list has a valid length and no duplicates")
}

impl Link {
    /// Chooses the endpoint of an attempt that begins now. Returns its index in the shell's list.
    pub(super) fn choose_endpoint(&mut self, now: Instant) -> usize {
        self.endpoint = self.endpoints.next(now);
        convert::saturating(self.endpoint.0)
    }

    /// The attempt at this endpoint failed. A failure of the client's own network, or to fetch credentials, says nothing
    /// about the endpoint. If the attempts after a silent connection fail in the client's network, that was probably why
    /// it was silent.
    pub(super) fn report_failed_attempt(
        &mut self,
        now: Instant,
        endpoint: EndpointId,
        cause: &DisconnectCause,
    ) {
        match cause {
            DisconnectCause::Credentials(_)
            | DisconnectCause::LoginFailed {
                kind: LoginErrorKind::Redirected,
                ..
            } => self.endpoints.on_inconclusive(endpoint),
            DisconnectCause::LocalNetwork(_) => {
                if let Some(endpoint) = self.silent_endpoint.take() {
                    self.endpoints.end_hold_down(endpoint);
                }
            }
            DisconnectCause::Dial { .. }
            | DisconnectCause::ConnectTimeout
            | DisconnectCause::ConnectRejected { .. }
            | DisconnectCause::HandshakeRejected(_)
            | DisconnectCause::LoginFailed { .. }
            | DisconnectCause::Closed { .. }
            | DisconnectCause::ConnectionFailed { .. }
            | DisconnectCause::PongTimeout(_)
            | DisconnectCause::PongMissing(_)
            | DisconnectCause::WriteTimeout(_)
            | DisconnectCause::Protocol(_)
            | DisconnectCause::AttemptsExhausted(_) => {
                self.endpoints.on_failed(now, endpoint);
            }
        }
    }

    /// The connection is lost. Until it was ready, it was an attempt; afterwards the endpoint is held down if its server
    /// is faulty or overloaded, or if the connection was not stable.
    pub(super) fn report_loss(
        &mut self,
        now: Instant,
        is_ready: bool,
        cause: &DisconnectCause,
        pace: Pace,
    ) {
        if !is_ready {
            return self.endpoints.on_failed(now, self.endpoint);
        }
        self.endpoints.on_lost(now, self.endpoint);
        let is_faulty = match cause {
            DisconnectCause::PongTimeout(_)
            | DisconnectCause::PongMissing(_)
            | DisconnectCause::WriteTimeout(_) => {
                self.silent_endpoint = Some(self.endpoint);
                true
            }
            DisconnectCause::Protocol(_) => true,
            DisconnectCause::Dial { .. }
            | DisconnectCause::LocalNetwork(_)
            | DisconnectCause::Credentials(_)
            | DisconnectCause::ConnectTimeout
            | DisconnectCause::ConnectRejected { .. }
            | DisconnectCause::HandshakeRejected(_)
            | DisconnectCause::LoginFailed { .. }
            | DisconnectCause::Closed { .. }
            | DisconnectCause::ConnectionFailed { .. }
            | DisconnectCause::AttemptsExhausted(_) => false,
        };
        if is_faulty || pace == Pace::Overloaded {
            self.endpoints.hold_down(now, self.endpoint);
        }
    }

    /// A delay that the server requested applies to its endpoint only. Returns the reason with the time until an
    /// endpoint is available instead.
    pub(super) fn postpone_endpoint(
        &mut self,
        now: Instant,
        reason: BackoffReason,
    ) -> BackoffReason {
        if let Some(retry_after) = reason.retry_after() {
            let delay = self.backoff.jittered_retry_after(retry_after);
            self.endpoints.postpone(self.endpoint, now + delay);
        }
        let available_at = self.endpoints.available_at();
        let wait = (available_at > now).then(|| available_at.saturating_since(now));
        reason.with_retry_after(wait)
    }
}
