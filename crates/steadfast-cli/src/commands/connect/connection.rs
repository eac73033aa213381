//! The events of the connection as lines of text, and how long the first connection is awaited.
//!
//! Each attempt that fails is one line with its reason and the time of the next one. A first connection that fails ends a
//! command without a terminal, since the likeliest cause is a wrong address.

use std::time::Duration;

use steadfast::centrifuge::Client;
use steadfast::{DialStage, DisconnectCause, Endpoint, SessionEvent};
use steadfast_machine::Instant;
use tokio::sync::broadcast;

use super::render;
use crate::output;

/// How long the first connection is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it succeeds: an operator is watching.
    Unlimited,
    /// No attempt begins after this time.
    For(Duration),
}

/// Why there is no connection and no further attempt.
#[derive(Debug)]
pub(super) struct ConnectionFailure {
    pub(super) error: String,
    pub(super) hint: String,
}

/// The connection of one command.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) client: &'a Client,
    pub(super) endpoint: &'a Endpoint,
    pub(super) patience: Patience,
    /// What follows the word "connected".
    pub(super) suffix: &'static str,
}

impl Connection<'_> {
    /// Prints the events; returns when the session does not connect any more.
    pub(super) async fn watch(
        self,
        mut events: broadcast::Receiver<SessionEvent>,
    ) -> ConnectionFailure {
        let began = self.client.now();
        let mut lines = Lines::default();
        let mut has_failed_once = false;
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    output::message(&format!(
                        "{missed} connection events were not printed: output is too slow"
                    ));
                    continue;
                }
                // The session was closed, which ends the command.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            };
            match &event {
                SessionEvent::Waiting { until, cause, .. } if !lines.has_connected => {
                    if !self.may_retry(began, *until) {
                        return self.never_connected(cause);
                    }
                    if !std::mem::replace(&mut has_failed_once, true) {
                        let hint = hint(self.endpoint, cause);
                        lines.hint = (!hint.is_empty()).then_some(hint);
                    }
                }
                SessionEvent::Failed { cause } if !lines.has_connected => {
                    return self.never_connected(cause);
                }
                SessionEvent::Failed { cause } => {
                    let endpoint = self.endpoint;
                    return ConnectionFailure {
                        error: format!("session with {endpoint} failed: {}", render::cause(cause)),
                        hint: String::new(),
                    };
                }
                SessionEvent::Waiting { .. }
                | SessionEvent::Connected { .. }
                | SessionEvent::Attempting { .. }
                | SessionEvent::Ready { .. }
                | SessionEvent::Lost { .. }
                | SessionEvent::Closed
                | _ => {}
            }
            for line in lines.next(&event, self.client.now(), self.suffix) {
                output::message(&line);
            }
        }
    }

    fn may_retry(&self, began: Instant, next: Instant) -> bool {
        match self.patience {
            Patience::Unlimited => true,
            Patience::For(time) => next.saturating_since(began) <= time,
        }
    }

    fn never_connected(&self, cause: &DisconnectCause) -> ConnectionFailure {
        ConnectionFailure {
            error: format!(
                "cannot connect to {}: {}",
                self.endpoint,
                render::cause(cause)
            ),
            hint: hint(self.endpoint, cause),
        }
    }
}

/// Converts events to lines, so that one fact is one line.
#[derive(Debug, Default)]
struct Lines {
    has_connected: bool,
    /// Whether the connection was lost, which is reported together with the time of the next attempt.
    is_lost: bool,
    /// Printed after the next line.
    hint: Option<String>,
}

impl Lines {
    fn next(&mut self, event: &SessionEvent, now: Instant, suffix: &str) -> Vec<String> {
        let line = match event {
            SessionEvent::Lost { .. } => {
                self.is_lost = true;
                return Vec::new();
            }
            SessionEvent::Waiting { until, cause, .. } => {
                let what = if std::mem::take(&mut self.is_lost) {
                    "connection lost"
                } else {
                    "cannot connect"
                };
                let wait = until.saturating_since(now).as_secs_f64();
                let cause = render::cause(cause);
                format!("{what}: {cause}; next attempt in {wait:.1} s")
            }
            SessionEvent::Connected { downtime, .. } => {
                self.has_connected = true;
                match downtime {
                    Some(time) => format!("reconnected after {:.1} s", time.as_secs_f64()),
                    None => format!("connected{suffix}"),
                }
            }
            SessionEvent::Attempting { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::Failed { .. }
            | SessionEvent::Closed
            | _ => return Vec::new(),
        };
        std::iter::once(line).chain(self.hint.take()).collect()
    }
}

/// What to do about a first connection that fails; empty if the reason says it.
fn hint(endpoint: &Endpoint, cause: &DisconnectCause) -> String {
    let DisconnectCause::Dial { stage, .. } = cause else {
        return String::new();
    };
    if *stage == DialStage::Resolve {
        return "Check the host name in the URL.".to_owned();
    }
    if *stage != DialStage::Connect {
        return String::new();
    }
    match endpoint.port() {
        80 | 443 => format!(
            "The URL names no other port; a gateway listens on port 8000 by default: ws://{}:8000",
            endpoint.bracketed_host()
        ),
        8000 => "Check the URL. To start a gateway: steadfast serve".to_owned(),
        port => format!("Check the URL. To start a gateway: steadfast serve --port {port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast::DialErrorKind;

    #[test]
    fn the_loss_of_a_connection_and_the_next_attempt_are_one_line() {
        let cause = DisconnectCause::Closed {
            code: 3001,
            reason: "shutdown".to_owned(),
        };
        let connected = |downtime| SessionEvent::Connected {
            epoch: steadfast::ConnectionEpoch(1),
            endpoint: 0,
            downtime,
        };
        let waiting = |attempt, cause: &DisconnectCause| SessionEvent::Waiting {
            attempt,
            until: Instant::START + Duration::from_millis(500),
            cause: cause.clone(),
        };
        let refused = DisconnectCause::Dial {
            stage: DialStage::Connect,
            kind: DialErrorKind::Refused,
            text: "TCP connection to a:1 failed: refused".to_owned(),
        };
        let events = [
            connected(None),
            SessionEvent::Lost {
                epoch: steadfast::ConnectionEpoch(1),
                cause: cause.clone(),
                detection: Duration::ZERO,
            },
            waiting(1, &cause),
            SessionEvent::Attempting {
                attempt: 1,
                endpoint: 0,
            },
            waiting(2, &refused),
            SessionEvent::Attempting {
                attempt: 2,
                endpoint: 0,
            },
            connected(Some(Duration::from_secs(2))),
        ];
        let mut lines = Lines::default();

        let printed = events.map(|event| lines.next(&event, Instant::START, "; hello"));

        assert_eq!(
            printed.concat(),
            [
                "connected; hello",
                "connection lost: closed by the gateway with code 3001: shutdown; next attempt in 0.5 s",
                "cannot connect: TCP connection to a:1 failed: refused; next attempt in 0.5 s",
                "reconnected after 2.0 s",
            ]
        );
    }

    #[test]
    fn a_hint_fits_the_stage_at_which_the_attempt_failed() {
        for (url, stage, expected) in [
            ("localhost", DialStage::Connect, "ws://localhost:8000"),
            ("ws://[::1]", DialStage::Connect, "ws://[::1]:8000"),
            ("ws://a:8000", DialStage::Connect, "steadfast serve"),
            ("ws://a:9", DialStage::Connect, "steadfast serve --port 9"),
            ("ws://a:9", DialStage::Resolve, "host name"),
            ("ws://a:9", DialStage::Upgrade, ""),
        ] {
            let cause = DisconnectCause::Dial {
                stage,
                kind: DialErrorKind::Io,
                text: String::new(),
            };

            let hint = hint(&url.parse().unwrap(), &cause);

            assert!(
                hint.ends_with(expected) || hint.contains("host name"),
                "{hint}"
            );
            assert_eq!(hint.is_empty(), expected.is_empty(), "{hint}");
        }
    }
}
