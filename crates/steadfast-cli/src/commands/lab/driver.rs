//! `steadfast lab driver`: clients of our own library, told what to do by lines of JSON like those of others.
//!
//! The lines are those of `tests/peers/README.md`. It decides nothing: no retry, no memory of what was published. All of
//! that is the library's, or the lab's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::{Cause, Client, Delivery, DropReason, Event, Feed, Position, Subscription};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::runtime;
use tokio::sync::broadcast;

use crate::exit::Failure;
use crate::output;

/// What a client calls the end of a connection without a code of the server: as other libraries do.
const CODE_TRANSPORT_CLOSED: u32 = 1;
/// The same for a peer that was silent.
const CODE_NO_PING: u32 = 2;
/// Codes above any that a server gives: the client's own end.
const CODE_OWN: u32 = 0;

/// Drives clients until standard input ends.
///
/// # Errors
///
/// When there is no runtime.
pub(super) fn run() -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}"), ""))?;
    runtime.block_on(obey_all());
    Ok(())
}

async fn obey_all() {
    say(&json!({"event": "ready", "driver": "steadfast"}));
    let mut clients = BTreeMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(command) = serde_json::from_str::<Value>(&line) else {
            output::say(&format!("not understood: {line}"));
            continue;
        };
        let id = command.get("id").cloned().unwrap_or_default();
        if let Some(answer) = obey(&id, &command, &mut clients) {
            say(&answer);
        }
    }
}

/// Does it; the answer, unless it comes later.
fn obey(id: &Value, command: &Value, clients: &mut BTreeMap<String, Client>) -> Option<Value> {
    let name = text(command, "client");
    if text(command, "do") == "open" {
        if clients.contains_key(name) {
            return Some(refused(
                id,
                "a closed client of this library is not opened again",
            ));
        }
        return Some(match open(name, text(command, "url")) {
            Ok(client) => {
                clients.insert(name.to_owned(), client);
                done(id, &json!({}))
            }
            Err(error) => refused(id, &error),
        });
    }
    let Some(client) = clients.get(name) else {
        return Some(refused(id, "there is no such client"));
    };
    match text(command, "do") {
        "close" => {
            let (client, id) = (client.clone(), id.clone());
            tokio::spawn(async move {
                client.close(Duration::ZERO).await;
                say(&done(&id, &json!({})));
            });
            None
        }
        "subscribe" => {
            let channel = text(command, "channel").to_owned();
            let subscription = client.subscribe(&channel);
            tokio::spawn(tell_feeds(name.to_owned(), channel, subscription));
            Some(done(id, &json!({})))
        }
        "rpc" if text(command, "method") == "gw.publish" => publish(id, command, client),
        other => Some(refused(id, &format!("`{other}` is not known here"))),
    }
}

fn open(name: &str, url: &str) -> Result<Client, String> {
    let builder = Client::builder(url).map_err(|error| error.to_string())?;
    let (client, driver) = builder.build().map_err(|error| error.to_string())?;
    tokio::spawn(tell_events(name.to_owned(), client.events()));
    tokio::spawn(driver);
    Ok(client)
}

fn publish(id: &Value, command: &Value, client: &Client) -> Option<Value> {
    let data = command.get("data")?;
    let (channel, key) = (text(data, "channel"), text(data, "key").to_owned());
    let payload = data.get("data")?;
    match client.publish_with(channel, payload, key, None) {
        Ok(receipt) => {
            let id = id.clone();
            tokio::spawn(async move { say(&answer(&id, receipt.await)) });
            None
        }
        Err(error) => Some(refused(id, &error.to_string())),
    }
}

fn answer(id: &Value, delivery: Delivery) -> Value {
    match delivery {
        Delivery::Acknowledged {
            position,
            duplicate,
        } => {
            let Position { epoch, offset } = position;
            let data = json!({"offset": offset, "epoch": epoch, "duplicate": duplicate});
            done(id, &json!({"data": data}))
        }
        Delivery::Dropped(DropReason::Refused(error)) => {
            let error = json!({"kind": "server", "code": error.code, "message": error.message});
            json!({"id": id, "error": error})
        }
        Delivery::Interrupted { .. } => {
            json!({"id": id, "error": {"kind": "lost", "message": "no answer came"}})
        }
        Delivery::Expired => refused(id, "its time ran out"),
        Delivery::Dropped(reason) => refused(id, &format!("{reason:?}")),
    }
}

/// What happens to a client. The first attempt is the start, every further one a failure of the one before.
async fn tell_events(name: String, mut events: broadcast::Receiver<Event>) {
    let tell = |event: &str, code: u32, reason: &str| {
        say(&json!({"event": event, "client": &name, "code": code, "reason": reason}));
    };
    let mut has_lost = false;
    loop {
        match events.recv().await {
            Ok(Event::Attempting { attempt: 1, .. }) if !has_lost => {
                tell("connecting", CODE_OWN, "open called");
            }
            Ok(Event::Attempting { .. } | Event::Ready { .. }) => {}
            Ok(Event::Lost { cause, .. }) => {
                has_lost = true;
                tell("connecting", code(&cause), &format!("{cause:?}"));
            }
            // The first one behind a loss is its consequence, not an attempt that failed.
            Ok(Event::Waiting { attempt: 1, .. }) => {}
            Ok(Event::Waiting { cause, .. }) => {
                let message = format!("{cause:?}");
                say(
                    &json!({"event": "trouble", "client": &name, "channel": null, "code": 0, "message": message}),
                );
            }
            Ok(Event::Connected { epoch, .. }) => {
                let identity = epoch.0.to_string();
                say(&json!({"event": "connected", "client": &name, "identity": identity}));
            }
            Ok(Event::Failed { cause }) => {
                tell("disconnected", code(&cause), &format!("{cause:?}"));
            }
            Ok(Event::Closed) => tell("disconnected", CODE_OWN, "close called"),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                output::say(&format!("{name}: {missed} events were missed"));
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

const fn code(cause: &Cause) -> u32 {
    match cause {
        Cause::Closed { code, .. } => {
            let [high, low] = code.to_be_bytes();
            u32::from_be_bytes([0, 0, high, low])
        }
        Cause::Refused { code, .. } => *code,
        Cause::Silence(_) => CODE_NO_PING,
        Cause::WriteStall(_) => CODE_NO_PING,
        Cause::Dial(_)
        | Cause::LocalNetwork(_)
        | Cause::AttemptTimeout
        | Cause::Broken(_)
        | Cause::Protocol(_)
        | Cause::AttemptsExhausted(_) => CODE_TRANSPORT_CLOSED,
    }
}

async fn tell_feeds(name: String, channel: String, mut subscription: Subscription) {
    let stands = |position: &Position, was_recovering: bool, recovered: bool| {
        say(&json!({
            "event": "subscribed", "client": &name, "channel": &channel, "recoverable": true,
            "was_recovering": was_recovering, "recovered": recovered,
            "offset": position.offset, "epoch": &position.epoch,
        }));
    };
    while let Some(feed) = subscription.next().await {
        match feed {
            Feed::Started { position } => stands(&position, false, false),
            Feed::Resumed { position } => stands(&position, true, true),
            Feed::Gap { to, .. } => stands(&to, true, false),
            Feed::Item(publication) => {
                let data: Value = serde_json::from_slice(&publication.data).unwrap_or_default();
                let author = publication.info.map(|info| info.client);
                say(&json!({
                    "event": "publication", "client": &name, "channel": &channel,
                    "offset": publication.offset, "data": data, "author": author,
                }));
            }
            Feed::Joined(info) => {
                say(
                    &json!({"event": "join", "client": &name, "channel": &channel, "who": info.client}),
                );
            }
            Feed::Left(info) => {
                say(
                    &json!({"event": "leave", "client": &name, "channel": &channel, "who": info.client}),
                );
            }
            Feed::Ended { code, reason } => {
                say(&json!({
                    "event": "unsubscribed", "client": &name, "channel": &channel,
                    "code": code, "reason": reason,
                }));
            }
        }
    }
}

fn done(id: &Value, ok: &Value) -> Value {
    json!({"id": id, "ok": ok})
}

fn refused(id: &Value, message: &str) -> Value {
    json!({"id": id, "error": {"kind": "refused", "message": message}})
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn say(line: &Value) {
    output::print(&line.to_string());
}
