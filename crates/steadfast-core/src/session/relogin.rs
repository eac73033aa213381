//! A login over an open connection whose peer no longer knows the client.
//!
//! The peer has rejected a request for this reason without executing it. The session authenticates the connection once,
//! however many requests were rejected; new requests wait, those that were rejected are sent again, and others in flight
//! keep waiting. If that fails, the session continues over a fresh connection, whose handshake decides.

use steadfast_machine::Instant;

use super::Session;
use crate::dialect::{Dialect, InFlight, Request};
use crate::event::{DisconnectCause, LoginErrorKind};
use crate::io::{Attempt, Output};
use crate::retry_advice::{Action, Pace, RetryAdvice};

/// The most logins over one connection between two requests that its peer has executed. Further ones are made over fresh
/// connections, which have a backoff.
const FRUITLESS_MAX: u8 = 2;

/// The logins over the open connection.
#[derive(Debug, Default)]
pub(super) struct Relogin {
    is_in_progress: bool,
    /// The number of logins since the peer has executed a request.
    fruitless: u8,
    /// The request of the newest login. A rejection of an earlier request says nothing about the login.
    newest: Option<u32>,
}

impl Relogin {
    /// Whether a login is in progress: new requests wait.
    pub(super) const fn is_in_progress(&self) -> bool {
        self.is_in_progress
    }

    /// The peer has executed a request.
    pub(super) const fn on_executed(&mut self) {
        self.fruitless = 0;
    }

    /// The connection is down, or another one has replaced it.
    pub(super) fn on_connection_ended(&mut self) {
        *self = Self::default();
    }

    /// The peer has accepted the client again. Returns whether a login was in progress.
    pub(super) const fn on_accepted(&mut self) -> bool {
        std::mem::replace(&mut self.is_in_progress, false)
    }

    /// Whether a request with this id was sent before the newest login. Ids count up, and begin again after the largest.
    fn precedes_newest(&self, id: u32) -> bool {
        self.newest
            .is_some_and(|newest| newest.wrapping_sub(id) < u32::MAX / 2)
    }
}

impl<D: Dialect> Session<D> {
    /// The peer has rejected this request, because it no longer knows the client.
    pub(super) fn unauthenticated(&mut self, now: Instant, id: u32, refusal: D::Refusal) {
        if !self.link.is_connected() {
            return;
        }
        let text = refusal.to_string();
        self.send_again(now, id, refusal);
        let relogin = &mut self.relogin;
        if relogin.is_in_progress || relogin.precedes_newest(id) {
            return;
        }
        if relogin.fruitless >= FRUITLESS_MAX {
            let advice = RetryAdvice::RETRY.at(Pace::Slowed);
            return self.relogin_failed(now, LoginErrorKind::Other, text, advice);
        }
        relogin.fruitless += 1;
        relogin.is_in_progress = true;
        relogin.newest = Some(self.wire.next_id());
        self.link.login_expired(now);
        self.send_credentials(now);
        // A protocol without a reply to credentials.
        if self.pending.credentials.is_settled() {
            self.relogin_accepted(now);
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
