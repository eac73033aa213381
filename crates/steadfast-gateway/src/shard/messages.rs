//! The messages of a shard's hub to its clients: encodes what the hub sends.
//!
//! The hub knows no encodings: each connection has one since its upgrade. Messages are encoded into memory that is
//! reused, and framed straight into the write batch.

use steadfast_hub::io::{Input, PeerId};
use steadfast_machine::{Instant, Machine as _, convert};
use steadfast_protocol::codec::{Encoding, PerEncoding, ReplyPayload};
use steadfast_protocol::message::Reply;
use steadfast_protocol::websocket::{Frame, Opcode};

use super::Shard;

/// The capacity that the payload of a message to many peers retains: enough for nearly all publications.
const PAYLOAD_RETAINED_BYTES: usize = 64 << 10;

impl Shard {
    /// Appends a message of the hub to the replies that share a frame.
    pub(super) fn reply(&mut self, now: Instant, peer: PeerId, message: &Reply) {
        let Some(connection) = self.connections.get_mut(peer) else {
            return;
        };
        let encoding = connection.encoding;
        if *message == Reply::Ping && connection.has_send_buffer() {
            return self.send_ping_first(now, peer, encoding);
        }
        if !self.replies.accepts(peer) {
            self.finish_replies();
        }
        self.replies.append(peer, encoding, message);
    }

    /// Sends a ping before everything of which nothing is written yet: the SDK of a client on a slow link waits for
    /// it a limited time, whatever else it receives.
    fn send_ping_first(&mut self, now: Instant, peer: PeerId, encoding: Encoding) {
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        encoding.append_reply(&mut payload, &Reply::Ping);
        data_frame(encoding, &payload).append_server(&mut frame);
        let connection = self.connections.get_mut(peer);
        if let Some(bytes) = connection.and_then(|connection| connection.send_first(&frame)) {
            self.hub.handle(now, Input::PingBuffered { peer, bytes });
        }
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
        self.fanned_out += convert::to_u64(to.len());
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
    use bytes::Bytes;
    use steadfast_engine::{
        ChannelEpoch, Committed, EngineEvent, Page, Publisher, ReadResponse, Record, Request,
        Response, RetentionClass,
    };
    use steadfast_hub::io::Input;
    use steadfast_machine::{Instant, Timestamp};
    use steadfast_protocol::message::{ChannelName, PayloadKind, Push, PushEvent};

    use super::*;
    use crate::shard::test_client::{handle_message, with_client};

    const EPOCH: ChannelEpoch = ChannelEpoch::new(0xe, 0);
    const CONNECTED: &str = r#"{"id":1,"connect":{"client":"00000000-0000-0000-0000-000000000001""#;

    #[test]
    fn replies_to_one_message_share_a_frame() {
        with_client(|shard, peer| {
            let message =
                b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"rpc\":{}}\n{\"id\":3,\"rpc\":{}}";
            handle_message(shard, peer, message);
        })
        .check(|[connected, rejected]: [String; 2]| {
            assert!(connected.starts_with(CONNECTED), "{connected}");
            assert_eq!(
                rejected,
                concat!(
                    r#"{"id":2,"error":{"code":104,"message":"method not found"}}"#,
                    "\n",
                    r#"{"id":3,"error":{"code":104,"message":"method not found"}}"#,
                )
            );
        });
    }

    #[test]
    fn a_reply_stays_before_the_message_to_many_peers_that_follows_it() {
        with_client(|shard, peer| {
            let message =
                b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}";
            handle_message(shard, peer, message);
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
            let message = b"{}\n{\"id\":1,\"connect\":{}}";
            handle_message(shard, peer, message);
            assert_eq!(shard.peers(), 0);
            assert!(!shard.is_open(peer));
        })
        .check(|[]: [String; 0]| {});
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
