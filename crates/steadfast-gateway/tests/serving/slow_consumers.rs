//! Tests of clients that read more slowly than the gateway sends.

use steadfast_gateway::config::Config;
use steadfast_gateway::config::units::ConfigSize;
use steadfast_gateway::server::Running;
use steadfast_machine::ByteSize;
use steadfast_protocol::websocket::Opcode;

use crate::client::{Client, Received, frame, publish};
use crate::{config, millis, serve};

/// More messages than the kernel buffers for one connection on loopback, which is at most 4 MiB at the sender.
const MESSAGES: usize = 400;
const MESSAGE_BYTES: usize = 32 << 10;

#[test]
fn a_slow_consumer_within_its_limits_gets_everything_in_order() {
    let mut config = config();
    config.client.send_buffer_bytes_max = ConfigSize(ByteSize::from_mib(64));
    config.client.write_timeout = millis(60_000);
    let gateway = serve(config);
    let mut slow = Client::connect_with_small_buffer(gateway.address());
    slow.connect_and_subscribe("bulk");

    publish_all(&mut Client::connect(gateway.address()));

    for expected in 1..=MESSAGES {
        assert_eq!(slow.next_offset(), u64::try_from(expected).unwrap());
    }
}

#[test]
fn a_consumer_above_its_limits_is_closed_as_slow_and_what_it_has_not_accepted_is_discarded() {
    let mut config = config();
    config.client.send_buffer_bytes_max = ConfigSize(ByteSize::from_kib(256));
    config.client.write_timeout = millis(60_000);
    config.server.close_timeout = millis(30_000);
    let gateway = serve(config);
    let mut slow = Client::connect_with_small_buffer(gateway.address());
    slow.connect_and_subscribe("bulk");

    publish_all(&mut Client::connect(gateway.address()));

    let mut received = 0;
    let close = loop {
        let got = slow.next();
        if !matches!(got, Received::Text(_)) {
            break got;
        }
        received += 1;
    };
    assert!(matches!(close, Received::Close(Some(3008), _)), "{close:?}");
    // What the send buffer held is not among it.
    let sent_at_most = (MESSAGES * MESSAGE_BYTES - (256 << 10)) / MESSAGE_BYTES;
    assert!(received > 0 && received < sent_at_most, "{received}");
}

#[test]
fn what_many_clients_have_not_read_needs_memory_once() {
    let gateway = serve(config_with_memory(2));
    let mut slow: Vec<_> = (0..20).map(|_| reader(&gateway, "bulk")).collect();

    publish_some(&mut publisher(&gateway), "bulk");

    for client in &mut slow {
        assert_eq!(read_all(client), None);
    }
}

#[test]
fn clients_that_together_need_too_much_memory_are_closed_until_the_rest_does_not() {
    let gateway = serve(config_with_memory(4));
    let channels: Vec<String> = (0..12).map(|number| format!("bulk-{number}")).collect();
    let readers = channels.iter().map(|channel| reader(&gateway, channel));
    let mut slow: Vec<_> = readers.collect();
    let mut bystander = Client::connect(gateway.address());
    bystander.connect_and_subscribe("news");

    let mut publisher = publisher(&gateway);
    for channel in &channels {
        publish_some(&mut publisher, channel);
    }
    publisher.send(&publish(99, "news", "1"));

    assert_eq!(bystander.next_offset(), 1);
    let outcomes: Vec<_> = slow.iter_mut().map(read_all).collect();
    let kept = outcomes.iter().filter(|outcome| outcome.is_none()).count();
    // Each of them has up to 850 KiB unread.
    assert!((2..=5).contains(&kept), "{outcomes:?}");
    assert!(
        outcomes.iter().all(|it| matches!(it, None | Some(3008))),
        "{outcomes:?}"
    );
}

#[test]
fn a_client_that_sends_pings_and_reads_nothing_gets_few_pongs_and_then_the_last_one() {
    let mut config = config();
    config.client.write_timeout = millis(60_000);
    let gateway = serve(config);
    let mut slow = reader(&gateway, "bulk");
    publish_some(&mut publisher(&gateway), "bulk");

    // The socket is full already, so that each of these pongs would need memory.
    let pings = 20_000;
    for number in 0..pings {
        slow.send_bytes(&frame(Opcode::Ping, format!("{number:0>100}").as_bytes()));
    }
    slow.send(&publish(9, "other", "1"));

    let (mut pongs, mut last) = (0, String::new());
    let mut acknowledged = false;
    while !(acknowledged && last.ends_with(&(pings - 1).to_string())) {
        match slow.next() {
            Received::Pong(payload) => {
                pongs += 1;
                last = String::from_utf8(payload).unwrap();
            }
            Received::Text(text) => acknowledged |= text.contains("\"id\":9"),
            other @ (Received::Binary(_)
            | Received::Close(..)
            | Received::End
            | Received::Reset) => panic!("{other:?}"),
        }
    }
    assert!(pongs < 1_000, "{pongs}");
}

/// The number of messages that a client has not read: less than the send buffer of one client may hold.
const UNREAD: usize = 28;

fn config_with_memory(mib: u64) -> Config {
    let mut config = config();
    config.server.send_buffers_bytes_max = ConfigSize(ByteSize::from_mib(mib));
    config.client.write_timeout = millis(60_000);
    config
}

/// Connects a client that subscribes and then reads nothing.
fn reader(gateway: &Running, channel: &str) -> Client {
    let mut slow = Client::connect_with_small_buffer(gateway.address());
    slow.connect_and_subscribe(channel);
    slow
}

fn publisher(gateway: &Running) -> Client {
    let mut publisher = Client::connect(gateway.address());
    publisher.connect_and_subscribe("other");
    publisher
}

/// Publishes `UNREAD` messages.
fn publish_some(publisher: &mut Client, channel: &str) {
    let data = format!("\"{}\"", "x".repeat(MESSAGE_BYTES));
    for id in 3..3 + UNREAD {
        publisher.send(&publish(id, channel, &data));
        while !publisher
            .next_line()
            .contains(&format!("\"id\":{id},\"publish\""))
        {}
    }
}

/// Reads `UNREAD` messages in order. Returns the code with which the connection was closed before that.
fn read_all(client: &mut Client) -> Option<u16> {
    let mut received = 0;
    while received < UNREAD {
        match client.next() {
            Received::Text(text) if text.contains("\"pub\":") => {
                received += 1;
                assert!(text.contains(&format!("\"offset\":{received}")));
            }
            Received::Text(_) => {}
            Received::Close(code, _) => return code,
            other @ (Received::Binary(_) | Received::Pong(_) | Received::End | Received::Reset) => {
                panic!("{other:?}")
            }
        }
    }
    None
}

/// Publishes one message at a time and returns when all are acknowledged.
fn publish_all(publisher: &mut Client) {
    publisher.connect_and_subscribe("other");
    let data = format!("\"{}\"", "x".repeat(MESSAGE_BYTES));
    for id in 3..3 + MESSAGES {
        publisher.send(&publish(id, "bulk", &data));
        let response = publisher.next_line();
        assert!(
            response.starts_with(&format!("{{\"id\":{id},\"publish\":")),
            "{response}"
        );
    }
}
