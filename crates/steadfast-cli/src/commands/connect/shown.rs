//! What happened, in words and as JSON.

use serde_json::{Value, json};
use steadfast::{
    CallError, Cause, ClientInfo, Delivery, DropReason, Event, Feed, HistoryResult, Position,
    Publication,
};
use steadfast_machine::Instant;

/// One thing that happened, for people and for programs.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) text: String,
    /// One JSON object.
    pub(super) json: String,
}

impl Shown {
    fn new(text: String, json: &Value) -> Self {
        Self {
            text,
            json: json.to_string(),
        }
    }

    pub(super) fn feed(channel: &str, feed: &Feed) -> Self {
        match feed {
            Feed::Started { position } => Self::stands(channel, "subscribed", position),
            Feed::Resumed { position } => Self::stands(channel, "resumed", position),
            Feed::Gap { to, .. } => Self::stands(channel, "gap", to),
            Feed::Item(publication) => Self::new(
                format!("{channel} {}", place(publication)),
                &json!({
                    "event": "publication", "channel": channel,
                    "offset": publication.offset, "data": data(&publication.data),
                }),
            ),
            Feed::Joined(info) => Self::moved(channel, "join", '+', info),
            Feed::Left(info) => Self::moved(channel, "leave", '-', info),
            Feed::Ended { code, reason } => Self::new(
                format!("{channel}: the gateway ended the subscription with {code}: {reason}"),
                &json!({"event": "ended", "channel": channel, "code": code, "reason": reason}),
            ),
        }
    }

    fn stands(channel: &str, event: &str, position: &Position) -> Self {
        let Position { epoch, offset } = position;
        let what = match event {
            "gap" => "subscribed again with a gap; what follows begins",
            event => event,
        };
        Self::new(
            format!("{channel}: {what} at offset {offset} of epoch {epoch}"),
            &json!({"event": event, "channel": channel, "offset": offset, "epoch": epoch}),
        )
    }

    fn moved(channel: &str, event: &str, sign: char, info: &ClientInfo) -> Self {
        let json =
            json!({"event": event, "channel": channel, "client": info.client, "user": info.user});
        Self::new(format!("{channel} {sign} {}", who(info)), &json)
    }

    pub(super) fn delivery(channel: &str, outcome: &Delivery) -> Self {
        let json = match outcome {
            Delivery::Acknowledged {
                position,
                duplicate,
            } => json!({
                "event": "acknowledged", "channel": channel, "offset": position.offset,
                "epoch": position.epoch, "duplicate": duplicate,
            }),
            Delivery::Expired | Delivery::Dropped(_) | Delivery::Interrupted { .. } => {
                json!({"event": "undelivered", "channel": channel, "why": delivery(outcome)})
            }
        };
        Self::new(format!("{channel}: {}", delivery(outcome)), &json)
    }

    pub(super) fn presence(channel: &str, present: &[ClientInfo]) -> Self {
        let lines: Vec<String> = present
            .iter()
            .map(|info| format!("\n  {}", who(info)))
            .collect();
        let clients: Vec<&str> = present.iter().map(|info| info.client.as_str()).collect();
        Self::new(
            format!("{channel}: {} present{}", present.len(), lines.concat()),
            &json!({"event": "presence", "channel": channel, "clients": clients}),
        )
    }

    pub(super) fn history(channel: &str, history: &HistoryResult) -> Self {
        let publications = history.publications.iter();
        let lines: Vec<String> = publications
            .clone()
            .map(|it| format!("\n  {}", place(it)))
            .collect();
        let listed: Vec<Value> = publications
            .map(|it| json!({"offset": it.offset, "data": data(&it.data)}))
            .collect();
        let top = history.position.offset;
        Self::new(
            format!("{channel}: history up to offset {top}{}", lines.concat()),
            &json!({"event": "history", "channel": channel, "offset": top, "publications": listed}),
        )
    }

    pub(super) fn refused(channel: &str, error: &CallError) -> Self {
        let json = json!({"event": "refused", "channel": channel, "why": error.to_string()});
        Self::new(format!("{channel}: {error}"), &json)
    }
}

/// What happened to the connection; nothing for what the next line says better.
pub(super) fn event(event: &Event, now: Instant) -> Option<String> {
    Some(match event {
        Event::Attempting { attempt: 1, .. } | Event::Ready { .. } | Event::Closed => return None,
        Event::Attempting { attempt, .. } => format!("attempt {attempt}"),
        Event::Waiting {
            attempt,
            until,
            cause: why,
        } => {
            let wait = until.saturating_since(now).as_secs_f64();
            format!("{}; attempt {attempt} in {wait:.1} s", cause(why))
        }
        Event::Connected {
            downtime: Some(downtime),
            ..
        } => format!("connected again after {:.1} s", downtime.as_secs_f64()),
        Event::Connected { downtime: None, .. } => "connected".to_owned(),
        Event::Lost {
            cause: why,
            detection,
            ..
        } => {
            let silence = detection.as_secs_f64();
            format!("lost: {}; last heard {silence:.1} s before", cause(why))
        }
        Event::Failed { cause: why } => format!("given up: {}", cause(why)),
    })
}

/// Why there is no connection.
pub(super) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Dial(text) | Cause::Broken(text) => text.clone(),
        Cause::LocalNetwork(text) => format!("this machine has no network: {text}"),
        Cause::AttemptTimeout => "no answer in time".to_owned(),
        Cause::Refused { code, message } => format!("refused with {code}: {message}"),
        Cause::Closed { code, reason } => format!("closed with {code}: {reason}"),
        Cause::Silence(time) => format!("the gateway was silent for {:.1} s", time.as_secs_f64()),
        Cause::WriteStall(time) => {
            format!("the gateway took nothing for {:.1} s", time.as_secs_f64())
        }
        Cause::Protocol(text) => format!("the gateway broke the protocol: {text}"),
        Cause::AttemptsExhausted(attempts) => format!("{attempts} attempts failed"),
    }
}

/// What a publication came to.
pub(super) fn delivery(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Acknowledged {
            position,
            duplicate,
        } => {
            let again = if *duplicate {
                ", which it had already"
            } else {
                ""
            };
            format!("acknowledged at offset {}{again}", position.offset)
        }
        Delivery::Expired => "not sent: its time ran out".to_owned(),
        Delivery::Interrupted { .. } => "sent, but no answer came: it may be stored".to_owned(),
        Delivery::Dropped(DropReason::OutboxFull) => "not sent: too much waits".to_owned(),
        Delivery::Dropped(DropReason::TooLarge) => "not sent: too large for a message".to_owned(),
        Delivery::Dropped(DropReason::Closed) => "not sent: the session is closed".to_owned(),
        Delivery::Dropped(DropReason::Refused(error)) => {
            format!("refused: {} ({})", error.message, error.code)
        }
    }
}

fn place(publication: &Publication) -> String {
    format!("#{} {}", publication.offset, text(&publication.data))
}

fn who(info: &ClientInfo) -> String {
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
    // A terminal must not obey what somebody else published.
    String::from_utf8_lossy(data)
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}
