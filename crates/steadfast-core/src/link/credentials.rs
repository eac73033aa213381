//! Credentials that an attempt needs before it dials.

use steadfast_machine::Instant;

use super::{Link, LinkOutput};
use crate::backoff::BackoffReason;
use crate::event::{DisconnectCause, SessionPhase};
use crate::io::RenewalReason;

/// The credentials of a link, which never sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkCredentials {
    /// Whether the layer above can fetch others.
    pub(super) can_fetch: bool,
    /// Why the next attempt must fetch others before it dials.
    pub(super) required: Option<RenewalReason>,
    /// The attempt in progress waits for them.
    pub(super) is_fetching: bool,
    /// They were fetched for this attempt: if they are rejected, others will hardly be accepted at once.
    pub(super) are_fresh: bool,
}

impl Link {
    /// The layer above can fetch credentials, and has none: the first attempt fetches them.
    pub const fn fetch_credentials(&mut self) {
        self.credentials.can_fetch = true;
        self.credentials.required = Some(RenewalReason::First);
    }

    /// Whether the attempt in progress waits for credentials.
    pub const fn is_fetching_credentials(&self) -> bool {
        self.credentials.is_fetching
    }

    /// The next attempt must fetch credentials before it dials.
    pub const fn require_credentials(&mut self, reason: RenewalReason) {
        if self.credentials.can_fetch {
            self.credentials.required = Some(reason);
        }
    }

    /// The layer above has new credentials: an attempt that waits for them dials, a later one need not fetch them.
    pub fn credentials_fetched(&mut self) {
        self.credentials.required = None;
        if std::mem::take(&mut self.credentials.is_fetching) {
            self.credentials.are_fresh = true;
            self.snapshot.phase = SessionPhase::Dialing;
            self.open_transport();
        }
    }

    /// The layer above could not fetch the credentials that an attempt waits for. `is_final` if it never can.
    pub fn credentials_failed(&mut self, now: Instant, text: String, is_final: bool) {
        if !std::mem::take(&mut self.credentials.is_fetching) {
            return;
        }
        self.credentials
            .required
            .get_or_insert(RenewalReason::First);
        let cause = DisconnectCause::Credentials(text);
        if is_final {
            return self.fail(now, cause);
        }
        let reason = BackoffReason::AttemptFailed { retry_after: None };
        self.attempt_failed(now, cause, reason);
    }

    /// Fetches credentials if this attempt must, or dials.
    pub(super) fn begin_attempt(&mut self) {
        self.credentials.are_fresh = false;
        let Some(reason) = self.credentials.required else {
            return self.open_transport();
        };
        self.credentials.is_fetching = true;
        self.snapshot.phase = SessionPhase::FetchingCredentials;
        self.outputs
            .push_back(LinkOutput::FetchCredentials { reason });
    }

    fn open_transport(&mut self) {
        let (attempt, endpoint) = (self.attempt, self.snapshot.endpoint);
        self.outputs
            .push_back(LinkOutput::Dial { attempt, endpoint });
    }

    /// The peer rejected the credentials. The next attempt fetches others, and follows soon unless these were new.
    pub(super) fn credentials_rejected(&mut self, now: Instant, cause: DisconnectCause) {
        if !self.credentials.can_fetch {
            return self.fail(now, cause);
        }
        self.credentials.required = Some(RenewalReason::Rejected);
        if self.credentials.are_fresh {
            let reason = BackoffReason::AttemptFailed { retry_after: None };
            return self.attempt_failed(now, cause, reason);
        }
        self.report_down(false);
        self.endpoints.on_inconclusive(self.endpoint);
        let until = (self.attempt_started_at + self.settings.backoff.floor).max(now);
        self.wait(now, until, cause);
    }
}
