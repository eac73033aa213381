//! Converts commands to calls of the client, and the client's errors to the three kinds of the driver protocol.

use centrifuge::{Bytes, Client, Error, HistoryOptions, HistoryResult};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::command::{Command, Response};
use crate::events;

/// Executes every command but `open`.
pub(crate) async fn execute(
    client: &Client,
    command: &Command,
    lines: &UnboundedSender<Value>,
) -> Response {
    let channel = command.text("channel");
    match command.name() {
        "close" => {
            client.disconnect();
            Ok(json!({}))
        }
        "subscribe" => outcome(subscribe(client, command, lines).map(|()| json!({}))),
        "unsubscribe" => {
            if let Some(subscription) = client.get_subscription(channel) {
                subscription.unsubscribe();
            }
            Ok(json!({}))
        }
        "publish" => outcome(
            client
                .publish(channel, command.data())
                .await
                .map(|()| json!({})),
        ),
        "rpc" => {
            let response = client.rpc(command.text("method"), command.data()).await;
            outcome(response.map(|result| json!({"data": payload(&result.data)})))
        }
        "history" => outcome(
            client
                .history(channel, history_options(command))
                .await
                .map(|all| history(&all)),
        ),
        "presence" => {
            let response = client.presence(channel).await;
            outcome(response.map(|all| json!({"clients": all.clients.keys().collect::<Vec<_>>()})))
        }
        "presence_stats" => {
            let response = client.presence_stats(channel).await;
            outcome(
                response
                    .map(|all| json!({"num_clients": all.num_clients, "num_users": all.num_users})),
            )
        }
        other => Err(json!({"kind": "rejected", "message": format!("unknown command {other}")})),
    }
}

/// Classifies the client's errors: the gateway rejected the call, the reply was lost, or the call was never sent.
pub(crate) fn outcome(result: Result<Value, Error>) -> Response {
    result.map_err(|error| match &error {
        Error::Server(server) => {
            json!({"kind": "server", "code": server.code, "message": server.message})
        }
        Error::Timeout | Error::ClientDisconnected | Error::Transport { .. } => {
            json!({"kind": "lost", "message": error.to_string()})
        }
        _ => json!({"kind": "rejected", "message": error.to_string()}),
    })
}

/// A payload as JSON; the gateway's JSON protocol sends only JSON.
pub(crate) fn payload(data: &Bytes) -> Value {
    serde_json::from_slice(data).unwrap_or(Value::Null)
}

fn subscribe(
    client: &Client,
    command: &Command,
    lines: &UnboundedSender<Value>,
) -> Result<(), Error> {
    let channel = command.text("channel");
    if let Some(subscription) = client.get_subscription(channel) {
        subscription.subscribe();
        return Ok(());
    }
    let recoverable = command.flag("recoverable");
    let mut builder = client
        .new_subscription(channel)
        .recoverable(recoverable)
        .positioned(recoverable)
        .join_leave(command.flag("join_leave"));
    if let Some(since) = command.since() {
        builder = builder.since(since);
    }
    let builder = events::report_subscription(builder, command.client(), lines);
    builder.build()?.subscribe();
    Ok(())
}

fn history_options(command: &Command) -> HistoryOptions {
    let mut options = match u32::try_from(command.number("limit")) {
        Ok(limit) => HistoryOptions::new().limit(limit),
        // -1 requests all publications.
        Err(_) => HistoryOptions::new().all(),
    };
    if let Some(since) = command.since() {
        options = options.since(since);
    }
    options.reverse(command.flag("reverse"))
}

fn history(result: &HistoryResult) -> Value {
    let publications: Vec<_> = result
        .publications
        .iter()
        .map(
            |publication| json!({"offset": publication.offset, "data": payload(&publication.data)}),
        )
        .collect();
    json!({"offset": result.offset, "epoch": result.epoch, "publications": publications})
}
