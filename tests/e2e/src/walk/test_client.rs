//! One client of a walk, with the calls and assertions that the steps share.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::driver::line::{CallError, DriverEventKind};
use crate::ledger::{Position, Subscribed};
use crate::third_party::Drivers;

/// A connected third-party client.
#[derive(Clone, Debug)]
pub(super) struct TestClient {
    /// The client's name in this run.
    pub(super) name: String,
    /// The client id that the gateway assigned last.
    pub(super) client_id: String,
}

/// The acknowledgement of an idempotent publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) position: Position,
    pub(super) duplicate: bool,
}

impl TestClient {
    pub(super) fn connect(drivers: &mut Drivers, name: &str, url: &str) -> Result<Self> {
        let mut client = Self {
            name: name.to_owned(),
            client_id: String::new(),
        };
        client.open(drivers, url)?;
        Ok(client)
    }

    /// Connects the client for the first time, or reconnects it.
    pub(super) fn open(&mut self, drivers: &mut Drivers, url: &str) -> Result<()> {
        drivers.succeed(json!({"do": "open", "client": self.name, "url": url}))?;
        self.client_id = drivers.expect(&self.name, "", "connected", |event| {
            let DriverEventKind::Connected(client_id) = event else {
                return None;
            };
            Some(client_id.clone())
        })?;
        Ok(())
    }

    pub(super) fn close(&self, drivers: &mut Drivers) -> Result<()> {
        drivers.succeed(json!({"do": "close", "client": self.name}))?;
        drivers.expect(&self.name, "", "disconnected", |event| {
            matches!(event, DriverEventKind::Disconnected { .. }).then_some(())
        })
    }

    /// Subscribes and waits until the subscription is active.
    pub(super) fn subscribe(&self, drivers: &mut Drivers, channel: &str) -> Result<Subscribed> {
        self.send_subscribe(drivers, channel, None)?;
        self.expect_subscribed(drivers, channel)
    }

    /// Subscribes after a position and waits until the subscription is active.
    pub(super) fn subscribe_since(
        &self,
        drivers: &mut Drivers,
        channel: &str,
        since: &Position,
    ) -> Result<Subscribed> {
        self.send_subscribe(drivers, channel, Some(since))?;
        self.expect_subscribed(drivers, channel)
    }

    pub(super) fn send_subscribe(
        &self,
        drivers: &mut Drivers,
        channel: &str,
        since: Option<&Position>,
    ) -> Result<()> {
        let since = since.map(|it| json!({"offset": it.offset, "epoch": it.epoch}));
        let command = json!({
            "do": "subscribe", "client": self.name, "channel": channel,
            "recoverable": true, "join_leave": true, "since": since,
        });
        drivers.succeed(command)?;
        Ok(())
    }

    pub(super) fn expect_subscribed(
        &self,
        drivers: &mut Drivers,
        channel: &str,
    ) -> Result<Subscribed> {
        drivers.expect(&self.name, channel, "subscribed", |event| {
            let DriverEventKind::Subscribed(outcome) = event else {
                return None;
            };
            Some(outcome.clone())
        })
    }

    pub(super) fn publish(&self, drivers: &mut Drivers, channel: &str, data: &Value) -> Result<()> {
        let command = json!({
            "do": "publish", "client": self.name, "channel": channel, "data": data,
        });
        drivers.succeed(command)?;
        Ok(())
    }

    pub(super) fn publish_idempotent(
        &self,
        drivers: &mut Drivers,
        channel: &str,
        key: &str,
        data: &Value,
    ) -> Result<Ack> {
        let data = json!({"channel": channel, "idempotency_key": key, "data": data});
        let result = self.rpc(drivers, "gw.publish", &data)?;
        let result = match result {
            Ok(result) => result,
            Err(error) => bail!("gw.publish failed: {error:?}"),
        };
        let read = || {
            let reply = result.get("data")?;
            Some(Ack {
                position: Position {
                    epoch: reply.get("epoch")?.as_str()?.to_owned(),
                    offset: reply.get("offset")?.as_u64()?,
                },
                duplicate: reply.get("duplicate")?.as_bool()?,
            })
        };
        read().with_context(|| format!("unexpected reply to gw.publish: {result}"))
    }

    pub(super) fn rpc(
        &self,
        drivers: &mut Drivers,
        method: &str,
        data: &Value,
    ) -> Result<Result<Value, CallError>> {
        drivers.call(json!({"do": "rpc", "client": self.name, "method": method, "data": data}))
    }

    /// Waits for the next publication, compares its offset and data, and returns its publisher.
    pub(super) fn expect_publication(
        &self,
        drivers: &mut Drivers,
        channel: &str,
        offset: u64,
        data: &Value,
    ) -> Result<String> {
        let (found, payload, publisher) =
            drivers.expect(&self.name, channel, "publication", |event| {
                let DriverEventKind::Publication {
                    offset,
                    data,
                    publisher,
                } = event
                else {
                    return None;
                };
                Some((*offset, data.clone(), publisher.clone()))
            })?;
        ensure!(
            found == offset && payload == *data,
            "{} received {payload} at offset {found} instead of {data} at {offset}",
            self.name
        );
        Ok(publisher)
    }

    /// Requests history; `fields` are added to the command.
    pub(super) fn history(
        &self,
        drivers: &mut Drivers,
        channel: &str,
        fields: &Value,
    ) -> Result<Result<Value, CallError>> {
        let mut command = json!({"do": "history", "client": self.name, "channel": channel});
        if let (Some(command), Some(fields)) = (command.as_object_mut(), fields.as_object()) {
            command.extend(fields.clone());
        }
        drivers.call(command)
    }

    pub(super) fn presence(&self, drivers: &mut Drivers, channel: &str) -> Result<Vec<String>> {
        let command = json!({"do": "presence", "client": self.name, "channel": channel});
        let result = drivers.succeed(command)?;
        let clients = result.get("clients").and_then(Value::as_array);
        let clients = clients.with_context(|| format!("unexpected presence: {result}"))?;
        let mut names: Vec<String> = clients
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn presence_stats(&self, drivers: &mut Drivers, channel: &str) -> Result<Value> {
        drivers.succeed(json!({"do": "presence_stats", "client": self.name, "channel": channel}))
    }
}
