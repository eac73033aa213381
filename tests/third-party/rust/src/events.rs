//! Every event of a client and of its subscriptions, as a line for the harness.

use centrifuge::{Client, Subscription, SubscriptionBuilder};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::calls::payload;

/// Reports the events of a client under this name.
pub(crate) fn report_client(client: &Client, name: &str, lines: &UnboundedSender<Value>) {
    let send = client_sender(name, lines);
    client.on_connecting(move |_, it| {
        send("connecting", json!({"code": it.code, "reason": it.reason}))
    });
    let send = client_sender(name, lines);
    client.on_connected(move |_, it| send("connected", json!({"client_id": it.client_id})));
    let send = client_sender(name, lines);
    client.on_disconnected(move |_, it| {
        send(
            "disconnected",
            json!({"code": it.code, "reason": it.reason}),
        )
    });
    let send = client_sender(name, lines);
    client.on_error(move |_, it| {
        send(
            "warning",
            json!({"channel": null, "code": 0, "message": it.error.to_string()}),
        );
    });
}

/// Reports the events of the subscription that this builder creates.
pub(crate) fn report_subscription(
    builder: SubscriptionBuilder,
    name: &str,
    lines: &UnboundedSender<Value>,
) -> SubscriptionBuilder {
    let subscribing = channel_sender(name, lines);
    let unsubscribed = channel_sender(name, lines);
    let subscribed = channel_sender(name, lines);
    let publication = channel_sender(name, lines);
    let join = channel_sender(name, lines);
    let leave = channel_sender(name, lines);
    let warning = channel_sender(name, lines);
    builder
        .on_subscribing(move |at, it| {
            subscribing(
                at,
                "subscribing",
                json!({"code": it.code, "reason": it.reason}),
            )
        })
        .on_unsubscribed(move |at, it| {
            unsubscribed(
                at,
                "unsubscribed",
                json!({"code": it.code, "reason": it.reason}),
            )
        })
        .on_subscribed(move |at, it| {
            let (offset, epoch) = match it.stream_position {
                Some(position) => (position.offset, position.epoch),
                None => (0, String::new()),
            };
            let fields = json!({
                "was_recovering": it.was_recovering,
                "recovered": it.recovered,
                "recoverable": it.recoverable,
                "offset": offset,
                "epoch": epoch,
            });
            subscribed(at, "subscribed", fields);
        })
        .on_publication(move |at, it| {
            let publisher = it.info.as_ref().map(|info| info.client.clone());
            let fields =
                json!({"offset": it.offset, "data": payload(&it.data), "publisher": publisher});
            publication(at, "publication", fields);
        })
        .on_join(move |at, it| join(at, "join", json!({"client_id": it.info.client})))
        .on_leave(move |at, it| leave(at, "leave", json!({"client_id": it.info.client})))
        .on_error(move |at, it| {
            warning(
                at,
                "warning",
                json!({"code": 0, "message": it.error.to_string()}),
            )
        })
}

/// Returns a function that sends lines with the client's name.
fn client_sender(
    name: &str,
    lines: &UnboundedSender<Value>,
) -> impl Fn(&str, Value) + Send + 'static + use<> {
    let name = name.to_owned();
    let lines = lines.clone();
    move |event, mut fields| {
        fields["event"] = json!(event);
        fields["client"] = json!(name);
        // The receiver is closed only at the end.
        drop(lines.send(fields));
    }
}

/// Returns a function that sends lines with the names of client and channel.
fn channel_sender(
    name: &str,
    lines: &UnboundedSender<Value>,
) -> impl Fn(&Subscription, &str, Value) + Send + 'static + use<> {
    let send = client_sender(name, lines);
    move |subscription, event, mut fields| {
        fields["channel"] = json!(subscription.channel());
        send(event, fields);
    }
}
