//! Connections between clients and the gateway: two byte streams each, with the client and the socket at their ends.
//!
//! The streams transport the bytes of WebSocket frames. A connection whose two ends are closed is removed, with the
//! bytes that are still in flight.

use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::{Access, ClientId, Input};
use steadfast_machine::Instant;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::websocket::{ControlFrame, Frame, Opcode, encoder};

use crate::byte_stream::{ByteStream, Chunk, FrameOrder, Lane, StreamEnd};
use crate::planted_bug::PlantedBug;
use crate::socket::Socket;
use crate::world::{World, WorldEvent};

/// Identifies a connection between a client and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

/// The client of a connection, by its index in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientIndex {
    /// A client without the library.
    Simple(usize),
    /// A session of the client library.
    Session(usize),
}

/// The direction of a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToGateway,
    ToClient,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// The client at its end; `None` after the client has closed it.
    pub(crate) client_end: Option<ClientIndex>,
    /// The gateway's socket; `None` after the gateway has closed it.
    pub(crate) socket: Option<Socket>,
    pub(crate) to_gateway: ByteStream,
    pub(crate) to_client: ByteStream,
}

impl Connection {
    pub(crate) const fn stream(&mut self, direction: Direction) -> &mut ByteStream {
        match direction {
            Direction::ToGateway => &mut self.to_gateway,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether both ends are open.
    pub(crate) const fn has_both_ends(&self) -> bool {
        self.client_end.is_some() && self.socket.is_some()
    }

    pub(crate) fn is_healthy(&self, now: Instant) -> bool {
        self.to_gateway.is_healthy(now) && self.to_client.is_healthy(now)
    }
}

impl World {
    /// Opens a connection to a random shard of the gateway, if the gateway accepts connections.
    pub(crate) fn open_connection(
        &mut self,
        client_end: ClientIndex,
        encoding: Encoding,
    ) -> Option<ConnectionId> {
        let client = ClientId(u128::from(self.generator.next_u64()));
        let now = self.clock.now();
        let connection = ConnectionId(self.next_connection);
        let (shard, peer) = self.create_peer(connection)?;
        self.next_connection += 1;
        let order = match self.planted_bug {
            Some(PlantedBug::NoOrder) => FrameOrder::Reordered,
            Some(_) | None => FrameOrder::Preserved,
        };
        let state = Connection {
            client_end: Some(client_end),
            socket: Some(Socket::new(shard, peer, encoding, now)),
            to_gateway: ByteStream::new(FrameOrder::Preserved, now),
            to_client: ByteStream::new(order, now),
        };
        self.connections.insert(connection, state);
        let access = Access::Anonymous;
        self.drive_hub(
            shard,
            Input::Accepted {
                peer,
                client,
                access,
            },
        );
        Some(connection)
    }

    /// Sends a message of a client, or a control frame, which precedes queued messages.
    pub(crate) fn send_to_gateway(
        &mut self,
        connection: ConnectionId,
        opcode: Opcode,
        payload: &[u8],
    ) {
        let [a, b, c, d, ..] = self.generator.next_u64().to_le_bytes();
        let mut frame = Vec::with_capacity(payload.len() + 14);
        Frame::unfragmented(opcode, payload).append_client(&mut frame, [a, b, c, d]);
        let lane = match opcode {
            Opcode::Ping | Opcode::Pong => Lane::Control,
            Opcode::Close | Opcode::Text | Opcode::Binary | Opcode::Continuation => Lane::Messages,
        };
        self.send(connection, Direction::ToGateway, Bytes::from(frame), lane);
    }

    /// Sends a control frame of the gateway to a client.
    pub(crate) fn send_control_to_client(
        &mut self,
        connection: ConnectionId,
        frame: &ControlFrame,
    ) {
        let frame = encoder::encode_server(frame.opcode(), frame.payload());
        self.send_to_client(connection, frame);
    }

    /// Sends frames of the gateway to a client.
    pub(crate) fn send_to_client(&mut self, connection: ConnectionId, frames: Bytes) {
        self.send(connection, Direction::ToClient, frames, Lane::Messages);
    }

    fn send(&mut self, connection: ConnectionId, direction: Direction, frame: Bytes, lane: Lane) {
        let (now, delay) = (self.clock.now(), self.network_delay());
        // Occasionally a socket is full for a short time.
        let blocked = self.generator.chance(1, 32).then(|| {
            let (low, high) = (Duration::from_millis(1), Duration::from_millis(30));
            now + self.generator.between(low, high)
        });
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let stream = state.stream(direction);
        if let Some(until) = blocked {
            stream.block_writes(until);
        }
        stream.send(now, delay, frame, lane);
        self.schedule_stream(connection, direction);
        if direction == Direction::ToClient {
            self.on_unsent_bytes(connection);
        }
    }

    fn network_delay(&mut self) -> Duration {
        self.generator
            .between(Duration::from_micros(100), Duration::from_millis(8))
    }

    /// Schedules the next event of the stream: bytes to read, or space for more.
    pub(crate) fn schedule_stream(&mut self, connection: ConnectionId, direction: Direction) {
        let now = self.clock.now();
        let next = self
            .connections
            .get_mut(&connection)
            .and_then(|state| state.stream(direction).schedule(now));
        if let Some(at) = next {
            self.clock.schedule_at(
                at,
                WorldEvent::StreamReady {
                    connection,
                    direction,
                },
            );
        }
    }

    /// Hands over the bytes that have arrived, and sends unsent bytes.
    pub(crate) fn poll_stream(&mut self, connection: ConnectionId, direction: Direction) {
        let now = self.clock.now();
        let is_due = self
            .connections
            .get_mut(&connection)
            .is_some_and(|state| state.stream(direction).on_event(now));
        if !is_due {
            return;
        }
        loop {
            let bytes_max = self.draw_read_size();
            let Some(state) = self.connections.get_mut(&connection) else {
                return;
            };
            let Some(chunk) = state.stream(direction).read(now, bytes_max) else {
                break;
            };
            match (direction, chunk) {
                (Direction::ToGateway, Chunk::Bytes(bytes)) => {
                    self.gateway_reads(connection, &bytes);
                }
                (Direction::ToGateway, Chunk::End(end)) => {
                    self.on_gateway_stream_end(connection, end);
                }
                (Direction::ToClient, Chunk::Bytes(bytes)) => self.client_reads(connection, &bytes),
                (Direction::ToClient, Chunk::End(end)) => {
                    self.on_client_stream_end(connection, end);
                }
            }
        }
        let delay = self.network_delay();
        if let Some(state) = self.connections.get_mut(&connection) {
            state.stream(direction).refill(now, delay);
        }
        self.schedule_stream(connection, direction);
        match direction {
            Direction::ToClient => self.report_accepted_bytes(connection),
            Direction::ToGateway => self.report_client_send_buffer(connection),
        }
    }

    /// Draws the size of a read: mostly unlimited. Frames that are split between two reads would make some planted bugs
    /// fail in an unintended way.
    fn draw_read_size(&mut self) -> usize {
        let is_split = self.generator.chance(1, 16);
        let bytes = 1 + self.generator.below_len(64);
        match self.planted_bug {
            Some(PlantedBug::NoOrder | PlantedBug::LossyFreeze) => usize::MAX,
            Some(_) | None if is_split => bytes,
            Some(_) | None => usize::MAX,
        }
    }

    fn client_reads(&mut self, connection: ConnectionId, bytes: &[u8]) {
        match self
            .connections
            .get(&connection)
            .and_then(|state| state.client_end)
        {
            Some(ClientIndex::Simple(client)) => {
                self.simple_client_reads(client, connection, bytes);
            }
            Some(ClientIndex::Session(session)) => self.session_reads(session, connection, bytes),
            // The client has closed its end: its operating system discards what still arrives.
            None => {}
        }
    }

    fn on_client_stream_end(&mut self, connection: ConnectionId, end: StreamEnd) {
        let client_end = self
            .connections
            .get(&connection)
            .and_then(|state| state.client_end);
        self.close_as_client(connection, end);
        match client_end {
            Some(ClientIndex::Simple(client)) => self.on_client_connection_lost(client, connection),
            Some(ClientIndex::Session(session)) => {
                self.on_session_stream_end(session, connection, end);
            }
            None => {}
        }
    }

    /// Closes the client's end; the gateway reads the end after the bytes in flight, if it is delivered.
    pub(crate) fn close_as_client(&mut self, connection: ConnectionId, end: StreamEnd) {
        let (now, delay) = (self.clock.now(), self.network_delay());
        if let Some(state) = self.connections.get_mut(&connection)
            && state.client_end.take().is_some()
        {
            state.to_gateway.discard_unsent();
            state.to_gateway.end(now, delay, end);
            self.schedule_stream(connection, Direction::ToGateway);
        }
        self.remove_if_closed(connection);
    }

    /// Closes the gateway's end; the client detects it after the bytes in flight and the unsent ones, if the network
    /// delivers it.
    pub(crate) fn close_as_gateway(&mut self, connection: ConnectionId) -> Option<Socket> {
        let (now, delay) = (self.clock.now(), self.network_delay());
        let mut socket = None;
        if let Some(state) = self.connections.get_mut(&connection) {
            socket = state.socket.take();
            if socket.is_some() {
                state.to_client.end(now, delay, StreamEnd::Closed);
                self.schedule_stream(connection, Direction::ToClient);
            }
        }
        self.remove_if_closed(connection);
        socket
    }

    pub(crate) fn remove_if_closed(&mut self, connection: ConnectionId) {
        let is_closed = self
            .connections
            .get(&connection)
            .is_some_and(|state| state.client_end.is_none() && state.socket.is_none());
        if is_closed {
            self.connections.remove(&connection);
        }
    }
}
