//! Clients of the Rust client library for the Centrifuge client protocol, with the commands of the third-party clients.
//!
//! The driver makes no decisions: retries and the state of publications are the responsibility of the library or of the
//! lab.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::centrifuge::{
    Acknowledgement, Client, Item, Position, SendError, SendResult, Subscription,
    SubscriptionEvent, UnsubscribeCause,
};

use super::{Adapter, rejected, session, succeeded, text, timers, write_line};

/// All clients of the library.
#[derive(Debug, Default)]
pub(super) struct Centrifuge {
    clients: BTreeMap<String, Client>,
}

impl Adapter for Centrifuge {
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value> {
        execute(id, command, &mut self.clients)
    }
}

/// Executes a command; returns the response, unless a task sends it later.
fn execute(id: &Value, command: &Value, clients: &mut BTreeMap<String, Client>) -> Option<Value> {
    let name = text(command, "client");
    if text(command, "do") == "open" {
        if clients.contains_key(name) {
            return Some(rejected(id, "this library cannot reopen a closed client"));
        }
        return Some(match open(name, command) {
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

fn open(name: &str, command: &Value) -> Result<Client, String> {
    let builder = Client::builder(text(command, "url")).map_err(|error| error.to_string())?;
    let builder = timers::apply(builder, command);
    let (client, driver) = builder.build().map_err(|error| error.to_string())?;
    tokio::spawn(session::report(
        name.to_owned(),
        client.events(),
        client.state(),
    ));
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
