//! The commands of drivers as JSON. The sender adds the id of each command.

use std::time::Duration;

use serde_json::{Map, Value, json};
use steadfast_faults::scenario::model::{AdapterOptions, ClientTimers};
use steadfast_machine::convert;

/// Creates a client and connects it. What the scenario does not set is left out.
pub(crate) fn open(
    client: &str,
    url: &str,
    timers: &ClientTimers,
    options: &AdapterOptions,
) -> Value {
    let mut command = json!({"do": "open", "client": client, "url": url});
    let millis = |time: Option<Duration>| time.map(|time| millis(time).into());
    let timers = [
        ("connect_ms", millis(timers.connect)),
        ("ping_ms", millis(timers.ping)),
        ("pong_ms", millis(timers.pong)),
    ];
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let options = [
        ("login", text(&options.login)),
        ("first_message", text(&options.first_message)),
        ("sequence", text(&options.sequence)),
        ("stream", text(&options.stream)),
        ("epoch", text(&options.epoch)),
    ];
    for (key, entries) in [("timers", timers.to_vec()), ("options", options.to_vec())] {
        let entries: Map<String, Value> = entries
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        if let (Some(command), false) = (command.as_object_mut(), entries.is_empty()) {
            command.insert(key.to_owned(), entries.into());
        }
    }
    command
}

/// Subscribes with recovery and without join and leave events.
pub(crate) fn subscribe(client: &str, channel: &str) -> Value {
    json!({"do": "subscribe", "client": client, "channel": channel, "recoverable": true, "join_leave": false})
}

/// Publishes with an idempotency key.
pub(crate) fn publish(client: &str, channel: &str, key: &str, data: &Value) -> Value {
    let data = json!({"channel": channel, "data": data, "idempotency_key": key});
    json!({"do": "rpc", "client": client, "method": "gw.publish", "data": data})
}

/// Sends a request, whose outcome the driver reports at the latest after its time limit.
pub(crate) fn request(client: &str, op: &str, key: &str, data: &Value, timeout: Duration) -> Value {
    json!({"do": "request", "client": client, "op": op, "key": key, "data": data, "timeout_ms": millis(timeout)})
}

/// Disconnects a client.
pub(crate) fn close(client: &str) -> Value {
    json!({"do": "close", "client": client})
}

fn millis(time: Duration) -> u64 {
    convert::saturating(time.as_millis())
}
