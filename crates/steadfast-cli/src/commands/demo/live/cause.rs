//! Why a painter was disconnected, as the page shows it.

use steadfast::DisconnectCause;

/// A short text of the cause, and the code if there is one; `is_killed` if the demo has killed the gateway.
pub(super) fn describe(cause: &DisconnectCause, is_killed: bool) -> (String, Option<u16>) {
    match cause {
        DisconnectCause::ConnectionFailed { .. } if is_killed => {
            ("connection ended (the gateway was killed)".to_owned(), None)
        }
        DisconnectCause::Closed { code, reason } => (reason.clone(), Some(*code)),
        DisconnectCause::ConnectionFailed { text, .. }
        | DisconnectCause::Dial { text, .. }
        | DisconnectCause::Credentials(text)
        | DisconnectCause::HandshakeRejected(text)
        | DisconnectCause::LoginFailed { text, .. }
        | DisconnectCause::LocalNetwork(text)
        | DisconnectCause::Protocol(text) => (text.clone(), None),
        DisconnectCause::PongTimeout(time) => (
            format!("no data received for {:.1} s", time.as_secs_f64()),
            None,
        ),
        DisconnectCause::PongMissing(time) => {
            (format!("no pong for {:.1} s", time.as_secs_f64()), None)
        }
        DisconnectCause::WriteTimeout(time) => (
            format!("no write progress for {:.1} s", time.as_secs_f64()),
            None,
        ),
        DisconnectCause::ConnectRejected { message, .. } => (message.clone(), None),
        DisconnectCause::ConnectTimeout => ("connect timeout".to_owned(), None),
        DisconnectCause::AttemptsExhausted(attempts) => {
            (format!("gave up after {attempts} attempts"), None)
        }
        other => (other.to_string(), None),
    }
}
