//! What the gateway's shell does with one socket: it decodes bytes to inputs for the hub, and reports unsent bytes.

use std::mem;

use bytes::Bytes;
use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_machine::Instant;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::limits;
use steadfast_protocol::websocket::{
    Decoder, EndOfStream, EndpointEvent, Role, WebSocketEndpoint, WebSocketLimits,
};

use crate::byte_stream::StreamEnd;
use crate::connections::{ConnectionId, Direction};
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::settings::{SEND_BUFFER_BYTES_MAX, UNSENT_TIME_MAX};
use crate::world::{World, WorldEvent};

/// The gateway's end of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) shard: usize,
    pub(crate) peer: PeerId,
    /// The encoding that the client has selected.
    pub(crate) encoding: Encoding,
    pub(crate) accepted_at: Instant,
    /// Whether a complete message was received.
    pub(crate) has_received_message: bool,
    decoder: Decoder,
    pub(crate) endpoint: WebSocketEndpoint,
    /// The total of accepted bytes at the last report to the hub; `None` while the hub knows of no unsent bytes.
    reported_accepted_bytes: Option<u64>,
    is_send_buffer_report_scheduled: bool,
    pub(crate) ping_timing: PingTiming,
}

/// Whether pings to a client were delayed, which extends the time until its silence must be detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PingTiming {
    /// No ping was queued after unsent bytes.
    Prompt,
    /// There were unsent bytes, so that a ping may have been queued after them.
    Delayed,
    /// Like [`Self::Delayed`], and the deadline was extended for that reason.
    DelayedAndExtended,
}

impl Socket {
    pub(crate) const fn new(shard: usize, peer: PeerId, encoding: Encoding, now: Instant) -> Self {
        Self {
            shard,
            peer,
            encoding,
            accepted_at: now,
            has_received_message: false,
            decoder: decoder(),
            endpoint: WebSocketEndpoint::new(Role::Server),
            reported_accepted_bytes: None,
            is_send_buffer_report_scheduled: false,
            ping_timing: PingTiming::Prompt,
        }
    }
}

impl World {
    /// The gateway has received bytes. A socket that the hub closes is removed, and the rest of the read with it.
    pub(crate) fn gateway_reads(&mut self, connection: ConnectionId, bytes: &[u8]) {
        let Some(socket) = self.socket(connection) else {
            return;
        };
        let (shard, peer, encoding) = (socket.shard, socket.peer, socket.encoding);
        let mut decoder = mem::replace(&mut socket.decoder, decoder());
        let mut input = bytes.to_vec();
        let mut has_message = false;
        let mut reading = decoder.read(&mut input);
        loop {
            let Some(socket) = self.socket(connection) else {
                return;
            };
            let Some(event) = socket.endpoint.next_event(&mut reading) else {
                break;
            };
            match event {
                EndpointEvent::Message { payload, .. } => {
                    has_message = true;
                    socket.has_received_message = true;
                    let message = Bytes::copy_from_slice(payload);
                    self.drive_hub_with_message(shard, peer, encoding, &message);
                }
                EndpointEvent::Ping { reply } => self.send_control_to_client(connection, &reply),
                EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => {
                    if let Some(reply) = reply {
                        self.send_control_to_client(connection, &reply);
                    }
                    let reason = reason.to_owned();
                    let loss = ConnectionLoss::CloseFrame { code, reason };
                    if let Some(socket) = self.close_as_gateway(connection) {
                        self.on_peer_lost(&socket, loss);
                    }
                    return;
                }
                EndpointEvent::Failed { error, close } => {
                    if let Some(close) = close {
                        self.send_control_to_client(connection, &close);
                    }
                    let (code, reason) = (error.close_code(), error.reason());
                    return self.drive_hub(shard, Input::Malformed { peer, code, reason });
                }
            }
        }
        if let Some(socket) = self.socket(connection) {
            socket.decoder = decoder;
            if !has_message && socket.endpoint.is_open() {
                self.drive_hub(shard, Input::BytesReceived { peer });
            }
        }
    }

    /// Returns the gateway's socket of a connection, unless it is closed.
    pub(crate) fn socket(&mut self, connection: ConnectionId) -> Option<&mut Socket> {
        self.connections.get_mut(&connection)?.socket.as_mut()
    }

    /// The connection has ended, as the gateway sees it.
    pub(crate) fn on_gateway_stream_end(&mut self, connection: ConnectionId, end: StreamEnd) {
        let loss = match end {
            StreamEnd::Closed => ConnectionLoss::EndOfStream,
            StreamEnd::Reset => ConnectionLoss::IoError,
        };
        if let Some(mut socket) = self.close_as_gateway(connection)
            && socket.endpoint.on_end_of_stream() == EndOfStream::Lost
        {
            self.on_peer_lost(&socket, loss);
        }
    }

    fn on_peer_lost(&mut self, socket: &Socket, loss: ConnectionLoss) {
        let (shard, peer) = (socket.shard, socket.peer);
        self.remove_peer(shard, peer);
        self.drive_hub(shard, Input::Lost { peer, loss });
    }

    /// Handles unsent bytes for a client: schedules the report to the hub at the end of the loop iteration, and the
    /// check that they are written in time.
    pub(crate) fn on_unsent_bytes(&mut self, connection: ConnectionId) {
        let now = self.clock.now();
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let (bytes, since) = (
            state.to_client.unsent_bytes(),
            state.to_client.unsent_since(),
        );
        let Some(socket) = state.socket.as_mut().filter(|_| bytes > 0) else {
            return;
        };
        if !mem::replace(&mut socket.is_send_buffer_report_scheduled, true) {
            self.clock
                .schedule_at(now, WorldEvent::ReportGatewaySendBuffer { connection });
        }
        if since == Some(now) {
            let sent = state.to_client.sent_bytes();
            self.schedule_send_buffer_check(connection, sent);
        }
    }

    fn schedule_send_buffer_check(&mut self, connection: ConnectionId, sent: u64) {
        let latest = self.clock.now() + UNSENT_TIME_MAX;
        self.clock
            .schedule_at(latest, WorldEvent::CheckSendBuffer { connection, sent });
    }

    /// Reports the size of a send buffer to the hub, unless it is empty.
    pub(crate) fn report_gateway_send_buffer(&mut self, connection: ConnectionId) {
        let is_reporting = self.planted_bug != Some(PlantedBug::NoSendBuffer);
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let (bytes, accepted) = (
            state.to_client.unsent_bytes(),
            state.to_client.accepted_bytes(),
        );
        let Some(socket) = &mut state.socket else {
            return;
        };
        socket.is_send_buffer_report_scheduled = false;
        if bytes > 0 && is_reporting {
            socket.reported_accepted_bytes = Some(accepted);
            if socket.ping_timing == PingTiming::Prompt {
                socket.ping_timing = PingTiming::Delayed;
            }
            let (shard, peer) = (socket.shard, socket.peer);
            self.drive_hub(shard, Input::SendBuffer { peer, bytes });
        }
        // One loop iteration may exceed the limit: the hub receives this report at the end, and then closes the peer.
        if bytes > SEND_BUFFER_BYTES_MAX && self.socket(connection).is_some() {
            let details = format!("{bytes} unsent bytes for {connection:?}");
            self.reference_model
                .report_violation(Invariant::SendBuffersBounded, details);
        }
    }

    /// Reports accepted bytes to the hub, if the hub knows of unsent bytes.
    pub(crate) fn report_accepted_bytes(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let is_empty = state.to_client.unsent_bytes() == 0;
        let accepted = state.to_client.accepted_bytes();
        let Some(socket) = &mut state.socket else {
            return;
        };
        let Some(reported) = socket.reported_accepted_bytes.replace(accepted) else {
            socket.reported_accepted_bytes = None;
            return;
        };
        let (shard, peer) = (socket.shard, socket.peer);
        if is_empty {
            socket.reported_accepted_bytes = None;
            self.drive_hub(shard, Input::Drained { peer });
        } else if let Ok(bytes) = usize::try_from(accepted - reported)
            && bytes > 0
        {
            self.drive_hub(shard, Input::Written { peer, bytes });
        }
    }

    /// Checks that the bytes up to `sent` are written, and schedules the next check.
    pub(crate) fn check_send_buffer(&mut self, connection: ConnectionId, sent: u64) {
        let held = self
            .connections
            .get(&connection)
            .filter(|state| state.socket.is_some());
        let Some(stream) = held.map(|state| &state.to_client) else {
            return;
        };
        if stream.accepted_bytes() < sent {
            let details =
                format!("unsent bytes for {connection:?} for more than two write timeouts");
            self.reference_model
                .report_violation(Invariant::SendBuffersBounded, details);
        } else if stream.unsent_bytes() > 0 {
            let sent = stream.sent_bytes();
            self.schedule_send_buffer_check(connection, sent);
        }
    }

    /// Pauses or resumes reading from a client, as its hub requests.
    pub(crate) fn set_reading(&mut self, connection: ConnectionId, is_paused: bool) {
        self.totals.reads_paused += u64::from(is_paused);
        if let Some(state) = self.connections.get_mut(&connection) {
            state.to_gateway.set_paused(is_paused);
            self.schedule_stream(connection, Direction::ToGateway);
        }
    }
}

const fn decoder() -> Decoder {
    Decoder::new(Role::Server, LIMITS)
}

/// The limits of received messages, which are the gateway's defaults.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: MESSAGE_BYTES_MAX,
    frame_bytes_max: MESSAGE_BYTES_MAX,
    fragments_max: 1_024,
};

const MESSAGE_BYTES_MAX: u32 = 65_536;
// The codec counts in 32 bits, so the number is repeated here.
const _: () = assert!(limits::Limits::MESSAGE_BYTES == 65_536);
