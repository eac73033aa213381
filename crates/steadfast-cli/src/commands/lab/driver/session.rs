//! Reports the connections of a client of the library: attempts, the open transport, connected, and how each ended.

use serde_json::json;
use steadfast::{
    ConnectionErrorKind, DisconnectCause, SessionEvent, SessionPhase, SessionSnapshot,
};
use steadfast_faults::counted::counted;
use tokio::sync::{broadcast, watch};

use super::{failure, write_line};

/// Code for a connection that ended without a code from the server, as in other client libraries.
const CODE_TRANSPORT_CLOSED: u32 = 1;
/// Code for a connection without received data or write progress, as in other client libraries.
const CODE_NO_PING: u32 = 2;
/// Code for what the client itself requested: connect or close.
const CODE_REQUESTED: u32 = 0;

/// Reports until the client is closed. Waiting for an attempt other than the first reports the failure of the previous
/// attempt.
pub(super) async fn report(
    name: String,
    mut events: broadcast::Receiver<SessionEvent>,
    mut state: watch::Receiver<SessionSnapshot>,
) {
    let mut reporter = Reporter {
        name,
        has_lost: false,
    };
    loop {
        // The transport is open before the client is connected.
        tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() {
                    break;
                }
                if state.borrow_and_update().phase == SessionPhase::Handshake {
                    reporter.line("opened");
                }
            }
            event = events.recv() => match event {
                Ok(event) => reporter.event(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => reporter.lagged(missed),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
    // What happened before the driver of the client ended.
    while let Ok(event) = events.try_recv() {
        reporter.event(event);
    }
}

struct Reporter {
    name: String,
    has_lost: bool,
}

impl Reporter {
    fn line(&self, event: &str) {
        write_line(&json!({"event": event, "client": &self.name}));
    }

    fn with_code(&self, event: &str, code: u32, reason: &str) {
        write_line(&json!({"event": event, "client": &self.name, "code": code, "reason": reason}));
    }

    fn event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Attempting { attempt, .. } => {
                if attempt == 1 && !self.has_lost {
                    self.with_code("connecting", CODE_REQUESTED, "open called");
                }
                self.line("attempting");
            }
            SessionEvent::Lost { cause, .. } => {
                self.has_lost = true;
                let reason = format!("{cause:?}");
                write_line(&json!({
                    "event": "connecting", "client": &self.name, "code": code(&cause),
                    "cause": cause_name(&cause), "reason": reason,
                }));
            }
            // The first `Waiting` after a loss is a consequence of the loss, not a failed attempt.
            SessionEvent::Waiting { attempt: 1, .. } => {}
            SessionEvent::Waiting { cause, .. } => {
                let message = format!("{cause:?}");
                write_line(&json!({
                    "event": "warning", "client": &self.name, "channel": null, "code": 0,
                    "message": message,
                }));
            }
            SessionEvent::Connected { epoch, .. } => {
                let client_id = epoch.0.to_string();
                write_line(
                    &json!({"event": "connected", "client": &self.name, "client_id": client_id}),
                );
            }
            SessionEvent::Failed { cause } => {
                self.with_code("disconnected", code(&cause), &format!("{cause:?}"));
            }
            SessionEvent::Closed => self.with_code("disconnected", CODE_REQUESTED, "close called"),
            SessionEvent::Degraded { .. }
            | SessionEvent::Migrating { .. }
            | SessionEvent::MigrationFailed { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::LoginExpired { .. }
            | SessionEvent::LoggedIn { .. }
            | SessionEvent::RenewalFailed { .. }
            | _ => {}
        }
    }

    fn lagged(&self, missed: u64) {
        write_line(&failure(&format!(
            "{}: {} lost: the event queue was full",
            self.name,
            counted(missed, "event was", "events were")
        )));
    }
}

const fn code(cause: &DisconnectCause) -> u32 {
    match cause {
        DisconnectCause::Closed { code, .. } => {
            let [high, low] = code.to_be_bytes();
            u32::from_be_bytes([0, 0, high, low])
        }
        DisconnectCause::ConnectRejected { code, .. } => *code,
        DisconnectCause::PongTimeout(_)
        | DisconnectCause::PongMissing(_)
        | DisconnectCause::WriteTimeout(_) => CODE_NO_PING,
        DisconnectCause::Dial { .. }
        | DisconnectCause::LocalNetwork(_)
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::ConnectionFailed { .. }
        | DisconnectCause::Protocol(_)
        | DisconnectCause::AttemptsExhausted(_)
        | _ => CODE_TRANSPORT_CLOSED,
    }
}

/// How the client noticed the end of a connection.
fn cause_name(cause: &DisconnectCause) -> &'static str {
    match cause {
        DisconnectCause::Closed { .. } => "code",
        DisconnectCause::PongTimeout(_)
        | DisconnectCause::PongMissing(_)
        | DisconnectCause::WriteTimeout(_) => "timeout",
        DisconnectCause::ConnectionFailed { kind, .. } => match kind {
            ConnectionErrorKind::EndOfStream => "fin",
            ConnectionErrorKind::Reset => "rst",
            ConnectionErrorKind::TimedOut => "timeout",
            ConnectionErrorKind::Other | _ => "unknown",
        },
        DisconnectCause::Dial { .. }
        | DisconnectCause::Credentials(_)
        | DisconnectCause::LocalNetwork(_)
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::ConnectRejected { .. }
        | DisconnectCause::HandshakeRejected(_)
        | DisconnectCause::LoginFailed { .. }
        | DisconnectCause::Protocol(_)
        | DisconnectCause::AttemptsExhausted(_)
        | _ => "unknown",
    }
}
