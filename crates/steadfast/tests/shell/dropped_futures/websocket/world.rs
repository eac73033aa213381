//! A client of any WebSocket server, with its driver and its server, of which each works only when the test lets it.

use std::net::TcpListener;
use std::time::Duration;

use steadfast::websocket::{Client, Driver, Inbox, Receipt};
use steadfast::{SessionPhase, defaults};
use tokio::task::yield_now;

use super::super::connection::{self, Connection};
use super::super::driven::Driven;
use super::super::scripted_peer::Script;
use super::super::steps::Steps;

/// The message that waits in the outbox before the future is started.
pub(super) const FIRST: &str = "first";
/// The messages that the server sends on each connection.
pub(super) const ITEMS: [&str; 3] = ["1", "2", "3"];

/// Where the client is while the future is polled and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The driver is not polled.
    Undriven,
    /// Between two attempts.
    Waiting,
    /// The upgrade has no response.
    Dialing,
    /// As `Dialing`, and the outbox is full.
    FullOutbox,
    /// The outbox is full, and the steps of the test connect the client and send what is in it.
    Draining,
    /// Connected, and everything was sent.
    Ready,
    /// The application has closed the client.
    Closed,
}

impl State {
    pub(super) const ALL: [Self; 7] = [
        Self::Undriven,
        Self::Waiting,
        Self::Dialing,
        Self::FullOutbox,
        Self::Draining,
        Self::Ready,
        Self::Closed,
    ];

    /// The capacity of the outbox; one place is taken by [`FIRST`].
    pub(super) const fn messages_max(self) -> usize {
        match self {
            Self::FullOutbox | Self::Draining => 1,
            Self::Undriven | Self::Waiting | Self::Dialing | Self::Ready | Self::Closed => 2,
        }
    }

    const fn script(self) -> Script {
        match self {
            Self::Waiting => Script::Refuse,
            Self::Dialing | Self::FullOutbox => Script::Accept,
            Self::Undriven | Self::Draining | Self::Ready | Self::Closed => Script::Serve,
        }
    }
}

/// What an application has of a client.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) client: Client,
    pub(super) inbox: Inbox,
    /// The receipt of [`FIRST`].
    pub(super) receipt: Option<Receipt>,
}

/// The driver and the server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: State,
    pub(super) peer: Peer,
    client: Client,
    driver: Driven<Driver>,
    is_driven: bool,
    is_turn_of_driver: bool,
}

/// The server, and what it has received.
#[derive(Debug)]
pub(super) struct Peer {
    listener: TcpListener,
    script: Script,
    connections: Vec<Connection>,
    pub(super) received: Vec<String>,
}

impl World {
    /// Brings a client into a state.
    pub(super) async fn enter(state: State) -> (Self, Handles) {
        let peer = Peer {
            listener: connection::listen(),
            script: state.script(),
            connections: Vec::new(),
            received: Vec::new(),
        };
        let url = format!("ws://{}", peer.listener.local_addr().unwrap());
        let outbox = defaults::OUTBOX.messages_max(state.messages_max());
        let builder = Client::builder(&url).unwrap().outbox(outbox);
        let (client, driver) = builder.build().unwrap();
        let handles = Handles {
            inbox: client.receive(),
            receipt: Some(client.send_text_now(FIRST).unwrap()),
            client: client.clone(),
        };
        let mut world = Self {
            state,
            peer,
            client,
            driver: Driven::new(driver),
            is_driven: state != State::Undriven,
            is_turn_of_driver: false,
        };
        world.until("the state", Self::is_entered).await;
        if state == State::Closed {
            let client = world.client.clone();
            world.complete(client.close(Duration::ZERO)).await.unwrap();
        }
        (world, handles)
    }

    fn is_entered(&self) -> bool {
        let phase = self.client.state().borrow().phase;
        match self.state {
            State::Undriven | State::Draining => true,
            State::Waiting => phase == SessionPhase::Waiting,
            State::Dialing | State::FullOutbox => self.peer.connections.len() == 1,
            State::Ready | State::Closed => self.peer.received == [FIRST],
        }
    }

    /// Removes what keeps the client from being ready.
    pub(super) fn heal(&mut self) {
        self.is_driven = true;
        self.peer.script = Script::Serve;
        self.client.reconnect_now();
    }
}

impl Steps for World {
    async fn step(&mut self) {
        self.is_turn_of_driver = !self.is_turn_of_driver;
        if !self.is_turn_of_driver {
            self.peer.poll();
            // The runtime learns what has arrived at the sockets of the driver.
            yield_now().await;
        } else if self.is_driven {
            self.driver.poll();
        }
    }
}

impl Peer {
    /// Accepts connections, sends the items on each, and keeps what has arrived.
    fn poll(&mut self) {
        while let Some(connection) = Connection::accept(&self.listener) {
            if self.script > Script::Refuse {
                self.connections.push(connection);
            }
        }
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain_mut(|it| self.script < Script::Serve || self.serve(it));
        self.connections = connections;
    }

    /// Serves one connection; returns whether it is still open.
    fn serve(&mut self, connection: &mut Connection) -> bool {
        let is_open = connection.read();
        if !connection.is_upgraded {
            return is_open
                && (!connection.upgrade()
                    || ITEMS.iter().all(|it| connection.send(it.as_bytes())));
        }
        let Some(messages) = connection.messages() else {
            return false;
        };
        let text = |it: &bytes::Bytes| String::from_utf8(it.to_vec()).unwrap();
        self.received.extend(messages.iter().map(text));
        is_open
    }
}
