//! What a gateway process receives from its clients: the hubs as the driver of the connections' receiving parts.
//!
//! As in production, [`steadfast_protocol::inbound`] decides everything about received bytes.

use std::mem;

use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_machine::Timestamp;
use steadfast_protocol::inbound::{Inbound, InboundDriver, InboundOutput, Permission};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::websocket::ControlFrame;

use super::{Hubs, Ports};
use crate::event::node::ProcessEvent;
use crate::ids::ConnectionId;
use crate::planted_bug::PlantedBug;

impl Hubs {
    /// The gateway has received bytes. A socket that the hub closes is removed, and the rest of the read with it; the
    /// rest of the read of a socket that the hub pauses, or whose turn is over, is kept.
    pub(crate) fn read(&mut self, ports: &mut Ports<'_>, connection: ConnectionId, bytes: &[u8]) {
        if ports.ctx.planted_bug == Some(PlantedBug::DeafAfterFault)
            && ports.network.has_recovered(connection)
        {
            return;
        }
        let mut input = bytes.to_vec();
        self.handle_received(ports, connection, |inbound, limits, driver| {
            inbound.receive(&mut input, limits, driver);
        });
        self.end_turn(ports, connection);
    }

    /// A connection whose turn has ended before everything is handled has another turn after the other connections, and
    /// is not read from until then.
    fn end_turn(&mut self, ports: &mut Ports<'_>, connection: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        if socket.inbound.has_unhandled() && !socket.is_paused {
            ports.ctx.totals.turns_ended += 1;
            ports.network.set_paused(ports.ctx, connection, true);
            let now = ports.ctx.now();
            let event = ProcessEvent::ResumeReading { connection };
            ports.ctx.schedule_process(now, self.process, event);
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
        // What the client sent before is read from now on.
        socket.silence_counts_from = ports.ctx.now();
        if !is_paused && socket.inbound.has_unhandled() {
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
        ports.ctx.totals.messages_continued += u64::from(socket.inbound.is_within_message());
        self.handle_received(ports, connection, |inbound, limits, driver| {
            inbound.resume(limits, driver);
        });
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        let is_paused = socket.is_paused;
        ports.network.set_paused(ports.ctx, connection, is_paused);
        self.end_turn(ports, connection);
    }

    /// Lets the receiving part of a connection drive the hub.
    fn handle_received(
        &mut self,
        ports: &mut Ports<'_>,
        connection: ConnectionId,
        handle: impl FnOnce(&mut Inbound, &Limits, &mut ConnectionDriver<'_, '_>),
    ) {
        let Some(socket) = self.sockets.get_mut(connection) else {
            return;
        };
        let (shard, peer) = (socket.shard, socket.peer);
        let empty = Inbound::new(socket.encoding);
        let mut inbound = mem::replace(&mut socket.inbound, empty);
        let Some(limits) = self.shards.get(shard).map(|shard| *shard.hub.limits()) else {
            return;
        };
        let at = ports.ctx.wall();
        let mut driver = ConnectionDriver {
            hubs: self,
            ports,
            connection,
            shard,
            peer,
            at,
        };
        handle(&mut inbound, &limits, &mut driver);
        if let Some(socket) = self.sockets.get_mut(connection) {
            socket.inbound = inbound;
        }
    }
}

/// The hubs as the driver of what one connection receives, for the time of one read.
struct ConnectionDriver<'a, 'ports> {
    hubs: &'a mut Hubs,
    ports: &'a mut Ports<'ports>,
    connection: ConnectionId,
    shard: usize,
    peer: PeerId,
    at: Timestamp,
}

impl ConnectionDriver<'_, '_> {
    fn send_control(&mut self, frame: &ControlFrame) {
        let (ctx, network) = (&mut *self.ports.ctx, &mut *self.ports.network);
        let sockets = &mut self.hubs.sockets;
        sockets.send_control(ctx, network, self.connection, frame);
    }
}

impl InboundDriver for ConnectionDriver<'_, '_> {
    fn permission(&mut self) -> Permission<'_> {
        match self.hubs.sockets.get_mut(self.connection) {
            None => Permission::Removed,
            Some(socket) if socket.is_paused => Permission::Paused,
            Some(socket) => Permission::Reading(&mut socket.endpoint),
        }
    }

    fn execute(&mut self, output: InboundOutput<'_>) {
        let (shard, peer) = (self.shard, self.peer);
        match output {
            InboundOutput::Command(command) => {
                if let Some(socket) = self.hubs.sockets.get_mut(self.connection) {
                    socket.has_received_message = true;
                }
                let at = self.at;
                let input = Input::CommandReceived { peer, command, at };
                self.hubs.feed(self.ports, shard, input);
            }
            InboundOutput::SendReplies => self.hubs.finish_step(self.ports, shard),
            InboundOutput::SendPong(pong) => self.send_control(&pong),
            InboundOutput::RecordActivity => {
                let input = Input::BytesReceived { peer };
                self.hubs.drive(self.ports, shard, input);
            }
            InboundOutput::Incomplete(command) => {
                let input = Input::Incomplete { peer, command };
                self.hubs.drive(self.ports, shard, input);
            }
            InboundOutput::Closed {
                code,
                reason,
                reply,
            } => {
                if let Some(reply) = reply {
                    self.send_control(&reply);
                }
                let reason = reason.to_owned();
                let loss = ConnectionLoss::CloseFrame { code, reason };
                if let Some(socket) = self.hubs.close_socket(self.ports, self.connection) {
                    self.hubs.on_peer_lost(self.ports, &socket, loss);
                }
            }
            InboundOutput::Failed { error, close } => {
                if let Some(close) = close {
                    self.send_control(&close);
                }
                let (code, reason) = (error.close_code(), error.reason());
                let input = Input::Malformed { peer, code, reason };
                self.hubs.drive(self.ports, shard, input);
            }
        }
    }
}
