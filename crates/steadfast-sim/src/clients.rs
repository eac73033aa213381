//! The clients of a run: sessions of the client library with their applications, and simple clients that share only the
//! codec with the library.
//!
//! A client dials through the world, which knows the nodes; it sends through the network, and the world hands over what
//! arrives.

mod application;
mod command_order;
pub(crate) mod dial;
mod driver;
pub(crate) mod migrations;
mod observer;
mod presence;
mod session_checks;
mod sessions;
mod simple_client;
mod simple_clients;
mod stale_inputs;
mod uplink;

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::dialect::centrifuge::ENCODING;
use steadfast_faults::link::StreamEnd;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::message::Position;

use self::dial::Dial;
use self::driver::Driver;
use self::sessions::Sessions;
use self::simple_client::SimpleClient;
use self::simple_clients::SimpleClients;
use crate::context::Context;
use crate::event::clients::{ClientEvent, DriverEvent, SimpleClientEvent};
use crate::ids::{ClientIndex, ConnectionId};
use crate::network::Network;

/// The clients of a run, of both kinds.
#[derive(Debug)]
pub(crate) struct Clients {
    simple: SimpleClients,
    sessions: Sessions,
}

impl Clients {
    pub(crate) fn new(ctx: &mut Context) -> Self {
        let sessions = Sessions::new(ctx);
        let settings = &ctx.settings;
        Self {
            simple: SimpleClients::new(settings),
            sessions,
        }
    }

    /// Schedules the first events of all clients.
    pub(crate) fn start(&mut self, ctx: &mut Context, network: &mut Network) {
        for client in 0..ctx.settings.clients {
            let delay = start_delay(ctx);
            ctx.schedule_client(delay, client, SimpleClientEvent::Dial);
            ctx.schedule_client(delay, client, SimpleClientEvent::Publish);
        }
        for session in 0..ctx.settings.sessions.len() {
            if let Some(driver) = self.sessions.driver_mut(session) {
                driver.open(ctx, network);
            }
            let first = ctx.now() + start_delay(ctx);
            ctx.schedule_session(first, session, DriverEvent::Publish);
            let parameters = ctx.settings.sessions.get(session);
            if parameters.is_some_and(|it| it.is_closed_during_run) {
                let at = ctx.fault_time();
                ctx.schedule_session(at, session, DriverEvent::Close);
            }
            schedule_migrations(ctx, session);
        }
    }

    /// Handles an event of a client. Returns its dial if it dials; the world then calls [`Self::on_dialled`].
    pub(crate) fn step(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        event: ClientEvent,
    ) -> Option<Dial> {
        match event {
            ClientEvent::Simple { client, event } => self.simple.step(ctx, network, client, event),
            ClientEvent::Session { session, event } => {
                self.sessions.step(ctx, network, session, event)
            }
        }
    }

    /// The encoding of a client's messages.
    pub(crate) fn encoding(&self, client: ClientIndex) -> Encoding {
        match client {
            ClientIndex::Simple(index) => self.simple.encoding(index),
            ClientIndex::Session(_) => ENCODING,
        }
    }

    /// A dial has succeeded or failed.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        client: ClientIndex,
        connection: Option<ConnectionId>,
    ) {
        match client {
            ClientIndex::Simple(index) => self.simple.on_dialled(ctx, network, index, connection),
            ClientIndex::Session(index) => {
                if let Some(driver) = self.sessions.driver_mut(index) {
                    driver.on_dialled(ctx, network, connection);
                }
            }
        }
    }

    /// Bytes have arrived. A client that has closed its end discards them, as its operating system does.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        match network.client_end(connection) {
            Some(ClientIndex::Simple(index)) => {
                self.simple.read(ctx, network, index, connection, bytes);
            }
            Some(ClientIndex::Session(index)) => {
                if let Some(driver) = self.sessions.driver_mut(index) {
                    driver.read(ctx, network, connection, bytes);
                }
            }
            None => {}
        }
    }

    /// The end of a stream has arrived.
    pub(crate) fn on_stream_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let client = network.client_end(connection);
        network.close_client_end(ctx, connection, end);
        match client {
            Some(ClientIndex::Simple(index)) => {
                self.simple.on_connection_lost(ctx, index, connection);
            }
            Some(ClientIndex::Session(index)) => {
                if let Some(driver) = self.sessions.driver_mut(index) {
                    driver.on_stream_end(ctx, network, connection, end);
                }
            }
            None => {}
        }
    }

    /// The network may have accepted bytes for the gateway.
    pub(crate) fn on_written(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) {
        if let Some(ClientIndex::Session(index)) = network.client_end(connection)
            && let Some(driver) = self.sessions.driver_mut(index)
        {
            driver.report_send_buffer(ctx, network, connection);
        }
    }

    /// Nothing arrives from the gateway any more, which must be detected in time.
    pub(crate) fn expect_detection(ctx: &mut Context, network: &Network, connection: ConnectionId) {
        match network.client_end(connection) {
            Some(ClientIndex::Simple(client)) => {
                SimpleClients::expect_detection(ctx, client, connection);
            }
            Some(ClientIndex::Session(session)) => {
                Sessions::expect_detection(ctx, session, connection);
            }
            None => {}
        }
    }

    /// Whether every client has made its publications.
    pub(crate) fn have_published(&self, least: u64) -> bool {
        let simple = self.simple.clients().map(SimpleClient::published);
        let drivers = self.sessions.drivers().iter();
        let sessions = drivers.map(|driver| driver.application.published());
        simple.chain(sessions).all(|published| published >= least)
    }

    /// Whether nothing is left to do, given the high watermarks of each node, by channel.
    pub(crate) fn are_settled(
        &self,
        network: &Network,
        high_watermarks: &[BTreeMap<String, Position>],
    ) -> bool {
        let of_node = |connection: Option<ConnectionId>| {
            let node = network.connection(connection?)?.node;
            high_watermarks.get(node.0)
        };
        let mut simple = self.simple.connections();
        let mut drivers = self.sessions.drivers().iter();
        simple
            .all(|(client, connection)| of_node(connection).is_some_and(|it| client.is_settled(it)))
            && drivers.all(|driver| {
                let high_watermarks = of_node(driver.connection());
                let is_settled = |it| driver.is_idle() && driver.application.is_settled(it);
                high_watermarks.is_some_and(is_settled)
            })
    }

    /// Everything is quiet: each client queries the presence of each channel, one query at a time.
    pub(crate) fn query_presence(ctx: &mut Context) {
        let first = ctx.now() + Duration::from_millis(100);
        let (simple, sessions) = (ctx.settings.clients, ctx.settings.sessions.len());
        let channels = ctx.settings.channels.len();
        let mut at = first;
        for channel in 0..channels {
            for client in 0..simple {
                let event = SimpleClientEvent::QueryPresence { channel };
                ctx.schedule_client(at.saturating_since(ctx.now()), client, event);
                at = at + QUERY_INTERVAL;
            }
            for session in 0..sessions {
                ctx.schedule_session(at, session, DriverEvent::QueryPresence { channel });
                at = at + QUERY_INTERVAL;
            }
        }
    }

    /// Whether each client has an exact reply about the presence of each channel since everything is quiet.
    pub(crate) fn have_exact_presence(&self, ctx: &Context) -> bool {
        let simple = self.simple.connections().map(|(_, connection)| connection);
        let sessions = self.sessions.drivers().iter().map(Driver::connection);
        let channels = ctx.settings.channels.len();
        let mut connections = simple.chain(sessions);
        connections.all(|it| (0..channels).all(|channel| presence::is_exact(ctx, it, channel)))
    }

    /// Checks that every command has its reply; everything is quiet.
    pub(crate) fn check_replies(&self, ctx: &mut Context) {
        let sessions = self.sessions.drivers().iter().filter_map(Driver::observer);
        for observer in self.simple.observers().chain(sessions) {
            observer.check_replies(ctx);
        }
    }

    /// Checks that every session has delivered the joins and leaves that it received; everything is quiet.
    pub(crate) fn check_pushes(&self, ctx: &mut Context) {
        for driver in self.sessions.drivers() {
            driver.check_pushes(ctx);
        }
    }

    /// Checks that every session is connected, given the time since the last fault.
    pub(crate) fn check_connected(&self, ctx: &mut Context) {
        self.sessions.check_connected(ctx);
    }

    /// Describes every client, whether or not it has settled.
    pub(crate) fn describe(&self) -> String {
        let simple = self.simple.clients().map(SimpleClient::describe);
        let sessions = self.sessions.drivers().iter().map(Driver::describe);
        let all: Vec<String> = simple.chain(sessions).collect();
        all.join("; ")
    }
}

/// The time between two presence queries at the end of a run: most find empty inboxes.
const QUERY_INTERVAL: Duration = Duration::from_millis(20);

fn schedule_migrations(ctx: &mut Context, session: usize) {
    let within = ctx.settings.fault_time;
    let generator = ctx.migrations.as_mut();
    let times = generator.map(|it| migrations::draw_times(it, within));
    for time in times.unwrap_or_default() {
        ctx.schedule_session(ctx.now() + time, session, DriverEvent::Migrate);
    }
}

fn start_delay(ctx: &mut Context) -> Duration {
    ctx.between(Duration::from_millis(1), Duration::from_millis(100))
}
