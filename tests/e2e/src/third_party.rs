//! The third-party clients of a run: commands to any of them by name, responses and events in order of arrival.
//!
//! [`Drivers::next`] is for a loop that handles everything; [`Drivers::call`] and [`Drivers::expect`] are for a script
//! that waits for one thing after another. This module makes no decisions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::driver::line::{CallError, DriverEvent, DriverEventKind, DriverLine};
use crate::driver::{ClientKind, Driver};

/// How long a script waits for one response or event: the clients' own timeout is 5 s.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// Running drivers and the lines received from them.
#[derive(Debug)]
pub struct Drivers {
    processes: BTreeMap<ClientKind, Driver>,
    inbox: Receiver<(ClientKind, DriverLine)>,
    next_id: u64,
    /// Events that the script has not consumed yet.
    kept: VecDeque<DriverEvent>,
}

/// A line received from a driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The response to a command.
    Response {
        /// The number that [`Drivers::send`] gave the command.
        id: u64,
        /// The result of the call.
        outcome: Result<Value, CallError>,
    },
    /// An event of a client.
    Event(DriverEvent),
}

impl Drivers {
    /// Starts a driver of each kind.
    ///
    /// # Errors
    ///
    /// When a driver cannot be built or started.
    pub fn start() -> Result<Self> {
        let (sender, inbox) = channel();
        let mut drivers = BTreeMap::new();
        for kind in ClientKind::ALL {
            drivers.insert(kind, Driver::start(kind, sender.clone())?);
        }
        Ok(Self {
            processes: drivers,
            inbox,
            next_id: 1,
            kept: VecDeque::new(),
        })
    }

    /// Sends a command to the client that it names; the prefix of the client's name selects the driver.
    ///
    /// # Errors
    ///
    /// When the driver has ended.
    pub fn send(&mut self, mut command: Value) -> Result<u64> {
        let client = command.get("client").and_then(Value::as_str);
        let client = client.context("a command without a client")?;
        let kind = ClientKind::ALL
            .into_iter()
            .find(|kind| client.starts_with(kind.name_prefix()))
            .with_context(|| format!("no kind of client has names like {client}"))?;
        let id = self.next_id;
        self.next_id += 1;
        if let Some(fields) = command.as_object_mut() {
            fields.insert("id".to_owned(), json!(id));
        }
        let driver = self.processes.get_mut(&kind).context("driver not found")?;
        driver.send(&command)?;
        Ok(id)
    }

    /// Waits for the next response or event, at most until `deadline`; `None` on timeout.
    ///
    /// # Errors
    ///
    /// When a driver exited or sent an invalid line.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Incoming>> {
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            return match self.inbox.recv_timeout(wait) {
                Ok((_, DriverLine::Ready)) => continue,
                Ok((_, DriverLine::Response { id, outcome })) => {
                    Ok(Some(Incoming::Response { id, outcome }))
                }
                Ok((_, DriverLine::Event(event))) => Ok(Some(Incoming::Event(event))),
                Ok((
                    kind,
                    DriverLine::Unrecognized(text)
                    | DriverLine::Failure(text)
                    | DriverLine::AboveLimit(text),
                )) => {
                    bail!(
                        "invalid line from the driver of {} clients: {text}",
                        kind.name_prefix()
                    )
                }
                Ok((kind, DriverLine::Ended)) => {
                    bail!("the driver of {} clients exited", kind.name_prefix())
                }
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => bail!("all drivers exited"),
            };
        }
    }

    /// Sends a command and waits for its response; events that arrive in the meantime are kept.
    ///
    /// # Errors
    ///
    /// On timeout, or when the driver failed.
    pub fn call(&mut self, command: Value) -> Result<Result<Value, CallError>> {
        let command_text = command.to_string();
        let expected_id = self.send(command)?;
        let deadline = Instant::now() + STEP_TIMEOUT;
        while let Some(incoming) = self.next(deadline)? {
            match incoming {
                Incoming::Response { id, outcome } if id == expected_id => return Ok(outcome),
                Incoming::Response { id, .. } => bail!("a response without a request: {id}"),
                Incoming::Event(event) => self.kept.push_back(event),
            }
        }
        bail!("timed out waiting for the response to {command_text}")
    }

    /// As [`Drivers::call`], for a command that must succeed.
    ///
    /// # Errors
    ///
    /// As [`Drivers::call`], and when the outcome is an error.
    pub fn succeed(&mut self, command: Value) -> Result<Value> {
        let command_text = command.to_string();
        match self.call(command)? {
            Ok(value) => Ok(value),
            Err(error) => bail!("{command_text} failed: {error:?}"),
        }
    }

    /// Waits for the next event of this client and channel for which `pick` returns a value; other events are kept.
    ///
    /// # Errors
    ///
    /// On timeout; the message lists the events that arrived instead.
    pub fn expect<T>(
        &mut self,
        client: &str,
        channel: &str,
        name: &str,
        pick: impl Fn(&DriverEventKind) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let mut checked = 0;
        loop {
            while let Some(event) = self.kept.get(checked) {
                if event.client == client
                    && event.channel == channel
                    && let Some(picked) = pick(&event.kind)
                {
                    self.kept.remove(checked);
                    return Ok(picked);
                }
                checked += 1;
            }
            match self.next(deadline)? {
                Some(Incoming::Event(event)) => self.kept.push_back(event),
                Some(Incoming::Response { id, .. }) => bail!("a response without a request: {id}"),
                None => bail!(
                    "timed out waiting for {name} of {client} in {channel:?}; it received {:?}",
                    self.seen_by(client)
                ),
            }
        }
    }

    /// Removes and returns kept events of this client and channel for which `pick` returns a value; does not wait.
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

    /// Removes and returns all kept events in order of arrival; does not wait.
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
