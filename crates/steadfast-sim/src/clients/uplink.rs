//! How clients send: frames are masked with random bytes, and control frames precede queued messages.

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
    let [a, b, c, d, ..] = ctx.generator.next_u64().to_le_bytes();
    let mut frame = Vec::with_capacity(payload.len() + 14);
    Frame::unfragmented(opcode, payload).append_client(&mut frame, [a, b, c, d]);
    let lane = match opcode {
        Opcode::Ping | Opcode::Pong => Lane::Control,
        Opcode::Close | Opcode::Text | Opcode::Binary | Opcode::Continuation => Lane::Messages,
    };
    let frame = Bytes::from(frame);
    network.send(ctx, connection, Direction::ToServer, frame, lane);
}
