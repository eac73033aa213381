//! The messages between a shard's hub and its clients: decodes what arrives, and encodes what the hub sends.
//!
//! The hub knows no encodings: each connection has one since its upgrade. Messages are encoded into memory that is
//! reused, and framed straight into the write batch.

use bytes::Bytes;
use steadfast_clock::Clock;
use steadfast_hub::io::{Input, PeerId};
use steadfast_machine::Instant;
use steadfast_protocol::codec::{Encoding, PerEncoding, ReplyPayload};
use steadfast_protocol::message::Reply;
use steadfast_protocol::websocket::{Frame, Opcode};

use super::Shard;

/// The capacity that the payload of a message to many peers retains: enough for nearly all publications.
const PAYLOAD_RETAINED_BYTES: usize = 64 << 10;

impl Shard {
    /// Feeds the commands in a message of a client to the hub, until one of them closes the connection. The replies
    /// to one message share a frame.
    pub(crate) fn handle_message(&mut self, now: Instant, peer: PeerId, message: &Bytes) {
        let Some(connection) = self.connections.get_mut(peer) else {
            return;
        };
        let (encoding, limits) = (connection.encoding, *self.hub.limits());
        let at = Clock::wall();
        for command in encoding.decode_commands(message, &limits) {
            self.drive(now, Input::CommandReceived { peer, command, at });
            if !self.is_open(peer) {
                break;
            }
        }
        self.finish_replies();
    }

    /// Appends a message of the hub to the replies that share a frame.
    pub(super) fn reply(&mut self, peer: PeerId, message: &Reply) {
        let Some(connection) = self.connections.get_mut(peer) else {
            return;
        };
        let encoding = connection.encoding;
        if !self.replies.accepts(peer) {
            self.finish_replies();
        }
        self.replies.append(peer, encoding, message);
    }

    /// Queues the frame with the replies that were appended last.
    pub(super) fn finish_replies(&mut self) {
        let Some(ReplyPayload {
            receiver,
            encoding,
            bytes,
        }) = self.replies.take()
        else {
            return;
        };
        let range = self.batch.add_own(data_frame(encoding, bytes));
        self.enqueue(receiver, range);
    }

    /// Queues a message for many peers. It is encoded once for each encoding, at the first peer that uses it.
    pub(super) fn fan_out(&mut self, message: &Reply, to: &[PeerId]) {
        let mut ranges = PerEncoding::default();
        for peer in to {
            let Some(connection) = self.connections.get_mut(*peer) else {
                continue;
            };
            let encoding = connection.encoding;
            let range = *ranges.get_or_insert_with(encoding, || {
                self.payload.clear();
                encoding.append_reply(&mut self.payload, message);
                self.batch.add_shared(data_frame(encoding, &self.payload))
            });
            if connection.queued.is_empty() {
                self.dirty_sockets.push(peer.index);
            }
            self.batch.enqueue(&mut connection.queued, range);
        }
        self.payload.clear();
        self.payload.shrink_to(PAYLOAD_RETAINED_BYTES);
    }
}

/// The frame with a payload in this encoding.
fn data_frame(encoding: Encoding, payload: &[u8]) -> Frame<'_> {
    Frame::unfragmented(Opcode::from(encoding.message_kind()), payload)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;
    use std::net::TcpStream;

    use steadfast_engine::{
        ChannelEpoch, Committed, EngineEvent, Page, Publisher, ReadResponse, Record, Request,
        Response, RetentionClass,
    };
    use steadfast_hub::io::{Access, ClientId};
    use steadfast_machine::Timestamp;
    use steadfast_protocol::message::{ChannelName, PayloadKind, Push, PushEvent};
    use steadfast_protocol::websocket::{Decoder, Role, WebSocketEvent, WebSocketLimits};
    use tokio::net::tcp::OwnedReadHalf;
    use tokio::runtime;

    use super::*;
    use crate::shard::tests::{pair, shard};

    const EPOCH: ChannelEpoch = ChannelEpoch::new(0xe, 0);
    const CONNECTED: &str = r#"{"id":1,"connect":{"client":"00000000-0000-0000-0000-000000000001""#;

    #[test]
    fn replies_to_one_message_share_a_frame() {
        with_client(|shard, peer| {
            let message = Bytes::from_static(
                b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"rpc\":{}}\n{\"id\":3,\"rpc\":{}}",
            );
            shard.handle_message(Instant::START, peer, &message);
        })
        .check(|[connected, rejected]: [String; 2]| {
            assert!(connected.starts_with(CONNECTED), "{connected}");
            assert_eq!(
                rejected,
                concat!(
                    r#"{"id":2,"error":{"code":108,"message":"not available"}}"#,
                    "\n",
                    r#"{"id":3,"error":{"code":108,"message":"not available"}}"#,
                )
            );
        });
    }

    #[test]
    fn a_reply_stays_before_the_message_to_many_peers_that_follows_it() {
        with_client(|shard, peer| {
            let message = Bytes::from_static(
                b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}",
            );
            shard.handle_message(Instant::START, peer, &message);
            let events = vec![
                EngineEvent::Response {
                    number: read_number(shard),
                    response: Response::Read(ReadResponse {
                        epoch: EPOCH,
                        high_watermark: 0,
                        page: Page::Records {
                            previous: 0,
                            records: Vec::new(),
                            has_more: false,
                        },
                    }),
                },
                committed(1),
                committed(2),
            ];
            shard.handle(Instant::START, Input::Engine { events });
        })
        .check(|[_connected, subscribed, first, second]: [String; 4]| {
            assert!(
                subscribed.starts_with(r#"{"id":2,"subscribe":{"#),
                "{subscribed}"
            );
            assert_eq!([first, second], [1, 2].map(push));
        });
    }

    #[test]
    fn a_large_message_to_many_peers_releases_its_memory() {
        let large = Bytes::from(vec![b'1'; 2 * PAYLOAD_RETAINED_BYTES]);
        let message = Reply::Push(Push {
            channel: ChannelName::from("news"),
            event: PushEvent::Message(large),
        });

        with_client(|shard, peer| {
            shard.fan_out(&message, &[peer]);
            assert!(shard.payload.capacity() <= PAYLOAD_RETAINED_BYTES);
        })
        .check(|[pushed]: [String; 1]| assert!(pushed.len() > 2 * PAYLOAD_RETAINED_BYTES));
    }

    #[test]
    fn a_command_after_one_that_closes_the_connection_has_no_effect() {
        with_client(|shard, peer| {
            let message = Bytes::from_static(b"{}\n{\"id\":1,\"connect\":{}}");
            shard.handle_message(Instant::START, peer, &message);
            assert_eq!(shard.peers(), 0);
            assert!(!shard.is_open(peer));
        })
        .check(|[]: [String; 0]| {});
    }

    /// What a client has received.
    struct Received(Vec<String>);

    impl Received {
        /// Checks the messages, which must be as many as the closure takes.
        fn check<const N: usize>(self, check: impl FnOnce([String; N])) {
            check(<[String; N]>::try_from(self.0).unwrap_or_else(|all| panic!("{all:?}")));
        }
    }

    /// Runs a step with one client, and returns all messages that the client receives.
    fn with_client(step: impl FnOnce(&mut Shard, PeerId)) -> Received {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (mut shard, start) = (shard(), Instant::START);
            let (near, far) = pair();
            let (reading, writing) = near.into_split();
            let access = Access::Anonymous;
            let peer = shard.open_client(start, writing, b"", ClientId(1), access, Encoding::Json);
            step(&mut shard, peer);
            shard.finish_iteration(start);
            // The runtime has not seen yet that the socket accepts bytes.
            poll_fn(|context| shard.connection(peer).unwrap().poll_drain(context))
                .await
                .unwrap();
            read_all(shard, reading, far)
        })
    }

    /// Closes the connection, and decodes what was sent on it.
    fn read_all(shard: Shard, reading: OwnedReadHalf, mut far: TcpStream) -> Received {
        drop((shard, reading));
        let mut input = Vec::new();
        far.read_to_end(&mut input).unwrap();
        let limits = WebSocketLimits {
            message_bytes_max: 1_000_000,
            frame_bytes_max: 1_000_000,
            fragments_max: 1,
        };
        let mut decoder = Decoder::new(Role::Client, limits);
        let mut reading = decoder.read(&mut input);
        let mut messages = Vec::new();
        while let Some(event) = reading.next_event().unwrap() {
            if let WebSocketEvent::Message { payload, .. } = event {
                messages.push(String::from_utf8(payload.to_vec()).unwrap());
            }
        }
        Received(messages)
    }

    fn read_number(shard: &mut Shard) -> u64 {
        match &shard.take_requests()[..] {
            [Request::Read(read)] => read.request_id.number,
            other => panic!("{other:?}"),
        }
    }

    fn committed(offset: u64) -> EngineEvent {
        EngineEvent::Committed(Committed {
            channel: ChannelName::from("news"),
            epoch: EPOCH,
            previous: offset - 1,
            record: Record {
                offset,
                data: Bytes::from_static(b"1"),
                kind: PayloadKind::Json,
                retention: RetentionClass::Kept,
                publisher: Publisher::default(),
                at: Timestamp::default(),
            },
        })
    }

    fn push(offset: u64) -> String {
        format!(r#"{{"push":{{"channel":"news","pub":{{"data":1,"offset":{offset}}}}}}}"#)
    }
}
