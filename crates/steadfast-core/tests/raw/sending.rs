//! Messages without acknowledgement: each has its outcome when it is passed to a transport that accepts bytes.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::Unsendable;
use steadfast_core::dialect::raw::{SendError, Sent};
use steadfast_core::io::Frame;

use crate::script::{BYTES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX, Script, raw, text};

#[test]
fn a_message_is_sent_as_it_is_and_has_its_outcome_at_once() {
    let mut script = Script::connected(raw());
    let frames = [text("a"), Frame::Binary(Bytes::from_static(&[0, 255]))];

    let ids = frames.clone().map(|frame| script.send(frame));

    assert_eq!(script.sent, frames);
    assert_eq!(script.outcomes, ids.map(|id| (id, Ok(Sent))));
    assert_eq!(script.snapshot().in_flight, 0);
}

#[test]
fn messages_wait_in_order_while_the_socket_accepts_nothing() {
    let mut script = Script::connected(raw());
    script.send_buffer(10);
    let ids = ["a", "b", "c"].map(|it| script.send(text(it)));
    assert!(script.sent.is_empty());
    assert!(script.outcomes.is_empty());
    assert_eq!(script.snapshot().queued, 3);

    script.send_buffer(0);

    assert_eq!(script.sent, ["a", "b", "c"].map(text));
    assert_eq!(script.outcomes, ids.map(|id| (id, Ok(Sent))));
}

#[test]
fn the_outbox_limits_how_many_messages_wait() {
    let mut script = Script::connected(raw());
    script.send_buffer(10);
    for _ in 0..MESSAGES_MAX {
        script.send(text("a"));
    }

    let id = script.send(text("b"));

    assert_eq!(script.outcomes, [(id, Err(SendError::OutboxFull))]);
}

#[test]
fn the_outbox_limits_how_many_bytes_wait() {
    let mut script = Script::connected(raw());
    script.send_buffer(10);
    for _ in 0..BYTES_MAX / MESSAGE_BYTES_MAX {
        script.send(text(&"a".repeat(MESSAGE_BYTES_MAX)));
    }

    let id = script.send(text("b"));

    assert_eq!(script.outcomes, [(id, Err(SendError::OutboxFull))]);
}

#[test]
fn a_message_that_was_sent_is_not_sent_again_and_one_that_waits_is_sent_once() {
    let mut script = Script::connected(raw());
    script.send(text("sent"));
    script.send_buffer(10);
    let waiting = script.send(text("waiting"));

    script.lose();
    script.redial();

    assert_eq!(script.sent, [text("waiting")]);
    assert_eq!(script.outcomes.last(), Some(&(waiting, Ok(Sent))));
    script.lose();
    script.redial();
    assert!(script.sent.is_empty());
}

#[test]
fn a_message_that_waits_longer_than_its_time_to_live_is_not_sent() {
    let mut script = Script::new(raw());
    let id = script.send_for(text("a"), Some(Duration::from_secs(1)));
    script.advance(Duration::from_secs(1));

    script.dial();

    assert!(script.sent.is_empty());
    assert_eq!(script.outcomes, [(id, Err(SendError::Expired))]);
}

#[test]
fn a_message_that_would_end_the_connection_fails_alone() {
    let mut script = Script::connected(raw());
    let too_large = script.send(text(&"x".repeat(MESSAGE_BYTES_MAX + 1)));
    let not_text = script.send(Frame::Text(Bytes::from_static(&[255])));
    let fits = script.send(text(&"x".repeat(MESSAGE_BYTES_MAX)));

    let [first, second, third] = script.outcomes.as_slice() else {
        panic!("{:?}", script.outcomes);
    };
    let error = SendError::Unsendable(Unsendable::TooLarge {
        bytes: MESSAGE_BYTES_MAX + 1,
        bytes_max: MESSAGE_BYTES_MAX,
    });
    assert_eq!(*first, (too_large, Err(error)));
    assert!(
        matches!(second, (id, Err(SendError::Unsendable(_))) if *id == not_text),
        "{second:?}"
    );
    assert_eq!(*third, (fits, Ok(Sent)));
}
