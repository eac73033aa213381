//! One client of a walk, with the calls and expectations that the steps share.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::driver::line::{CallError, DriverEventKind};
use crate::ledger::{Position, Subscribed};
use crate::peers::Peers;

/// A connected client.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    /// Its name in this run.
    pub(super) name: String,
    /// The client id that the gateway gave it last.
    pub(super) identity: String,
}

/// The answer to a keyed publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) position: Position,
    pub(super) duplicate: bool,
}

impl Guest {
    pub(super) fn connect(peers: &mut Peers, name: &str, url: &str) -> Result<Self> {
        let mut guest = Self {
            name: name.to_owned(),
            identity: String::new(),
        };
        guest.open(peers, url)?;
        Ok(guest)
    }

    /// Connects, for the first time or again.
    pub(super) fn open(&mut self, peers: &mut Peers, url: &str) -> Result<()> {
        peers.succeed(json!({"do": "open", "client": self.name, "url": url}))?;
        self.identity = peers.expect(&self.name, "", "connected", |what| {
            let DriverEventKind::Connected(identity) = what else {
                return None;
            };
            Some(identity.clone())
        })?;
        Ok(())
    }

    pub(super) fn close(&self, peers: &mut Peers) -> Result<()> {
        peers.succeed(json!({"do": "close", "client": self.name}))?;
        peers.expect(&self.name, "", "disconnected", |what| {
            matches!(what, DriverEventKind::Disconnected { .. }).then_some(())
        })
    }

    /// Subscribes and waits until it stands.
    pub(super) fn subscribe(&self, peers: &mut Peers, channel: &str) -> Result<Subscribed> {
        self.ask_to_subscribe(peers, channel, None)?;
        self.expect_subscribed(peers, channel)
    }

    /// Subscribes behind a position and waits until it stands.
    pub(super) fn subscribe_since(
        &self,
        peers: &mut Peers,
        channel: &str,
        since: &Position,
    ) -> Result<Subscribed> {
        self.ask_to_subscribe(peers, channel, Some(since))?;
        self.expect_subscribed(peers, channel)
    }

    pub(super) fn ask_to_subscribe(
        &self,
        peers: &mut Peers,
        channel: &str,
        since: Option<&Position>,
    ) -> Result<()> {
        let since = since.map(|it| json!({"offset": it.offset, "epoch": it.epoch}));
        let command = json!({
            "do": "subscribe", "client": self.name, "channel": channel,
            "recoverable": true, "join_leave": true, "since": since,
        });
        peers.succeed(command)?;
        Ok(())
    }

    pub(super) fn expect_subscribed(&self, peers: &mut Peers, channel: &str) -> Result<Subscribed> {
        peers.expect(&self.name, channel, "subscribed", |what| {
            let DriverEventKind::Subscribed(outcome) = what else {
                return None;
            };
            Some(outcome.clone())
        })
    }

    pub(super) fn publish(&self, peers: &mut Peers, channel: &str, data: &Value) -> Result<()> {
        let command = json!({
            "do": "publish", "client": self.name, "channel": channel, "data": data,
        });
        peers.succeed(command)?;
        Ok(())
    }

    pub(super) fn publish_keyed(
        &self,
        peers: &mut Peers,
        channel: &str,
        key: &str,
        data: &Value,
    ) -> Result<Ack> {
        let data = json!({"channel": channel, "idempotency_key": key, "data": data});
        let result = self.rpc(peers, "gw.publish", &data)?;
        let result = match result {
            Ok(result) => result,
            Err(error) => bail!("gw.publish was answered with {error:?}"),
        };
        let read = || {
            let answer = result.get("data")?;
            Some(Ack {
                position: Position {
                    epoch: answer.get("epoch")?.as_str()?.to_owned(),
                    offset: answer.get("offset")?.as_u64()?,
                },
                duplicate: answer.get("duplicate")?.as_bool()?,
            })
        };
        read().with_context(|| format!("gw.publish was answered with {result}"))
    }

    pub(super) fn rpc(
        &self,
        peers: &mut Peers,
        method: &str,
        data: &Value,
    ) -> Result<Result<Value, CallError>> {
        peers.call(json!({"do": "rpc", "client": self.name, "method": method, "data": data}))
    }

    /// Waits for the next publication and compares it.
    pub(super) fn expect_publication(
        &self,
        peers: &mut Peers,
        channel: &str,
        offset: u64,
        data: &Value,
    ) -> Result<String> {
        let (found, payload, publisher) =
            peers.expect(&self.name, channel, "publication", |what| {
                let DriverEventKind::Publication {
                    offset,
                    data,
                    publisher,
                } = what
                else {
                    return None;
                };
                Some((*offset, data.clone(), publisher.clone()))
            })?;
        ensure!(
            found == offset && payload == *data,
            "{} was handed {payload} at offset {found} instead of {data} at {offset}",
            self.name
        );
        Ok(publisher)
    }

    /// Asks for history; the fields are those of the command.
    pub(super) fn history(
        &self,
        peers: &mut Peers,
        channel: &str,
        fields: &Value,
    ) -> Result<Result<Value, CallError>> {
        let mut command = json!({"do": "history", "client": self.name, "channel": channel});
        if let (Some(command), Some(fields)) = (command.as_object_mut(), fields.as_object()) {
            command.extend(fields.clone());
        }
        peers.call(command)
    }

    pub(super) fn presence(&self, peers: &mut Peers, channel: &str) -> Result<Vec<String>> {
        let command = json!({"do": "presence", "client": self.name, "channel": channel});
        let result = peers.succeed(command)?;
        let clients = result.get("clients").and_then(Value::as_array);
        let clients = clients.with_context(|| format!("a presence of {result}"))?;
        let mut names: Vec<String> = clients
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn presence_stats(&self, peers: &mut Peers, channel: &str) -> Result<Value> {
        peers.succeed(json!({"do": "presence_stats", "client": self.name, "channel": channel}))
    }
}
