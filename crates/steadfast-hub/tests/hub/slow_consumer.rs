//! Slow consumers: peers that accept fewer bytes than are sent to them.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::io::Input;

use crate::messages::{pushes, recover, recovered, unsubscribe};
use crate::responses::{first_page, page};
use crate::script::{EPOCH_TEXT, Script};

pub(crate) fn a_peer_with_a_send_buffer_above_the_limit_is_closed_with_3008(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 0);

    script.handle(Input::SendBuffer {
        peer,
        bytes: 1 << 20,
    });
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::SendBuffer {
        peer,
        bytes: (1 << 20) + 1,
    });
    script.commit("news", 1);

    assert_eq!(script.close_code(peer), Some(3008));
    assert!(script.fanouts.is_empty());
}

pub(crate) fn bytes_that_stay_in_the_send_buffer_past_the_write_timeout_close_with_3009(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 10 });
    script.advance(Duration::from_millis(9_900));
    script.handle(Input::SendBuffer { peer, bytes: 20 });
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3009));
}

pub(crate) fn a_slow_peer_that_accepts_its_bytes_within_the_write_timeout_stays(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    // The send buffer is never empty: 30 more bytes are added before the remaining 15 are written.
    script.handle(Input::SendBuffer { peer, bytes: 30 });
    for _ in 0..10 {
        script.advance(Duration::from_secs(4));
        script.handle(Input::BytesReceived { peer });
        script.handle(Input::Written { peer, bytes: 15 });
        script.handle(Input::SendBuffer { peer, bytes: 45 });
        script.advance(Duration::from_secs(4));
        script.handle(Input::Written { peer, bytes: 15 });
    }

    assert_eq!(script.close_code(peer), None);
}

pub(crate) fn the_pong_timeout_of_a_buffered_ping_starts_once_it_is_written(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 30 });
    while script.read(peer).is_empty() {
        script.handle(Input::Written { peer, bytes: 30 });
        script.handle(Input::SendBuffer { peer, bytes: 30 });
        script.advance(Duration::from_secs(1));
    }
    // This is longer than the pong timeout, which would apply if the ping had been sent.
    script.advance(Duration::from_millis(8_500));
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::Written { peer, bytes: 30 });
    script.handle(Input::SendBuffer { peer, bytes: 10 });
    script.advance(Duration::from_millis(7_900));
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_silent_peer_that_accepts_everything_is_closed_regardless_of_how_often_bytes_are_buffered(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    // Everything is written within a second each time, and nothing is received.
    for _ in 0..34 {
        script.handle(Input::SendBuffer { peer, bytes: 30 });
        script.advance(Duration::from_millis(500));
        script.handle(Input::Drained { peer });
        script.advance(Duration::from_millis(500));
    }

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn a_trickle_does_not_extend_the_write_timeout(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.handle(Input::SendBuffer { peer, bytes: 30 });
    for _ in 0..9 {
        script.advance(Duration::from_secs(1));
        script.handle(Input::Written { peer, bytes: 1 });
    }
    assert_eq!(script.close_code(peer), None);
    script.advance(Duration::from_millis(1_100));

    assert_eq!(script.close_code(peer), Some(3009));
}

pub(crate) fn the_write_timeout_restarts_when_the_send_buffer_drains_in_time(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for _ in 0..5 {
        script.handle(Input::SendBuffer { peer, bytes: 10 });
        script.advance(Duration::from_secs(4));
        script.handle(Input::Drained { peer });
    }

    assert_eq!(script.close_code(peer), None);
}

/// A send buffer into which a page does not fit.
const ABOVE_BUDGET: usize = 1 << 20;

pub(crate) fn a_recovery_whose_response_arrives_while_bytes_are_buffered_continues_when_they_are_written(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.fill("news", 7);
    let peer = script.connect();
    script.send(peer, recover(2, "news", EPOCH_TEXT, 0));

    script.handle(Input::SendBuffer {
        peer,
        bytes: ABOVE_BUDGET,
    });
    script.respond(first_page(7, &[1, 2, 3]));
    assert_eq!(script.read(peer), [recovered(2, 0, &[])]);
    script.commit("news", 8);
    assert_eq!(script.read(peer), []);
    script.handle(Input::Drained { peer });
    script.respond(first_page(8, &[1, 2, 3]));
    script.handle(Input::SendBuffer {
        peer,
        bytes: ABOVE_BUDGET,
    });
    script.respond(first_page(8, &[4, 5, 6]));
    script.handle(Input::Drained { peer });
    script.respond(first_page(8, &[4, 5, 6]));
    script.respond(page(8, &[7, 8]));
    script.commit("news", 9);

    assert_eq!(script.read(peer), pushes("news", 1..=9));
}

pub(crate) fn a_peer_that_recovers_many_channels_is_sent_one_page_at_a_time(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.fill(channel, 9);
        script.send(peer, recover(id, channel, EPOCH_TEXT, 0));
        let request = script.requests.pop().unwrap();
        script.requests.insert(0, request);
        script.respond(first_page(9, &[1, 2, 3]));
    }
    script.read(peer);

    let mut order = Vec::new();
    for offset in [4, 4, 4, 7, 7, 7] {
        assert_eq!(script.requests.len(), 1);
        let offsets: Vec<u64> = (offset..offset + 3).collect();
        script.respond(if offset == 4 {
            first_page(9, &offsets)
        } else {
            page(9, &offsets)
        });
        order.push(script.read(peer));
    }

    assert!(script.requests.is_empty());
    for (sent, (channel, offset)) in order.iter().zip([
        ("one", 4),
        ("two", 4),
        ("three", 4),
        ("one", 7),
        ("two", 7),
        ("three", 7),
    ]) {
        assert_eq!(*sent, pushes(channel, offset..offset + 3));
    }
}

pub(crate) fn a_cancelled_recovery_lets_the_next_one_continue(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two")] {
        script.fill(channel, 6);
        script.send(peer, recover(id, channel, EPOCH_TEXT, 0));
        let request = script.requests.pop().unwrap();
        script.requests.insert(0, request);
        script.respond(first_page(6, &[1, 2, 3]));
    }
    script.read(peer);

    script.send(peer, unsubscribe(4, "one"));
    script.read(peer);
    script.respond(page(6, &[4, 5, 6]));
    script.respond(page(6, &[4, 5, 6]));

    assert_eq!(script.read(peer), pushes("two", 4..=6));
}
