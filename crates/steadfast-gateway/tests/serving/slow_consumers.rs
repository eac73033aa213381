//! Tests of clients that read more slowly than the gateway sends.

use steadfast_gateway::config::units::ConfigSize;
use steadfast_machine::ByteSize;

use crate::client::{Client, Received, publish};
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
fn a_consumer_above_its_limits_is_closed_as_slow_after_what_it_was_sent() {
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
    assert!(received > 0 && received < MESSAGES, "{received}");
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
