//! The loop of a run: publishes in time, tells the ledger what arrives, kills, and waits for everyone to come back.
//!
//! One thread owns all of it. It does not judge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Plan;
use crate::driver::Kind;
use crate::driver::line::{CallError, DriverEvent, DriverEventKind};
use crate::gateway::Gateway;
use crate::ledger::{Ledger, Position};
use crate::peers::{Incoming, Peers};
use crate::verdict::Verdict;

/// What each client publishes while it is connected.
pub(super) const MESSAGES_PER_SECOND: u32 = 20;

/// The length of each payload as JSON.
pub(super) const PAYLOAD_BYTES: usize = 128;

/// A kill without answers outstanding does not count and is tried again, at most this often for each that counts.
pub(super) const ATTEMPTS_PER_KILL: u32 = 3;

/// All clients publish at the same instants, so that a kill shortly after one finds many publications under way.
const TICK: Duration = Duration::from_secs(1)
    .checked_div(MESSAGES_PER_SECOND)
    .expect("a rate above zero");

/// Every so many publications of a client, one is plain.
const PLAIN_EVERY: u64 = 10;

/// How long after a tick the gateway is killed, in turn: requests on the wire, in the log, answers on the way. A kill
/// that found nothing under way is tried again with the shortest.
const KILL_DELAYS_MS: [u64; 5] = [2, 1, 4, 3, 6];

/// How long everyone may take to be back: a few of the clients' own pauses between two dials.
const RETURN_MAX: Duration = Duration::from_secs(30);

/// How long the end is listened to after everyone has everything.
const QUIET: Duration = Duration::from_millis(500);

/// Publications asked for at a time when a channel is read; the gateway's own limit for one reply.
const PAGE: u64 = 300;

/// A client as the harness sees it.
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
    fn is_back(&self) -> bool {
        self.connected && self.subscribed == self.reads
    }
}

/// A publication whose answer is outstanding.
#[derive(Debug)]
struct Call {
    client: String,
    key: String,
    keyed: bool,
    /// Sent before the kill under way.
    before_kill: bool,
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    gateway: Gateway,
    peers: Peers,
    plan: Plan,
    ledger: Ledger,
    clients: BTreeMap<String, Client>,
    calls: BTreeMap<u64, Call>,
    /// Keyed publications to send again, by client.
    repeats: BTreeMap<String, VecDeque<String>>,
    /// What the plan's publications carried, for repeats.
    payloads: BTreeMap<String, Value>,
    /// Answers lost since the last kill: keyed, plain.
    lost: (u64, u64),
    next_tick: Instant,
    /// The last errors that clients met on their own, for the message when they do not come back.
    troubles: VecDeque<String>,
}

impl Run {
    pub(super) fn new(gateway: Gateway, peers: Peers, plan: Plan) -> Self {
        let channel = |number: usize| format!("load-{}", number % plan.channels);
        let mut clients = BTreeMap::new();
        for kind in Kind::ALL {
            for number in 0..plan.clients {
                let client = Client {
                    publishes_to: channel(number),
                    reads: BTreeSet::from([channel(number), channel(number + 1)]),
                    connected: false,
                    subscribed: BTreeSet::new(),
                    published: 0,
                };
                clients.insert(format!("{}-{number}", kind.word()), client);
            }
        }
        Self {
            gateway,
            peers,
            plan,
            ledger: Ledger::default(),
            clients,
            calls: BTreeMap::new(),
            repeats: BTreeMap::new(),
            payloads: BTreeMap::new(),
            lost: (0, 0),
            next_tick: Instant::now(),
            troubles: VecDeque::new(),
        }
    }

    /// Connects and subscribes everyone.
    pub(super) fn gather(&mut self) -> Result<()> {
        let url = self.gateway.url();
        for (name, client) in &self.clients {
            self.peers
                .succeed(json!({"do": "open", "client": name, "url": url}))?;
            for channel in &client.reads {
                self.ledger.expect_subscriber(name, channel);
                let command = json!({
                    "do": "subscribe", "client": name, "channel": channel,
                    "recoverable": true, "join_leave": false,
                });
                self.peers.succeed(command)?;
            }
        }
        for event in self.peers.take_all() {
            self.on_event(event);
        }
        self.wait_for_everyone()
    }

    /// Lets everyone publish for the plan's time.
    pub(super) fn load(&mut self) -> Result<()> {
        let until = Instant::now() + self.plan.load;
        while Instant::now() < until {
            self.tick()?;
        }
        Ok(())
    }

    /// Kills the gateway with publications under way, starts it again and waits until everyone is back. Tells whether
    /// the kill counts.
    pub(super) fn kill_and_restart(&mut self, kill: u32, attempt: u32) -> Result<bool> {
        self.tick()?;
        self.publish_all()?;
        let turn = usize::try_from(kill)? % KILL_DELAYS_MS.len();
        let delay = match attempt {
            0 => KILL_DELAYS_MS.get(turn).copied().unwrap_or(1),
            _ => 1,
        };
        self.hear_until(Instant::now() + Duration::from_millis(delay))?;
        self.gateway.kill()?;
        self.lost = (0, 0);
        for call in self.calls.values_mut() {
            call.before_kill = true;
        }
        self.gateway.start()?;
        self.wait_for_everyone()?;
        // An answer that was on its way may still come; the clients give up on the rest as soon as they see the end.
        let deadline = Instant::now() + RETURN_MAX;
        while self.calls.values().any(|call| call.before_kill) {
            ensure!(
                Instant::now() < deadline,
                "calls neither answered nor given up"
            );
            self.tick()?;
        }
        let (keyed, plain) = self.lost;
        if keyed == 0 && self.plan.in_flight_only {
            self.ledger.killed_idle();
            return Ok(false);
        }
        self.ledger.killed_in_flight(keyed, plain);
        Ok(true)
    }

    /// Waits for the last answers and deliveries, reads the channels back and judges.
    pub(super) fn finish(mut self) -> Result<(Verdict, Gateway)> {
        let deadline = Instant::now() + self.plan.settle;
        while !(self.calls.is_empty() && self.repeats.is_empty()) && Instant::now() < deadline {
            self.repeat_all()?;
            self.hear_until(Instant::now() + TICK)?;
        }
        let channels: BTreeSet<String> = self
            .clients
            .values()
            .map(|it| it.publishes_to.clone())
            .collect();
        for channel in channels {
            let (epoch, forwards) = self.read_back(Kind::Node, &channel, Direction::Forwards)?;
            let (again, mut backwards) =
                self.read_back(Kind::Rust, &channel, Direction::Backwards)?;
            backwards.reverse();
            if (&epoch, &forwards) != (&again, &backwards) {
                self.ledger.histories_differ(&channel);
            }
            // The longer one: what is missing in the other is told by the line above.
            let held = [forwards, backwards].into_iter().max_by_key(Vec::len);
            self.ledger
                .history(&channel, &epoch, &held.unwrap_or_default());
        }
        for event in self.peers.take_all() {
            self.on_event(event);
        }
        while self.ledger.behind() > 0 && Instant::now() < deadline {
            self.hear_until(Instant::now() + TICK)?;
        }
        // What is handed out twice may come late.
        self.hear_until(Instant::now() + QUIET)?;
        Ok((self.ledger.judge(self.plan.acknowledged_min), self.gateway))
    }

    /// Waits for the next tick and lets everyone publish who is connected.
    fn tick(&mut self) -> Result<()> {
        self.hear_until(self.next_tick)?;
        let now = Instant::now();
        // A stall is not made up for: a burst would be no steady load.
        self.next_tick = (self.next_tick + TICK).max(now);
        self.repeat_all()?;
        self.publish_all()
    }

    fn publish_all(&mut self) -> Result<()> {
        let ready: Vec<String> = self.names_back();
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
        let keyed = client.published % PLAIN_EVERY != 0;
        let data = payload(&key);
        self.ledger.published(&key, &channel, data.clone(), keyed);
        let command = if keyed {
            self.payloads.insert(key.clone(), data.clone());
            keyed_command(name, &channel, &key, &data)
        } else {
            json!({"do": "publish", "client": name, "channel": channel, "data": data})
        };
        self.send(name, &key, keyed, command)
    }

    /// Sends again what was lost, by clients that are back.
    fn repeat_all(&mut self) -> Result<()> {
        for name in self.names_back() {
            let keys = self.repeats.remove(&name).unwrap_or_default();
            for key in keys {
                let client = self.clients.get(&name).context("no such client")?;
                let data = self.payloads.get(&key).context("no such payload")?;
                let command = keyed_command(&name, &client.publishes_to, &key, data);
                self.ledger.repeated();
                self.send(&name, &key, true, command)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, name: &str, key: &str, keyed: bool, command: Value) -> Result<()> {
        let id = self.peers.send(command)?;
        let call = Call {
            client: name.to_owned(),
            key: key.to_owned(),
            keyed,
            before_kill: false,
        };
        self.calls.insert(id, call);
        Ok(())
    }

    fn names_back(&self) -> Vec<String> {
        let back = self.clients.iter().filter(|(_, client)| client.is_back());
        back.map(|(name, _)| name.clone()).collect()
    }

    fn wait_for_everyone(&mut self) -> Result<()> {
        let deadline = Instant::now() + RETURN_MAX;
        while !self.clients.values().all(Client::is_back) {
            if Instant::now() > deadline {
                let away: Vec<&String> = self
                    .clients
                    .iter()
                    .filter(|(_, client)| !client.is_back())
                    .map(|(name, _)| name)
                    .collect();
                bail!(
                    "after {RETURN_MAX:?} these clients are not back: {away:?}; they said {:?}",
                    self.troubles
                );
            }
            self.hear_until(Instant::now() + TICK)?;
        }
        Ok(())
    }

    fn hear_until(&mut self, deadline: Instant) -> Result<()> {
        while let Some(incoming) = self.peers.next(deadline)? {
            match incoming {
                Incoming::Answer { id, outcome } => self.on_answer(id, outcome)?,
                Incoming::Event(event) => self.on_event(event),
            }
        }
        Ok(())
    }

    fn on_answer(&mut self, id: u64, outcome: Result<Value, CallError>) -> Result<()> {
        let call = self.calls.remove(&id).context("an answer to nothing")?;
        match outcome {
            Ok(result) if call.keyed => {
                let answer = result.get("data").context("an rpc result without data")?;
                let (position, duplicate) =
                    read_ack(answer).with_context(|| format!("gw.publish answered {answer}"))?;
                self.ledger.acknowledged(&call.key, &position, duplicate);
            }
            Ok(_) => self.ledger.acknowledged_plain(&call.key),
            Err(CallError::Lost(_)) => {
                if call.before_kill && call.keyed {
                    self.lost.0 += 1;
                } else if call.before_kill {
                    self.lost.1 += 1;
                }
                self.repeat_later(call);
            }
            Err(CallError::Rejected(_)) => self.repeat_later(call),
            Err(CallError::Server { code, message }) => {
                self.note_trouble(format!("{}: {code} {message}", call.client));
                self.ledger.refused();
                self.repeat_later(call);
            }
        }
        Ok(())
    }

    /// A plain publication is never repeated: nobody could tell whether it was applied.
    fn repeat_later(&mut self, call: Call) {
        if call.keyed {
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
            DriverEventKind::Connecting { .. } => client.connected = false,
            DriverEventKind::Connected(_) => client.connected = true,
            DriverEventKind::Disconnected { code, reason } => {
                client.connected = false;
                self.note_trouble(format!("{name}: disconnected {code} {reason}"));
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
                self.note_trouble(format!("{name}: unsubscribed {channel} {code} {reason}"));
            }
            DriverEventKind::Publication { offset, data, .. } => {
                self.ledger.delivered(&name, &channel, offset, &data);
            }
            DriverEventKind::Join(_) => {}
            DriverEventKind::Leave(_) => {}
            DriverEventKind::Warning(message) => self.note_trouble(format!("{name}: {message}")),
        }
    }

    fn note_trouble(&mut self, trouble: String) {
        /// Enough to see what a client that stays away is told.
        const KEPT: usize = 20;
        if self.troubles.len() == KEPT {
            self.troubles.pop_front();
        }
        self.troubles.push_back(trouble);
    }

    /// Reads a whole channel, page by page, with the first client of a kind.
    fn read_back(
        &mut self,
        kind: Kind,
        channel: &str,
        direction: Direction,
    ) -> Result<(String, Vec<(u64, Value)>)> {
        let name = format!("{}-0", kind.word());
        let position = json!({"do": "history", "client": name, "channel": channel, "limit": 0});
        let position = self.peers.succeed(position)?;
        let epoch = position.get("epoch").and_then(Value::as_str);
        let epoch = epoch.context("a history without an epoch")?.to_owned();
        let mut publications: Vec<(u64, Value)> = Vec::new();
        let (mut from, reverse) = match direction {
            Direction::Forwards => (Some(0), false),
            // Without a position it begins at the top.
            Direction::Backwards => (None, true),
        };
        loop {
            let since = from.map(|offset| json!({"offset": offset, "epoch": epoch}));
            let page = self.peers.succeed(json!({
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
                let goes_on = from.is_none_or(|from| (offset < from) == reverse && offset != from);
                ensure!(
                    goes_on,
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

/// How a channel is read back.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// Oldest first.
    Forwards,
    /// Newest first.
    Backwards,
}

fn keyed_command(client: &str, channel: &str, key: &str, data: &Value) -> Value {
    let data = json!({"channel": channel, "data": data, "idempotency_key": key});
    json!({"do": "rpc", "client": client, "method": "gw.publish", "data": data})
}

fn read_ack(answer: &Value) -> Option<(Position, bool)> {
    let position = Position {
        epoch: answer.get("epoch")?.as_str()?.to_owned(),
        offset: answer.get("offset")?.as_u64()?,
    };
    Some((position, answer.get("duplicate")?.as_bool()?))
}

/// A payload that carries its key and is as long as every other.
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
