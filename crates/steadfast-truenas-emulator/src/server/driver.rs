//! The driver of the state machine: one task that owns it, with the clock and the queues to the sockets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use steadfast_clock::Clock;
use steadfast_machine::Machine as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::control::Control;
use crate::io::{ConnectionId, Input, Output};
use crate::middleware::Middleware;
use crate::policy::Policy;
use crate::version::ApiVersion;

/// Messages that a socket has not accepted; with more, the connection is cut.
const OUTBOX_MAX: usize = 1_024;

/// What connections request of the driver.
#[derive(Debug)]
pub(super) enum Request {
    /// A WebSocket was opened.
    Open {
        address: IpAddr,
        version: ApiVersion,
        opened: oneshot::Sender<Opened>,
    },
    /// An input of the state machine.
    Input(Input),
    /// The journal as JSON.
    Journal(oneshot::Sender<String>),
    /// The identity of the boot.
    BootId(oneshot::Sender<String>),
    /// A request of a test; the sender is used once it is executed.
    Control(Control, oneshot::Sender<()>),
}

/// A new connection: its number and what it has to send. The end of the queue ends the connection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: ConnectionId,
    pub(super) outbox: mpsc::Receiver<Outgoing>,
}

/// What a connection sends.
#[derive(Debug)]
pub(super) enum Outgoing {
    Text(String),
    Close(u16, String),
}

#[derive(Debug)]
pub(super) struct Driver {
    clock: Clock,
    middleware: Middleware,
    outboxes: BTreeMap<ConnectionId, mpsc::Sender<Outgoing>>,
    next: u64,
    effects: Option<File>,
}

impl Driver {
    pub(super) fn new(policy: Policy, effects: Option<File>) -> Self {
        let clock = Clock::start();
        Self {
            middleware: Middleware::new(policy, clock.now()),
            clock,
            outboxes: BTreeMap::new(),
            next: 0,
            effects,
        }
    }

    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let deadline = self.middleware.poll_timeout();
            let wait = deadline.map(|at| at.saturating_since(self.clock.now()));
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request),
                    None => return,
                },
                () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {
                    self.handle(Input::Ticked);
                }
            }
        }
    }

    /// A caller that has left does not need its response.
    fn on_request(&mut self, request: Request) {
        match request {
            Request::Open {
                address,
                version,
                opened,
            } => self.open(address, version, opened),
            Request::Input(input) => {
                if let Input::Closed { connection } = &input {
                    self.outboxes.remove(connection);
                }
                self.handle(input);
            }
            Request::Journal(response) => {
                let _ = response.send(self.middleware.journal().to_json().to_string());
            }
            Request::BootId(response) => {
                let _ = response.send(self.middleware.policy().boot_id.clone());
            }
            Request::Control(control, done) => {
                self.handle(Input::Controlled(control));
                let _ = done.send(());
            }
        }
    }

    fn open(&mut self, address: IpAddr, version: ApiVersion, opened: oneshot::Sender<Opened>) {
        let id = ConnectionId::new(self.next);
        self.next += 1;
        let (sender, outbox) = mpsc::channel(OUTBOX_MAX);
        self.outboxes.insert(id, sender);
        self.handle(Input::Opened {
            connection: id,
            address,
            version,
        });
        let _ = opened.send(Opened { id, outbox });
    }

    fn handle(&mut self, input: Input) {
        self.middleware.handle(self.clock.now(), input);
        while let Some(output) = self.middleware.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        let (connection, outgoing) = match output {
            Output::Send { connection, text } => (connection, Outgoing::Text(text)),
            Output::Close {
                connection,
                code,
                reason,
            } => (connection, Outgoing::Close(code, reason)),
            Output::LogEffect { key } => {
                let line = format!("{}\n", json!({"key": key}));
                // A test that misses lines fails; an emulator that ends would fail another one.
                let _ = self
                    .effects
                    .as_ref()
                    .map(|mut file| file.write_all(line.as_bytes()));
                return;
            }
            Output::Cut { connection } => {
                self.outboxes.remove(&connection);
                return;
            }
        };
        let outbox = self.outboxes.get(&connection);
        let is_sent = outbox.is_some_and(|outbox| outbox.try_send(outgoing).is_ok());
        if !is_sent && self.outboxes.remove(&connection).is_some() {
            let now = self.clock.now();
            self.middleware.handle(now, Input::Closed { connection });
        }
    }
}
