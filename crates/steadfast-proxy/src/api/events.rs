//! The events of all proxies as lines of JSON, which are sent as they happen.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use steadfast_machine::{Instant, Seed};
use tokio::sync::watch;

use super::view::micros;
use crate::event::{EndReason, Event, EventKind, Events};

/// The first line: what a reader needs to repeat the run, and the time at which the events begin.
pub(super) fn first_line(seed: Seed, now: Instant) -> Bytes {
    line(&json!({"seed": seed.as_u64(), "at_us": micros(now)}))
}

/// A body that ends with the client, the server or the events.
pub(super) struct EventBody {
    first: Option<Bytes>,
    /// `None` after the end.
    next: Option<Pin<Box<dyn Future<Output = Option<Next>> + Send>>>,
}

type Next = (Event, Events, watch::Receiver<bool>);

impl EventBody {
    /// The events until `is_stopping` becomes true.
    pub(super) fn new(first: Bytes, events: Events, is_stopping: watch::Receiver<bool>) -> Self {
        Self {
            first: Some(first),
            next: Some(Box::pin(next(events, is_stopping))),
        }
    }
}

async fn next(mut events: Events, mut is_stopping: watch::Receiver<bool>) -> Option<Next> {
    let event = tokio::select! {
        event = events.next() => event?,
        // An error means that the server has ended.
        _ = is_stopping.wait_for(|is_stopping| *is_stopping) => return None,
    };
    Some((event, events, is_stopping))
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(pending) = &mut self.next else {
            return Poll::Ready(None);
        };
        let Some((event, events, is_stopping)) = ready!(pending.as_mut().poll(context)) else {
            self.next = None;
            return Poll::Ready(None);
        };
        self.next = Some(Box::pin(next(events, is_stopping)));
        Poll::Ready(Some(Ok(Frame::data(event_line(event)))))
    }
}

fn event_line(event: Event) -> Bytes {
    let (name, fields) = described(event.kind);
    let mut body = json!({
        "at_us": micros(event.at),
        "proxy": event.proxy,
        "event": name,
    });
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    line(&body)
}

fn line(body: &Value) -> Bytes {
    format!("{body}\n").into()
}

/// The name of an event and its fields.
fn described(kind: EventKind) -> (&'static str, Value) {
    match kind {
        EventKind::Listening(address) => ("listening", json!({"address": address.to_string()})),
        EventKind::Stopped => ("stopped", json!({})),
        EventKind::ToxicAdded(toxic) => ("toxic_added", json!({"toxic": toxic})),
        EventKind::ToxicUpdated(toxic) => ("toxic_updated", json!({"toxic": toxic})),
        EventKind::ToxicRemoved(toxic) => ("toxic_removed", json!({"toxic": toxic})),
        EventKind::ToxicExpired(toxic) => ("toxic_expired", json!({"toxic": toxic})),
        EventKind::Accepted { connection, peer } => (
            "accepted",
            json!({"connection": connection, "peer": peer.to_string()}),
        ),
        EventKind::AcceptFailed(problem) => ("accept_failed", json!({"problem": problem})),
        EventKind::Refused { peer } => ("refused", json!({"peer": peer.to_string()})),
        EventKind::Connected {
            connection,
            upstream,
        } => (
            "connected",
            json!({"connection": connection, "upstream": upstream.to_string()}),
        ),
        EventKind::DialFailed {
            connection,
            problem,
        } => (
            "dial_failed",
            json!({"connection": connection, "problem": problem}),
        ),
        EventKind::Affected { connection, toxic } => (
            "affected",
            json!({"connection": connection, "toxic": toxic}),
        ),
        EventKind::Ended { connection, reason } => {
            let (reason, detail) = ended(reason);
            let mut fields = json!({"connection": connection, "reason": reason});
            if let (Value::Object(fields), Value::Object(detail)) = (&mut fields, detail) {
                fields.extend(detail);
            }
            ("ended", fields)
        }
        EventKind::Missed(count) => ("missed", json!({"count": count})),
    }
}

fn ended(reason: EndReason) -> (&'static str, Value) {
    match reason {
        EndReason::Finished => ("finished", json!({})),
        EndReason::Failed(problem) => ("failed", json!({"problem": problem})),
        EndReason::Toxic { name, mode } => ("toxic", json!({"toxic": name, "mode": mode.name()})),
        EndReason::Closed(mode) => ("closed", json!({"mode": mode.name()})),
        EndReason::Stopped => ("stopped", json!({})),
        EndReason::HalfOpen { name } => ("half_open", json!({"toxic": name})),
        EndReason::DialFailed => ("dial_failed", json!({})),
    }
}
