//! A reader that is slower than the server: the newest messages are discarded, and their number is reported.

use crate::script::{Script, raw, text};

/// A session whose reader has a buffer of four events, and has consumed the first event.
fn with_small_buffer() -> (Script, steadfast_core::io::SubscriptionId) {
    let mut script = Script::new(raw());
    let reader = script.read(4);
    script.dial();
    script.consume(reader, 1);
    assert_eq!(script.words(), ["subscribed 0"]);
    (script, reader)
}

#[test]
fn discarded_messages_are_counted_in_a_gap_once_half_of_the_buffer_is_free() {
    let (mut script, reader) = with_small_buffer();
    for number in 1..=9 {
        script.receive(text(&number.to_string()));
    }
    assert_eq!(script.words(), ["1", "2", "3", "4", "5"]);

    script.consume(reader, 2);
    assert!(script.words().is_empty());
    script.consume(reader, 1);
    script.receive(text("10"));

    assert_eq!(script.words(), ["gap 5 to 9", "10"]);
}

#[test]
fn a_reader_that_catches_up_before_anything_is_discarded_misses_nothing() {
    let (mut script, reader) = with_small_buffer();
    for number in 1..=5 {
        script.receive(text(&number.to_string()));
    }
    script.consume(reader, 5);
    script.receive(text("6"));

    assert_eq!(script.words(), ["1", "2", "3", "4", "5", "resumed 5", "6"]);
}

#[test]
fn a_pause_of_an_earlier_connection_is_not_taken_for_one_of_this_connection() {
    let (mut script, reader) = with_small_buffer();
    for number in 1..=5 {
        script.receive(text(&number.to_string()));
    }
    script.lose();
    script.redial();
    for number in 1..=5 {
        script.receive(text(&number.to_string()));
    }
    script.words();

    script.consume(reader, 6);

    assert_eq!(script.words(), ["gap 5 to 5"]);
}

#[test]
fn connections_that_come_and_go_do_not_fill_the_buffer_of_a_reader_that_does_not_read() {
    let mut script = Script::new(raw());
    script.read(4);
    script.dial();

    for _ in 0..100 {
        script.receive(text("a"));
        script.lose();
        script.redial();
    }

    // One event above the limit pauses the subscription, and the end of its connection is reported all the same.
    assert_eq!(script.words().len(), 6);
}

#[test]
fn messages_above_the_limit_in_bytes_are_discarded_until_half_of_it_is_free() {
    let mut script = Script::new(raw());
    let reader = script.read_within(1_000, 30);
    script.dial();
    script.consume(reader, 1);
    script.words();
    for _ in 0..6 {
        script.receive(text("0123456789"));
    }
    assert_eq!(script.words(), ["0123456789"; 4], "one above the limit");

    script.consume(reader, 2);
    script.receive(text("still too much"));
    assert!(script.words().is_empty());
    script.consume(reader, 1);
    script.receive(text("next"));

    assert_eq!(script.words(), ["gap 4 to 7", "next"]);
}
