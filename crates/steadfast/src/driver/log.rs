//! The log of a session: one line for each change that an operator should see, and all other events for debugging.

use std::fmt;
use std::time::Duration;

use steadfast_core::event::SessionEvent;
use steadfast_machine::Instant;

use crate::endpoint::Endpoint;

/// A duration in milliseconds or seconds, as it is easier to read.
struct Readable(Duration);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f64())
        }
    }
}

/// Logs an event of a session with these endpoints, whose present attempt or connection is at this one. URLs are logged
/// without their query.
pub(super) fn session_event(
    event: &SessionEvent,
    endpoints: &[Endpoint],
    present: usize,
    now: Instant,
) {
    let Some(url) = endpoints.get(present) else {
        return;
    };
    match event {
        SessionEvent::Migrating { endpoint, reason } => {
            let to = endpoints.get(*endpoint).map(tracing::field::display);
            tracing::info!(%url, to, %reason, "session migrates to another connection");
        }
        SessionEvent::MigrationFailed { endpoint, error } => {
            let to = endpoint.and_then(|it| endpoints.get(it));
            let to = to.map(tracing::field::display);
            tracing::warn!(%url, to, cause = %error, "session keeps its connection");
        }
        SessionEvent::Attempting { .. }
        | SessionEvent::Waiting { .. }
        | SessionEvent::Connected { .. }
        | SessionEvent::Ready { .. }
        | SessionEvent::RenewalFailed { .. }
        | SessionEvent::LoginExpired { .. }
        | SessionEvent::LoggedIn { .. }
        | SessionEvent::Lost { .. }
        | SessionEvent::Failed { .. }
        | SessionEvent::Closed
        | _ => connection_event(event, url, now),
    }
}

/// Logs an event of the present attempt or connection.
fn connection_event(event: &SessionEvent, url: &Endpoint, now: Instant) {
    match event {
        SessionEvent::Connected {
            epoch, downtime, ..
        } => {
            let downtime = downtime.map(|it| tracing::field::display(Readable(it)));
            tracing::info!(%url, epoch = epoch.0, downtime, "session connected");
        }
        SessionEvent::Ready { epoch } => {
            tracing::info!(%url, epoch = epoch.0, "session ready");
        }
        SessionEvent::Lost {
            epoch,
            cause,
            detection,
        } => {
            let detected_after = Readable(*detection);
            tracing::warn!(%url, epoch = epoch.0, %cause, %detected_after, "connection lost");
        }
        SessionEvent::Waiting {
            attempt,
            until,
            cause,
        } if *attempt > 1 => {
            let attempt = attempt - 1;
            let retry_in = Readable(until.saturating_since(now));
            tracing::warn!(%url, attempt, %cause, %retry_in, "connection attempt failed");
        }
        SessionEvent::Degraded { downtime, cause } => {
            let downtime = Readable(*downtime);
            tracing::warn!(%url, %cause, %downtime, "session degraded");
        }
        SessionEvent::LoginExpired { epoch } => {
            tracing::warn!(%url, epoch = epoch.0, "login expired");
        }
        SessionEvent::LoggedIn { epoch } => {
            tracing::info!(%url, epoch = epoch.0, "logged in again");
        }
        SessionEvent::RenewalFailed { text, retry_at } => {
            let retry_in = retry_at.map(|at| Readable(at.saturating_since(now)));
            let retry_in = retry_in.map(tracing::field::display);
            tracing::warn!(%url, cause = %text, retry_in, "credentials not renewed");
        }
        SessionEvent::Failed { cause } => tracing::warn!(%url, %cause, "session failed"),
        SessionEvent::Closed => tracing::info!(%url, "session closed"),
        // The first attempt after a loss, which is logged already.
        SessionEvent::Waiting { .. } | SessionEvent::Attempting { .. } | _ => {
            tracing::debug!(%url, ?event, "session event");
        }
    }
}
