//! The check whether a server is ready, before the upgrade: an HTTP request to the address that is dialled next.
//!
//! The result is only advice: a server can be ready and report otherwise, or become unavailable after the check. So the
//! check precedes only first connections, and only for a limited time. It sends neither token nor header fields of the
//! client, because health checks require no authorisation.

use std::fmt;
use std::time::Duration;

use httparse::Response;
use steadfast_core::event::{SessionSnapshot, SessionState};
use steadfast_machine::Instant;
use steadfast_protocol::websocket::handshake::RequestError;

use super::DialErrorReason;
use super::response::{exchange, retry_after};
use crate::defaults;
use crate::endpoint::{Endpoint, path_without_query};
use crate::transport::stream::Stream;

/// A check whether the server is ready, before each attempt to open the first connection, or the first one after a
/// restart of a failed session. An attempt whose check fails ends with [`crate::DialStage::Readiness`]; the next one
/// follows after the backoff, or after the delay of the response's `Retry-After`.
///
/// The client requests the path from the address that it dials next, with TLS and through the proxy if these are used,
/// and without token and header fields. A server is ready if the status is 200 to 299. After [`Self::grace`] the client
/// connects without the check, which may be wrong. Reconnects are not checked: that would double the load of a server
/// to which all clients return.
///
/// ```
/// use std::time::Duration;
/// use steadfast::ReadinessCheck;
/// use steadfast::centrifuge::Client;
///
/// # fn build() -> Result<(), steadfast::error::BuildError> {
/// let check = ReadinessCheck::new("/readyz").grace(Duration::from_secs(60));
/// let builder = Client::builder("wss://example.org")?.readiness(check);
/// # builder.build()?;
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ReadinessCheck {
    path: String,
    grace: Duration,
}

impl ReadinessCheck {
    /// Creates a check of this path, for example `/readyz`, with a grace of [`defaults::READINESS_GRACE`].
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            grace: defaults::READINESS_GRACE,
        }
    }

    /// Sets the time since the session began to connect after which attempts are not preceded by the check.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether an attempt that starts now is preceded by the check.
    pub(super) fn is_due(&self, snapshot: &SessionSnapshot, now: Instant) -> bool {
        snapshot.state == SessionState::Connecting
            && now.saturating_since(snapshot.since) < self.grace
    }

    /// Checks the path, which [`Self::check`] sends as it is.
    pub(crate) fn validate(&self) -> Result<(), RequestError> {
        if !self.path.starts_with('/') || self.path.contains(char::is_whitespace) {
            return Err(RequestError::Path);
        }
        if self.path.contains(char::is_control) {
            return Err(RequestError::ControlCharacter("path"));
        }
        Ok(())
    }

    /// Sends the request on a connection of its own, and checks the response.
    pub(super) async fn check(
        &self,
        stream: &mut Stream,
        endpoint: &Endpoint,
    ) -> Result<(), DialErrorReason> {
        let (path, host) = (&self.path, endpoint.authority());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let evaluate = |response: &Response<'_, '_>| self.evaluate(response);
        let ((), _body) = exchange(stream, request.as_bytes(), evaluate).await?;
        Ok(())
    }

    fn evaluate(&self, response: &Response<'_, '_>) -> Result<(), DialErrorReason> {
        match response.code.unwrap_or(0) {
            200..=299 => Ok(()),
            status => Err(DialErrorReason::NotReady {
                path: path_without_query(&self.path).to_owned(),
                status,
                retry_after: retry_after(response),
            }),
        }
    }
}

impl fmt::Debug for ReadinessCheck {
    /// Writes the path without its query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessCheck")
            .field("path", &path_without_query(&self.path))
            .field("grace", &self.grace)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_first_connections_are_checked_and_only_during_the_grace() {
        let check = ReadinessCheck::new("/readyz").grace(Duration::from_secs(30));
        let mut snapshot = SessionSnapshot::default();
        snapshot.since = Instant::START + Duration::from_secs(5);
        let mut is_due = |state, seconds| {
            snapshot.state = state;
            check.is_due(&snapshot, Instant::START + Duration::from_secs(seconds))
        };

        assert!(is_due(SessionState::Connecting, 5));
        assert!(is_due(SessionState::Connecting, 34));
        assert!(!is_due(SessionState::Connecting, 35));
        assert!(!is_due(SessionState::Reconnecting, 6));
    }

    #[test]
    fn an_invalid_path_is_rejected() {
        for path in ["", "readyz", "/a b", "/a\r\nX: y", "/\u{7f}"] {
            assert!(ReadinessCheck::new(path).validate().is_err(), "{path}");
        }
        assert_eq!(ReadinessCheck::new("/readyz?full").validate(), Ok(()));
    }

    #[test]
    fn debug_output_does_not_show_the_query() {
        let check = ReadinessCheck::new("/readyz?key=SECRET");

        let shown = format!("{check:?}");

        assert!(
            !shown.contains("SECRET") && shown.contains("/readyz"),
            "{shown}"
        );
    }
}
