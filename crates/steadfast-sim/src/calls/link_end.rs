//! One end of a connection: bytes become messages and control frames, for clients and for the server.

use bytes::Bytes;
use steadfast_protocol::websocket::{
    ControlFrame, Decoder, EndpointEvent, Role, WebSocketEndpoint, WebSocketLimits,
};

/// Above every message of a run: the limits of both ends are those of their state machines.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    fragments_max: 16,
};

/// What was received.
#[derive(Debug)]
pub(super) enum Received {
    Message(Bytes),
    Ping {
        reply: ControlFrame,
    },
    Pong,
    /// A close frame.
    Closed {
        code: Option<u16>,
        reason: String,
        reply: Option<ControlFrame>,
    },
    /// The other end violated the protocol.
    Failed(String),
}

/// One end of an open connection.
#[derive(Debug)]
pub(super) struct LinkEnd {
    decoder: Decoder,
    pub(super) endpoint: WebSocketEndpoint,
}

impl LinkEnd {
    pub(super) const fn new(role: Role) -> Self {
        Self {
            decoder: Decoder::new(role, LIMITS),
            endpoint: WebSocketEndpoint::new(role),
        }
    }

    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<Received> {
        let mut input = bytes.to_vec();
        let mut received = Vec::new();
        let mut reading = self.decoder.read(&mut input);
        while let Some(event) = self.endpoint.next_event(&mut reading) {
            received.push(match event {
                EndpointEvent::Message { payload, .. } => {
                    Received::Message(Bytes::copy_from_slice(payload))
                }
                EndpointEvent::Ping { reply } => Received::Ping { reply },
                EndpointEvent::Pong(_) => Received::Pong,
                EndpointEvent::Dropped => continue,
                EndpointEvent::Closed {
                    code,
                    reason,
                    reply,
                } => Received::Closed {
                    code,
                    reason: reason.to_owned(),
                    reply,
                },
                EndpointEvent::Failed { error, .. } => Received::Failed(error.to_string()),
            });
        }
        received
    }
}
