//! What responses of the middleware mean for a login.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::errors::{ApiError, Errno, bounded};
use crate::dialect::jsonrpc::{ErrorObject, LoginRejection, codes};
use crate::event::LoginErrorKind;
use crate::retry_advice::{Action, Pace, RetryAdvice};

/// The code of an error of a method, and of the limit on concurrent calls.
const METHOD_CALL_ERROR: i64 = -32_001;
const TOO_MANY_CALLS: i64 = -32_000;

/// The window of the server's rate limit.
const RATE_LIMIT_WINDOW: Duration = Duration::from_mins(1);

/// The longest reason that is quoted, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// A login is renewed before this part of the greatest age of a session has passed, in percent.
const RENEWAL_PERCENT: u32 = 80;

/// Whether an error says that the session of the connection has ended: the middleware rejects the request without executing
/// it, and the socket stays open.
pub fn is_unauthenticated(error: &ErrorObject) -> bool {
    error.code == METHOD_CALL_ERROR && Errno::of(error) == Some(Errno::NotAuthenticated)
}

/// The result of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginResult {
    Success {
        /// When the login is renewed.
        expires_after: Option<Duration>,
        reconnect_token: Option<String>,
    },
    /// The next message of SCRAM: its type and its text.
    Scram {
        scram_type: String,
        text: String,
    },
    Redirect {
        urls: Vec<String>,
    },
    Rejected(LoginRejection),
}

/// Reads the result of `auth.login_ex`.
pub(super) fn login_result(result: &Bytes) -> LoginResult {
    let value: Value = serde_json::from_slice(result).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let renew = RetryAdvice::RETRY.with(Action::RenewCredentials);
    let (kind, reason, advice) = match value.get("response_type").and_then(Value::as_str) {
        Some("SUCCESS") => {
            return LoginResult::Success {
                expires_after: Some(renewal(value.get("authenticator").and_then(Value::as_str))),
                reconnect_token: text("reconnect_token"),
            };
        }
        Some("SCRAM_RESPONSE") => {
            return LoginResult::Scram {
                scram_type: text("scram_type").unwrap_or_default(),
                text: text("rfc_str").unwrap_or_default(),
            };
        }
        Some("REDIRECT") => {
            let urls = value.get("urls").and_then(Value::as_array);
            let urls = urls.into_iter().flatten().filter_map(Value::as_str);
            return LoginResult::Redirect {
                urls: urls.map(str::to_owned).collect(),
            };
        }
        Some("AUTH_ERR") => (
            LoginErrorKind::Credentials,
            "AUTH_ERR: check the user name and the secret",
            renew,
        ),
        Some("EXPIRED") => (
            LoginErrorKind::Expired,
            "EXPIRED: create another key or password",
            renew,
        ),
        Some("DENIED") => (
            LoginErrorKind::Denied,
            "DENIED: the user has no access to the API",
            RetryAdvice::GIVE_UP,
        ),
        Some("OTP_REQUIRED") => (
            LoginErrorKind::SecondFactor,
            "OTP_REQUIRED: the account requires a one-time password; log in with an API key",
            RetryAdvice::GIVE_UP,
        ),
        Some(other) => {
            let reason = format!("unknown response type {}", quoted(other.to_owned()));
            return LoginResult::Rejected(rejection(LoginErrorKind::Other, reason, retry()));
        }
        None => (LoginErrorKind::Other, "a result without a type", retry()),
    };
    LoginResult::Rejected(rejection(kind, reason, advice))
}

/// When a login of this assurance level is renewed.
pub(super) fn renewal(level: Option<&str>) -> Duration {
    let age_max = match level {
        Some("LEVEL_2") => Duration::from_hours(12),
        Some("LEVEL_3") => Duration::from_mins(13),
        // `LEVEL_1`, and methods that do not say it.
        _ => Duration::from_hours(30 * 24),
    };
    age_max * RENEWAL_PERCENT / 100
}

/// What an error of a login means: the middleware may be overloaded or restarting, or it does not understand the login.
pub(super) fn rejection_of(error: &ErrorObject) -> LoginRejection {
    let reason = quoted(reason_of(error));
    match error.code {
        METHOD_CALL_ERROR if Errno::of(error) == Some(Errno::BUSY) => {
            let advice = retry().after(Some(RATE_LIMIT_WINDOW));
            rejection(LoginErrorKind::Busy, reason, advice)
        }
        TOO_MANY_CALLS => rejection(LoginErrorKind::Busy, reason, retry()),
        METHOD_CALL_ERROR | codes::INTERNAL_ERROR => {
            rejection(LoginErrorKind::Other, reason, retry())
        }
        codes::METHOD_NOT_FOUND => {
            rejection(LoginErrorKind::Mechanism, reason, RetryAdvice::GIVE_UP)
        }
        _ => rejection(LoginErrorKind::Other, reason, RetryAdvice::GIVE_UP),
    }
}

pub(super) fn rejection(
    kind: LoginErrorKind,
    reason: impl Into<String>,
    advice: RetryAdvice,
) -> LoginRejection {
    LoginRejection {
        kind,
        reason: reason.into(),
        advice,
    }
}

/// Another attempt may help, and must not follow quickly.
pub(super) const fn retry() -> RetryAdvice {
    RetryAdvice::RETRY.at(Pace::Slowed)
}

/// The reason in the data of an error of a method, or its message. Errors of other kinds repeat params in their data.
fn reason_of(error: &ErrorObject) -> String {
    let data = error.data.as_deref();
    let data = data.filter(|_| error.code == METHOD_CALL_ERROR);
    let reason = data.map(|data| ApiError::from_data(data).reason);
    let reason = reason.filter(|reason| !reason.is_empty());
    reason.unwrap_or_else(|| error.to_string())
}

/// A text of the peer, which may send any length.
fn quoted(text: String) -> String {
    bounded(text, REASON_BYTES_MAX)
}
