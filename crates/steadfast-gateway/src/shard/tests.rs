//! The order of what a shard writes, reports to its hub and sends to other shards, with real sockets.

use std::future::poll_fn;
use std::io::Read as _;
use std::thread;

use steadfast_engine::{ChannelEpoch, EngineEvent, Page, ReadResponse, Response};
use steadfast_protocol::inbound::Inbound;
use steadfast_protocol::message::ClientInfo;

use super::*;
use crate::config::Config;
use crate::shard::test_client::{OpenClient, handle_message, run, shard, shard_on};
use crate::shard_bus::{self, INBOX_LIMITS, InboxLimits};

/// More than the kernel buffers for one connection.
const LARGE: usize = 16 << 20;

#[test]
fn a_send_buffer_that_is_empty_before_the_iteration_finishes_is_not_reported() {
    run(shard(), async |mut shard, client| {
        let start = Instant::START;
        let OpenClient {
            peer,
            reading: _reading,
            mut far,
        } = client;
        let message = b"{\"id\":1,\"connect\":{}}";
        handle_message(&mut shard, peer, message);

        // The batch is flushed early, and all of it is read before the iteration finishes.
        shard.send_preamble(peer, &vec![0; LARGE]);
        shard.flush();
        assert!(shard.connection(peer).unwrap().has_send_buffer());
        let reader = thread::spawn(move || {
            far.read_exact(&mut vec![0; LARGE]).unwrap();
            far
        });
        poll_fn(|context| shard.connection(peer).unwrap().poll_drain(context, start))
            .await
            .unwrap();
        let _far = reader.join().unwrap();
        shard.on_drained(start, peer);
        shard.finish_iteration(start);
        shard.tick(start + Config::default().client.write_timeout.0 * 2);

        assert!(shard.is_open(peer));
    });
}

#[test]
fn the_replies_to_many_pings_of_one_iteration_do_not_fill_the_memory() {
    run(shard(), async |mut shard, client| {
        let start = Instant::START;
        let OpenClient {
            peer,
            reading: _reading,
            far: _far,
        } = client;
        let mut inbound = Inbound::new(Encoding::Json);
        let ping = [&b"\x89\xfd\0\0\0\0"[..], &[0; 125]].concat();

        // As many reads as 40 connections may have in one iteration.
        for _ in 0..40 {
            let mut read = ping.repeat(500);
            shard.receive(start, peer, &mut inbound, &mut read);
            let bytes = shard.batch.bytes();
            assert!(bytes <= BATCH_BYTES_MAX, "{bytes}");
        }
    });
}

#[test]
fn a_connection_is_closed_only_after_the_reply_to_the_close_frame_is_written() {
    run(shard(), async |mut shard, client| {
        let start = Instant::START;
        let OpenClient {
            peer,
            reading,
            mut far,
        } = client;
        shard.send_preamble(peer, &vec![0; LARGE]);
        shard.flush();
        let mut inbound = Inbound::new(Encoding::Json);
        let mut close = *b"\x88\x82\x00\x00\x00\x00\x03\xe8";

        // The reply is queued, and the send buffer is empty before the iteration finishes.
        shard.receive(start, peer, &mut inbound, &mut close);
        let reader = thread::spawn(move || {
            let mut received = Vec::new();
            far.read_to_end(&mut received).unwrap();
            received
        });
        poll_fn(|context| shard.connection(peer).unwrap().poll_drain(context, start))
            .await
            .unwrap();
        shard.on_drained(start, peer);
        assert_eq!(shard.connections(), 1);
        shard.finish_iteration(start);
        // The kernel may have too much to send for the reply still: then it is in the send buffer.
        while let Some(connection) = shard.connection(peer) {
            poll_fn(|context| connection.poll_drain(context, start))
                .await
                .unwrap();
            shard.on_drained(start, peer);
            shard.finish_iteration(start);
        }

        assert_eq!(shard.connections(), 0);
        drop(reading);
        let received = reader.join().unwrap();
        assert_eq!(received.get(LARGE..), Some(&b"\x88\x02\x03\xe8"[..]));
    });
}

#[test]
fn the_hub_is_notified_of_a_message_that_does_not_fit_into_an_inbox() {
    let (bus, _inboxes) = shard_bus::open(
        1,
        InboxLimits {
            messages: 1,
            ..INBOX_LIMITS
        },
    );
    run(shard_on(bus), async |mut shard, client| {
        let start = Instant::START;
        let OpenClient {
            peer,
            reading: _reading,
            far: _far,
        } = client;
        let query = |id| format!("{{\"id\":{id},\"presence\":{{\"channel\":\"news\"}}}}");
        let message = format!("{{\"id\":1,\"connect\":{{}}}}\n{}", query(2));
        handle_message(&mut shard, peer, message.as_bytes());
        let before = shard.deadline().unwrap();

        handle_message(&mut shard, peer, query(3).as_bytes());

        // The hub counts further dropped messages for a second, which ends before a query or a ping is due.
        let after = shard.deadline().unwrap();
        assert_eq!(after, start + Duration::from_secs(1));
        assert!(after < before, "{before:?}");
    });
}

#[test]
fn many_joins_are_sent_in_turns() {
    run(shard(), async |mut shard, client| {
        let start = Instant::START;
        let OpenClient {
            peer,
            reading: _reading,
            far: _far,
        } = client;
        let subscribe =
            r#"{"id":2,"subscribe":{"channel":"news","join_leave":true,"recoverable":true}}"#;
        let message = format!("{{\"id\":1,\"connect\":{{}}}}\n{subscribe}");
        handle_message(&mut shard, peer, message.as_bytes());
        let requests = shard.take_requests();
        let response = EngineEvent::Response {
            number: requests[0].id().number,
            response: Response::Read(ReadResponse {
                epoch: ChannelEpoch::new(1, 0),
                high_watermark: 0,
                page: Page::Unrecoverable,
            }),
        };
        let events = vec![response];
        shard.handle(start, Input::Engine { events });
        shard.flush();
        let join = ShardMessage::Join {
            channel: "news".into(),
            info: ClientInfo::default(),
        };
        let mut messages = VecDeque::from(vec![join; 8_202]);

        shard.handle_shard_messages(start, &mut messages);
        assert_eq!(messages.len(), 10);
        shard.handle_shard_messages(start, &mut messages);
        assert!(messages.is_empty());
    });
}
