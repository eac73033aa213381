//! The simple clients of a run: they dial, publish and reconnect.

use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::StreamEnd;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::Opcode;

use super::simple_client::{ClientAction, SimpleClient};
use super::uplink;
use crate::context::Context;
use crate::event::clients::SimpleClientEvent;
use crate::ids::{ClientIndex, ConnectionId};
use crate::network::Network;

/// A simple client and its connection, as the client sees it.
#[derive(Debug)]
struct Member {
    client: SimpleClient,
    connection: Option<ConnectionId>,
}

/// The simple clients of a run.
#[derive(Debug)]
pub(crate) struct SimpleClients {
    members: Vec<Member>,
}

impl SimpleClients {
    pub(crate) fn new(count: usize, channels: &[String], padding: usize) -> Self {
        let new_member = |(index, encoding)| Member {
            client: SimpleClient::new(index, encoding, channels, padding),
            connection: None,
        };
        Self {
            members: (0..count)
                .zip(Encoding::ALL.into_iter().cycle())
                .map(new_member)
                .collect(),
        }
    }

    /// Handles an event of a client. Returns the client if it dials.
    pub(crate) fn step(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        client: usize,
        event: SimpleClientEvent,
    ) -> Option<ClientIndex> {
        match event {
            SimpleClientEvent::Dial => return Some(ClientIndex::Simple(client)),
            SimpleClientEvent::PingTimeout { connection } => {
                self.on_ping_timeout(ctx, network, client, connection);
            }
            SimpleClientEvent::Publish => self.publish(ctx, network, client),
            SimpleClientEvent::Resend => self.resend(ctx, network, client),
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
        if connection.is_none() {
            let delay = ctx.between(Duration::from_millis(20), Duration::from_millis(300));
            return ctx.schedule_client(delay, index, SimpleClientEvent::Dial);
        }
        let has_invalid_position = ctx.generator.chance(1, 32);
        let message = self.members.get_mut(index).map(|member| {
            member.connection = connection;
            member.client.connect_message(has_invalid_position)
        });
        self.send(ctx, network, index, message);
    }

    /// A client sends a message, if it has a connection.
    fn send(&self, ctx: &mut Context, network: &mut Network, index: usize, message: Option<Bytes>) {
        let Some(member) = self.members.get(index) else {
            return;
        };
        if let (Some(connection), Some(message)) = (member.connection, message) {
            let opcode = Opcode::from(member.client.encoding().message_kind());
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
        for action in member.client.receive(bytes, &mut ctx.recorder()) {
            match action {
                ClientAction::Send(message) => self.send(ctx, network, index, Some(message)),
                ClientAction::SendControl(frame) => {
                    uplink::send(ctx, network, connection, frame.opcode(), frame.payload());
                }
                ClientAction::Close => {
                    network.close_client_end(ctx, connection, StreamEnd::Closed);
                    self.on_connection_lost(ctx, index, connection);
                }
                ClientAction::ResendLater => {
                    let delay = Duration::from_millis(100);
                    ctx.schedule_client(delay, index, SimpleClientEvent::Resend);
                }
            }
        }
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
            network.close_client_end(ctx, connection, StreamEnd::Closed);
            self.on_connection_lost(ctx, client, connection);
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
        let delay = ctx.publish_interval();
        ctx.schedule_client(delay, index, SimpleClientEvent::Publish);
    }

    fn publish_again(&mut self, ctx: &mut Context, network: &mut Network, index: usize) {
        let pick = ctx.generator.next_u64();
        let member = self.members.get_mut(index);
        let again = member.and_then(|member| member.client.publish_again(pick));
        ctx.totals.published_again += u64::from(again.is_some());
        self.send(ctx, network, index, again);
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
