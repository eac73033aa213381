//! The session to the server: the only module that knows the client library.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use steadfast::error::BuildError;
use steadfast::jsonrpc::{
    CallError, Class, Client, ErrorObject, Feed, LoginCall, LoginRequest, LoginVerdict,
    Subscription, SubscriptionEvent, codes,
};
use steadfast::retry_advice::{Action, Pace, RetryAdvice};
use steadfast::{
    CredentialsError, Secret, SessionSnapshot, SubscribeOptions, UnsubscribeCause, defaults,
};
use steadfast_machine::convert;
use tokio::sync::watch;

use crate::io::{CallEnd, SessionState, TopicEvent};
use crate::policy::MESSAGE_BYTES_MAX;
use crate::{reply, request};

/// Calls that only read: the session repeats them over the next connection.
const READS: [&str; 10] = [
    "*.query",
    "*.get_instance",
    "*.config",
    "*_choices",
    "auth.me",
    "core.get_jobs",
    "core.ping",
    "system.info",
    "system.version",
    "system.boot_id",
];
/// The longest message of the server: 64 MiB, since recursive lists of datasets have many megabytes.
const RECEIVED_BYTES_MAX: u32 = 64 << 20;
/// What the server permits to wait or run at a time.
const SERVER_CALLS_MAX: usize = 20;
/// The longest key in bytes.
const KEY_BYTES_MAX: u64 = 64 << 10;
/// The error number of the server for a login that came too early after others.
const BUSY: &[u8] = b"16";
/// How long the server counts logins.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// What the session logs in with.
#[derive(Clone, Debug)]
pub enum Key {
    /// The same key for each connection; the session fails if the server rejects it.
    Fixed(Secret),
    /// A file that contains the key, which is read again whenever the server has rejected the last one.
    File(PathBuf),
}

impl Key {
    /// Reads the key once, to know before the first connection that it can be read.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is too large, is empty or is not UTF-8.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::File(file) => read_key(file).map(drop),
        }
    }
}

/// The server, and who logs in.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The URL of the API, for example `wss://nas.example/api/current`.
    pub url: String,
    /// The user that the key belongs to.
    pub user: String,
    /// The API key.
    pub key: Key,
    /// Further certificates that are trusted, in PEM format; empty for none.
    pub root_certificates: Vec<u8>,
}

/// A session to the server, which reconnects and logs in as often as needed.
#[derive(Debug)]
pub struct Upstream {
    client: Client,
    user: String,
}

impl Upstream {
    /// Starts a session in the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The URL or a certificate is invalid, or there is no runtime.
    pub fn connect(settings: UpstreamSettings) -> Result<Self, BuildError> {
        let user = settings.user;
        let mut builder = Client::builder(&settings.url)?
            .sent_message_bytes_max(MESSAGE_BYTES_MAX)
            .received_message_bytes_max(RECEIVED_BYTES_MAX)
            .calls_in_flight_max(SERVER_CALLS_MAX)
            .too_many_calls(reply::codes::TOO_MANY_CALLS)
            .login(login_call(user.clone()))
            // The address of this machine is not permitted: only an operator can change that.
            .on_close(1008, RetryAdvice::GIVE_UP);
        for methods in READS {
            builder = builder.class(methods, Class::Read);
        }
        if !settings.root_certificates.is_empty() {
            builder = builder.add_root_certificate(&settings.root_certificates);
        }
        builder = match settings.key {
            Key::Fixed(key) => builder.token(key.expose()),
            Key::File(file) => builder.credentials(move |_reason| {
                let key = read_key(&file).map_err(CredentialsError::temporary);
                async move { key }
            }),
        };
        let client = builder.connect()?;
        Ok(Self { client, user })
    }

    /// The user that logs in.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The state of the session.
    pub(crate) fn state(&self) -> watch::Receiver<SessionSnapshot> {
        self.client.state()
    }

    /// Makes a call. Dropping the future withdraws it.
    pub(crate) fn call(
        &self,
        method: String,
        params: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = CallEnd> + Send + 'static {
        let client = self.client.clone();
        async move {
            let is_read = READS
                .iter()
                .any(|pattern| steadfast::jsonrpc::MethodPattern::new(pattern).matches(&method));
            let call = client.method(&method).timeout(timeout);
            let outcome = call.request_raw(params).await;
            end_of(outcome, is_read)
        }
    }

    /// Subscribes to events of the server.
    pub(crate) fn subscribe(&self, name: &str) -> Subscription {
        let params = json!([name]).to_string().into();
        let feed = Feed::subscription("core.subscribe", params, "core.unsubscribe");
        self.subscribe_to(feed)
    }

    /// Subscribes to notifications that the server sends without being asked.
    pub(crate) fn notifications(&self, method: &str) -> Subscription {
        self.subscribe_to(Feed::notifications(method))
    }

    fn subscribe_to(&self, feed: Feed) -> Subscription {
        let options = SubscribeOptions::to(feed, defaults::BUFFER_LEN_MAX)
            .buffer_bytes_max(defaults::BUFFER_BYTES_MAX)
            .report_interruptions();
        self.client.subscribe_with(options)
    }

    /// Replaces the connection by one with a new login.
    pub(crate) fn renew(&self) {
        // Without a driver there is no session that could be renewed.
        let _ = self.client.migrate();
    }

    /// Closes the session.
    pub(crate) async fn close(&self) {
        // An unresponsive server must not delay the end.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), self.client.close(Duration::ZERO)).await;
    }
}

/// The state of the session as the bridge knows it.
pub(crate) fn state_of(snapshot: &SessionSnapshot) -> SessionState {
    match snapshot.state {
        steadfast::SessionState::Connected => SessionState::Connected,
        steadfast::SessionState::Failed => SessionState::Failed,
        steadfast::SessionState::Disconnected
        | steadfast::SessionState::Connecting
        | steadfast::SessionState::Reconnecting
        | _ => SessionState::Connecting,
    }
}

/// The event of a subscription as the bridge knows it; `None` if it requires nothing.
pub(crate) fn topic_event(event: SubscriptionEvent) -> Option<TopicEvent> {
    match event {
        SubscriptionEvent::Subscribed { .. } => Some(TopicEvent::Started),
        SubscriptionEvent::Interrupted { .. } => Some(TopicEvent::Interrupted),
        SubscriptionEvent::Resumed { .. } | SubscriptionEvent::Gap { .. } => {
            Some(TopicEvent::Restarted)
        }
        SubscriptionEvent::Unsubscribed(cause) => Some(TopicEvent::Ended(match cause {
            UnsubscribeCause::Server(error) => error,
            cause @ (UnsubscribeCause::TooMany(_)
            | UnsubscribeCause::Duplicate
            | UnsubscribeCause::Unsendable(_)
            | _) => reply::not_sent(&cause.to_string()),
        })),
        // Events of the server arrive as notifications.
        SubscriptionEvent::Item(_) | _ => None,
    }
}

/// What became of a call. The library does not count a read as a call that may have been executed, so that for reads it
/// is not known whether they were sent.
fn end_of(outcome: Result<Bytes, CallError>, is_read: bool) -> CallEnd {
    let error = match outcome {
        Ok(result) => return CallEnd::Result(result),
        Err(error) => error,
    };
    match error {
        CallError::Rejected(error) => CallEnd::Error(error),
        // Executing a read has no effect.
        CallError::Interrupted { maybe_executed } if maybe_executed || is_read => {
            CallEnd::Interrupted {
                maybe_executed: !is_read,
            }
        }
        CallError::TimedOut { maybe_executed } if maybe_executed || is_read => CallEnd::TimedOut {
            maybe_executed: !is_read,
        },
        CallError::Interrupted { .. }
        | CallError::TimedOut { .. }
        | CallError::Unsendable(_)
        | CallError::Busy
        | CallError::ServerBusy
        | CallError::Closed
        | CallError::Failed(_) => CallEnd::NotSent(error.to_string()),
        CallError::ResultTooLarge { .. } => CallEnd::Error(reply::outcome(
            reply::codes::INTERRUPTED,
            &format!("The server has executed the call: {error}"),
            "interrupted",
            !is_read,
        )),
        CallError::UnexpectedReply | _ => CallEnd::Interrupted {
            maybe_executed: !is_read,
        },
    }
}

fn login_call(user: String) -> LoginCall {
    let request = move |key: &Secret| {
        let login = json!([{
            "mechanism": "API_KEY_PLAIN",
            "username": user,
            "api_key": key.expose(),
        }]);
        LoginRequest {
            method: "auth.login_ex".to_owned(),
            params: login.to_string().into(),
        }
    };
    LoginCall::new(request).evaluate(verdict)
}

/// What the response to the login means.
fn verdict(outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
    let renew = RetryAdvice::RETRY.with(Action::RenewCredentials);
    let (reason, advice) = match outcome {
        Ok(result) => match request::string_member(result, "response_type").as_deref() {
            Some("SUCCESS") => {
                return LoginVerdict::Accepted {
                    expires_after: None,
                };
            }
            Some("REDIRECT") => (
                "this controller is the standby of a pair: connect to the other one".to_owned(),
                RetryAdvice::RETRY.at(Pace::Slowed),
            ),
            Some("AUTH_ERR") => ("the user or the API key is wrong".to_owned(), renew),
            Some("EXPIRED") => ("the API key has expired".to_owned(), renew),
            Some("DENIED") => ("the user has no access to the API".to_owned(), renew),
            other => (
                format!("the login requires another step: {}", other.unwrap_or("?")),
                renew,
            ),
        },
        Err(error) => {
            let number = error
                .data
                .as_ref()
                .and_then(|it| request::member(it, "error"));
            let advice = if number.as_deref() == Some(BUSY) {
                let busy = RetryAdvice::RETRY.at(Pace::Overloaded);
                busy.after(Some(RATE_WINDOW))
            } else if matches!(error.code, codes::METHOD_NOT_FOUND | codes::INVALID_PARAMS) {
                RetryAdvice::GIVE_UP
            } else {
                RetryAdvice::RETRY.at(Pace::Slowed)
            };
            (error.to_string(), advice)
        }
    };
    LoginVerdict::Rejected { reason, advice }
}

/// Reads a key without the line break at its end. The file is small and local, so this takes no time.
fn read_key(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| format!("cannot read the key from {shown}: {error}");
    let opened = File::open(file).map_err(unreadable)?;
    let mut bytes = Vec::new();
    opened
        .take(KEY_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if convert::to_u64(bytes.len()) > KEY_BYTES_MAX {
        return Err(format!("the key in {shown} is larger than 64 KiB"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_error| format!("invalid key in {shown}: it is not UTF-8"))?;
    let key = text.strip_suffix('\n').unwrap_or(&text);
    let key = key.strip_suffix('\r').unwrap_or(key);
    if key.is_empty() {
        return Err(format!("the key in {shown} is empty"));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_with_a_result_that_is_too_large_was_executed() {
        for is_read in [false, true] {
            let end = end_of(Err(CallError::ResultTooLarge { bytes: 1 << 30 }), is_read);

            let CallEnd::Error(error) = end else {
                panic!("{end:?}");
            };
            let data: serde_json::Value = serde_json::from_slice(&error.data.unwrap()).unwrap();
            assert_eq!(error.code, reply::codes::INTERRUPTED);
            assert_eq!(data["maybe_executed"], !is_read);
        }
    }

    #[test]
    fn a_call_that_the_server_had_no_time_for_was_not_executed() {
        for error in [CallError::ServerBusy, CallError::Busy, CallError::Closed] {
            let end = end_of(Err(error), false);

            assert!(matches!(end, CallEnd::NotSent(_)), "{end:?}");
        }
    }

    #[test]
    fn a_read_has_no_effect_whatever_became_of_it() {
        let lost = CallError::Interrupted {
            maybe_executed: true,
        };

        let read = end_of(Err(lost.clone()), true);
        let write = end_of(Err(lost), false);

        let maybe = |end: &CallEnd| {
            matches!(
                end,
                CallEnd::Interrupted {
                    maybe_executed: true
                }
            )
        };
        assert!(!maybe(&read) && maybe(&write), "{read:?}, {write:?}");
    }
}
