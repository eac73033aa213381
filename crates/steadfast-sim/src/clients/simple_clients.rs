//! The simple clients of a run: they dial, publish and reconnect.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::StreamEnd;
use steadfast_machine::convert;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::Opcode;

use super::dial::Dial;
use super::observer::Observer;
use super::presence;
use super::simple_client::{ClientAction, Received, SimpleClient};
use super::uplink;
use crate::context::Context;
use crate::event::clients::SimpleClientEvent;
use crate::ids::{ClientIndex, ConnectionId};
use crate::network::Network;
use crate::planted_bug::reorder_commands;
use crate::settings::RunSettings;

/// A simple client and its connection, as the client sees it.
#[derive(Debug)]
struct Member {
    client: SimpleClient,
    connection: Option<ConnectionId>,
    observer: Option<Observer>,
    /// Refused dials since the last connection; they select the next node.
    failures: usize,
    /// Whether the client has begun a command on its connection that it never ends.
    has_endless_command: bool,
}

/// The simple clients of a run.
#[derive(Debug)]
pub(crate) struct SimpleClients {
    members: Vec<Member>,
}

impl SimpleClients {
    pub(crate) fn new(settings: &RunSettings) -> Self {
        let new_member = |(index, encoding)| Member {
            client: SimpleClient::new(index, encoding, &settings.channels, settings.padding)
                .with_further_channels(settings.further_channels(index)),
            connection: None,
            observer: None,
            failures: 0,
            has_endless_command: false,
        };
        Self {
            members: (0..settings.clients)
                .zip(Encoding::ALL.into_iter().cycle())
                .map(new_member)
                .collect(),
        }
    }

    /// Handles an event of a client. Returns its dial if it dials.
    pub(crate) fn step(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        client: usize,
        event: SimpleClientEvent,
    ) -> Option<Dial> {
        match event {
            SimpleClientEvent::Dial => {
                let failures = self.members.get(client)?.failures;
                return Some(Dial {
                    client: ClientIndex::Simple(client),
                    node: ctx.settings.node_of(client + failures),
                });
            }
            SimpleClientEvent::PingTimeout { connection } => {
                self.on_ping_timeout(ctx, network, client, connection);
            }
            SimpleClientEvent::Publish => self.publish(ctx, network, client),
            SimpleClientEvent::Resend => self.resend(ctx, network, client),
            SimpleClientEvent::QueryPresence { channel } => {
                self.query_until_exact(ctx, network, client, channel);
            }
        }
        None
    }

    /// A dial has succeeded or failed.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        connection: Option<ConnectionId>,
    ) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let Some(connection) = connection else {
            member.failures += 1;
            let delay = ctx.between(Duration::from_millis(20), Duration::from_millis(300));
            return ctx.schedule_client(delay, index, SimpleClientEvent::Dial);
        };
        member.failures = 0;
        member.has_endless_command = false;
        member.connection = Some(connection);
        let encoding = member.client.encoding();
        let node = network.connection(connection).map(|it| it.node);
        member.observer =
            node.map(|node| Observer::new(connection, node, encoding, BTreeSet::new()));
        let has_invalid_position = ctx.generator.chance(1, 32);
        let message = member.client.connect_message(has_invalid_position);
        self.send(ctx, network, index, Some(message));
    }

    /// A client sends a message, if it has a connection.
    fn send(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        message: Option<Bytes>,
    ) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if let (Some(connection), Some(message)) = (member.connection, message) {
            if member.has_endless_command {
                // No message can follow it, but it stays alive.
                return uplink::send(ctx, network, connection, Opcode::Ping, b"");
            }
            if let Some(observer) = &mut member.observer {
                observer.on_sent(ctx, &message);
            }
            let encoding = member.client.encoding();
            let message = reorder_commands(message, encoding, ctx.planted_bug);
            let opcode = Opcode::from(encoding.message_kind());
            uplink::send(ctx, network, connection, opcode, &message);
        }
    }

    /// A client has received bytes.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let Received {
            messages,
            controls,
            is_closed,
        } = member.client.decode(bytes);
        for frame in controls {
            uplink::send(ctx, network, connection, frame.opcode(), frame.payload());
        }
        for message in messages {
            self.handle_message(ctx, network, index, connection, &message);
        }
        if is_closed {
            self.close(ctx, network, index, connection);
        }
    }

    fn handle_message(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        connection: ConnectionId,
        message: &Bytes,
    ) {
        // The client may have closed the connection because of an earlier message of the same read.
        let member = self.members.get_mut(index);
        let Some(member) = member.filter(|it| it.connection == Some(connection)) else {
            return;
        };
        if let Some(observer) = &mut member.observer {
            observer.on_received(ctx, message);
        }
        for action in member.client.handle_message(message, &mut ctx.recorder()) {
            match action {
                ClientAction::Send(message) => self.send(ctx, network, index, Some(message)),
                ClientAction::Close => self.close(ctx, network, index, connection),
                ClientAction::ResendLater => {
                    let delay = Duration::from_millis(100);
                    ctx.schedule_client(delay, index, SimpleClientEvent::Resend);
                }
            }
        }
    }

    fn close(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        connection: ConnectionId,
    ) {
        network.close_client_end(ctx, connection, StreamEnd::Closed);
        self.on_connection_lost(ctx, index, connection);
    }

    /// The connection of a client has ended; it dials again later.
    pub(crate) fn on_connection_lost(
        &mut self,
        ctx: &mut Context,
        index: usize,
        connection: ConnectionId,
    ) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if member.connection != Some(connection) {
            return;
        }
        member.connection = None;
        member.observer = None;
        member.client.on_connection_lost();
        let delay = ctx.between(Duration::from_millis(10), Duration::from_millis(200));
        ctx.schedule_client(delay, index, SimpleClientEvent::Dial);
    }

    /// Nothing arrives at a client any more: it closes its connection when it misses a ping.
    pub(crate) fn expect_detection(ctx: &mut Context, client: usize, connection: ConnectionId) {
        let silence = ctx.settings.ping_timeout();
        let event = SimpleClientEvent::PingTimeout { connection };
        ctx.schedule_client(silence, client, event);
    }

    fn on_ping_timeout(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        client: usize,
        connection: ConnectionId,
    ) {
        if network.client_end(connection) == Some(ClientIndex::Simple(client)) {
            self.close(ctx, network, client, connection);
        }
    }

    /// A client resends all unacknowledged publications.
    fn resend(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let member = self.members.get_mut(index);
        let messages = member.map(|member| member.client.resend());
        for message in messages.unwrap_or_default() {
            self.send(ctx, network, index, Some(message));
        }
    }

    fn publish(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let may_inject_faults = ctx.may_inject_faults();
        let channel = ctx.generator.below_len(8);
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if member.client.published() >= ctx.settings.publishes && !may_inject_faults {
            return;
        }
        ctx.totals.published += 1;
        let message = member.client.publish(channel);
        self.send(ctx, network, index, message);
        if ctx.generator.chance(1, 8) {
            self.publish_again(ctx, network, index);
        }
        self.begin_endless_command(ctx, network, index);
        self.use_other_features(ctx, network, index);
        let delay = ctx.publish_interval();
        ctx.schedule_client(delay, index, SimpleClientEvent::Publish);
    }

    /// Occasionally a client begins a command that it never ends, and is lost except for its pings.
    fn begin_endless_command(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if !ctx.settings.is_command_endless(member.client.published()) || !ctx.may_inject_faults() {
            return;
        }
        let Some(connection) = member.connection.filter(|_| !member.has_endless_command) else {
            return;
        };
        member.has_endless_command = true;
        let opcode = Opcode::from(member.client.encoding().message_kind());
        uplink::begin_message(ctx, network, connection, opcode, br#"{"id":1000,"rpc":{"#);
    }

    fn publish_again(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let pick = ctx.generator.next_u64();
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let again = if pick >> 62 == 0 {
            member.client.publish_other_data(pick)
        } else {
            let again = member.client.publish_again(pick);
            ctx.totals.published_again += u64::from(again.is_some());
            again
        };
        self.send(ctx, network, index, again);
    }

    /// Occasionally a client queries presence, replaces a subscription, or closes its connection and dials again at once.
    fn use_other_features(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let pick = ctx.generator.next_u64();
        let (queries, replaces) = (ctx.generator.chance(1, 8), ctx.generator.chance(1, 16));
        let reads = ctx.generator.chance(1, 16);
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let query = queries.then(|| {
            let channel = convert::saturating(pick % 8);
            member
                .client
                .query_presence(channel, pick.is_multiple_of(3))
        });
        let around = reads.then(|| {
            let channel = convert::saturating(pick % 8);
            member.client.publish_around_history(channel)
        });
        let around = around.flatten();
        ctx.totals.published += 2 * u64::from(around.is_some());
        let replacement = replaces.then(|| member.client.replace_subscription(pick));
        let replacement = replacement.flatten();
        ctx.totals.resubscribed_at_once += u64::from(replacement.is_some());
        self.send(ctx, network, index, query.flatten());
        self.send(ctx, network, index, around);
        self.send(ctx, network, index, replacement);
        if ctx.generator.chance(1, 32) {
            self.hang_up(ctx, network, index);
        }
    }

    /// A client closes its connection while commands are in flight, and dials again at once: the gateway may give the new
    /// connection the slot of the old one before its engine responds.
    fn hang_up(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        let Some(connection) = member.connection.take() else {
            return;
        };
        ctx.totals.hang_ups += 1;
        member.observer = None;
        member.client.on_connection_lost();
        network.close_client_end(ctx, connection, StreamEnd::Closed);
        let delay = ctx.between(Duration::ZERO, Duration::from_millis(9));
        ctx.schedule_client(delay, index, SimpleClientEvent::Dial);
    }

    /// A client queries the presence of a channel, again until a reply had to be exact.
    fn query_until_exact(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        index: usize,
        channel: usize,
    ) {
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        if !presence::is_exact(ctx, member.connection, channel) {
            let query = member.client.query_presence(channel, true);
            self.send(ctx, network, index, query);
            let delay = presence::retry_delay(ctx);
            let event = SimpleClientEvent::QueryPresence { channel };
            ctx.schedule_client(delay, index, event);
        }
    }

    /// The clients, each with its connection.
    pub(crate) fn connections(
        &self,
    ) -> impl Iterator<Item = (&SimpleClient, Option<ConnectionId>)> {
        self.members.iter().map(|it| (&it.client, it.connection))
    }

    /// The observers of all open connections.
    pub(crate) fn observers(&self) -> impl Iterator<Item = &Observer> {
        self.members.iter().filter_map(|it| it.observer.as_ref())
    }

    /// The encoding of a client's messages.
    pub(crate) fn encoding(&self, index: usize) -> Encoding {
        let member = self.members.get(index);
        member.map_or(Encoding::Json, |member| member.client.encoding())
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &SimpleClient> {
        self.members.iter().map(|member| &member.client)
    }
}
