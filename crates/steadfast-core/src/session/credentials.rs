//! The credentials of a session: fetched before an attempt that needs them, and renewed over an open connection.

use std::mem;
use std::time::Duration;

use steadfast_machine::Instant;

use super::{Pending, Session};
use crate::backoff::retry_delay;
use crate::dialect::{Dialect, Outcome, Renewal, Request};
use crate::event::{DisconnectCause, LoginErrorKind, SessionEvent};
use crate::io::{CredentialsError, CredentialsSource, FetchId, Output, RenewalReason};
use crate::retry_advice::{Action, RetryAdvice};
use crate::secret::Secret;

/// Credentials are renewed when this part of their lifetime is left, so that they do not expire while they are fetched.
const RENEWAL_MARGIN: u32 = 10;
/// The longest such time. A renewal by another connection begins earlier, when [`RENEWAL_MARGIN`] is left whatever the
/// lifetime, as soon as no request is in flight that must not be repeated; at this time it no longer waits for that.
const RENEWAL_MARGIN_MAX: Duration = Duration::from_secs(30);

/// The longest time that such a request delays a renewal because the application has replaced the credentials.
const REPLACEMENT_DELAY_MAX: Duration = Duration::from_mins(1);

/// The shortest time from an acceptance to the next renewal, so that a peer whose credentials expire at once does not
/// cause one fetch after the other.
const RENEWAL_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The time from the begin of a connection that renews a login to the next attempt, if it does not replace the present one
/// before.
const RENEWAL_CONNECTION_INTERVAL: Duration = Duration::from_mins(1);

/// The first delay after a failed renewal; doubles with each further one.
const RETRY_DELAY_BASE: Duration = Duration::from_secs(1);

/// The credentials, and the fetch or renewal in progress.
#[derive(Debug)]
pub(super) struct Credentials {
    can_fetch: bool,
    current: Secret,
    last_fetch: FetchId,
    /// When the fetch for the open connection takes too long; `None` if there is none. The deadline of an attempt limits
    /// the fetch before it.
    fetch_until: Option<Instant>,
    /// When those of the open connection are renewed.
    renew_at: Option<Instant>,
    /// From when on another connection renews them also if that interrupts requests.
    renew_by: Option<Instant>,
    /// They are renewed as soon as no request is in flight that must not be repeated.
    is_renewal_delayed: bool,
    /// Failed renewals since the last success.
    failures: u32,
    /// The request that authenticates the open connection while it has no reply, and when that is overdue.
    request: Option<(u32, Instant)>,
    /// They were replaced during the handshake, which shows the previous ones to the peer.
    are_newer_than_handshake: bool,
}

impl Credentials {
    pub(super) fn new(source: CredentialsSource) -> Self {
        let (can_fetch, current) = match source {
            CredentialsSource::Fixed(current) => (false, current),
            CredentialsSource::Fetched => (true, Secret::default()),
        };
        Self {
            can_fetch,
            current,
            last_fetch: FetchId::default(),
            fetch_until: None,
            renew_at: None,
            renew_by: None,
            is_renewal_delayed: false,
            failures: 0,
            request: None,
            are_newer_than_handshake: false,
        }
    }

    pub(super) const fn current(&self) -> &Secret {
        &self.current
    }

    /// The credentials that were sent with this request, while it has no reply.
    pub(super) fn sent_with(&self, id: u32) -> Option<&Secret> {
        let (request, _) = self.request?;
        (request == id).then_some(&self.current)
    }

    /// Whether no request that authenticates the open connection awaits its reply.
    pub(super) const fn is_settled(&self) -> bool {
        self.request.is_none()
    }

    /// The peer accepted the credentials; they expire after this time.
    pub(super) fn on_accepted(
        &mut self,
        now: Instant,
        expires_after: Option<Duration>,
        renewal: Renewal,
    ) {
        self.failures = 0;
        self.request = None;
        self.is_renewal_delayed = false;
        let can_renew = self.can_fetch || renewal != Renewal::OtherCredentials;
        let time = expires_after.filter(|_| can_renew);
        let before_end = |time: Duration, margin: Duration| {
            now + time.saturating_sub(margin).max(RENEWAL_INTERVAL_MIN)
        };
        let latest = |time| before_end(time, (time / RENEWAL_MARGIN).min(RENEWAL_MARGIN_MAX));
        self.renew_by = time.map(latest);
        self.renew_at = match renewal {
            Renewal::OtherConnection => time.map(|time| before_end(time, time / RENEWAL_MARGIN)),
            Renewal::OtherCredentials | Renewal::SameConnection => self.renew_by,
        };
    }

    /// Without a connection, or with one that is closing, nothing is renewed: an attempt fetches what it needs.
    pub(super) const fn on_connection_ended(&mut self) {
        self.fetch_until = None;
        self.renew_at = None;
        self.renew_by = None;
        self.is_renewal_delayed = false;
        self.request = None;
        self.are_newer_than_handshake = false;
    }

    /// Whether the handshake in progress shows the previous credentials.
    pub(super) const fn are_newer_than_handshake(&self) -> bool {
        self.are_newer_than_handshake
    }

    /// The credentials were replaced: the connection with the previous ones must not wait long for requests.
    fn limit_renewal_delay(&mut self, now: Instant) {
        let latest = now + REPLACEMENT_DELAY_MAX;
        self.renew_by = Some(self.renew_by.map_or(latest, |at| at.min(latest)));
    }

    /// A renewal was given up before its end: the next one begins in time.
    pub(super) fn postpone_renewal(&mut self, now: Instant) {
        if let (Some(at), Some(by)) = (self.renew_at, self.renew_by)
            && now < by
        {
            self.renew_at = Some(at.min(by));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let reply_until = self.request.map(|(_, until)| until);
        [self.fetch_until, self.renew_at, reply_until]
            .into_iter()
            .flatten()
            .min()
    }

    fn next_retry_delay(&mut self) -> Duration {
        let delay = retry_delay(RETRY_DELAY_BASE, self.failures);
        self.failures = self.failures.saturating_add(1).min(u32::BITS);
        delay
    }
}

impl<D: Dialect> Session<D> {
    pub(super) fn fetch_credentials(&mut self, now: Instant, reason: RenewalReason) {
        let id = FetchId(self.pending.credentials.last_fetch.0 + 1);
        self.pending.credentials.last_fetch = id;
        self.pending.credentials.renew_at = None;
        if !self.link.is_fetching_credentials() {
            self.pending.credentials.fetch_until = Some(now + self.link.connect_timeout());
        }
        self.outputs
            .push_back(Output::FetchCredentials { id, reason });
    }

    pub(super) fn credentials_fetched(
        &mut self,
        now: Instant,
        id: FetchId,
        outcome: Result<Secret, CredentialsError>,
    ) {
        if id != self.pending.credentials.last_fetch {
            return;
        }
        self.pending.credentials.fetch_until = None;
        let outcome = outcome.and_then(|credentials| {
            if credentials.expose().is_empty() {
                return Err(CredentialsError::temporary("the credentials are empty"));
            }
            Ok(credentials)
        });
        match outcome {
            Ok(credentials) => self.use_credentials(now, credentials),
            Err(error) if self.link.is_fetching_credentials() => {
                self.link
                    .credentials_failed(now, error.text, error.is_final);
            }
            Err(error) if self.link.is_connected() => self.renewal_failed(now, error, None),
            // The connection has ended in the meantime, and the next attempt fetches them if it needs them.
            Err(_) => {}
        }
    }

    /// The application has other credentials: those that are being fetched are obsolete.
    pub(super) fn credentials_replaced(&mut self, now: Instant, credentials: Secret) {
        self.pending.credentials.last_fetch.0 += 1;
        self.pending.credentials.fetch_until = None;
        self.pending.credentials.limit_renewal_delay(now);
        self.use_credentials(now, credentials);
    }

    /// Credentials that were replaced before the peer accepted the previous ones follow.
    pub(super) fn authenticate_replaced(&mut self, now: Instant) {
        self.pending.credentials.limit_renewal_delay(now);
        self.authenticate(now);
    }

    /// Uses these credentials for the open connection, for the attempt that waits for them, and later.
    fn use_credentials(&mut self, now: Instant, credentials: Secret) {
        self.pending.credentials.current = credentials;
        self.link.credentials_fetched();
        self.pending.credentials.are_newer_than_handshake = self.link.is_in_handshake();
        if let Some(standby) = &mut self.standby {
            standby.credentials_replaced();
        }
        if self.link.is_connected() {
            self.authenticate(now);
        }
    }

    /// Authenticates the open connection, unless the protocol cannot: then the next connection uses the credentials.
    pub(super) fn authenticate(&mut self, now: Instant) {
        if self.relogin.is_in_progress() {
            return self.relogin.on_credentials_replaced();
        }
        if self.dialect.renewal() == Renewal::OtherConnection {
            return self.renew_connection(now);
        }
        let request = Request::Authenticate(&self.pending.credentials.current);
        if let Err(problem) = self.dialect.check(request) {
            let event = SessionEvent::RenewalFailed {
                text: problem.to_string(),
                retry_at: None,
            };
            self.outputs.push_back(Output::Notify(event));
            return;
        }
        self.send_credentials(now);
    }

    /// Another connection replaces the present one, unless that would interrupt a request that must not be repeated, and
    /// there is time to wait for it.
    fn renew_connection(&mut self, now: Instant) {
        let is_waiting = self.is_renewal_waiting_for_requests(now);
        let is_delayed = is_waiting || !self.link.can_migrate();
        let credentials = &mut self.pending.credentials;
        credentials.is_renewal_delayed = is_delayed;
        credentials.renew_at = if is_waiting {
            credentials.renew_by
        } else {
            Some(now + RENEWAL_CONNECTION_INTERVAL)
        };
        if !is_delayed {
            self.link.renew(now);
        }
    }

    /// Whether a renewal by another connection has time to wait for a request that must not be repeated.
    pub(super) fn is_renewal_waiting_for_requests(&self, now: Instant) -> bool {
        let Pending { outbox, calls, .. } = &self.pending;
        self.pending.credentials.renew_by.is_some_and(|by| now < by)
            && (calls.has_unrepeatable_in_flight() || outbox.has_unrepeatable_in_flight())
    }

    /// Begins a renewal for which a request had to have its reply first, or the connection had to be ready.
    pub(super) fn start_delayed_renewal(&mut self, now: Instant) {
        if self.pending.credentials.is_renewal_delayed
            && self.link.can_migrate()
            && !self.relogin.is_in_progress()
            && !self.is_renewal_waiting_for_requests(now)
        {
            self.renew_connection(now);
            self.follow_link(now);
        }
    }

    /// Whether a login with the present credentials can begin; otherwise what a peer that rejects them would say.
    pub(super) fn check_login(&self) -> Result<(), (DisconnectCause, RetryAdvice)> {
        let checked = self.dialect.check_login(self.pending.credentials.current());
        checked.map_err(|problem| {
            let cause = DisconnectCause::LoginFailed {
                kind: LoginErrorKind::Credentials,
                text: format!(
                    "the login cannot be sent: {problem}: check the length of the credentials"
                ),
            };
            (cause, RetryAdvice::RETRY.with(Action::RenewCredentials))
        })
    }

    /// Authenticates the open connection, whatever the protocol permits while it is authenticated.
    pub(super) fn send_credentials(&mut self, now: Instant) {
        let request = Request::Authenticate(&self.pending.credentials.current);
        let id = self.wire.take_id();
        let until = now + self.link.connect_timeout();
        self.pending.credentials.request =
            match self.connected_dialect.write(id, request, &mut self.wire) {
                Some(Outcome::Authenticated) => None,
                Some(Outcome::Acknowledged(_) | Outcome::Subscribed(_)) | None => Some((id, until)),
            };
    }

    /// The peer accepted the client. Credentials that were replaced during the handshake follow.
    pub(super) fn accepted(&mut self, now: Instant, expires_after: Option<Duration>) {
        if !self.link.is_in_handshake() {
            return;
        }
        self.link.accepted(now, self.link.attempt());
        self.adopt_log();
        let credentials = &mut self.pending.credentials;
        credentials.on_accepted(now, expires_after, self.dialect.renewal());
        if mem::take(&mut credentials.are_newer_than_handshake) {
            self.authenticate_replaced(now);
        }
    }

    /// The peer accepted the credentials of this request, or those of the connection without a request.
    pub(super) fn authenticated(&mut self, now: Instant, id: u32, expires_after: Option<Duration>) {
        let newest = self.pending.credentials.request;
        // The reply to the newest credentials decides.
        if self.link.is_connected() && newest.is_none_or(|(newest, _)| newest == id) {
            let renewal = self.dialect.renewal();
            let credentials = &mut self.pending.credentials;
            credentials.on_accepted(now, expires_after, renewal);
            self.relogin_accepted(now);
        }
    }

    /// The peer rejected the new credentials on the open connection.
    pub(super) fn renewal_refused(
        &mut self,
        now: Instant,
        refusal: &D::Refusal,
        advice: RetryAdvice,
    ) {
        self.pending.credentials.request = None;
        let text = refusal.to_string();
        if self.relogin.is_in_progress() {
            return self.relogin_refused(now, text, advice);
        }
        let is_final = match advice.action {
            Action::GiveUp => true,
            Action::Retry => !self.can_renew(),
            Action::RenewCredentials | Action::DiscardPositions => {
                !self.pending.credentials.can_fetch
            }
        };
        let error = CredentialsError { text, is_final };
        self.renewal_failed(now, error, advice.retry_after);
    }

    /// The reply to the new credentials on the open connection does not say what became of them.
    pub(super) fn renewal_replied(&mut self, now: Instant, id: u32) {
        if self.pending.credentials.sent_with(id).is_some() {
            self.renewal_without_result(now, "unexpected reply type");
        }
    }

    /// What became of the new credentials is unknown: others are fetched and sent.
    fn renewal_without_result(&mut self, now: Instant, text: &str) {
        self.pending.credentials.request = None;
        if self.relogin.is_in_progress() {
            let (kind, text) = (LoginErrorKind::TimedOut, text.to_owned());
            return self.relogin_failed(now, kind, text, RetryAdvice::RETRY);
        }
        let error = CredentialsError {
            text: text.to_owned(),
            is_final: !self.can_renew(),
        };
        self.renewal_failed(now, error, None);
    }

    /// Whether a renewal that failed can be tried again: with other credentials, or with the same.
    fn can_renew(&self) -> bool {
        self.pending.credentials.can_fetch || self.dialect.renewal() != Renewal::OtherCredentials
    }

    /// The open connection stays until the peer ends it; the next attempt fetches credentials in any case.
    fn renewal_failed(
        &mut self,
        now: Instant,
        error: CredentialsError,
        retry_after: Option<Duration>,
    ) {
        self.link.require_credentials(RenewalReason::Rejected);
        let retry_at = (!error.is_final).then(|| {
            let own_delay = self.pending.credentials.next_retry_delay();
            now + self.link.backoff_mut().retry_delay(own_delay, retry_after)
        });
        self.pending.credentials.renew_at = retry_at.filter(|_| self.link.is_connected());
        let event = SessionEvent::RenewalFailed {
            text: error.text,
            retry_at,
        };
        self.outputs.push_back(Output::Notify(event));
    }

    /// Renews the credentials of the open connection when it is time, and gives up a fetch or a reply that takes too long.
    pub(super) fn renew_credentials(&mut self, now: Instant) {
        let request = self.pending.credentials.request;
        if request.is_some_and(|(_, until)| now >= until) {
            self.renewal_without_result(now, "timed out waiting for the reply to the credentials");
        }
        if self
            .pending
            .credentials
            .fetch_until
            .is_some_and(|at| now >= at)
        {
            let id = self.pending.credentials.last_fetch;
            let error = CredentialsError::temporary("timed out waiting for the credentials");
            self.credentials_fetched(now, id, Err(error));
            // A later result of this fetch is obsolete.
            self.pending.credentials.last_fetch.0 += 1;
        }
        if self
            .pending
            .credentials
            .renew_at
            .is_some_and(|at| now >= at)
        {
            let credentials = &mut self.pending.credentials;
            credentials.renew_at = None;
            let is_delayed = mem::take(&mut credentials.is_renewal_delayed);
            // Those of a delayed renewal were fetched before.
            if credentials.can_fetch && !is_delayed {
                self.fetch_credentials(now, RenewalReason::Expiring);
            } else {
                self.authenticate(now);
            }
        }
    }
}
