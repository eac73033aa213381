//! The session to the server: the only module that knows the client library.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use steadfast::error::BuildError;
use steadfast::jsonrpc::{CallError, Class, Feed, Subscription, SubscriptionEvent};
use steadfast::truenas::{CALLS_IN_FLIGHT_MAX, Client, LoginErrorKind, LoginLimit};
use steadfast::{
    CredentialsError, DisconnectCause, Secret, SessionSnapshot, SubscribeOptions, UnsubscribeCause,
    defaults,
};
use tokio::sync::watch;

use crate::io::{CallEnd, SessionState, TopicEvent};
use crate::reply;

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
    /// The file cannot be read, has more than 4,096 bytes, is empty or is not UTF-8.
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
    /// The limit on the logins, which clients of one process can share.
    pub login_limit: LoginLimit,
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
        // Programs expect the version that the URL names.
        let mut builder = Client::builder(&settings.url)?
            .current_version()
            .calls_in_flight_max(CALLS_IN_FLIGHT_MAX)
            .login_limit(settings.login_limit)
            // A program waits for the response to its subscription.
            .settings(steadfast::jsonrpc::Builder::end_rejected_subscriptions);
        if !settings.root_certificates.is_empty() {
            builder = builder.add_root_certificate(&settings.root_certificates);
        }
        builder = match settings.key {
            Key::Fixed(key) => builder.api_key(&user, key),
            Key::File(file) => builder.api_key_from(&user, move |_reason| {
                let key = read_key(&file).map_err(CredentialsError::temporary);
                async move { key.map(|key| key.expose().to_owned()) }
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
            let is_read = client.class_of(&method) == Class::Read;
            let call = client.method(&method).timeout(timeout);
            let outcome = call.request_raw(params).await;
            end_of(outcome, is_read)
        }
    }

    /// Subscribes to events of the server.
    pub(crate) fn subscribe(&self, name: &str) -> Subscription {
        self.subscribe_to(Feed::collection(name))
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

/// Why there is no connection, in words for who has started the bridge.
pub(crate) fn reason_of(cause: &DisconnectCause) -> String {
    let DisconnectCause::LoginFailed { kind, text } = cause else {
        return cause.to_string();
    };
    let what = match kind {
        LoginErrorKind::Credentials => "the user or the API key is wrong",
        LoginErrorKind::Expired => "the API key has expired",
        LoginErrorKind::Denied => "the user has no access to the API",
        LoginErrorKind::SecondFactor => "the account requires a second factor",
        LoginErrorKind::Busy => "the server has executed too many logins of this address",
        LoginErrorKind::Mechanism
        | LoginErrorKind::Server
        | LoginErrorKind::Redirected
        | LoginErrorKind::TimedOut
        | LoginErrorKind::Other
        | _ => return cause.to_string(),
    };
    format!("login failed: {what} ({text})")
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

/// Reads a key. The file is small and local, so this takes no time.
fn read_key(file: &Path) -> Result<Secret, String> {
    steadfast::truenas::secret_from_file(file).map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}"));
        let cause = cause.unwrap_or_default();
        format!(
            "cannot read the key from {}: {error}{cause}",
            file.display()
        )
    })
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
    fn the_reason_of_a_failed_login_is_in_words_for_who_has_started_the_bridge() {
        let reason = |kind| {
            let text = "TEXT".to_owned();
            reason_of(&DisconnectCause::LoginFailed { kind, text })
        };

        for (kind, expected) in [
            (
                LoginErrorKind::Credentials,
                "the user or the API key is wrong (TEXT)",
            ),
            (LoginErrorKind::Expired, "the API key has expired (TEXT)"),
            (
                LoginErrorKind::Denied,
                "the user has no access to the API (TEXT)",
            ),
            (
                LoginErrorKind::SecondFactor,
                "the account requires a second factor (TEXT)",
            ),
            (LoginErrorKind::Other, "rejected by the server: TEXT"),
        ] {
            assert_eq!(reason(kind), format!("login failed: {expected}"));
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
