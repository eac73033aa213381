//! How clients send: frames are masked with random bytes, and control frames precede queued messages. A client can also
//! begin a message and not end it.

use bytes::Bytes;
use steadfast_faults::link::{Direction, Lane};
use steadfast_protocol::websocket::{Frame, Opcode};

use crate::context::Context;
use crate::ids::ConnectionId;
use crate::network::Network;

/// Sends a message of a client, or a control frame, which precedes queued messages.
pub(crate) fn send(
    ctx: &mut Context,
    network: &mut Network,
    connection: ConnectionId,
    opcode: Opcode,
    payload: &[u8],
) {
    let frame = encode(ctx, opcode, payload);
    let lane = match opcode {
        Opcode::Ping | Opcode::Pong => Lane::Control,
        Opcode::Close | Opcode::Text | Opcode::Binary | Opcode::Continuation => Lane::Messages,
    };
    let frame = Bytes::from(frame);
    network.send(ctx, connection, Direction::ToServer, frame, lane);
}

/// Begins a message: only control frames may follow.
pub(crate) fn begin_message(
    ctx: &mut Context,
    network: &mut Network,
    connection: ConnectionId,
    opcode: Opcode,
    payload: &[u8],
) {
    let mut frame = encode(ctx, opcode, payload);
    if let Some(first) = frame.first_mut() {
        *first &= !FINAL;
    }
    let frame = Bytes::from(frame);
    network.send(ctx, connection, Direction::ToServer, frame, Lane::Messages);
}

/// The bit of a frame that ends its message.
const FINAL: u8 = 0x80;

fn encode(ctx: &mut Context, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, d, ..] = ctx.generator.next_u64().to_le_bytes();
    let mut frame = Vec::with_capacity(payload.len() + 14);
    Frame::unfragmented(opcode, payload).append_client(&mut frame, [a, b, c, d]);
    frame
}
