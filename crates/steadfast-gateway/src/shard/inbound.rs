//! What one connection receives: decodes frames to messages, and passes these to the shard.
//!
//! The hub pauses a peer with too much pending, usually in the middle of a message. From there on nothing is decoded:
//! decoded commands need many times the memory of their bytes. The rest of the message and of the read is kept as it
//! was received, and decoded once the hub resumes reading, before anything else is read. A connection that is not
//! paused keeps nothing here but the decoder's incomplete frame.

use bytes::{Buf as _, Bytes, BytesMut};
use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_machine::Instant;
use steadfast_protocol::codec::CommandPosition;
use steadfast_protocol::websocket::{Decoder, EndpointEvent};

use super::Shard;

/// The decoder of one connection, and what it has received but not handled.
#[derive(Debug)]
pub(crate) struct Inbound {
    decoder: Decoder,
    /// Boxed, because there is nearly always none.
    unhandled: Option<Box<Unhandled>>,
}

/// What is left of a read since the hub has paused the peer: at most one message and the bytes of one read.
#[derive(Debug)]
struct Unhandled {
    message: Option<MessageRest>,
    /// The bytes after this message.
    frames: BytesMut,
}

/// A message whose commands are not all handled.
#[derive(Debug)]
struct MessageRest {
    message: Bytes,
    /// Where the next command begins.
    position: CommandPosition,
}

/// Where decoding has stopped because the hub has paused the peer.
struct Stopped {
    message: Option<MessageRest>,
    /// The number of bytes at the end of the input that are not decoded.
    bytes_left: usize,
}

impl Inbound {
    pub(crate) const fn new(decoder: Decoder) -> Self {
        Self {
            decoder,
            unhandled: None,
        }
    }

    /// Whether something was read and not handled. If so, the driver calls [`Self::resume`] before it reads again.
    pub(crate) const fn has_unhandled(&self) -> bool {
        self.unhandled.is_some()
    }

    /// Handles the bytes of one read, up to the command with which the hub pauses the peer.
    pub(crate) fn receive(
        &mut self,
        shard: &mut Shard,
        now: Instant,
        peer: PeerId,
        input: &mut [u8],
    ) {
        let stopped = decode(shard, now, peer, &mut self.decoder, input);
        self.unhandled = stopped.map(
            |Stopped {
                 message,
                 bytes_left,
             }| {
                let (_, frames) = input.split_at(input.len() - bytes_left);
                Box::new(Unhandled {
                    message,
                    frames: BytesMut::from(frames),
                })
            },
        );
    }

    /// Continues with what is not handled, as far as the hub permits.
    pub(crate) fn resume(&mut self, shard: &mut Shard, now: Instant, peer: PeerId) {
        let Some(mut unhandled) = self.unhandled.take() else {
            return;
        };
        if let Some(MessageRest { message, position }) = unhandled.message.take()
            && let Some(position) = shard.handle_message(now, peer, &message, position)
        {
            unhandled.message = Some(MessageRest { message, position });
            self.unhandled = Some(unhandled);
            return;
        }
        let frames = &mut unhandled.frames;
        if let Some(stopped) = decode(shard, now, peer, &mut self.decoder, frames) {
            frames.advance(frames.len() - stopped.bytes_left);
            unhandled.message = stopped.message;
            self.unhandled = Some(unhandled);
        }
    }
}

/// Decodes the frames in the input, and passes messages to the shard. Returns what is left if the hub has paused the
/// peer before the end.
fn decode(
    shard: &mut Shard,
    now: Instant,
    peer: PeerId,
    decoder: &mut Decoder,
    input: &mut [u8],
) -> Option<Stopped> {
    let mut has_message = false;
    let mut reading = decoder.read(input);
    loop {
        let connection = shard.connection(peer)?;
        if !connection.is_reading() {
            let bytes_left = reading.into_rest().len();
            return (bytes_left > 0).then_some(Stopped {
                message: None,
                bytes_left,
            });
        }
        let Some(event) = connection.endpoint.next_event(&mut reading) else {
            break;
        };
        match event {
            EndpointEvent::Message { payload, .. } => {
                has_message = true;
                let message = Bytes::copy_from_slice(payload);
                let stopped = shard.handle_message(now, peer, &message, CommandPosition::START);
                if let Some(position) = stopped {
                    return Some(Stopped {
                        message: Some(MessageRest { message, position }),
                        bytes_left: reading.into_rest().len(),
                    });
                }
            }
            EndpointEvent::Ping { reply } => shard.send_control(peer, &reply),
            EndpointEvent::Pong(_) | EndpointEvent::Dropped => {}
            EndpointEvent::Closed {
                code,
                reason,
                reply,
            } => {
                let reason = reason.to_owned();
                let loss = ConnectionLoss::CloseFrame { code, reason };
                shard.on_closed(now, peer, loss, reply);
                return None;
            }
            EndpointEvent::Failed { error, close } => {
                shard.on_failed(now, peer, error, close);
                return None;
            }
        }
    }
    if !has_message && shard.is_open(peer) {
        shard.handle(now, Input::BytesReceived { peer });
    }
    None
}

#[cfg(test)]
mod tests {
    use steadfast_engine::{EngineEvent, Rejection, Request, Response};
    use steadfast_protocol::websocket::{Frame, Opcode, Role, WebSocketLimits, WrittenAction};

    use super::*;
    use crate::shard::test_client::with_client;

    const MESSAGE_BYTES: usize = 65_536;
    /// History commands until the default limits pause a peer, and responses until they resume it.
    const PENDING_MAX: usize = 4;
    const PENDING_MIN: usize = 2;

    #[test]
    fn a_paused_peer_needs_no_more_memory_than_the_bytes_that_it_has_sent() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let mut message = format!("{CONNECT}\n{}", history(2..6));
            while message.len() < MESSAGE_BYTES - 3 {
                message.push_str("\n{}");
            }
            let mut read = frame(Opcode::Text, message.as_bytes());
            read.extend(frame(Opcode::Ping, b""));

            inbound.receive(shard, Instant::START, peer, &mut read);

            assert_eq!(shard.take_requests().len(), PENDING_MAX);
            let unhandled = inbound.unhandled.as_ref().unwrap();
            let kept = unhandled.message.as_ref().unwrap();
            assert_eq!(kept.message, message, "kept as it is");
            assert_eq!(unhandled.frames.len(), 6);
            assert!(inbound.decoder.buffered_bytes() == 0 && unhandled.frames.capacity() < 64);
        })
        .check(|[_connected]: [String; 1]| {});
    }

    #[test]
    fn what_a_paused_peer_has_sent_is_handled_in_order_as_it_resumes() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let first = format!("{CONNECT}\n{}\n{}", history(2..7), rpc(7));
            let mut read = [
                frame(Opcode::Text, first.as_bytes()),
                frame(Opcode::Text, history(8..10).as_bytes()),
                frame(Opcode::Ping, b"1"),
                frame(Opcode::Text, rpc(10).as_bytes()),
            ]
            .concat();

            inbound.receive(shard, Instant::START, peer, &mut read);
            let mut pending = shard.take_requests();
            let mut counts = vec![pending.len()];
            while !pending.is_empty() {
                for request in pending.drain(..PENDING_MIN.min(pending.len())) {
                    respond(shard, &request);
                }
                if shard.connection(peer).unwrap().is_reading() {
                    inbound.resume(shard, Instant::START, peer);
                }
                pending.extend(shard.take_requests());
                counts.push(pending.len());
            }

            assert_eq!(counts, [4, 4, 3, 1, 0]);
            assert!(!inbound.has_unhandled());
        })
        .check(|[_connected, received @ ..]: [String; 11]| {
            let expected = [
                "id\":2",
                "id\":3",
                "id\":7",
                "id\":4",
                "id\":5",
                "pong [49]",
                "id\":10",
                "id\":6",
                "id\":8",
                "id\":9",
            ];
            let mut both = received.iter().zip(expected);
            assert!(
                both.all(|(received, part)| received.contains(part)),
                "{received:#?}"
            );
        });
    }

    #[test]
    fn a_close_frame_after_what_a_closed_peer_has_sent_ends_the_connection() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let message = format!("{CONNECT}\n{}", history(2..9));
            let mut read = frame(Opcode::Text, message.as_bytes());
            read.extend(frame(Opcode::Text, rpc(9).as_bytes()));
            read.extend(frame(Opcode::Close, b""));
            inbound.receive(shard, Instant::START, peer, &mut read);
            assert_eq!(shard.take_requests().len(), PENDING_MAX);

            shard.shut_down(Instant::START);
            assert!(shard.connection(peer).unwrap().is_reading());
            shard.finish_iteration(Instant::START);
            inbound.resume(shard, Instant::START, peer);

            assert_eq!(shard.take_requests(), []);
            let endpoint = &shard.connection(peer).unwrap().endpoint;
            assert_eq!(endpoint.written_action(), WrittenAction::CloseStream);
        })
        .check(|[_connected]: [String; 1]| {});
    }

    const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

    fn inbound() -> Inbound {
        let bytes_max = u32::try_from(MESSAGE_BYTES).unwrap();
        Inbound::new(Decoder::new(
            Role::Server,
            WebSocketLimits {
                message_bytes_max: bytes_max,
                frame_bytes_max: bytes_max,
                fragments_max: 8,
            },
        ))
    }

    fn history(ids: std::ops::Range<u32>) -> String {
        let commands = ids.map(|id| format!(r#"{{"id":{id},"history":{{"channel":"news"}}}}"#));
        commands.collect::<Vec<_>>().join("\n")
    }

    fn rpc(id: u32) -> String {
        format!(r#"{{"id":{id},"rpc":{{}}}}"#)
    }

    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        Frame::unfragmented(opcode, payload).append_client(&mut frame, [1, 2, 3, 4]);
        frame
    }

    fn respond(shard: &mut Shard, request: &Request) {
        let response = EngineEvent::Response {
            number: request.id().number,
            response: Response::Rejected(Rejection::Limit),
        };
        let events = vec![response];
        shard.handle(Instant::START, Input::Engine { events });
    }
}
