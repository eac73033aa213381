//! What a gateway process receives from its clients: decodes bytes to commands, no further than the hub permits.
//!
//! As in production, nothing is decoded from where the hub has paused a peer; what is left of the read is handled once
//! reading resumes, before the socket is read again.

use std::mem;

use bytes::Bytes;
use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_protocol::codec::CommandPosition;
use steadfast_protocol::websocket::EndpointEvent;

use super::{Hubs, Ports};
use crate::event::node::ProcessEvent;
use crate::ids::ConnectionId;
use crate::node::sockets::{MessageRest, Unhandled, decoder};
use crate::planted_bug::PlantedBug;

impl Hubs {
    /// The gateway has received bytes. A socket that the hub closes is removed, and the rest of the read with it; the
    /// rest of the read of a socket that the hub pauses is kept.
    pub(crate) fn read(&mut self, ports: &mut Ports<'_>, connection: ConnectionId, bytes: &[u8]) {
        if ports.ctx.planted_bug == Some(PlantedBug::DeafAfterFault)
            && ports.network.has_recovered(connection)
        {
            return;
        }
        let unhandled = self.decode(ports, connection, bytes);
        if let Some(socket) = self.sockets.get_mut(connection) {
            socket.unhandled = unhandled;
        }
    }

    /// Pauses or resumes reading from a client. What was kept of a read is handled first.
    pub(super) fn set_paused(
        &mut self,
        ports: &mut Ports<'_>,
        index: usize,
        peer: PeerId,
        is_paused: bool,
    ) {
        let Some(connection) = self.connection_of(index, peer) else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        ports.ctx.totals.reads_paused += u64::from(is_paused);
        socket.is_paused = is_paused;
        if !is_paused && socket.unhandled.is_some() {
            let now = ports.ctx.now();
            let event = ProcessEvent::ResumeReading { connection };
            ports.ctx.schedule_process(now, self.process, event);
        } else {
            ports.network.set_paused(ports.ctx, connection, is_paused);
        }
    }

    /// The gateway handles what it has kept of a read, as far as the hub permits, and then reads again.
    pub(crate) fn resume_reading(&mut self, ports: &mut Ports<'_>, connection: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        let Unhandled { message, frames } = socket.unhandled.take().unwrap_or_default();
        ports.ctx.totals.messages_continued += u64::from(message.is_some());
        let rest = message.and_then(|rest| self.decode_message(ports, connection, rest));
        let unhandled = match rest {
            Some(_) => Some(Unhandled {
                message: rest,
                frames,
            }),
            None => self.decode(ports, connection, &frames),
        };
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        socket.unhandled = unhandled;
        let is_paused = socket.is_paused;
        ports.network.set_paused(ports.ctx, connection, is_paused);
    }

    /// Decodes the bytes of a read, and drives the hub with them. Returns what is left if the hub has paused the peer.
    fn decode(
        &mut self,
        ports: &mut Ports<'_>,
        connection: ConnectionId,
        bytes: &[u8],
    ) -> Option<Unhandled> {
        let socket = self.sockets.get_mut(connection)?;
        let (shard, peer) = (socket.shard, socket.peer);
        let mut decoder = mem::replace(&mut socket.decoder, decoder());
        let mut input = bytes.to_vec();
        let (mut has_message, mut rest_of_message) = (false, None);
        let mut reading = decoder.read(&mut input);
        loop {
            let socket = self.sockets.get_mut(connection)?;
            if socket.is_paused {
                break;
            }
            let Some(event) = socket.endpoint.next_event(&mut reading) else {
                break;
            };
            match event {
                EndpointEvent::Message { payload, .. } => {
                    has_message = true;
                    socket.has_received_message = true;
                    let message = MessageRest {
                        message: Bytes::copy_from_slice(payload),
                        position: CommandPosition::START,
                    };
                    rest_of_message = self.decode_message(ports, connection, message);
                }
                EndpointEvent::Ping { reply } => {
                    self.sockets
                        .send_control(ports.ctx, ports.network, connection, &reply);
                }
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => {
                    if let Some(reply) = reply {
                        self.sockets
                            .send_control(ports.ctx, ports.network, connection, &reply);
                    }
                    let reason = reason.to_owned();
                    let loss = ConnectionLoss::CloseFrame { code, reason };
                    if let Some(socket) = self.close_socket(ports, connection) {
                        self.on_peer_lost(ports, &socket, loss);
                    }
                    return None;
                }
                EndpointEvent::Failed { error, close } => {
                    if let Some(close) = close {
                        self.sockets
                            .send_control(ports.ctx, ports.network, connection, &close);
                    }
                    let (code, reason) = (error.close_code(), error.reason());
                    self.drive(ports, shard, Input::Malformed { peer, code, reason });
                    return None;
                }
            }
        }
        let frames = reading.into_rest().to_vec();
        let socket = self.sockets.get_mut(connection)?;
        socket.decoder = decoder;
        if rest_of_message.is_some() || !frames.is_empty() {
            let message = rest_of_message;
            return Some(Unhandled { message, frames });
        }
        if !has_message && socket.endpoint.is_open() {
            self.drive(ports, shard, Input::BytesReceived { peer });
        }
        None
    }

    /// Feeds the commands in the rest of a message to the hub, until one of them closes or pauses the connection.
    /// Returns what is left if the connection is paused. The replies to commands that are fed at once share a frame.
    fn decode_message(
        &mut self,
        ports: &mut Ports<'_>,
        connection: ConnectionId,
        rest: MessageRest,
    ) -> Option<MessageRest> {
        let MessageRest { message, position } = rest;
        let socket = self.sockets.get_mut(connection)?;
        let (shard, peer, encoding) = (socket.shard, socket.peer, socket.encoding);
        let limits = *self.shards.get(shard)?.hub.limits();
        let at = ports.ctx.wall();
        let mut commands = encoding.decode_commands_from(&message, &limits, position);
        let stopped_at = loop {
            let Some(socket) = self.sockets.get_mut(connection) else {
                break None;
            };
            if socket.is_paused {
                break commands.next_position();
            }
            let Some(command) = commands.next() else {
                break None;
            };
            self.feed(ports, shard, Input::CommandReceived { peer, command, at });
        };
        self.finish_step(ports, shard);
        let position = stopped_at?;
        Some(MessageRest { message, position })
    }
}
