//! The one transport of a session: dials, sends, receives, and reports what the session must know about it.

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{ENCODING, Input};
use steadfast_core::event::{DialErrorKind, DialStage};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame};
use steadfast_faults::link::{Direction, StreamEnd};
use steadfast_machine::convert;
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Opcode, Role, WebSocketEndpoint, WebSocketLimits,
};

use super::{Driver, Transport};
use crate::clients::observer::Observer;
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
    Ping { reply: ControlFrame },
    Lost(ConnectionLoss),
}

impl Driver {
    /// Dials the gateway, which takes some time; occasionally there is no response.
    pub(super) fn dial(&mut self, ctx: &mut Context, attempt: Attempt, endpoint: usize) {
        let now = ctx.now();
        self.attempt = attempt;
        let node = ctx.settings.node_of(self.index + endpoint);
        self.transport = Transport::Dialing { attempt, node };
        self.dials.push_back(now);
        let second = Duration::from_secs(1);
        self.dials.retain(|at| now.saturating_since(*at) < second);
        session_checks::check_dial_rate(ctx, self.index, self.dials.len());
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
        match self.transport {
            Transport::Dialing { attempt, node } => (attempt == requested).then_some(node),
            Transport::None | Transport::Open { .. } => None,
        }
    }

    /// The gateway has accepted the connection or refused it.
    pub(crate) fn on_dialled(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: Option<ConnectionId>,
    ) {
        let Transport::Dialing { attempt, node } = self.transport else {
            return;
        };
        self.transport = connection.map_or(Transport::None, |connection| Transport::Open {
            attempt,
            connection,
            observer: Box::new(Observer::new(
                connection,
                node,
                ENCODING,
                mem::take(&mut self.in_doubt),
            )),
            decoder: Box::new(Decoder::new(Role::Client, LIMITS)),
            endpoint: WebSocketEndpoint::new(Role::Client),
            reported_send_buffer: 0,
            connected_at: None,
        });
        self.last_connection = connection;
        if connection.is_some() {
            let last_node = self.last_node.replace(node);
            ctx.totals.moves += u64::from(last_node.is_some_and(|last| last != node));
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
        let received: Vec<Received> = unread.flat_map(|bytes| self.decode(&bytes)).collect();
        let messages = received.into_iter().filter_map(|received| match received {
            Received::Message(message) => Some(message),
            Received::Ping { .. } | Received::Lost(_) => None,
        });
        self.stale_inputs
            .on_attempt_ended(ctx, self.index, attempt, messages.collect());
        let transport = mem::replace(&mut self.transport, Transport::None);
        if let Transport::Open { observer, .. } = transport {
            let without_reply = observer.into_without_reply();
            self.in_doubt.extend(without_reply.in_doubt);
            self.bug_state
                .on_connection_lost(without_reply.calls, without_reply.publications);
        }
    }

    /// Delivers a late input of an earlier attempt.
    pub(crate) fn deliver_stale_input(&mut self, ctx: &mut Context, number: u64) {
        let (session, attempt) = (&mut self.session, self.attempt);
        self.stale_inputs.deliver(ctx, session, attempt, number);
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
        if let Transport::Open {
            attempt: current,
            observer,
            endpoint,
            ..
        } = &mut self.transport
            && *current == attempt
            && endpoint.is_open()
        {
            observer.on_sent(ctx, &message);
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
        let received = self.decode(bytes);
        self.drive(ctx, network, Input::BytesReceived { attempt });
        for item in received {
            match item {
                Received::Message(message) => {
                    if let Transport::Open { observer, .. } = &mut self.transport {
                        observer.on_received(ctx, &message);
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
                Received::Ping { reply } => {
                    self.send_frame(ctx, network, attempt, reply.opcode(), reply.payload());
                }
                Received::Lost(loss) => return self.on_lost(ctx, network, connection, loss),
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<Received> {
        let Transport::Open {
            decoder, endpoint, ..
        } = &mut self.transport
        else {
            return Vec::new();
        };
        let mut input = bytes.to_vec();
        let mut received = Vec::new();
        let mut reading = decoder.read(&mut input);
        while let Some(event) = endpoint.next_event(&mut reading) {
            received.push(match event {
                EndpointEvent::Message { payload, .. } => {
                    Received::Message(Bytes::copy_from_slice(payload))
                }
                EndpointEvent::Ping { reply } => Received::Ping { reply },
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => continue,
                // The client's end is closed in the same event, so that the close frame in reply has no receiver.
                EndpointEvent::Closed { code, reason, .. } => {
                    let reason = reason.to_owned();
                    Received::Lost(ConnectionLoss::CloseFrame { code, reason })
                }
                EndpointEvent::Failed { error, .. } => {
                    Received::Lost(ConnectionLoss::Failed(error.to_string()))
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
        let reason = match end {
            StreamEnd::Closed => "the connection ended without a close frame",
            StreamEnd::Reset => "the connection was reset",
        };
        let loss = ConnectionLoss::Failed(reason.to_owned());
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
        if let Transport::Open {
            attempt,
            connection: current,
            reported_send_buffer,
            ..
        } = &mut self.transport
            && *current == connection
            && *reported_send_buffer != bytes
        {
            let attempt = *attempt;
            *reported_send_buffer = bytes;
            self.drive(ctx, network, Input::SendBuffer { attempt, bytes });
        }
    }

    /// Returns the connection of this attempt, if the attempt is the current one and its connection is open.
    pub(super) fn connection_of(&self, requested: Attempt) -> Option<ConnectionId> {
        match &self.transport {
            Transport::Open {
                attempt,
                connection,
                ..
            } if *attempt == requested => Some(*connection),
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
        }
    }

    /// Returns the attempt of this connection, if the connection is the current one.
    fn attempt_of(&self, requested: ConnectionId) -> Option<Attempt> {
        match &self.transport {
            Transport::Open {
                attempt,
                connection,
                ..
            } if *connection == requested => Some(*attempt),
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
        }
    }

    /// Returns the endpoint of this attempt, under the same conditions as its connection.
    pub(super) fn endpoint_of(&mut self, requested: Attempt) -> Option<&mut WebSocketEndpoint> {
        match &mut self.transport {
            Transport::Open {
                attempt, endpoint, ..
            } if *attempt == requested => Some(endpoint),
            Transport::Open { .. } | Transport::Dialing { .. } | Transport::None => None,
        }
    }
}

/// The limits of received messages: far above what the simulated gateways send.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 1_024,
};
