//! The published clients of a run: commands to any of them by name, answers and events in order of arrival.
//!
//! Two ways to use it: [`Peers::next`] for a loop that handles everything, [`Peers::call`] and [`Peers::expect`] for a
//! script that waits for one thing after another. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::driver::line::{CallError, DriverEvent, DriverEventKind, DriverLine};
use crate::driver::{Driver, Kind};

/// How long a script waits for one answer or event: the clients' own time-out is 5 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// Running drivers and what they said.
#[derive(Debug)]
pub struct Peers {
    drivers: BTreeMap<Kind, Driver>,
    inbox: Receiver<(Kind, DriverLine)>,
    next_id: u64,
    /// Events that a script has not asked for yet.
    kept: VecDeque<DriverEvent>,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The answer to a command.
    Answer {
        /// The number that [`Peers::send`] gave it.
        id: u64,
        /// The result.
        outcome: Result<Value, CallError>,
    },
    /// Something happened to a client.
    Event(DriverEvent),
}

impl Peers {
    /// Starts a driver of each kind.
    ///
    /// # Errors
    ///
    /// When one cannot be built or started.
    pub fn start() -> Result<Self> {
        let (sender, inbox) = channel();
        let mut drivers = BTreeMap::new();
        for kind in Kind::ALL {
            drivers.insert(kind, Driver::start(kind, sender.clone())?);
        }
        Ok(Self {
            drivers,
            inbox,
            next_id: 1,
            kept: VecDeque::new(),
        })
    }

    /// Sends a command to the client that it names; the client's name begins with the word of its kind.
    ///
    /// # Errors
    ///
    /// When the driver has ended.
    pub fn send(&mut self, mut command: Value) -> Result<u64> {
        let client = command.get("client").and_then(Value::as_str);
        let client = client.context("a command without a client")?;
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| client.starts_with(kind.word()))
            .with_context(|| format!("no kind of client has names like {client}"))?;
        let id = self.next_id;
        self.next_id += 1;
        if let Some(fields) = command.as_object_mut() {
            fields.insert("id".to_owned(), json!(id));
        }
        let driver = self.drivers.get_mut(&kind).context("no such driver")?;
        driver.send(&command)?;
        Ok(id)
    }

    /// Waits for the next answer or event, at most until `deadline`; `None` when nothing came.
    ///
    /// # Errors
    ///
    /// When a driver ended or said something that is no line of ours.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Incoming>> {
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            return match self.inbox.recv_timeout(wait) {
                Ok((_, DriverLine::Ready)) => continue,
                Ok((_, DriverLine::Response { id, outcome })) => {
                    Ok(Some(Incoming::Answer { id, outcome }))
                }
                Ok((_, DriverLine::Event(event))) => Ok(Some(Incoming::Event(event))),
                Ok((kind, DriverLine::Unrecognized(text))) => {
                    bail!("the driver of {} clients said: {text}", kind.word())
                }
                Ok((kind, DriverLine::Ended)) => {
                    bail!("the driver of {} clients ended", kind.word())
                }
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("all drivers ended"),
            };
        }
    }

    /// Sends a command and waits for what comes of it; events that arrive meanwhile are kept.
    ///
    /// # Errors
    ///
    /// When nothing came in time, or the driver failed.
    pub fn call(&mut self, command: Value) -> Result<Result<Value, CallError>> {
        let told = command.to_string();
        let wanted = self.send(command)?;
        let deadline = Instant::now() + PATIENCE;
        while let Some(incoming) = self.next(deadline)? {
            match incoming {
                Incoming::Answer { id, outcome } if id == wanted => return Ok(outcome),
                Incoming::Answer { id, .. } => bail!("an answer to nothing: {id}"),
                Incoming::Event(event) => self.kept.push_back(event),
            }
        }
        bail!("no answer to {told}")
    }

    /// As [`Peers::call`], for a command that must succeed.
    ///
    /// # Errors
    ///
    /// As [`Peers::call`], and when the outcome is an error.
    pub fn succeed(&mut self, command: Value) -> Result<Value> {
        let told = command.to_string();
        match self.call(command)? {
            Ok(value) => Ok(value),
            Err(error) => bail!("{told} failed: {error:?}"),
        }
    }

    /// Waits for the next event of this client and channel that `pick` takes; earlier and other events are kept.
    ///
    /// # Errors
    ///
    /// When none came in time; the message lists what came instead.
    pub fn expect<T>(
        &mut self,
        client: &str,
        channel: &str,
        name: &str,
        pick: impl Fn(&DriverEventKind) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut looked = 0;
        loop {
            while let Some(event) = self.kept.get(looked) {
                if event.client == client
                    && event.channel == channel
                    && let Some(picked) = pick(&event.kind)
                {
                    self.kept.remove(looked);
                    return Ok(picked);
                }
                looked += 1;
            }
            match self.next(deadline)? {
                Some(Incoming::Event(event)) => self.kept.push_back(event),
                Some(Incoming::Answer { id, .. }) => bail!("an answer to nothing: {id}"),
                None => bail!(
                    "{client} saw no {name} in {channel:?}; it saw {:?}",
                    self.seen_by(client)
                ),
            }
        }
    }

    /// Kept events of this client and channel that `pick` takes, removed; it waits for nothing.
    pub fn take<T>(
        &mut self,
        client: &str,
        channel: &str,
        pick: impl Fn(&DriverEventKind) -> Option<T>,
    ) -> Vec<T> {
        let mut taken = Vec::new();
        self.kept.retain(|event| {
            if event.client != client || event.channel != channel {
                return true;
            }
            match pick(&event.kind) {
                Some(picked) => {
                    taken.push(picked);
                    false
                }
                None => true,
            }
        });
        taken
    }

    /// Every kept event, removed, in order of arrival; it waits for nothing.
    pub fn take_all(&mut self) -> Vec<DriverEvent> {
        self.kept.drain(..).collect()
    }

    fn seen_by(&self, client: &str) -> Vec<&DriverEventKind> {
        self.kept
            .iter()
            .filter(|event| event.client == client)
            .map(|event| &event.kind)
            .collect()
    }
}
