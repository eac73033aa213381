//! The connection while the call waits for it: what is printed, and when no further attempt is made.

use steadfast::{DisconnectCause, Instant, SessionEvent};

use super::inputs::Request;
use super::words;

/// What follows from an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, or a line to print.
    Continue(Option<String>),
    /// No further attempt can succeed.
    GiveUp(DisconnectCause),
}

/// The connection so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The wait for a connection was reported, which is done once: a script has one line per outage in its log.
    is_reported: bool,
    /// The connection was lost, which is reported together with the next attempt.
    is_lost: bool,
}

impl Progress {
    /// What follows from an event of the session.
    pub(super) fn next(&mut self, request: &Request, event: &SessionEvent, now: Instant) -> Step {
        let is_verbose = request.is_verbose;
        let line = match event {
            SessionEvent::Waiting { cause, .. } if words::is_final(cause) => {
                return Step::GiveUp(cause.clone());
            }
            SessionEvent::Waiting { until, cause, .. } => {
                let is_first = !std::mem::replace(&mut self.is_reported, true);
                let mut reason = words::cause(request, cause).reason;
                if std::mem::take(&mut self.is_lost) {
                    reason = format!("connection lost: {reason}");
                }
                let limit = words::seconds(request.timeout);
                if is_verbose {
                    let wait = until.saturating_since(now).as_secs_f64();
                    Some(format!("{reason}; next attempt in {wait:.1} s"))
                } else {
                    is_first.then(|| {
                        format!("{reason}; trying again until the {limit} of --timeout are over")
                    })
                }
            }
            SessionEvent::Attempting { attempt, .. } => is_verbose
                .then(|| format!("connecting to {} (attempt {attempt})", request.endpoint)),
            SessionEvent::Connected { .. } => {
                self.is_reported = false;
                is_verbose.then(|| connected(request))
            }
            SessionEvent::Notice { text } => Some(format!("the server reports: {text}")),
            SessionEvent::Lost { .. } => {
                self.is_lost = true;
                None
            }
            SessionEvent::Degraded { .. }
            | SessionEvent::Migrating { .. }
            | SessionEvent::MigrationFailed { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::LoginExpired { .. }
            | SessionEvent::LoggedIn { .. }
            | SessionEvent::RenewalFailed { .. }
            | SessionEvent::Failed { .. }
            | SessionEvent::Closed
            | _ => None,
        };
        Step::Continue(line)
    }
}

fn connected(request: &Request) -> String {
    let method = &request.method;
    match &request.login {
        Some(login) => format!("connected; login {login} accepted; calling {method}"),
        None => format!("connected; calling {method}"),
    }
}
