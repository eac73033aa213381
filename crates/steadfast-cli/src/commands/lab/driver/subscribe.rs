//! Streams over a WebSocket: the numbered messages that a server sends to its clients.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::websocket::{Client, Event, Inbox};
use steadfast_faults::counted::counted;

use super::{
    Adapter, CLIENTS_MAX, failure, rejected, session, succeeded, text, timers, write_line,
};
use crate::output;

/// All clients that receive.
#[derive(Debug, Default)]
pub(super) struct Subscribe {
    clients: BTreeMap<String, Client>,
}

/// The names of the fields of a message.
#[derive(Clone, Debug)]
struct Fields {
    sequence: String,
    stream: String,
    epoch: String,
}

impl Fields {
    fn new(options: &Value) -> Self {
        let field = |name: &str| match text(options, name) {
            "" => name.to_owned(),
            field => field.to_owned(),
        };
        Self {
            sequence: field("sequence"),
            stream: field("stream"),
            epoch: field("epoch"),
        }
    }

    /// The event of a message; `None` if it has no sequence.
    fn event(&self, client: &str, message: &Value) -> Option<Value> {
        let sequence = message.get(&self.sequence)?.as_u64()?;
        let (stream, epoch) = (scalar(message, &self.stream), scalar(message, &self.epoch));
        Some(json!({
            "event": "message", "client": client, "stream": stream, "epoch": epoch,
            "sequence": sequence,
        }))
    }
}

/// A text, or a number as text; empty if there is neither.
fn scalar(message: &Value, field: &str) -> String {
    match message.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

impl Adapter for Subscribe {
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value> {
        let name = text(command, "client");
        Some(match (text(command, "do"), self.clients.get(name)) {
            ("open", None) if self.clients.len() < CLIENTS_MAX => match open(name, command) {
                Ok(client) => {
                    self.clients.insert(name.to_owned(), client);
                    succeeded(id, &json!({}))
                }
                Err(error) => rejected(id, &error),
            },
            ("close", Some(client)) => {
                let client = client.clone();
                tokio::spawn(async move { client.close(Duration::ZERO).await });
                succeeded(id, &json!({}))
            }
            (other, _) => rejected(id, &format!("`{other}` is not possible")),
        })
    }
}

fn open(name: &str, command: &Value) -> Result<Client, String> {
    let builder = Client::builder(text(command, "url")).map_err(|error| error.to_string())?;
    let mut builder = timers::apply(builder, command);
    let options = command.get("options").unwrap_or(&Value::Null);
    let first = text(options, "first_message");
    if !first.is_empty() {
        builder = builder.first_messages([first.to_owned()]);
    }
    let (client, driver) = builder.build().map_err(|error| error.to_string())?;
    tokio::spawn(session::report(
        name.to_owned(),
        client.events(),
        client.state(),
    ));
    tokio::spawn(receive(
        name.to_owned(),
        client.receive(),
        Fields::new(options),
    ));
    tokio::spawn(driver);
    Ok(client)
}

/// Reports each message that has a sequence, and the first one that has none.
async fn receive(name: String, mut inbox: Inbox, fields: Fields) {
    let mut has_complained = false;
    while let Some(event) = inbox.next().await {
        match event {
            Event::Message(message) => {
                let text = message.as_text().unwrap_or_default();
                let parsed: Value = serde_json::from_str(text).unwrap_or_default();
                // Some servers put several messages into one.
                let messages = match parsed.as_array() {
                    Some(messages) => messages.as_slice(),
                    None => std::slice::from_ref(&parsed),
                };
                for message in messages {
                    match fields.event(&name, message) {
                        Some(event) => write_line(&event),
                        None if has_complained => {}
                        None => {
                            has_complained = true;
                            let field = &fields.sequence;
                            output::message(&format!(
                                "{name}: a message without the number `{field}` is ignored: {message}"
                            ));
                        }
                    }
                }
            }
            Event::Missed { messages } => {
                let what = counted(messages, "message was", "messages were");
                write_line(&failure(&format!(
                    "{name}: {what} discarded, read too slowly"
                )));
            }
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Failed { .. }
            | Event::Unavailable(_)
            | _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_message_can_have_other_names() {
        let fields = Fields::new(&json!({"sequence": "seq", "stream": "topic"}));
        let message = json!({"seq": 7, "topic": "a", "epoch": 3, "data": "x"});

        assert_eq!(
            fields.event("feed-1", &message),
            Some(json!({
                "event": "message", "client": "feed-1", "stream": "a", "epoch": "3", "sequence": 7
            }))
        );
        assert_eq!(fields.event("feed-1", &json!({"sequence": 7})), None);
        assert_eq!(fields.event("feed-1", &json!({"seq": "7"})), None);
    }
}
