//! The loop of a run: publishes on time, records what arrives in the ledger, kills, and waits for all clients to
//! reconnect.
//!
//! One thread owns the complete state. The ledger evaluates the run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Plan;
use crate::driver::ClientKind;
use crate::driver::line::{CallError, DriverEvent, DriverEventKind};
use crate::gateway::Gateway;
use crate::ledger::{Ledger, Position};
use crate::third_party::{Drivers, Incoming};
use crate::verdict::Verdict;

/// Publications per second of each connected client.
pub(super) const MESSAGES_PER_SECOND: u32 = 20;

/// Length of each payload as JSON.
pub(super) const PAYLOAD_BYTES: usize = 128;

/// Maximum attempts for each kill that counts: a kill without lost acknowledgements does not count and is repeated.
pub(super) const ATTEMPTS_PER_KILL: u32 = 3;

/// All clients publish at the same instants, so that a kill shortly afterwards hits many publications in flight.
const TICK: Duration = Duration::from_secs(1)
    .checked_div(MESSAGES_PER_SECOND)
    .expect("a rate above zero");

/// One publication in this number is plain.
const PLAIN_EVERY: u64 = 10;

/// Delays of the kill after a tick, in turn: requests are on the wire, in the log, or being acknowledged. A kill that
/// hit nothing in flight is repeated with the shortest delay.
const KILL_DELAYS_MS: [u64; 5] = [2, 1, 4, 3, 6];

/// Maximum time until all clients have reconnected: a few of their own delays between two attempts.
const RETURN_MAX: Duration = Duration::from_secs(30);

/// How long the harness waits for late duplicates after all deliveries are complete.
const QUIET: Duration = Duration::from_millis(500);

/// Publications per page when a channel is read; the gateway's limit for one reply.
const PAGE: u64 = 300;

/// The state of a client as the harness knows it.
#[derive(Debug)]
struct Client {
    publishes_to: String,
    reads: BTreeSet<String>,
    connected: bool,
    subscribed: BTreeSet<String>,
    /// Publications so far; part of the next key.
    published: u64,
}

impl Client {
    fn is_subscribed(&self) -> bool {
        self.connected && self.subscribed == self.reads
    }
}

/// A publication that is not acknowledged yet.
#[derive(Debug)]
struct Call {
    client: String,
    key: String,
    idempotent: bool,
    /// Sent before the current kill.
    before_kill: bool,
}

/// A run in progress.
#[derive(Debug)]
pub(super) struct Run {
    gateway: Gateway,
    drivers: Drivers,
    plan: Plan,
    ledger: Ledger,
    clients: BTreeMap<String, Client>,
    calls: BTreeMap<u64, Call>,
    /// Idempotent publications to resend, by client.
    repeats: BTreeMap<String, VecDeque<String>>,
    /// Payloads by key, for repeats.
    payloads: BTreeMap<String, Value>,
    /// Acknowledgements lost since the last kill: of idempotent and of plain publications.
    lost: (u64, u64),
    next_tick: Instant,
    /// The last warnings of clients, for the error message if they do not reconnect.
    warnings: VecDeque<String>,
}

impl Run {
    pub(super) fn new(gateway: Gateway, drivers: Drivers, plan: Plan) -> Self {
        let channel = |number: usize| format!("load-{}", number % plan.channels);
        let mut clients = BTreeMap::new();
        for kind in ClientKind::ALL {
            for number in 0..plan.clients {
                let client = Client {
                    publishes_to: channel(number),
                    reads: BTreeSet::from([channel(number), channel(number + 1)]),
                    connected: false,
                    subscribed: BTreeSet::new(),
                    published: 0,
                };
                clients.insert(format!("{}-{number}", kind.name_prefix()), client);
            }
        }
        Self {
            gateway,
            drivers,
            plan,
            ledger: Ledger::default(),
            clients,
            calls: BTreeMap::new(),
            repeats: BTreeMap::new(),
            payloads: BTreeMap::new(),
            lost: (0, 0),
            next_tick: Instant::now(),
            warnings: VecDeque::new(),
        }
    }

    /// Connects and subscribes all clients.
    pub(super) fn connect_all(&mut self) -> Result<()> {
        let url = self.gateway.url();
        for (name, client) in &self.clients {
            self.drivers
                .succeed(json!({"do": "open", "client": name, "url": url}))?;
            for channel in &client.reads {
                self.ledger.expect_subscriber(name, channel);
                let command = json!({
                    "do": "subscribe", "client": name, "channel": channel,
                    "recoverable": true, "join_leave": false,
                });
                self.drivers.succeed(command)?;
            }
        }
        for event in self.drivers.take_all() {
            self.on_event(event);
        }
        self.wait_for_all_clients()
    }

    /// Publishes from all clients for the plan's time.
    pub(super) fn load(&mut self) -> Result<()> {
        let until = Instant::now() + self.plan.load;
        while Instant::now() < until {
            self.tick()?;
        }
        Ok(())
    }

    /// Kills the gateway with publications in flight, restarts it and waits until all clients have reconnected. Returns
    /// whether the kill counts.
    pub(super) fn kill_and_restart(&mut self, kill: u32, attempt: u32) -> Result<bool> {
        self.tick()?;
        self.publish_all()?;
        let turn = usize::try_from(kill)? % KILL_DELAYS_MS.len();
        let delay = match attempt {
            0 => KILL_DELAYS_MS.get(turn).copied().unwrap_or(1),
            _ => 1,
        };
        self.receive_until(Instant::now() + Duration::from_millis(delay))?;
        self.gateway.kill()?;
        self.lost = (0, 0);
        for call in self.calls.values_mut() {
            call.before_kill = true;
        }
        self.gateway.start()?;
        self.wait_for_all_clients()?;
        // A reply in flight may still arrive; the clients fail the other calls when they detect the lost connection.
        let deadline = Instant::now() + RETURN_MAX;
        while self.calls.values().any(|call| call.before_kill) {
            ensure!(
                Instant::now() < deadline,
                "calls neither completed nor failed"
            );
            self.tick()?;
        }
        let (idempotent, plain) = self.lost;
        if idempotent == 0 && self.plan.in_flight_only {
            self.ledger.killed_without_publications_in_flight();
            return Ok(false);
        }
        self.ledger.killed_in_flight(idempotent, plain);
        Ok(true)
    }

    /// Waits for the last replies and deliveries, reads the channels back and evaluates the ledger.
    pub(super) fn finish(mut self) -> Result<(Verdict, Gateway)> {
        let deadline = Instant::now() + self.plan.settle;
        while !(self.calls.is_empty() && self.repeats.is_empty()) && Instant::now() < deadline {
            self.repeat_all()?;
            self.receive_until(Instant::now() + TICK)?;
        }
        let channels: BTreeSet<String> = self
            .clients
            .values()
            .map(|it| it.publishes_to.clone())
            .collect();
        for channel in channels {
            let (epoch, forwards) =
                self.read_back(ClientKind::Node, &channel, Direction::Forwards)?;
            let (again, mut backwards) =
                self.read_back(ClientKind::Rust, &channel, Direction::Backwards)?;
            backwards.reverse();
            if (&epoch, &forwards) != (&again, &backwards) {
                self.ledger.histories_differ(&channel);
            }
            // The longer history is evaluated: `histories_differ` reports that the other is incomplete.
            let held = [forwards, backwards].into_iter().max_by_key(Vec::len);
            self.ledger
                .history(&channel, &epoch, &held.unwrap_or_default());
        }
        for event in self.drivers.take_all() {
            self.on_event(event);
        }
        while self.ledger.lagging() > 0 && Instant::now() < deadline {
            self.receive_until(Instant::now() + TICK)?;
        }
        // Duplicates may arrive late.
        self.receive_until(Instant::now() + QUIET)?;
        Ok((
            self.ledger.evaluate(self.plan.acknowledged_min),
            self.gateway,
        ))
    }

    /// Waits for the next tick and publishes from all connected clients.
    fn tick(&mut self) -> Result<()> {
        self.receive_until(self.next_tick)?;
        let now = Instant::now();
        // A stall is not compensated: a burst would not be a steady load.
        self.next_tick = (self.next_tick + TICK).max(now);
        self.repeat_all()?;
        self.publish_all()
    }

    fn publish_all(&mut self) -> Result<()> {
        let ready: Vec<String> = self.connected_names();
        for name in ready {
            self.publish(&name)?;
        }
        Ok(())
    }

    fn publish(&mut self, name: &str) -> Result<()> {
        let client = self.clients.get_mut(name).context("no such client")?;
        client.published += 1;
        let channel = client.publishes_to.clone();
        let key = format!("{name}-{}", client.published);
        let idempotent = client.published % PLAIN_EVERY != 0;
        let data = payload(&key);
        self.ledger
            .published(&key, &channel, data.clone(), idempotent);
        let command = if idempotent {
            self.payloads.insert(key.clone(), data.clone());
            idempotent_publish_command(name, &channel, &key, &data)
        } else {
            json!({"do": "publish", "client": name, "channel": channel, "data": data})
        };
        self.send(name, &key, idempotent, command)
    }

    /// Repeats lost publications of clients that have reconnected.
    fn repeat_all(&mut self) -> Result<()> {
        for name in self.connected_names() {
            let keys = self.repeats.remove(&name).unwrap_or_default();
            for key in keys {
                let client = self.clients.get(&name).context("no such client")?;
                let data = self.payloads.get(&key).context("no such payload")?;
                let command = idempotent_publish_command(&name, &client.publishes_to, &key, data);
                self.ledger.repeated();
                self.send(&name, &key, true, command)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, name: &str, key: &str, idempotent: bool, command: Value) -> Result<()> {
        let id = self.drivers.send(command)?;
        let call = Call {
            client: name.to_owned(),
            key: key.to_owned(),
            idempotent,
            before_kill: false,
        };
        self.calls.insert(id, call);
        Ok(())
    }

    fn connected_names(&self) -> Vec<String> {
        let back = self
            .clients
            .iter()
            .filter(|(_, client)| client.is_subscribed());
        back.map(|(name, _)| name.clone()).collect()
    }

    fn wait_for_all_clients(&mut self) -> Result<()> {
        let deadline = Instant::now() + RETURN_MAX;
        while !self.clients.values().all(Client::is_subscribed) {
            if Instant::now() > deadline {
                let away: Vec<&String> = self
                    .clients
                    .iter()
                    .filter(|(_, client)| !client.is_subscribed())
                    .map(|(name, _)| name)
                    .collect();
                bail!(
                    "timed out after {RETURN_MAX:?} waiting for clients to reconnect: {away:?}; their warnings: {:?}",
                    self.warnings
                );
            }
            self.receive_until(Instant::now() + TICK)?;
        }
        Ok(())
    }

    fn receive_until(&mut self, deadline: Instant) -> Result<()> {
        while let Some(incoming) = self.drivers.next(deadline)? {
            match incoming {
                Incoming::Response { id, outcome } => self.on_response(id, outcome)?,
                Incoming::Event(event) => self.on_event(event),
            }
        }
        Ok(())
    }

    fn on_response(&mut self, id: u64, outcome: Result<Value, CallError>) -> Result<()> {
        let call = self
            .calls
            .remove(&id)
            .context("a response without a request")?;
        match outcome {
            Ok(result) if call.idempotent => {
                let reply = result.get("data").context("an rpc result without data")?;
                let (position, duplicate) = read_ack(reply)
                    .with_context(|| format!("unexpected reply to gw.publish: {reply}"))?;
                self.ledger.acknowledged(&call.key, &position, duplicate);
            }
            Ok(_) => self.ledger.acknowledged_plain(&call.key),
            Err(CallError::Lost(_) | CallError::TimedOut(_)) => {
                if call.before_kill && call.idempotent {
                    self.lost.0 += 1;
                } else if call.before_kill {
                    self.lost.1 += 1;
                }
                self.repeat_later(call);
            }
            Err(CallError::Rejected(_)) => self.repeat_later(call),
            Err(CallError::Server { code, message }) => {
                self.record_warning(format!("{}: {code} {message}", call.client));
                self.ledger.rejected();
                self.repeat_later(call);
            }
        }
        Ok(())
    }

    /// A plain publication is never repeated: it might be stored twice.
    fn repeat_later(&mut self, call: Call) {
        if call.idempotent {
            let waiting = self.repeats.entry(call.client).or_default();
            waiting.push_back(call.key);
        }
    }

    fn on_event(&mut self, event: DriverEvent) {
        let DriverEvent {
            client: name,
            channel,
            kind: what,
        } = event;
        let Some(client) = self.clients.get_mut(&name) else {
            return;
        };
        match what {
            DriverEventKind::Connecting { .. } | DriverEventKind::Lost(_) => {
                client.connected = false;
            }
            DriverEventKind::Connected(_) => client.connected = true,
            DriverEventKind::Disconnected { code, reason } => {
                client.connected = false;
                self.record_warning(format!("{name}: disconnected {code} {reason}"));
            }
            DriverEventKind::Subscribing => {
                client.subscribed.remove(&channel);
            }
            DriverEventKind::Subscribed(outcome) => {
                client.subscribed.insert(channel.clone());
                self.ledger.subscribed(&name, &channel, &outcome);
            }
            DriverEventKind::Unsubscribed { code, reason } => {
                client.subscribed.remove(&channel);
                self.record_warning(format!("{name}: unsubscribed {channel} {code} {reason}"));
            }
            DriverEventKind::Publication { offset, data, .. } => {
                self.ledger.delivered(&name, &channel, offset, &data);
            }
            DriverEventKind::Join(_) => {}
            DriverEventKind::Leave(_) => {}
            DriverEventKind::Attempting
            | DriverEventKind::Opened
            | DriverEventKind::AttemptFailed(_)
            | DriverEventKind::Message { .. } => {}
            DriverEventKind::Warning(message) => self.record_warning(format!("{name}: {message}")),
        }
    }

    fn record_warning(&mut self, warning: String) {
        /// Number of kept warnings: enough to see why a client does not reconnect.
        const KEPT: usize = 20;
        if self.warnings.len() == KEPT {
            self.warnings.pop_front();
        }
        self.warnings.push_back(warning);
    }

    /// Reads all publications of a channel, page by page, with the first client of a kind.
    fn read_back(
        &mut self,
        kind: ClientKind,
        channel: &str,
        direction: Direction,
    ) -> Result<(String, Vec<(u64, Value)>)> {
        let name = format!("{}-0", kind.name_prefix());
        let position = json!({"do": "history", "client": name, "channel": channel, "limit": 0});
        let position = self.drivers.succeed(position)?;
        let epoch = position.get("epoch").and_then(Value::as_str);
        let epoch = epoch.context("a history without an epoch")?.to_owned();
        let mut publications: Vec<(u64, Value)> = Vec::new();
        let (mut from, reverse) = match direction {
            Direction::Forwards => (Some(0), false),
            // Without a position, the history begins at the newest publication.
            Direction::Backwards => (None, true),
        };
        loop {
            let since = from.map(|offset| json!({"offset": offset, "epoch": epoch}));
            let page = self.drivers.succeed(json!({
                "do": "history", "client": name, "channel": channel, "limit": PAGE,
                "since": since, "reverse": reverse,
            }))?;
            let page = page.get("publications").and_then(Value::as_array).cloned();
            let page = page.context("a history without publications")?;
            if page.is_empty() {
                return Ok((epoch, publications));
            }
            for publication in page {
                let offset = publication.get("offset").and_then(Value::as_u64);
                let offset = offset.context("a publication without an offset")?;
                let is_consecutive =
                    from.is_none_or(|from| (offset < from) == reverse && offset != from);
                ensure!(
                    is_consecutive,
                    "history of {channel} goes from {from:?} to {offset}"
                );
                from = Some(offset);
                let data = publication.get("data").cloned().unwrap_or_default();
                publications.push((offset, data));
            }
            if reverse && from == Some(1) {
                return Ok((epoch, publications));
            }
        }
    }
}

/// The order in which a channel is read.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// From oldest to newest.
    Forwards,
    /// From newest to oldest.
    Backwards,
}

fn idempotent_publish_command(client: &str, channel: &str, key: &str, data: &Value) -> Value {
    let data = json!({"channel": channel, "data": data, "idempotency_key": key});
    json!({"do": "rpc", "client": client, "method": "gw.publish", "data": data})
}

fn read_ack(reply: &Value) -> Option<(Position, bool)> {
    let position = Position {
        epoch: reply.get("epoch")?.as_str()?.to_owned(),
        offset: reply.get("offset")?.as_u64()?,
    };
    Some((position, reply.get("duplicate")?.as_bool()?))
}

/// A payload that contains its key and has the standard length.
fn payload(key: &str) -> Value {
    let bare = json!({"idempotency_key": key, "pad": ""}).to_string().len();
    let pad = "x".repeat(PAYLOAD_BYTES.saturating_sub(bare));
    json!({"idempotency_key": key, "pad": pad})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_has_the_stated_length() {
        for key in ["node-0-1", "rust-9-12345"] {
            assert_eq!(payload(key).to_string().len(), PAYLOAD_BYTES);
        }
    }
}
