//! What a driver says: the answer to a command, or an event of a client.
//!
//! Reads the lines that `tests/peers/README.md` describes; a line of another shape is kept as [`Line::Strange`], never
//! dropped.

use serde_json::Value;
use steadfast_faults::ledger::record::Subscribed;
use steadfast_protocol::message::Position;

/// One line of a driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// It runs.
    Ready,
    /// What came of a command.
    Answer {
        /// The command's id.
        id: u64,
        /// The result.
        outcome: Result<Value, CallError>,
    },
    /// Something happened to a client.
    Event(Event),
    /// It is no line that we know.
    Strange(String),
    /// The driver ended.
    Ended,
}

/// Why a call had no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The gateway answered with an error.
    Server {
        /// The protocol's error code.
        code: u64,
        /// Its text.
        message: String,
    },
    /// The answer never came.
    Lost(String),
    /// The client did not send it.
    Refused(String),
}

/// Something happened to a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub client: String,
    /// The channel, for what concerns a subscription; else empty.
    pub channel: String,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It dials, for the first time or again.
    Connecting {
        /// Why; below 100 the client's own code.
        code: u64,
        /// The text.
        reason: String,
    },
    /// It is connected, under this client id.
    Connected(String),
    /// It is disconnected for good, or until it is told to connect.
    Disconnected {
        /// The code.
        code: u64,
        /// The text.
        reason: String,
    },
    /// A subscription is being made, for the first time or again.
    Subscribing,
    /// A subscription stands.
    Subscribed(Subscribed),
    /// A subscription ended for good.
    Unsubscribed {
        /// The code.
        code: u64,
        /// The text.
        reason: String,
    },
    /// A publication arrived.
    Publication {
        /// Its offset; 0 when the channel has none.
        offset: u64,
        /// The payload.
        data: Value,
        /// The publisher's client id; empty when unknown.
        author: String,
    },
    /// This client id joined.
    Join(String),
    /// This client id left.
    Leave(String),
    /// The client met an error on its own.
    Trouble(String),
}

impl Line {
    /// Reads one line.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text)
            .ok()
            .and_then(|line: Value| Self::read(&line))
            .unwrap_or_else(|| Self::Strange(text.to_owned()))
    }

    fn read(line: &Value) -> Option<Self> {
        if let Some(id) = line.get("id") {
            let outcome = match line.get("error") {
                Some(error) => Err(CallError::read(error)?),
                None => Ok(line.get("ok")?.clone()),
            };
            let id = id.as_u64()?;
            return Some(Self::Answer { id, outcome });
        }
        let event = line.get("event")?.as_str()?;
        if event == "ready" {
            return Some(Self::Ready);
        }
        Some(Self::Event(Event {
            client: text(line, "client"),
            channel: text(line, "channel"),
            what: What::read(event, line)?,
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
            "refused" => Some(Self::Refused(message)),
            _ => None,
        }
    }
}

impl What {
    fn read(event: &str, line: &Value) -> Option<Self> {
        let code = number(line, "code");
        let reason = text(line, "reason");
        match event {
            "connecting" => Some(Self::Connecting { code, reason }),
            "connected" => Some(Self::Connected(text(line, "identity"))),
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
                author: text(line, "author"),
            }),
            "join" => Some(Self::Join(text(line, "who"))),
            "leave" => Some(Self::Leave(text(line, "who"))),
            "trouble" => Some(Self::Trouble(text(line, "message"))),
            _ => None,
        }
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
    fn answers_events_and_strange_lines_are_told_apart() {
        let lost = json!({"id": 7, "error": {"kind": "lost", "message": "closed"}}).to_string();
        let join = json!({"event": "join", "client": "a", "channel": "x", "who": "b"}).to_string();

        assert_eq!(
            Line::parse(&lost),
            Line::Answer {
                id: 7,
                outcome: Err(CallError::Lost("closed".to_owned()))
            }
        );
        assert_eq!(
            Line::parse(&join),
            Line::Event(Event {
                client: "a".to_owned(),
                channel: "x".to_owned(),
                what: What::Join("b".to_owned())
            })
        );
        assert_eq!(Line::parse("panic"), Line::Strange("panic".to_owned()));
    }
}
