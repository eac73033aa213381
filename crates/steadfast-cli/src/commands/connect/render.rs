//! Renders events as text and as JSON.

use serde_json::{Value, json};
use steadfast::{
    CallError, ClientInfo, DisconnectCause, DropReason, HistoryResult, Position, Publication,
    PublishOutcome, SessionEvent, SubscriptionEvent,
};
use steadfast_machine::Instant;

/// One event in both output formats.
#[derive(Debug)]
pub(super) struct EventOutput {
    pub(super) text: String,
    /// A JSON object on one line.
    pub(super) json: String,
}

impl EventOutput {
    fn new(text: String, json: &Value) -> Self {
        Self {
            text,
            json: json.to_string(),
        }
    }

    pub(super) fn subscription(channel: &str, event: &SubscriptionEvent) -> Self {
        match event {
            SubscriptionEvent::Subscribed { position } => {
                Self::position(channel, "subscribed", position)
            }
            SubscriptionEvent::Resumed { position } => Self::position(channel, "resumed", position),
            SubscriptionEvent::Gap { to, .. } => Self::position(channel, "gap", to),
            SubscriptionEvent::Publication(publication) => Self::new(
                format!("{channel} {}", publication_text(publication)),
                &json!({
                    "event": "publication", "channel": channel,
                    "offset": publication.offset, "data": data(&publication.data),
                }),
            ),
            SubscriptionEvent::Join(info) => Self::join_leave(channel, "join", '+', info),
            SubscriptionEvent::Leave(info) => Self::join_leave(channel, "leave", '-', info),
            SubscriptionEvent::Unsubscribed { code, reason } => Self::new(
                format!("{channel}: unsubscribed by the gateway with code {code}: {reason}"),
                &json!({"event": "unsubscribed", "channel": channel, "code": code, "reason": reason}),
            ),
        }
    }

    fn position(channel: &str, event: &str, position: &Position) -> Self {
        let Position { epoch, offset } = position;
        let text = match event {
            "gap" => "resubscribed with a gap (publications are missing); continues",
            event => event,
        };
        Self::new(
            format!("{channel}: {text} at offset {offset}, channel epoch {epoch}"),
            &json!({"event": event, "channel": channel, "offset": offset, "epoch": epoch}),
        )
    }

    fn join_leave(channel: &str, event: &str, sign: char, info: &ClientInfo) -> Self {
        let json =
            json!({"event": event, "channel": channel, "client": info.client, "user": info.user});
        Self::new(format!("{channel} {sign} {}", client_text(info)), &json)
    }

    pub(super) fn publish_outcome(channel: &str, outcome: &PublishOutcome) -> Self {
        let json = match outcome {
            PublishOutcome::Acknowledged {
                position,
                duplicate,
            } => json!({
                "event": "acknowledged", "channel": channel, "offset": position.offset,
                "epoch": position.epoch, "duplicate": duplicate,
            }),
            PublishOutcome::Expired
            | PublishOutcome::Dropped(_)
            | PublishOutcome::Interrupted { .. } => {
                json!({"event": "not_acknowledged", "channel": channel, "reason": publish_outcome(outcome)})
            }
        };
        Self::new(format!("{channel}: {}", publish_outcome(outcome)), &json)
    }

    pub(super) fn presence(channel: &str, clients: &[ClientInfo]) -> Self {
        let lines: Vec<String> = clients
            .iter()
            .map(|info| format!("\n  {}", client_text(info)))
            .collect();
        let ids: Vec<&str> = clients.iter().map(|info| info.client.as_str()).collect();
        Self::new(
            format!("{channel}: clients: {}{}", clients.len(), lines.concat()),
            &json!({"event": "presence", "channel": channel, "clients": ids}),
        )
    }

    pub(super) fn history(channel: &str, history: &HistoryResult) -> Self {
        let publications = history.publications.iter();
        let lines: Vec<String> = publications
            .clone()
            .map(|it| format!("\n  {}", publication_text(it)))
            .collect();
        let listed: Vec<Value> = publications
            .map(|it| json!({"offset": it.offset, "data": data(&it.data)}))
            .collect();
        let newest = history.position.offset;
        Self::new(
            format!("{channel}: history up to offset {newest}{}", lines.concat()),
            &json!({"event": "history", "channel": channel, "offset": newest, "publications": listed}),
        )
    }

    pub(super) fn call_error(channel: &str, error: &CallError) -> Self {
        let json = json!({"event": "call_error", "channel": channel, "reason": error.to_string()});
        Self::new(format!("{channel}: {error}"), &json)
    }
}

/// Renders a connection event; `None` for an event that is not shown.
pub(super) fn event(event: &SessionEvent, now: Instant) -> Option<String> {
    Some(match event {
        SessionEvent::Attempting { attempt: 1, .. }
        | SessionEvent::Ready { .. }
        | SessionEvent::Closed => return None,
        SessionEvent::Attempting { attempt, .. } => format!("attempt {attempt}"),
        SessionEvent::Waiting {
            attempt,
            until,
            cause: why,
        } => {
            let wait = until.saturating_since(now).as_secs_f64();
            format!("{}; attempt {attempt} in {wait:.1} s", cause(why))
        }
        SessionEvent::Connected {
            downtime: Some(downtime),
            ..
        } => format!("reconnected after {:.1} s", downtime.as_secs_f64()),
        SessionEvent::Connected { downtime: None, .. } => "connected".to_owned(),
        SessionEvent::Lost {
            cause: why,
            detection,
            ..
        } => {
            let silence = detection.as_secs_f64();
            format!(
                "connection lost: {}; last data received {silence:.1} s earlier",
                cause(why)
            )
        }
        SessionEvent::Failed { cause: why } => format!("session failed: {}", cause(why)),
    })
}

/// Renders the cause of a disconnect or of a failed attempt.
pub(super) fn cause(cause: &DisconnectCause) -> String {
    match cause {
        DisconnectCause::Dial(text) | DisconnectCause::ConnectionFailed(text) => text.clone(),
        DisconnectCause::LocalNetwork(text) => format!("no local network: {text}"),
        DisconnectCause::ConnectTimeout => "connection attempt timed out".to_owned(),
        DisconnectCause::ConnectRejected { code, message } => {
            format!("connect command rejected with code {code}: {message}")
        }
        DisconnectCause::Closed { code, reason } => {
            format!("closed by the gateway with code {code}: {reason}")
        }
        DisconnectCause::PongTimeout(time) => {
            format!("no data received for {:.1} s", time.as_secs_f64())
        }
        DisconnectCause::WriteTimeout(time) => {
            format!("no write progress for {:.1} s", time.as_secs_f64())
        }
        DisconnectCause::Protocol(text) => format!("protocol error: {text}"),
        DisconnectCause::AttemptsExhausted(attempts) => format!("all {attempts} attempts failed"),
    }
}

/// Renders the outcome of a publication.
pub(super) fn publish_outcome(outcome: &PublishOutcome) -> String {
    match outcome {
        PublishOutcome::Acknowledged {
            position,
            duplicate,
        } => {
            let again = if *duplicate {
                " (duplicate: stored before)"
            } else {
                ""
            };
            format!("acknowledged at offset {}{again}", position.offset)
        }
        PublishOutcome::Expired => "not sent: expired".to_owned(),
        PublishOutcome::Interrupted { .. } => {
            "sent, but not acknowledged: it may be stored".to_owned()
        }
        PublishOutcome::Dropped(DropReason::OutboxFull) => {
            "not sent: the outbox is full".to_owned()
        }
        PublishOutcome::Dropped(DropReason::TooLarge) => {
            "not sent: the message exceeds the size limit".to_owned()
        }
        PublishOutcome::Dropped(DropReason::Closed) => "not sent: the session is closed".to_owned(),
        PublishOutcome::Dropped(DropReason::Rejected(error)) => {
            format!(
                "rejected by the gateway with code {}: {}",
                error.code, error.message
            )
        }
    }
}

fn publication_text(publication: &Publication) -> String {
    format!("#{} {}", publication.offset, text(&publication.data))
}

fn client_text(info: &ClientInfo) -> String {
    let user = if info.user.is_empty() {
        "anonymous"
    } else {
        &info.user
    };
    format!("{user} {}", info.client)
}

fn data(data: &[u8]) -> Value {
    serde_json::from_slice(data).unwrap_or_default()
}

fn text(data: &[u8]) -> String {
    // Published text must not contain control sequences for the terminal.
    String::from_utf8_lossy(data)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
