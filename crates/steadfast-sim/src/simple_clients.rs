//! The simple clients in the world: they dial, publish and reconnect.

use std::time::Duration;

use bytes::Bytes;
use steadfast_protocol::websocket::Opcode;

use crate::byte_stream::StreamEnd;
use crate::client::{Client, ClientAction, Recorder};
use crate::connections::{ClientIndex, ConnectionId};
use crate::world::{World, WorldEvent};

impl World {
    pub(crate) fn dial(&mut self, client: usize) {
        let Some(encoding) = self.clients.get(client).map(Client::encoding) else {
            return;
        };
        let Some(connection) = self.open_connection(ClientIndex::Simple(client), encoding) else {
            let delay = self
                .generator
                .between(Duration::from_millis(20), Duration::from_millis(300));
            self.clock.schedule(delay, WorldEvent::Dial { client });
            return;
        };
        if let Some(connection_slot) = self.client_connections.get_mut(client) {
            *connection_slot = Some(connection);
        }
        let has_invalid_position = self.generator.chance(1, 32);
        let message = self
            .clients
            .get_mut(client)
            .map(|it| it.connect_message(has_invalid_position));
        self.send_message(client, message);
    }

    /// A simple client sends a message, if it has a connection.
    pub(crate) fn send_message(&mut self, client: usize, message: Option<Bytes>) {
        let connection = self.client_connections.get(client).copied().flatten();
        let encoding = self.clients.get(client).map(Client::encoding);
        if let (Some(connection), Some(encoding), Some(message)) = (connection, encoding, message) {
            let opcode = Opcode::from(encoding.message_kind());
            self.send_to_gateway(connection, opcode, &message);
        }
    }

    pub(crate) fn simple_client_reads(
        &mut self,
        client: usize,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        let mut recorder = Recorder {
            reference_model: &mut self.reference_model,
            totals: &mut self.totals,
            is_durable: self.settings.is_durable(),
            visible_max: self.settings.visible_max(),
        };
        let actions = self
            .clients
            .get_mut(client)
            .map(|client| client.receive(bytes, &mut recorder));
        for action in actions.unwrap_or_default() {
            match action {
                ClientAction::Send(message) => self.send_message(client, Some(message)),
                ClientAction::SendControl(frame) => {
                    self.send_to_gateway(connection, frame.opcode(), frame.payload());
                }
                ClientAction::Close => {
                    self.close_as_client(connection, StreamEnd::Closed);
                    self.on_client_connection_lost(client, connection);
                }
                ClientAction::ResendLater => self
                    .clock
                    .schedule(Duration::from_millis(100), WorldEvent::Resend { client }),
            }
        }
    }

    pub(crate) fn on_client_connection_lost(&mut self, client: usize, connection: ConnectionId) {
        if self.client_connections.get(client).copied().flatten() != Some(connection) {
            return;
        }
        if let (Some(connection_slot), Some(lost)) = (
            self.client_connections.get_mut(client),
            self.clients.get_mut(client),
        ) {
            *connection_slot = None;
            lost.on_connection_lost();
        }
        let delay = self
            .generator
            .between(Duration::from_millis(10), Duration::from_millis(200));
        self.clock.schedule(delay, WorldEvent::Dial { client });
    }

    /// A simple client resends all unacknowledged publications.
    pub(crate) fn resend(&mut self, client: usize) {
        let messages = self.clients.get_mut(client).map(Client::resend);
        for message in messages.unwrap_or_default() {
            self.send_message(client, Some(message));
        }
    }

    pub(crate) fn publish_as_client(&mut self, client: usize) {
        let may_inject_faults = self.may_inject_faults();
        let channel = self.generator.below_len(8);
        let Some(publisher) = self.clients.get_mut(client) else {
            return;
        };
        if publisher.published() >= self.settings.publishes && !may_inject_faults {
            return;
        }
        self.totals.published += 1;
        let message = publisher.publish(channel);
        self.send_message(client, message);
        if self.generator.chance(1, 8) {
            self.publish_again(client);
        }
        let delay = self.publish_interval();
        self.clock.schedule(delay, WorldEvent::Publish { client });
    }

    fn publish_again(&mut self, client: usize) {
        let pick = self.generator.next_u64();
        let again = self
            .clients
            .get_mut(client)
            .and_then(|client| client.publish_again(pick));
        self.totals.published_again += u64::from(again.is_some());
        self.send_message(client, again);
    }
}
