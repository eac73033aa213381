//! Renders events as text and as JSON. Payloads are shown as they were received, never parsed and written again.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use steadfast::DisconnectCause;
use steadfast::centrifuge::{
    Acknowledgement, CallError, ClientInfo, HistoryResult, Item, Position, Publication, ReplyError,
    SendError, SendResult, SubscriptionEvent, UnsubscribeCause,
};

use crate::output::escape;

/// The fields of a JSON object with a payload.
type Fields = BTreeMap<&'static str, Box<RawValue>>;

/// One event in both output formats, safe for a terminal.
#[derive(Debug)]
pub(super) struct EventOutput {
    /// One line, or several for a list.
    pub(super) text: String,
    /// A JSON object on one line.
    pub(super) json: String,
}

impl EventOutput {
    fn new(line: &str, json: &Value) -> Self {
        Self::list(line, [], &json.to_string())
    }

    /// A line, and one indented line for each item.
    fn list(line: &str, items: impl IntoIterator<Item = String>, json: &str) -> Self {
        let mut text = escape::text(line);
        for item in items {
            text.push_str("\n  ");
            text.push_str(&escape::text(&item));
        }
        Self {
            text,
            json: escape::json(json),
        }
    }

    pub(super) fn subscription(channel: &str, event: &SubscriptionEvent) -> Self {
        match event {
            SubscriptionEvent::Subscribed { position } => {
                Self::position(channel, "subscribed", position)
            }
            SubscriptionEvent::Resumed { position } => Self::position(channel, "resumed", position),
            SubscriptionEvent::Gap { to, .. } => Self::position(channel, "gap", to),
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                let mut fields = publication_fields(publication);
                fields.insert("event", raw(&"publication"));
                fields.insert("channel", raw(&channel));
                let line = format!("{channel} {}", publication_text(publication));
                Self::list(&line, [], raw(&fields).get())
            }
            SubscriptionEvent::Item(Item::Join(info)) => {
                Self::join_leave(channel, "join", "joined", info)
            }
            SubscriptionEvent::Item(Item::Leave(info)) => {
                Self::join_leave(channel, "leave", "left", info)
            }
            SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(ReplyError {
                code,
                message,
                ..
            })) => Self::new(
                &format!("{channel}: unsubscribed by the gateway with code {code}: {message}"),
                &json!({"event": "unsubscribed", "channel": channel, "code": code, "reason": message}),
            ),
            SubscriptionEvent::Unsubscribed(cause) => Self::new(
                &format!("{channel}: not subscribed: {cause}"),
                &json!({"event": "unsubscribed", "channel": channel, "code": 0, "reason": cause.to_string()}),
            ),
            other @ (SubscriptionEvent::Item(_) | _) => Self::new(
                &format!("{channel}: {other:?}"),
                &json!({"event": "other", "channel": channel}),
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
            &format!("{channel}: {text} at offset {offset}, channel epoch {epoch}"),
            &json!({"event": event, "channel": channel, "offset": offset, "epoch": epoch}),
        )
    }

    fn join_leave(channel: &str, event: &str, verb: &str, info: &ClientInfo) -> Self {
        let json =
            json!({"event": event, "channel": channel, "client": info.client, "user": info.user});
        Self::new(&format!("{channel}: {} {verb}", client_text(info)), &json)
    }

    pub(super) fn publish_outcome(channel: &str, outcome: &SendResult) -> Self {
        let json = match outcome {
            Ok(Acknowledgement {
                position,
                duplicate,
                ..
            }) => json!({
                "event": "acknowledged", "channel": channel, "offset": position.offset,
                "epoch": position.epoch, "duplicate": duplicate,
            }),
            Err(_) => {
                json!({"event": "not_acknowledged", "channel": channel, "reason": publish_outcome(outcome)})
            }
        };
        let line = match outcome {
            Ok(_) => {
                format!("{} of {channel}", publish_outcome(outcome))
            }
            Err(_) => {
                format!("{channel}: {}", publish_outcome(outcome))
            }
        };
        Self::new(&line, &json)
    }

    /// The failure of the command, which has no text: the error is printed as that of every command.
    pub(super) fn failed(reason: &str) -> Self {
        Self::new("", &json!({"event": "failed", "reason": reason}))
    }

    pub(super) fn presence(channel: &str, clients: &[ClientInfo]) -> Self {
        let ids: Vec<&str> = clients.iter().map(|info| info.client.as_str()).collect();
        Self::list(
            &format!("{channel}: clients: {}", clients.len()),
            clients.iter().map(client_text),
            &json!({"event": "presence", "channel": channel, "clients": ids}).to_string(),
        )
    }

    pub(super) fn history(channel: &str, history: &HistoryResult) -> Self {
        let publications = &history.publications;
        let newest = history.position.offset;
        let listed: Vec<Fields> = publications.iter().map(publication_fields).collect();
        let fields = Fields::from([
            ("event", raw(&"history")),
            ("channel", raw(&channel)),
            ("offset", raw(&newest)),
            ("publications", raw(&listed)),
        ]);
        Self::list(
            &format!("{channel}: history up to offset {newest}"),
            publications.iter().map(publication_text),
            raw(&fields).get(),
        )
    }

    pub(super) fn call_error(channel: &str, error: &CallError) -> Self {
        let json = json!({"event": "call_error", "channel": channel, "reason": error.to_string()});
        Self::new(&format!("{channel}: {error}"), &json)
    }
}

/// Renders the cause of a disconnect or of a failed attempt, safe for a terminal.
pub(super) fn cause(cause: &DisconnectCause) -> String {
    escape::text(&cause_text(cause))
}

fn cause_text(cause: &DisconnectCause) -> String {
    if let DisconnectCause::Closed { code, reason } = cause {
        return format!("closed by the gateway with code {code}: {reason}");
    }
    cause.to_string()
}

/// Renders the outcome of a publication, safe for a terminal.
pub(super) fn publish_outcome(outcome: &SendResult) -> String {
    escape::text(&publish_outcome_text(outcome))
}

fn publish_outcome_text(outcome: &SendResult) -> String {
    match outcome {
        Ok(Acknowledgement {
            position,
            duplicate,
            ..
        }) => {
            let what = if *duplicate {
                "acknowledged as a duplicate"
            } else {
                "acknowledged"
            };
            format!("{what} at offset {}", position.offset)
        }
        Err(SendError::Expired) => "not sent: expired".to_owned(),
        Err(SendError::Interrupted) => "sent, but not acknowledged: it may be stored".to_owned(),
        Err(SendError::OutboxFull) => "not sent: the outbox is full".to_owned(),
        Err(SendError::Unsendable(problem)) => format!("not sent: {problem}"),
        Err(SendError::Closed) => "not sent: the session is closed".to_owned(),
        Err(SendError::Failed(why)) => {
            format!("not sent: the session has failed: {}", cause_text(why))
        }
        Err(SendError::Rejected(error)) => {
            format!(
                "rejected by the gateway with code {}: {}",
                error.code, error.message
            )
        }
        Err(other) => format!("not sent: {other}"),
    }
}

fn publication_text(publication: &Publication) -> String {
    format!(
        "#{} {}",
        publication.offset,
        String::from_utf8_lossy(&publication.data)
    )
}

fn client_text(info: &ClientInfo) -> String {
    let user = if info.user.is_empty() {
        "anonymous"
    } else {
        &info.user
    };
    format!("{user} {}", info.client)
}

fn publication_fields(publication: &Publication) -> Fields {
    Fields::from([
        ("offset", raw(&publication.offset)),
        ("data", data(&publication.data)),
    ])
}

/// The payload as it was received, with all digits of its numbers and all of its keys.
fn data(data: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(data).unwrap_or_else(|_not_json| raw(&String::from_utf8_lossy(data)))
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("strings, numbers and payloads can be serialized")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const HOSTILE: &str = "\x1b]0;owned\x07\n\u{9b}2J\u{202e}";

    #[test]
    fn a_payload_is_shown_as_it_was_received() {
        for received in [
            "12345678901234567890123",
            "[1e400,1.50]",
            r#""half \ud83d""#,
            r#"{"k":1,"k":2}"#,
        ] {
            let shown = EventOutput::subscription("a", &publication(received));

            assert_eq!(shown.text, format!("a #7 {received}"));
            assert_eq!(
                shown.json,
                format!(r#"{{"channel":"a","data":{received},"event":"publication","offset":7}}"#)
            );
        }
    }

    #[test]
    fn bytes_that_are_not_json_are_shown_as_a_json_string() {
        let shown = EventOutput::subscription("a", &publication("{oops"));

        assert!(shown.json.contains(r#""data":"{oops""#), "{}", shown.json);
    }

    #[test]
    fn no_text_of_a_server_reaches_the_terminal_unescaped() {
        let info = ClientInfo {
            user: HOSTILE.to_owned(),
            client: HOSTILE.to_owned(),
            ..ClientInfo::default()
        };
        let position = Position {
            epoch: HOSTILE.to_owned(),
            offset: 7,
        };
        let history = HistoryResult {
            publications: vec![as_publication(HOSTILE)],
            position: position.clone(),
        };
        for output in [
            EventOutput::subscription("a", &publication(HOSTILE)),
            EventOutput::subscription("a", &SubscriptionEvent::Item(Item::Join(info.clone()))),
            EventOutput::subscription("a", &SubscriptionEvent::Resumed { position }),
            EventOutput::subscription(
                "a",
                &SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(ReplyError {
                    code: 2500,
                    message: HOSTILE.to_owned(),
                    temporary: false,
                })),
            ),
            EventOutput::presence("a", &[info]),
            EventOutput::history("a", &history),
        ] {
            for line in output.text.split("\n  ").chain([output.json.as_str()]) {
                assert_eq!(escape::text(line), line);
            }
        }
        let closed = DisconnectCause::Closed {
            code: 3000,
            reason: HOSTILE.to_owned(),
        };
        assert_eq!(escape::text(&cause(&closed)), cause(&closed));
    }

    fn publication(data: &str) -> SubscriptionEvent {
        SubscriptionEvent::Item(Item::Publication(as_publication(data)))
    }

    fn as_publication(data: &str) -> Publication {
        Publication {
            offset: 7,
            data: Bytes::copy_from_slice(data.as_bytes()),
            ..Publication::default()
        }
    }
}
