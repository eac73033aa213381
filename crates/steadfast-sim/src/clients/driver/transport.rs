//! The transports of a session: the driver dials, sends, receives, and reports what the session must know.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{ENCODING, Input};
use steadfast_core::event::{ConnectionErrorKind, DialErrorKind, DialStage};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame};
use steadfast_faults::link::{Direction, StreamEnd};
use steadfast_machine::convert;
use steadfast_protocol::websocket::{ControlFrame, EndpointEvent, Opcode, WebSocketEndpoint};

use super::Driver;
use super::transports::OpenTransport;
use crate::clients::observer::WithoutReply;
use crate::clients::session_checks;
use crate::clients::uplink;
use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::ids::{ConnectionId, NodeIndex};
use crate::network::Network;
use crate::planted_bug::session_messages::alter_message;

/// What the bytes of one read require.
#[derive(Debug)]
enum Received {
    Message(Bytes),
    Pong,
    Ping { reply: ControlFrame },
    Lost(ConnectionLoss),
}

impl Driver {
    /// Dials the gateway, which takes some time; occasionally there is no response.
    pub(super) fn dial(&mut self, ctx: &mut Context, attempt: Attempt, endpoint: usize) {
        let now = ctx.now();
        let node = ctx.settings.node_of(self.index + endpoint);
        self.transports.dial(attempt, node);
        if !self.transports.is_standby(attempt) {
            self.dials.push_back(now);
            let second = Duration::from_secs(1);
            self.dials.retain(|at| now.saturating_since(*at) < second);
            session_checks::check_dial_rate(ctx, self.index, self.dials.len());
        }
        if ctx.may_inject_faults() && ctx.generator.chance(1, 40) {
            ctx.totals.dials_ignored += 1;
            ctx.record_fault_change();
            return;
        }
        let delay = ctx.between(Duration::from_millis(1), Duration::from_millis(30));
        ctx.schedule_session(
            now + delay,
            self.index,
            DriverEvent::DialCompleted { attempt },
        );
    }

    /// Returns the node that is dialled, if the result of this dial is still awaited.
    pub(crate) fn dialled_node(&self, requested: Attempt) -> Option<NodeIndex> {
        let transport = self.transports.get(requested)?;
        transport.open.is_none().then_some(transport.node)
    }

    /// The gateway has accepted the connection or refused it.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: Option<ConnectionId>,
    ) {
        let Some(dialling) = self.transports.dialling() else {
            return;
        };
        let (attempt, node) = (dialling.attempt, dialling.node);
        match connection {
            Some(connection) => {
                let open = OpenTransport::new(connection, node, BTreeSet::new());
                dialling.open = Some(Box::new(open));
            }
            None => {
                self.transports.remove(attempt);
            }
        }
        if !self.transports.is_standby(attempt) {
            self.begin_connection(ctx, connection, node);
        }
        let failure = DialFailure {
            stage: DialStage::Connect,
            kind: DialErrorKind::Refused,
            text: "connection refused".to_owned(),
            is_local: false,
            is_final: false,
            retry_after: None,
        };
        let input = match connection {
            Some(_) => Input::Dialled { attempt },
            None => Input::DialFailed { attempt, failure },
        };
        self.drive(ctx, network, input);
    }

    /// The transport of the present attempt has opened, or not; or its standby replaces it.
    fn begin_connection(
        &mut self,
        ctx: &mut Context,
        connection: Option<ConnectionId>,
        node: NodeIndex,
    ) {
        self.last_connection = connection;
        if let Some(open) = self.transports.present_mut() {
            open.observer.add_doubt(mem::take(&mut self.in_doubt));
        }
        if connection.is_some() {
            let last_node = self.last_node.replace(node);
            ctx.totals.moves += u64::from(last_node.is_some_and(|last| last != node));
        }
    }

    /// The connection that is to replace the present one does so: what the former one has without a reply is in doubt.
    pub(super) fn switch(&mut self, ctx: &mut Context) {
        let Some(former) = self.transports.switch(ctx.now()) else {
            return;
        };
        ctx.totals.migrations += 1;
        if let Some(former) = self.transports.open(former) {
            let without_reply = former.observer.without_reply();
            self.note_without_reply(without_reply);
        }
        let attempt = self.transports.present_attempt();
        if let Some(node) = self.transports.get(attempt).map(|it| it.node) {
            self.begin_connection(ctx, self.connection(), node);
        }
    }

    fn note_without_reply(&mut self, without_reply: WithoutReply) {
        self.in_doubt.extend(without_reply.in_doubt);
        self.bug_state
            .on_connection_lost(without_reply.calls, without_reply.publications);
    }

    pub(super) fn abort(&mut self, ctx: &mut Context, network: &mut Network, attempt: Attempt) {
        let connection = self.connection_of(attempt);
        if connection.is_some() || self.dialled_node(attempt).is_some() {
            self.end_transport(ctx, network, attempt);
        }
        if let Some(connection) = connection {
            network.close_client_end(ctx, connection, StreamEnd::Reset);
        }
    }

    /// The attempt has ended. What its connection leaves unread or without a reply is kept for the checks.
    fn end_transport(&mut self, ctx: &mut Context, network: &Network, attempt: Attempt) {
        let connection = self.connection_of(attempt);
        let unread = connection.map(|connection| network.unread_by_client(connection));
        let unread = unread.into_iter().flatten();
        let received: Vec<Received> = unread
            .flat_map(|bytes| self.decode(attempt, &bytes))
            .collect();
        let messages = received.into_iter().filter_map(|received| match received {
            Received::Message(message) => Some(message),
            Received::Ping { .. } | Received::Pong | Received::Lost(_) => None,
        });
        self.stale_inputs
            .on_attempt_ended(ctx, self.index, attempt, messages.collect());
        let transport = self.transports.remove(attempt);
        // A standby has sent nothing; what a replaced connection left in doubt is known.
        let is_present = attempt == self.transports.present_attempt();
        if let Some(open) = transport.and_then(|it| it.open).filter(|_| is_present) {
            self.note_without_reply(open.observer.without_reply());
        }
    }

    /// Delivers a late input of an earlier attempt.
    pub(crate) fn deliver_stale_input(&mut self, ctx: &mut Context, number: u64) {
        let attempt = self.transports.present_attempt();
        self.stale_inputs
            .deliver(ctx, &mut self.session, attempt, number);
    }

    pub(super) fn transmit(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        message: Bytes,
    ) {
        let altered = alter_message(message, attempt, ctx.planted_bug, &mut self.bug_state);
        let Some(message) = altered else {
            return;
        };
        if let Some(open) = self.transports.open_mut(attempt)
            && open.endpoint.is_open()
        {
            open.observer.on_sent(ctx, &message);
            let opcode = Opcode::from(ENCODING.message_kind());
            self.send_frame(ctx, network, attempt, opcode, &message);
        }
    }

    /// Sends a frame, unless the closing handshake has begun.
    pub(super) fn send_if_open(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        let endpoint = self.endpoint_of(attempt);
        if endpoint.is_some_and(|endpoint| endpoint.is_open()) {
            self.send_frame(ctx, network, attempt, opcode, payload);
        }
    }

    pub(super) fn send_frame(
        &self,
        ctx: &mut Context,
        network: &mut Network,
        attempt: Attempt,
        opcode: Opcode,
        payload: &[u8],
    ) {
        if let Some(connection) = self.connection_of(attempt) {
            uplink::send(ctx, network, connection, opcode, payload);
            // The send buffer is reported to the session at the end of the loop iteration, as in the shell.
            let event = DriverEvent::ReportSendBuffer { connection };
            ctx.schedule_session(ctx.now(), self.index, event);
        }
    }

    /// The session has received bytes.
    pub(crate) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        let Some(attempt) = self.attempt_of(connection) else {
            return;
        };
        let received = self.decode(attempt, bytes);
        let count = convert::to_u64(bytes.len());
        self.drive(
            ctx,
            network,
            Input::BytesReceived {
                attempt,
                bytes: count,
            },
        );
        for item in received {
            match item {
                Received::Message(message) => {
                    if let Some(open) = self.transports.open_mut(attempt) {
                        open.observer.on_received(ctx, &message);
                    }
                    self.drive(
                        ctx,
                        network,
                        Input::Received {
                            attempt,
                            frame: Frame::Text(message),
                        },
                    );
                }
                Received::Pong => self.drive(ctx, network, Input::PongReceived { attempt }),
                Received::Ping { reply } => {
                    self.send_frame(ctx, network, attempt, reply.opcode(), reply.payload());
                }
                Received::Lost(loss) => return self.on_lost(ctx, network, connection, loss),
            }
        }
    }

    fn decode(&mut self, attempt: Attempt, bytes: &[u8]) -> Vec<Received> {
        let Some(open) = self.transports.open_mut(attempt) else {
            return Vec::new();
        };
        let mut input = bytes.to_vec();
        let mut received = Vec::new();
        let mut reading = open.decoder.read(&mut input);
        while let Some(event) = open.endpoint.next_event(&mut reading) {
            received.push(match event {
                EndpointEvent::Message { payload, .. } => {
                    Received::Message(Bytes::copy_from_slice(payload))
                }
                EndpointEvent::Ping { reply } => Received::Ping { reply },
                EndpointEvent::Pong(_) => Received::Pong,
                EndpointEvent::Dropped => continue,
                // The client's end is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { code, reason, .. } => {
                    let reason = reason.to_owned();
                    Received::Lost(ConnectionLoss::CloseFrame { code, reason })
                }
                EndpointEvent::Failed { error, .. } => {
                    let (kind, text) = (ConnectionErrorKind::Other, error.to_string());
                    Received::Lost(ConnectionLoss::Failed { kind, text })
                }
            });
        }
        received
    }

    /// The connection has ended, as the client's operating system reports; the client's end is closed.
    pub(crate) fn on_stream_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let (kind, text) = match end {
            StreamEnd::Closed => (
                ConnectionErrorKind::EndOfStream,
                "the connection ended without a close frame",
            ),
            StreamEnd::Reset => (ConnectionErrorKind::Reset, "the connection was reset"),
        };
        let text = text.to_owned();
        let loss = ConnectionLoss::Failed { kind, text };
        self.on_lost(ctx, network, connection, loss);
    }

    fn on_lost(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        loss: ConnectionLoss,
    ) {
        let Some(attempt) = self.attempt_of(connection) else {
            return;
        };
        self.end_transport(ctx, network, attempt);
        network.close_client_end(ctx, connection, StreamEnd::Closed);
        self.drive(ctx, network, Input::Lost { attempt, loss });
    }

    /// Reports the size of the send buffer to the session when the size has changed.
    pub(crate) fn report_send_buffer(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) {
        let Some(state) = network.connection(connection) else {
            return;
        };
        let bytes = convert::to_u64(state.link.stream(Direction::ToServer).unsent_bytes());
        if let Some(attempt) = self.attempt_of(connection)
            && let Some(open) = self.transports.open_mut(attempt)
            && open.reported_send_buffer != bytes
        {
            open.reported_send_buffer = bytes;
            self.drive(ctx, network, Input::SendBuffer { attempt, bytes });
        }
    }

    /// Returns the connection of this attempt, if it is open.
    pub(super) fn connection_of(&self, attempt: Attempt) -> Option<ConnectionId> {
        self.transports.open(attempt).map(|it| it.connection)
    }

    /// Returns the attempt of this connection, if it has not ended.
    fn attempt_of(&self, connection: ConnectionId) -> Option<Attempt> {
        self.transports.attempt_of(connection)
    }

    /// Returns the endpoint of this attempt, under the same conditions as its connection.
    pub(super) fn endpoint_of(&mut self, attempt: Attempt) -> Option<&mut WebSocketEndpoint> {
        self.transports.open_mut(attempt).map(|it| &mut it.endpoint)
    }
}
