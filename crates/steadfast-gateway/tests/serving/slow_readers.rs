//! Clients that take less than they are sent.

use steadfast_gateway::config::units::Size;
use steadfast_machine::ByteSize;

use crate::client::{Client, Got, publish};
use crate::{config, millis, serve};

/// More than the buffers of the system hold for one connection on loopback: 4 MiB at the sender at most.
const MESSAGES: usize = 400;
const MESSAGE_BYTES: usize = 32 << 10;

#[test]
fn a_slow_reader_within_its_bounds_gets_everything_in_order() {
    let mut config = config();
    config.client.backlog_bytes_max = Size(ByteSize::from_mib(64));
    config.client.write_deadline = millis(60_000);
    let gateway = serve(config);
    let mut slow = Client::connect_narrow(gateway.address());
    slow.enter("bulk");

    publish_all(&mut Client::connect(gateway.address()));

    for expected in 1..=MESSAGES {
        assert_eq!(slow.next_offset(), u64::try_from(expected).unwrap());
    }
}

#[test]
fn a_reader_beyond_its_bounds_is_closed_as_slow_behind_what_it_was_sent() {
    let mut config = config();
    config.client.backlog_bytes_max = Size(ByteSize::from_kib(256));
    config.client.write_deadline = millis(60_000);
    config.server.close_wait = millis(30_000);
    let gateway = serve(config);
    let mut slow = Client::connect_narrow(gateway.address());
    slow.enter("bulk");

    publish_all(&mut Client::connect(gateway.address()));

    let mut received = 0;
    let close = loop {
        let got = slow.next();
        if !matches!(got, Got::Text(_)) {
            break got;
        }
        received += 1;
    };
    assert!(matches!(close, Got::Close(Some(3008), _)), "{close:?}");
    assert!(received > 0 && received < MESSAGES, "{received}");
}

/// Publishes with few in flight and returns when all are acknowledged.
fn publish_all(publisher: &mut Client) {
    publisher.enter("other");
    let data = format!("\"{}\"", "x".repeat(MESSAGE_BYTES));
    for id in 3..3 + MESSAGES {
        publisher.send(&publish(id, "bulk", &data));
        let answer = publisher.next_line();
        assert!(
            answer.starts_with(&format!("{{\"id\":{id},\"publish\":")),
            "{answer}"
        );
    }
}
