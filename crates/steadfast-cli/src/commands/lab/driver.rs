//! `steadfast lab driver`: runs clients of the Rust client library, controlled by JSON lines on standard input.
//!
//! The protocol is described in `tests/third-party/README.md` and is the same as for third-party clients. The driver
//! makes no decisions: retries and the state of publications are the responsibility of the library or of the lab.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::centrifuge::{
    Acknowledgement, Client, Item, Position, SendError, SendResult, Subscription,
    SubscriptionEvent, UnsubscribeCause,
};
use steadfast::{DisconnectCause, SessionEvent};
use steadfast_faults::counted::counted;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::runtime;
use tokio::sync::broadcast;

use crate::exit::Failure;
use crate::output;

/// Code for a connection that ended without a code from the server, as in other client libraries.
const CODE_TRANSPORT_CLOSED: u32 = 1;
/// Code for a connection without received data or write progress, as in other client libraries.
const CODE_NO_PING: u32 = 2;
/// Code for what the client itself requested: connect or close.
const CODE_REQUESTED: u32 = 0;

/// Executes commands until standard input ends.
///
/// # Errors
///
/// When the runtime cannot be started.
pub(super) fn run() -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    runtime.block_on(execute_all());
    Ok(())
}

async fn execute_all() {
    write_line(&json!({"event": "ready", "driver": "steadfast"}));
    let mut clients = BTreeMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(command) = serde_json::from_str::<Value>(&line) else {
            output::message(&format!("invalid command: {line}"));
            continue;
        };
        let id = command.get("id").cloned().unwrap_or_default();
        if let Some(response) = execute(&id, &command, &mut clients) {
            write_line(&response);
        }
    }
}

/// Executes a command; returns the response, unless a task sends it later.
fn execute(id: &Value, command: &Value, clients: &mut BTreeMap<String, Client>) -> Option<Value> {
    let name = text(command, "client");
    if text(command, "do") == "open" {
        if clients.contains_key(name) {
            return Some(rejected(id, "this library cannot reopen a closed client"));
        }
        return Some(match open(name, text(command, "url")) {
            Ok(client) => {
                clients.insert(name.to_owned(), client);
                succeeded(id, &json!({}))
            }
            Err(error) => rejected(id, &error),
        });
    }
    let Some(client) = clients.get(name) else {
        return Some(rejected(id, "client not found"));
    };
    match text(command, "do") {
        "close" => {
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move {
                let response = match client.close(Duration::ZERO).await {
                    Ok(()) => succeeded(&id, &json!({})),
                    Err(error) => rejected(&id, &error.to_string()),
                };
                write_line(&response);
            });
            None
        }
        "subscribe" => {
            let channel = text(command, "channel").to_owned();
            let subscription = client.subscribe(&channel);
            tokio::spawn(report_subscription(name.to_owned(), channel, subscription));
            Some(succeeded(id, &json!({})))
        }
        "rpc" if text(command, "method") == "gw.publish" => publish(id, command, client),
        other => Some(rejected(id, &format!("unknown command `{other}`"))),
    }
}

fn open(name: &str, url: &str) -> Result<Client, String> {
    let builder = Client::builder(url).map_err(|error| error.to_string())?;
    let (client, driver) = builder.build().map_err(|error| error.to_string())?;
    tokio::spawn(report_connection(name.to_owned(), client.events()));
    tokio::spawn(driver);
    Ok(client)
}

fn publish(id: &Value, command: &Value, client: &Client) -> Option<Value> {
    let data = command.get("data")?;
    let (channel, key) = (
        text(data, "channel"),
        text(data, "idempotency_key").to_owned(),
    );
    let payload = data.get("data")?;
    match client.message(channel, payload).key(key).send_now() {
        Ok(receipt) => {
            let id = id.clone();
            tokio::spawn(async move { write_line(&publish_response(&id, receipt.await)) });
            None
        }
        Err(error) => Some(rejected(id, &error.to_string())),
    }
}

fn publish_response(id: &Value, delivery: SendResult) -> Value {
    match delivery {
        Ok(Acknowledgement {
            position,
            duplicate,
            ..
        }) => {
            let Position { epoch, offset } = position;
            let data = json!({"offset": offset, "epoch": epoch, "duplicate": duplicate});
            succeeded(id, &json!({"data": data}))
        }
        Err(SendError::Rejected(error)) => {
            let error = json!({"kind": "server", "code": error.code, "message": error.message});
            json!({"id": id, "error": error})
        }
        Err(SendError::Interrupted) => {
            json!({"id": id, "error": {"kind": "lost", "message": "no reply received"}})
        }
        Err(SendError::Expired) => rejected(id, "expired"),
        Err(error) => rejected(id, &format!("{error:?}")),
    }
}

/// Reports connection events. Waiting for an attempt other than the first reports the failure of the previous attempt.
async fn report_connection(name: String, mut events: broadcast::Receiver<SessionEvent>) {
    let report = |event: &str, code: u32, reason: &str| {
        write_line(&json!({"event": event, "client": &name, "code": code, "reason": reason}));
    };
    let mut has_lost = false;
    loop {
        match events.recv().await {
            Ok(SessionEvent::Attempting { attempt: 1, .. }) if !has_lost => {
                report("connecting", CODE_REQUESTED, "open called");
            }
            Ok(SessionEvent::Attempting { .. } | SessionEvent::Ready { .. }) => {}
            Ok(SessionEvent::Lost { cause, .. }) => {
                has_lost = true;
                report("connecting", code(&cause), &format!("{cause:?}"));
            }
            // The first `Waiting` after a loss is a consequence of the loss, not a failed attempt.
            Ok(SessionEvent::Waiting { attempt: 1, .. }) => {}
            Ok(SessionEvent::Waiting { cause, .. }) => {
                let message = format!("{cause:?}");
                write_line(
                    &json!({"event": "warning", "client": &name, "channel": null, "code": 0, "message": message}),
                );
            }
            Ok(SessionEvent::Connected { epoch, .. }) => {
                let client_id = epoch.0.to_string();
                write_line(&json!({"event": "connected", "client": &name, "client_id": client_id}));
            }
            Ok(SessionEvent::Failed { cause }) => {
                report("disconnected", code(&cause), &format!("{cause:?}"));
            }
            Ok(SessionEvent::Closed) => report("disconnected", CODE_REQUESTED, "close called"),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                output::message(&format!(
                    "{name}: {} lost: the event queue was full",
                    counted(missed, "event was", "events were")
                ));
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

const fn code(cause: &DisconnectCause) -> u32 {
    match cause {
        DisconnectCause::Closed { code, .. } => {
            let [high, low] = code.to_be_bytes();
            u32::from_be_bytes([0, 0, high, low])
        }
        DisconnectCause::ConnectRejected { code, .. } => *code,
        DisconnectCause::PongTimeout(_) => CODE_NO_PING,
        DisconnectCause::WriteTimeout(_) => CODE_NO_PING,
        DisconnectCause::Dial { .. }
        | DisconnectCause::LocalNetwork(_)
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::ConnectionFailed(_)
        | DisconnectCause::Protocol(_)
        | DisconnectCause::AttemptsExhausted(_)
        | _ => CODE_TRANSPORT_CLOSED,
    }
}

async fn report_subscription(name: String, channel: String, mut subscription: Subscription) {
    let subscribed = |position: &Position, was_recovering: bool, recovered: bool| {
        write_line(&json!({
            "event": "subscribed", "client": &name, "channel": &channel, "recoverable": true,
            "was_recovering": was_recovering, "recovered": recovered,
            "offset": position.offset, "epoch": &position.epoch,
        }));
    };
    while let Some(event) = subscription.next().await {
        match event {
            SubscriptionEvent::Subscribed { position } => subscribed(&position, false, false),
            SubscriptionEvent::Resumed { position } => subscribed(&position, true, true),
            SubscriptionEvent::Gap { to, .. } => subscribed(&to, true, false),
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                let data: Value = serde_json::from_slice(&publication.data).unwrap_or_default();
                let publisher = publication.info.map(|info| info.client);
                write_line(&json!({
                    "event": "publication", "client": &name, "channel": &channel,
                    "offset": publication.offset, "data": data, "publisher": publisher,
                }));
            }
            SubscriptionEvent::Item(Item::Join(info)) => {
                write_line(
                    &json!({"event": "join", "client": &name, "channel": &channel, "client_id": info.client}),
                );
            }
            SubscriptionEvent::Item(Item::Leave(info)) => {
                write_line(
                    &json!({"event": "leave", "client": &name, "channel": &channel, "client_id": info.client}),
                );
            }
            SubscriptionEvent::Unsubscribed(cause) => {
                let code = match &cause {
                    UnsubscribeCause::Server(refusal) => refusal.code,
                    UnsubscribeCause::TooMany(_)
                    | UnsubscribeCause::Duplicate
                    | UnsubscribeCause::Unsendable(_)
                    | _ => 0,
                };
                write_line(&json!({
                    "event": "unsubscribed", "client": &name, "channel": &channel,
                    "code": code, "reason": cause.to_string(),
                }));
            }
            SubscriptionEvent::Item(_) | _ => {}
        }
    }
}

fn succeeded(id: &Value, ok: &Value) -> Value {
    json!({"id": id, "ok": ok})
}

fn rejected(id: &Value, message: &str) -> Value {
    json!({"id": id, "error": {"kind": "rejected", "message": message}})
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn write_line(line: &Value) {
    output::print(&line.to_string());
}
