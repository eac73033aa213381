//! What the reader gets, and in which order.

use bytes::Bytes;
use steadfast_core::dialect::Unsendable;
use steadfast_core::dialect::raw::{Input, SubscriptionEvent};
use steadfast_core::io::{Frame, SubscribeOptions, SubscriptionId, UnsubscribeCause};
use steadfast_machine::Position;

use crate::script::{Script, raw, text, with_login};

#[test]
fn every_message_is_delivered_in_order_with_its_type() {
    let mut script = Script::connected(raw());
    let frames = [
        text("a"),
        Frame::Binary(Bytes::from_static(&[0, 255])),
        text("b"),
    ];

    for frame in &frames {
        script.receive(frame.clone());
    }

    let items = frames.map(SubscriptionEvent::Item);
    assert_eq!(script.received.get(1..), Some(items.as_slice()));
}

#[test]
fn the_end_of_a_connection_and_the_next_one_are_visible_between_the_messages() {
    let mut script = Script::connected(raw());
    script.receive(text("a"));
    script.receive(text("b"));
    script.lose();
    script.redial();
    script.receive(text("c"));

    let expected = [
        "subscribed 0",
        "a",
        "b",
        "interrupted: reset",
        "gap 2 to 0",
        "c",
    ];
    assert_eq!(script.words(), expected);
}

#[test]
fn a_failed_attempt_is_no_end_of_a_connection() {
    let mut script = Script::connected(with_login());
    script.lose();
    script.redial();
    script.receive(text("ok"));

    assert_eq!(script.words(), ["subscribed 0", "ok"]);
}

#[test]
fn a_late_reader_learns_how_many_messages_came_before_it() {
    let mut script = Script::new(raw());
    script.dial();
    script.receive(text("a"));
    script.receive(text("b"));

    script.read(16);
    script.receive(text("c"));

    assert_eq!(script.words(), ["subscribed 2", "c"]);
}

#[test]
fn the_messages_of_the_handshake_are_not_delivered_after_later_ones_were_discarded() {
    let mut script = Script::new(with_login());
    script.dial();
    script.receive(text("ok"));
    script.receive(text("a"));

    script.read(16);

    assert_eq!(script.words(), ["subscribed 2"]);
}

#[test]
fn there_is_no_history_to_subscribe_to() {
    let mut script = Script::new(raw());
    let options = SubscribeOptions::all_frames(16).since(Position::default());
    let id = SubscriptionId(1);
    script.handle(Input::SubscribeRequested { id, options });

    let cause = UnsubscribeCause::Unsendable(Unsendable::Unsupported);
    let ended = SubscriptionEvent::Unsubscribed(cause);
    assert_eq!(script.received, [ended]);
}
