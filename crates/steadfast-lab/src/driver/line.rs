//! The lines that a driver writes: responses to commands, and events of its clients.
//!
//! Parses the lines that `docs/reference/driver-protocol.md` and `tests/third-party/README.md` describe. An invalid line
//! is kept as [`DriverLine::Unrecognized`], never dropped.

use serde_json::Value;
use steadfast_faults::ledger::event::{LossCause, Subscribed};
use steadfast_machine::convert;
use steadfast_protocol::message::Position;

/// Characters of an unrecognized line that are kept.
pub const SHOWN_CHARS: usize = 200;

/// One line of a driver.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverLine {
    /// The driver has started and reads commands.
    Ready,
    /// The response to a command.
    Response {
        /// The id of the command.
        id: u64,
        /// The result of the command, or why there is none.
        outcome: Result<Value, CallError>,
    },
    /// An event of a client.
    Event(DriverEvent),
    /// A line of an unknown form: its first [`SHOWN_CHARS`] characters.
    Unrecognized(String),
    /// The driver itself failed, for example because it was too slow for what it received: the run proves nothing.
    Failure(String),
    /// The driver exceeded this limit, and nothing more is read.
    AboveLimit(String),
    /// The output of the driver has ended.
    Ended,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The gateway replied with an error.
    Server {
        /// The protocol's error code.
        code: u64,
        /// The error text of the gateway.
        message: String,
    },
    /// No reply: the connection was lost, or the call timed out.
    Lost(String),
    /// No reply within the time limit of a request, and the connection is open.
    TimedOut(String),
    /// The client rejected the call without sending it.
    Rejected(String),
}

/// An event of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct DriverEvent {
    /// The name of the client.
    pub client: String,
    /// The channel of a subscription event, otherwise empty.
    pub channel: String,
    /// The event with its fields.
    pub kind: DriverEventKind,
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum DriverEventKind {
    /// The client connects, for the first time or again.
    Connecting {
        /// Why the client connects; a code below 100 is the library's own.
        code: u64,
        reason: String,
    },
    /// The client lost its connection and connects again.
    Lost(LossCause),
    /// A connection attempt begins.
    Attempting,
    /// The transport is open, and the client logs in.
    Opened,
    /// A connection attempt failed, and another one follows.
    AttemptFailed(String),
    /// A message of a stream arrived.
    Message {
        /// The name of the stream; empty if the server has only one.
        stream: String,
        /// The epoch in which sequences count; empty if there is none.
        epoch: String,
        sequence: u64,
    },
    /// The client is connected, with this client id.
    Connected(String),
    /// The client is disconnected and does not reconnect unless it is opened again.
    Disconnected { code: u64, reason: String },
    /// The client subscribes, for the first time or again.
    Subscribing,
    /// A subscription is active.
    Subscribed(Subscribed),
    /// A subscription was closed permanently.
    Unsubscribed { code: u64, reason: String },
    /// A publication arrived.
    Publication {
        /// The offset; 0 if the channel has no history.
        offset: u64,
        data: Value,
        /// The publisher's client id; empty when unknown.
        publisher: String,
    },
    /// The client with this id joined the channel.
    Join(String),
    /// The client with this id left the channel.
    Leave(String),
    /// The client library reported an error that no call caused.
    Warning(String),
}

impl DriverLine {
    /// Parses one line.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text)
            .ok()
            .and_then(|line: Value| Self::read(&line))
            .unwrap_or_else(|| Self::Unrecognized(text.chars().take(SHOWN_CHARS).collect()))
    }

    fn read(line: &Value) -> Option<Self> {
        if let Some(id) = line.get("id") {
            let outcome = match line.get("error") {
                Some(error) => Err(CallError::read(error)?),
                None => Ok(line.get("ok")?.clone()),
            };
            let id = id.as_u64()?;
            return Some(Self::Response { id, outcome });
        }
        let event = line.get("event")?.as_str()?;
        if event == "ready" {
            return Some(Self::Ready);
        }
        if event == "failure" {
            let message = text(line, "message");
            return Some(Self::Failure(message.chars().take(SHOWN_CHARS).collect()));
        }
        Some(Self::Event(DriverEvent {
            client: text(line, "client"),
            channel: text(line, "channel"),
            kind: DriverEventKind::read(event, line)?,
        }))
    }
}

impl CallError {
    fn read(error: &Value) -> Option<Self> {
        let message = text(error, "message");
        match error.get("kind")?.as_str()? {
            "server" => Some(Self::Server {
                code: number(error, "code"),
                message,
            }),
            "lost" => Some(Self::Lost(message)),
            "timeout" => Some(Self::TimedOut(message)),
            "rejected" => Some(Self::Rejected(message)),
            _ => None,
        }
    }
}

impl DriverEventKind {
    fn read(event: &str, line: &Value) -> Option<Self> {
        let code = number(line, "code");
        let reason = text(line, "reason");
        match event {
            "connecting" if line.get("cause").is_none() => Some(Self::Connecting { code, reason }),
            "connecting" | "lost" => Some(Self::Lost(loss_cause(line)?)),
            "attempting" => Some(Self::Attempting),
            "opened" => Some(Self::Opened),
            "attempt_failed" => Some(Self::AttemptFailed(reason)),
            "message" => Some(Self::Message {
                stream: text(line, "stream"),
                epoch: text(line, "epoch"),
                sequence: line.get("sequence")?.as_u64()?,
            }),
            "connected" => Some(Self::Connected(text(line, "client_id"))),
            "disconnected" => Some(Self::Disconnected { code, reason }),
            "subscribing" => Some(Self::Subscribing),
            "subscribed" => Some(Self::Subscribed(Subscribed {
                position: Position {
                    epoch: text(line, "epoch"),
                    offset: number(line, "offset"),
                },
                was_recovering: line.get("was_recovering")?.as_bool()?,
                recovered: line.get("recovered")?.as_bool()?,
            })),
            "unsubscribed" => Some(Self::Unsubscribed { code, reason }),
            "publication" => Some(Self::Publication {
                offset: number(line, "offset"),
                data: line.get("data")?.clone(),
                publisher: text(line, "publisher"),
            }),
            "join" => Some(Self::Join(text(line, "client_id"))),
            "leave" => Some(Self::Leave(text(line, "client_id"))),
            "warning" => Some(Self::Warning(text(line, "message"))),
            _ => None,
        }
    }
}

/// How a connection ended; unknown if the driver does not say it.
fn loss_cause(line: &Value) -> Option<LossCause> {
    match line.get("cause").map(Value::as_str) {
        None => Some(LossCause::Unknown),
        Some(cause) => match cause? {
            "fin" => Some(LossCause::Fin),
            "rst" => Some(LossCause::Reset),
            "timeout" => Some(LossCause::Timeout),
            "code" => Some(LossCause::Code(convert::saturating(number(line, "code")))),
            "unknown" => Some(LossCause::Unknown),
            _ => None,
        },
    }
}

fn text(line: &Value, field: &str) -> String {
    line.get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn number(line: &Value, field: &str) -> u64 {
    line.get(field).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn responses_events_and_unrecognized_lines_are_distinguished() {
        let lost = json!({"id": 7, "error": {"kind": "lost", "message": "closed"}}).to_string();
        let join =
            json!({"event": "join", "client": "a", "channel": "x", "client_id": "b"}).to_string();

        assert_eq!(
            DriverLine::parse(&lost),
            DriverLine::Response {
                id: 7,
                outcome: Err(CallError::Lost("closed".to_owned()))
            }
        );
        assert_eq!(
            DriverLine::parse(&join),
            DriverLine::Event(DriverEvent {
                client: "a".to_owned(),
                channel: "x".to_owned(),
                kind: DriverEventKind::Join("b".to_owned())
            })
        );
        let reset = json!({"event": "lost", "client": "a", "cause": "rst"}).to_string();
        let cause = json!({"event": "lost", "client": "a", "cause": "bad luck"}).to_string();
        assert_eq!(
            DriverLine::parse(&reset),
            DriverLine::Event(DriverEvent {
                client: "a".to_owned(),
                channel: String::new(),
                kind: DriverEventKind::Lost(LossCause::Reset)
            })
        );
        assert_eq!(
            DriverLine::parse(&cause),
            DriverLine::Unrecognized(cause.clone())
        );
        assert_eq!(
            DriverLine::parse(&"x".repeat(1000)),
            DriverLine::Unrecognized("x".repeat(SHOWN_CHARS))
        );
        assert_eq!(
            DriverLine::parse("panic"),
            DriverLine::Unrecognized("panic".to_owned())
        );
    }
}
