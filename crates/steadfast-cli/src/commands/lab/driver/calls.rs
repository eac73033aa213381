//! Requests over a WebSocket: messages that the server returns, and JSON-RPC 2.0 calls.
//!
//! Each request has a number by which its reply is found, so that many may be in flight. A request that the library has
//! not passed to the transport by its time limit is not sent; one that was sent and has no reply may have been executed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::SessionState;
use steadfast::retry_advice::{Pace, RetryAdvice};
use steadfast::websocket::{Builder, Client, Event, Frame, Handshake, Inbox, Receipt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::waiting::{Reply, Waiting};
use super::{
    Adapter, CLIENTS_MAX, lost, rejected, server_error, session, succeeded, text, timed_out, timers,
};

/// How long the library is waited for after the time limit, to learn whether it sent the message.
const EXPIRY_GRACE: Duration = Duration::from_millis(500);
/// The number of the login call; requests count from 1.
const LOGIN_NUMBER: u64 = 0;

/// The form of requests and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The server returns each message as it is.
    Echo,
    /// Requests and replies of JSON-RPC 2.0, found by their `id`.
    JsonRpc,
}

/// All clients of one format.
#[derive(Debug)]
pub(super) struct Calls {
    format: Format,
    clients: BTreeMap<String, CallClient>,
}

#[derive(Clone, Debug)]
struct CallClient {
    client: Client,
    waiting: Waiting,
}

impl Calls {
    pub(super) const fn new(format: Format) -> Self {
        Self {
            format,
            clients: BTreeMap::new(),
        }
    }

    fn open(&self, name: &str, command: &Value) -> Result<CallClient, String> {
        let builder = Client::builder(text(command, "url")).map_err(|error| error.to_string())?;
        let builder = timers::apply(builder, command);
        let options = command.get("options").unwrap_or(&Value::Null);
        let builder = match text(options, "login") {
            "" => builder,
            method => login(builder, method),
        };
        let (client, driver) = builder.build().map_err(|error| error.to_string())?;
        let waiting = Waiting::default();
        tokio::spawn(session::report(
            name.to_owned(),
            client.events(),
            client.state(),
        ));
        tokio::spawn(receive(client.receive(), waiting.clone(), self.format));
        tokio::spawn(driver);
        Ok(CallClient { client, waiting })
    }
}

impl Adapter for Calls {
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value> {
        let name = text(command, "client");
        if text(command, "do") == "open" {
            if self.clients.contains_key(name) || self.clients.len() >= CLIENTS_MAX {
                return Some(rejected(id, "the client exists, or there are too many"));
            }
            return Some(match self.open(name, command) {
                Ok(client) => {
                    self.clients.insert(name.to_owned(), client);
                    succeeded(id, &json!({}))
                }
                Err(error) => rejected(id, &error),
            });
        }
        let Some(client) = self.clients.get(name) else {
            return Some(rejected(id, "client not found"));
        };
        match text(command, "do") {
            "request" => client.request(self.format, id, command),
            "close" => {
                let client = client.client.clone();
                tokio::spawn(async move { client.close(Duration::ZERO).await });
                Some(succeeded(id, &json!({})))
            }
            other => Some(rejected(id, &format!("unknown command `{other}`"))),
        }
    }
}

impl CallClient {
    /// Sends a request; a task responds once its outcome is known.
    fn request(&self, format: Format, id: &Value, command: &Value) -> Option<Value> {
        // The library would keep it for the next connection.
        if self.client.state().borrow().state != SessionState::Connected {
            return Some(rejected(id, "not connected"));
        }
        let Some(limit) = command.get("timeout_ms").and_then(Value::as_u64) else {
            return Some(rejected(id, "`timeout_ms` is missing"));
        };
        let limit = Duration::from_millis(limit);
        let Some((number, reply)) = self.waiting.add() else {
            return Some(rejected(id, "too many requests wait for a reply"));
        };
        let message = format.request(number, command).to_string();
        match self
            .client
            .send_message_now(Frame::from(message), Some(limit))
        {
            Ok(receipt) => {
                let (id, waiting) = (id.clone(), self.waiting.clone());
                tokio::spawn(async move {
                    let response = outcome(&id, reply, receipt, limit).await;
                    waiting.remove(number);
                    super::write_line(&response);
                });
                None
            }
            Err(error) => {
                self.waiting.remove(number);
                Some(rejected(id, &error.to_string()))
            }
        }
    }
}

/// Waits for the reply, and if there is none finds out whether the request was sent.
async fn outcome(
    id: &Value,
    reply: oneshot::Receiver<Reply>,
    receipt: Receipt,
    limit: Duration,
) -> Value {
    let replied = timeout(limit, reply).await;
    let without_reply = match replied {
        Ok(Ok(Reply::Ok)) => return succeeded(id, &json!({})),
        Ok(Ok(Reply::Error { code, message })) => return server_error(id, code, &message),
        Ok(Err(_)) => lost(id, "the connection was lost"),
        Err(_) => timed_out(id),
    };
    match timeout(EXPIRY_GRACE, receipt).await {
        Ok(Err(error)) if !error.maybe_applied() => rejected(id, &error.to_string()),
        // Sent, or the library still holds it: it may be executed.
        Ok(Ok(_) | Err(_)) | Err(_) => without_reply,
    }
}

/// Calls a method first on each connection; the client is connected with its result.
fn login(builder: Builder, method: &str) -> Builder {
    let call = json!({"jsonrpc": "2.0", "id": LOGIN_NUMBER, "method": method, "params": {}});
    builder
        .first_messages([call.to_string()])
        .handshake(|message| match Format::JsonRpc.reply(message) {
            Some((LOGIN_NUMBER, Reply::Ok)) => Handshake::Accepted,
            Some((LOGIN_NUMBER, Reply::Error { message, .. })) => Handshake::Rejected {
                reason: message,
                advice: RetryAdvice::RETRY.at(Pace::Slowed),
            },
            Some(_) | None => Handshake::Continues,
        })
}

/// Passes replies to their requests until the client is closed.
async fn receive(mut inbox: Inbox, waiting: Waiting, format: Format) {
    while let Some(event) = inbox.next().await {
        match event {
            Event::Message(message) => {
                if let Some((number, reply)) = format.reply(&message) {
                    waiting.reply(number, reply);
                }
            }
            Event::Disconnected { .. } | Event::Failed { .. } => waiting.lose_all(),
            Event::Connected { .. } | Event::Missed { .. } | Event::Unavailable(_) | _ => {}
        }
    }
    waiting.lose_all();
}

impl Format {
    fn request(self, number: u64, command: &Value) -> Value {
        let (key, data) = (text(command, "key"), command.get("data"));
        match self {
            Self::Echo => json!({"id": number, "key": key, "data": data}),
            Self::JsonRpc => json!({
                "jsonrpc": "2.0", "id": number, "method": text(command, "op"),
                "params": {"key": key, "data": data},
            }),
        }
    }

    /// The number of the request and its reply; `None` for any other message, for example a notification.
    fn reply(self, message: &Frame) -> Option<(u64, Reply)> {
        let message: Value = serde_json::from_str(message.as_text()?).ok()?;
        let number = message.get("id")?.as_u64()?;
        match self {
            Self::Echo => Some((number, Reply::Ok)),
            Self::JsonRpc => match message.get("error") {
                None => message.get("result").map(|_| (number, Reply::Ok)),
                Some(error) => {
                    // The codes of JSON-RPC are negative.
                    let code = error.get("code").and_then(Value::as_i64);
                    let code = code.unwrap_or_default().unsigned_abs();
                    let message = text(error, "message").to_owned();
                    Some((number, Reply::Error { code, message }))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_recognized_by_their_number_and_other_messages_are_not() {
        let reply = |format: Format, text: &str| format.reply(&Frame::from(text.to_owned()));

        assert_eq!(
            reply(Format::Echo, r#"{"id": 7, "key": "k"}"#),
            Some((7, Reply::Ok))
        );
        assert_eq!(
            reply(
                Format::JsonRpc,
                r#"{"jsonrpc": "2.0", "id": 7, "result": null}"#
            ),
            Some((7, Reply::Ok))
        );
        assert_eq!(
            reply(
                Format::JsonRpc,
                r#"{"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "no"}}"#
            ),
            Some((
                7,
                Reply::Error {
                    code: 32601,
                    message: "no".to_owned()
                }
            ))
        );
        for other in [
            r#"{"jsonrpc": "2.0", "method": "tick"}"#,
            r#"{"jsonrpc": "2.0", "id": 7, "method": "call"}"#,
            "[]",
            "no JSON",
        ] {
            assert_eq!(reply(Format::JsonRpc, other), None, "{other}");
        }
    }
}
