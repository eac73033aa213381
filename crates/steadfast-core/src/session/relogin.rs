//! A login over an open connection whose peer no longer knows the client.
//!
//! The peer has rejected a request for this reason without executing it. The session authenticates the connection once,
//! however many requests were rejected; new requests wait, those that were rejected are sent again, and others in flight
//! keep waiting. If that fails, the session continues over a fresh connection, whose handshake decides.
//!
//! A peer may accept each login and reject the next request all the same, whatever else it executes. Then the session
//! continues over a fresh connection too, unless that would interrupt a request that must not be repeated. Further logins
//! have a pause before them, which grows; in a pause the requests that the peer rejects for this reason fail.

use std::mem;
use std::time::Duration;

use steadfast_machine::Instant;

use super::{Pending, Session};
use crate::dialect::{Dialect, InFlight, Request};
use crate::event::{DisconnectCause, LoginErrorKind};
use crate::io::{Attempt, Output};
use crate::retry_advice::{Action, Pace, RetryAdvice};

/// The most logins over open connections that follow each other without a pause.
const FRUITLESS_MAX: u32 = 2;
/// The first pause; it doubles with each further login.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Logins count as one after the other until the peer has rejected no request for this time.
const QUIET_MIN: Duration = Duration::from_mins(5);

/// The logins over the open connection, and over those before it.
#[derive(Debug, Default)]
pub(super) struct Relogin {
    is_in_progress: bool,
    /// The application has replaced the credentials since the login in progress began.
    are_credentials_replaced: bool,
    /// The number of logins after which the peer has rejected a request soon.
    fruitless: u32,
    /// When the newest of them began.
    began_at: Option<Instant>,
    /// When the peer has rejected a request that was sent after it.
    rejected_at: Option<Instant>,
    /// The request of the newest login. A rejection of an earlier request says nothing about the login.
    newest: Option<u32>,
}

/// What follows if the peer no longer knows the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A login over the open connection.
    LogIn,
    /// A fresh connection.
    Reconnect,
    /// Nothing, until a pause is over: the request fails.
    Fail,
}

impl Relogin {
    /// Whether a login is in progress: new requests wait.
    pub(super) const fn is_in_progress(&self) -> bool {
        self.is_in_progress
    }

    /// The connection is down, or another one has replaced it. The count of logins stays, so that fresh connections do not
    /// begin it again.
    pub(super) fn on_connection_ended(&mut self) {
        *self = Self {
            fruitless: self.fruitless,
            began_at: self.began_at,
            rejected_at: self.rejected_at,
            ..Self::default()
        };
    }

    /// The application has replaced the credentials during a login, which shows the previous ones.
    pub(super) const fn on_credentials_replaced(&mut self) {
        self.are_credentials_replaced = true;
    }

    /// The peer has rejected a request that was sent after the newest login.
    fn on_rejected(&mut self, now: Instant, can_reconnect: bool) -> Step {
        let is_quiet = |at: Instant| now.saturating_since(at) >= QUIET_MIN;
        if self.rejected_at.replace(now).is_none_or(is_quiet) {
            self.fruitless = 0;
        }
        let earlier = self.fruitless.checked_sub(FRUITLESS_MAX);
        let step = match (earlier, self.began_at) {
            (Some(0), _) if can_reconnect => Step::Reconnect,
            (Some(earlier), Some(began_at)) if now < began_at + pause(earlier) => Step::Fail,
            (Some(_), _) if can_reconnect => Step::Reconnect,
            (Some(_) | None, _) => Step::LogIn,
        };
        if step != Step::Fail {
            self.fruitless = self.fruitless.saturating_add(1);
            self.began_at = Some(now);
        }
        step
    }

    /// The peer has accepted the client again. Returns whether a login was in progress.
    pub(super) const fn on_accepted(&mut self) -> bool {
        mem::replace(&mut self.is_in_progress, false)
    }

    /// Whether the login in progress shows other credentials than the session has, the first time that this is asked.
    const fn take_credentials_replaced(&mut self) -> bool {
        mem::replace(&mut self.are_credentials_replaced, false)
    }

    /// Whether a request with this id was sent before the newest login. Ids count up, and begin again after the largest.
    fn precedes_newest(&self, id: u32) -> bool {
        self.newest
            .is_some_and(|newest| newest.wrapping_sub(id) < u32::MAX / 2)
    }
}

/// The pause before a login that follows this number of logins after a pause.
fn pause(earlier: u32) -> Duration {
    let factor = 2_u32.saturating_pow(earlier);
    PAUSE_MIN.saturating_mul(factor).min(PAUSE_MAX)
}

impl<D: Dialect> Session<D> {
    /// The peer has rejected this request, because it no longer knows the client.
    pub(super) fn unauthenticated(&mut self, now: Instant, id: u32, refusal: D::Refusal) {
        if !self.link.is_connected() {
            return;
        }
        if self.relogin.is_in_progress || self.relogin.precedes_newest(id) {
            return self.send_again(now, id, refusal);
        }
        let text = refusal.to_string();
        let can_reconnect = !self.has_other_unrepeatable(id);
        match self.relogin.on_rejected(now, can_reconnect) {
            Step::Fail => self.fail_unexecuted(now, id, refusal),
            Step::Reconnect => {
                self.send_again(now, id, refusal);
                let advice = RetryAdvice::RETRY.at(Pace::Slowed);
                self.relogin_failed(now, LoginErrorKind::Other, text, advice);
            }
            Step::LogIn => {
                self.send_again(now, id, refusal);
                self.relogin.is_in_progress = true;
                self.log_in_again(now);
            }
        }
    }

    /// Whether a request is in flight that must not be interrupted, other than this one, which was not executed.
    fn has_other_unrepeatable(&self, id: u32) -> bool {
        let Pending { calls, outbox, .. } = &self.pending;
        calls.has_unrepeatable_in_flight_except(Some(id)) || outbox.has_unrepeatable_in_flight()
    }

    fn log_in_again(&mut self, now: Instant) {
        if let Err((cause, advice)) = self.check_login() {
            return self.link.dismissed(now, self.link.attempt(), cause, advice);
        }
        self.relogin.newest = Some(self.wire.next_id());
        self.link.login_expired(now);
        self.send_credentials(now);
        // A protocol without a reply to credentials.
        if self.pending.credentials.is_settled() {
            self.relogin_accepted(now);
        }
    }

    /// Completes a request that the peer has rejected without executing it; a subscription is requested again later.
    fn fail_unexecuted(&mut self, now: Instant, id: u32, refusal: D::Refusal) {
        match self.pending.request(id) {
            Some(Request::Call(_)) => {
                let failed = self.pending.calls.reject_unexecuted(id, refusal);
                self.fail_calls(failed.into_iter().collect());
            }
            Some(
                Request::Message(_)
                | Request::Subscribe(..)
                | Request::Authenticate(_)
                | Request::Unsubscribe(_),
            )
            | None => self.on_refused(now, id, refusal, RetryAdvice::RETRY, false),
        }
    }

    /// Takes back a request that the peer has rejected without executing it.
    fn send_again(&mut self, now: Instant, id: u32, refusal: D::Refusal) {
        match self.pending.request(id) {
            Some(Request::Call(_)) => {
                let failed = self.pending.calls.send_again(id, refusal);
                self.fail_calls(failed.into_iter().collect());
            }
            Some(Request::Message(_)) => {
                let backoff = self.link.backoff_mut();
                let outbox = &mut self.pending.outbox;
                let lost = outbox.retry_later(now, id, None, false, |it| backoff.add_jitter(it));
                self.interrupt_messages(lost.into_iter().collect());
            }
            Some(Request::Subscribe(..)) => self.pending.subscriptions.request_again(id),
            Some(Request::Authenticate(_) | Request::Unsubscribe(_)) | None => {}
        }
    }

    /// The peer knows the client again: what waits is sent. What it did not send to an unknown client is missing.
    pub(super) fn relogin_accepted(&mut self, now: Instant) {
        if !self.relogin.on_accepted() {
            return;
        }
        self.link.logged_in(now);
        self.follow_link(now);
        self.report_gaps();
        if self.relogin.take_credentials_replaced() {
            self.authenticate_replaced(now);
        }
    }

    /// The peer has rejected the login over the open connection. Credentials that have been replaced since it began are
    /// tried at once.
    pub(super) fn relogin_refused(&mut self, now: Instant, text: String, advice: RetryAdvice) {
        let are_replaced = self.relogin.take_credentials_replaced();
        if are_replaced && advice.action == Action::RenewCredentials {
            return self.log_in_again(now);
        }
        self.relogin_failed(now, LoginErrorKind::Other, text, advice);
    }

    /// The login over the open connection failed: a fresh connection follows.
    pub(super) fn relogin_failed(
        &mut self,
        now: Instant,
        kind: LoginErrorKind,
        text: String,
        advice: RetryAdvice,
    ) {
        let cause = DisconnectCause::LoginFailed { kind, text };
        // Only a whole handshake says that no further attempt helps.
        let advice = match advice.action {
            Action::GiveUp => advice.with(Action::Retry),
            Action::Retry | Action::RenewCredentials | Action::DiscardPositions => advice,
        };
        let attempt = self.link.attempt();
        self.link.dismissed(now, attempt, cause, advice);
    }

    /// The login of this attempt has to be made at one of these servers.
    pub(super) fn redirected(&mut self, now: Instant, attempt: Attempt, urls: Vec<String>) {
        let Some(endpoint) = self.link.endpoint_of(attempt) else {
            return;
        };
        self.outputs.push_back(Output::Redirect { endpoint, urls });
        let cause = DisconnectCause::LoginFailed {
            kind: LoginErrorKind::Redirected,
            text: "the server accepts no login, and names another one".to_owned(),
        };
        let (link, advice) = (&mut self.link, RetryAdvice::RETRY);
        if link.is_connected() && link.is_current(attempt) {
            link.dismissed(now, attempt, cause, advice);
        } else {
            link.rejected(now, attempt, cause, advice);
        }
    }
}
