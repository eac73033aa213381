//! The gateway's ends of its connections: what its shell does with one socket, apart from its hub.
//!
//! A socket decodes bytes, and reports its unsent bytes at the end of a loop iteration. The checks that unsent bytes are
//! written and that silent clients are detected in time are made here.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::{ByteStream, Direction, Lane};
use steadfast_hub::io::{Input, PeerId};
use steadfast_hub::timer_wheel::TICK;
use steadfast_machine::Instant;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::inbound::Inbound;
use steadfast_protocol::websocket::{ControlFrame, Role, WebSocketEndpoint, encoder};

use crate::context::Context;
use crate::event::node::NodeEvent;
use crate::ids::{ConnectionId, NodeIndex};
use crate::network::Network;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::settings::{CONNECT_TIMEOUT, RunSettings, SEND_BUFFER_BYTES_MAX, STALL_MAX};
use crate::words;

/// The gateway's end of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) shard: usize,
    pub(crate) peer: PeerId,
    /// The encoding that the client has selected.
    pub(crate) encoding: Encoding,
    accepted_at: Instant,
    /// Whether a complete message was received.
    pub(crate) has_received_message: bool,
    pub(crate) inbound: Inbound,
    /// Whether the hub has paused the peer.
    pub(crate) is_paused: bool,
    pub(crate) endpoint: WebSocketEndpoint,
    /// The total of accepted bytes at the last report to the hub; `None` while the hub knows of no unsent bytes.
    reported_accepted_bytes: Option<u64>,
    is_send_buffer_report_scheduled: bool,
    /// From when on the silence of the client counts: unsent bytes were accepted, which shows that the client is alive, and
    /// a ping after them is sent no earlier; or the hub resumed the peer.
    pub(crate) silence_counts_from: Instant,
}

impl Socket {
    const fn new(shard: usize, peer: PeerId, encoding: Encoding, now: Instant) -> Self {
        Self {
            shard,
            peer,
            encoding,
            accepted_at: now,
            has_received_message: false,
            inbound: Inbound::new(encoding),
            is_paused: false,
            endpoint: WebSocketEndpoint::new(Role::Server),
            reported_accepted_bytes: None,
            is_send_buffer_report_scheduled: false,
            silence_counts_from: now,
        }
    }

    /// The longest time until the hub closes the peer of a silent client, from [`Self::silence_counts_from`]. While bytes
    /// are unsent, the write timeout does that.
    pub(crate) fn silence_max(&self, settings: &RunSettings) -> Duration {
        let write_timeout = match self.reported_accepted_bytes {
            Some(_) => STALL_MAX,
            None => Duration::ZERO,
        };
        settings.peer_silence_max() + write_timeout
    }
}

/// The open sockets of a process.
#[derive(Debug)]
pub(crate) struct Sockets {
    node: NodeIndex,
    open: BTreeMap<ConnectionId, Socket>,
}

impl Sockets {
    pub(crate) const fn new(node: NodeIndex) -> Self {
        Self {
            node,
            open: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(
        &mut self,
        ctx: &Context,
        connection: ConnectionId,
        shard: usize,
        peer: PeerId,
        encoding: Encoding,
    ) {
        let socket = Socket::new(shard, peer, encoding, ctx.now());
        self.open.insert(connection, socket);
    }

    /// Returns the socket of a connection, unless it is closed.
    pub(crate) fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut Socket> {
        self.open.get_mut(&connection)
    }

    /// Closes the gateway's end of a connection.
    pub(crate) fn close(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) -> Option<Socket> {
        let socket = self.open.remove(&connection);
        network.close_gateway_end(ctx, connection);
        socket
    }

    /// Sends a control frame to a client.
    pub(crate) fn send_control(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        frame: &ControlFrame,
    ) {
        let frame = encoder::encode_server(frame.opcode(), frame.payload());
        self.send(ctx, network, connection, frame);
    }

    /// Sends a ping to a client, before all unsent bytes. Returns the size of its frame if it is unsent too.
    pub(crate) fn send_ping(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        frame: Bytes,
    ) -> Option<usize> {
        let bytes = frame.len();
        let accepted = sent_stream(network, connection)?.accepted_bytes();
        self.send_in(ctx, network, connection, frame, Lane::Control);
        let stream = sent_stream(network, connection)?;
        let is_unsent = stream.accepted_bytes() == accepted && stream.unsent_bytes() >= bytes;
        if !is_unsent {
            return None;
        }
        // The hub awaits that these bytes are accepted, also if that is before the end of this loop iteration.
        let socket = self.open.get_mut(&connection)?;
        socket.reported_accepted_bytes.get_or_insert(accepted);
        Some(bytes)
    }

    /// Whether the socket has not accepted all bytes.
    pub(crate) fn has_unsent_bytes(network: &Network, connection: ConnectionId) -> bool {
        sent_stream(network, connection).is_some_and(|stream| stream.unsent_bytes() > 0)
    }

    /// Returns the number of unsent bytes of all sockets of a shard.
    pub(crate) fn unsent_bytes(&self, network: &Network, shard: usize) -> usize {
        let of_shard = self.open.iter().filter(|(_, socket)| socket.shard == shard);
        of_shard
            .filter_map(|(connection, _)| sent_stream(network, *connection))
            .map(ByteStream::unsent_bytes)
            .sum()
    }

    /// Sends frames to a client. If there are unsent bytes then, schedules the report to the hub at the end of the loop
    /// iteration, and the check that they are written in time.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        frames: Bytes,
    ) {
        self.send_in(ctx, network, connection, frames, Lane::Messages);
    }

    fn send_in(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        frames: Bytes,
        lane: Lane,
    ) {
        network.send(ctx, connection, Direction::ToClient, frames, lane);
        let now = ctx.now();
        let Some(stream) = sent_stream(network, connection) else {
            return;
        };
        let Some(socket) = self
            .open
            .get_mut(&connection)
            .filter(|_| stream.unsent_bytes() > 0)
        else {
            return;
        };
        if !mem::replace(&mut socket.is_send_buffer_report_scheduled, true) {
            ctx.schedule_node(now, self.node, NodeEvent::ReportSendBuffer { connection });
        }
        if stream.unsent_since() == Some(now) {
            let accepted = stream.accepted_bytes();
            self.schedule_send_buffer_check(ctx, connection, accepted);
        }
    }

    fn schedule_send_buffer_check(
        &self,
        ctx: &mut Context,
        connection: ConnectionId,
        accepted: u64,
    ) {
        let latest = ctx.now() + STALL_MAX;
        let event = NodeEvent::CheckSendBuffer {
            connection,
            accepted,
        };
        ctx.schedule_node(latest, self.node, event);
    }

    /// Returns the input that reports the size of a send buffer to the hub, unless it is empty.
    pub(crate) fn report_send_buffer(
        &mut self,
        ctx: &Context,
        network: &Network,
        connection: ConnectionId,
    ) -> Option<(usize, Input)> {
        let is_reporting = ctx.planted_bug != Some(PlantedBug::NoSendBuffer);
        let stream = sent_stream(network, connection)?;
        let (bytes, accepted) = (stream.unsent_bytes(), stream.accepted_bytes());
        let socket = self.open.get_mut(&connection)?;
        socket.is_send_buffer_report_scheduled = false;
        if bytes == 0 || !is_reporting {
            return None;
        }
        socket.reported_accepted_bytes = Some(accepted);
        let peer = socket.peer;
        Some((socket.shard, Input::SendBuffer { peer, bytes }))
    }

    /// Checks the size of a send buffer after it was reported to the hub: one loop iteration may exceed the limit, and
    /// then the hub closes the peer.
    pub(crate) fn check_send_buffer_size(
        &self,
        ctx: &mut Context,
        network: &Network,
        connection: ConnectionId,
    ) {
        let stream = sent_stream(network, connection);
        let bytes = stream.map_or(0, ByteStream::unsent_bytes);
        if bytes > SEND_BUFFER_BYTES_MAX && self.open.contains_key(&connection) {
            let details = format!("{bytes} unsent bytes for {connection}");
            ctx.report(Invariant::SendBuffersBounded, details);
        }
    }

    /// Returns the input that reports accepted bytes to the hub, if the hub knows of unsent bytes.
    pub(crate) fn report_accepted_bytes(
        &mut self,
        now: Instant,
        network: &Network,
        connection: ConnectionId,
    ) -> Option<(usize, Input)> {
        let stream = sent_stream(network, connection)?;
        let (is_empty, accepted) = (stream.unsent_bytes() == 0, stream.accepted_bytes());
        let socket = self.open.get_mut(&connection)?;
        let reported = socket.reported_accepted_bytes?;
        let (shard, peer) = (socket.shard, socket.peer);
        if accepted > reported {
            socket.silence_counts_from = now;
        }
        socket.reported_accepted_bytes = (!is_empty).then_some(accepted);
        if is_empty {
            return Some((shard, Input::Drained { peer }));
        }
        let bytes = usize::try_from(accepted - reported).ok()?;
        (bytes > 0).then_some((shard, Input::Written { peer, bytes }))
    }

    /// Checks that the socket has accepted more than `accepted` bytes, and schedules the next check.
    pub(crate) fn check_send_buffer(
        &self,
        ctx: &mut Context,
        network: &Network,
        connection: ConnectionId,
        accepted: u64,
    ) {
        let stream = sent_stream(network, connection);
        let Some(stream) = stream.filter(|_| self.open.contains_key(&connection)) else {
            return;
        };
        if stream.unsent_bytes() == 0 {
            return;
        }
        if stream.accepted_bytes() == accepted {
            let details = format!(
                "no byte accepted for {connection} for {}",
                words::seconds(STALL_MAX)
            );
            ctx.report(Invariant::SendBuffersBounded, details);
        } else {
            self.schedule_send_buffer_check(ctx, connection, stream.accepted_bytes());
        }
    }

    /// Nothing arrives from a client any more: schedules the check that this is detected in time.
    pub(crate) fn expect_detection(&self, ctx: &mut Context, connection: ConnectionId) {
        let Some(socket) = self.open.get(&connection) else {
            return;
        };
        let now = ctx.now();
        let after_ping = now + ctx.settings.peer_silence_max();
        let after_accept = socket.accepted_at + CONNECT_TIMEOUT + 2 * TICK;
        let latest = if socket.has_received_message {
            after_ping
        } else {
            after_accept.max(now)
        };
        ctx.schedule_node(latest, self.node, NodeEvent::CheckSilence { connection });
    }

    /// Checks that the gateway has closed a connection that is silent for too long.
    pub(crate) fn check_silence(&self, ctx: &mut Context, connection: ConnectionId) {
        let Some(socket) = self.open.get(&connection) else {
            return;
        };
        let silence_max = socket.silence_max(&ctx.settings);
        let counts_from = if socket.is_paused {
            ctx.now()
        } else {
            socket.silence_counts_from
        };
        let latest = ctx.silence_excused_until().max(counts_from + silence_max);
        if ctx.now() < latest {
            ctx.schedule_node(latest, self.node, NodeEvent::CheckSilence { connection });
            return;
        }
        let details = format!("the gateway has not closed {connection}");
        ctx.report(Invariant::DeadPeersDetected, details);
    }
}

fn sent_stream(network: &Network, connection: ConnectionId) -> Option<&ByteStream> {
    let connection = network.connection(connection)?;
    Some(connection.link.stream(Direction::ToClient))
}
